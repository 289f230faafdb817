//! `entrepot chain genesis`: the file that founds a channel. Everybody who founds it compares its digest before anything runs on it.

use crate::{
    commands::chain::keys,
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::{Args, ValueEnum};
use entrepot_chain_log::consortium::{Genesis, Members, VotingRule};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Arguments {
    /// The channel; its log is called `entrepot/<channel>`.
    #[arg(long, default_value = "main", value_name = "NAME")]
    channel: String,
    /// Whose consent changes of the members need.
    #[arg(long, value_enum, default_value = "two-thirds")]
    rule: Rule,
    /// A description that `entrepot chain keys` made for a member; one for each.
    #[arg(long = "member", value_name = "FILE", required = true)]
    members: Vec<PathBuf>,
    /// Where the genesis goes; it must not exist. Standard output if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Whose consent a change needs.
#[derive(Clone, Copy, ValueEnum)]
pub enum Rule {
    /// More than half of the members.
    Majority,
    /// More than two thirds of the members.
    TwoThirds,
    /// All members.
    Unanimous,
    /// More than half of the members, and every regulator among them.
    RegulatorVeto,
}

impl From<Rule> for VotingRule {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Majority => Self::Majority,
            Rule::TwoThirds => Self::TwoThirds,
            Rule::Unanimous => Self::Unanimous,
            Rule::RegulatorVeto => Self::RegulatorVeto,
        }
    }
}

pub fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let members = arguments.members.iter().map(|path| keys::read_member(path)).collect::<Result<Vec<_>, _>>()?;
    let members = Members::new(members).map_err(Failure::bad_input)?;
    let origin = format!("entrepot/{}", arguments.channel);
    let genesis = Genesis::new(&origin, arguments.rule.into(), &members).map_err(chained)?;
    let digest = genesis.digest().to_string();
    let document = serde_json::to_value(&genesis).map_err(anyhow::Error::from)?;
    match &arguments.out {
        Some(path) => {
            files::write_public(path, format!("{document:#}\n").as_bytes())?;
            let text = format!("{origin} with {} members, {} of whom decide\ngenesis {digest}", members.count(), members.quorum());
            output.result(
                &text,
                &json!({"origin": origin, "genesis": digest, "members": members.count(), "quorum": members.quorum(), "file": path}),
            );
        }
        None => output.result(&format!("{document:#}"), &document),
    }
    Ok(())
}

/// Reads a genesis file.
pub fn read(path: &Path) -> Result<Genesis, Failure> {
    Genesis::from_json(&files::read(path)?).map_err(|error| Failure::bad_input(format!("{}: {}", path.display(), chained(error))))
}

/// An error with its causes.
fn chained(error: impl Into<anyhow::Error>) -> Failure {
    Failure::bad_input(format!("{:#}", error.into()))
}
