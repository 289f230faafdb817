//! `entrepot chain genesis`: the file that founds a channel. Everybody who founds it compares its digest before anything runs on it.

use crate::{
    channels::check_name,
    commands::chain::keys,
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::{Args, ValueEnum};
use entrepot_chain_log::consortium::{Genesis, MemberRole, Members, VotingRule};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Arguments {
    /// The channel; its log is called `entrepot/<channel>`.
    #[arg(long, default_value = "main", value_name = "NAME")]
    channel: String,
    /// What kind of channel it is.
    #[arg(long, value_enum, default_value = "consortium")]
    template: Template,
    /// Whose consent changes of the members need, if not what the template says.
    #[arg(long, value_enum)]
    rule: Option<Rule>,
    /// A description that `entrepot chain keys` made for a member; one for each.
    #[arg(long = "member", value_name = "FILE", required = true)]
    members: Vec<PathBuf>,
    /// Where the genesis goes; it must not exist. Standard output if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A kind of channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Template {
    /// One member, which decides alone.
    Single,
    /// Several members; more than two thirds of them consent to changes.
    Consortium,
    /// Several members, a regulator among them; nothing about the members changes without every regulator.
    Supervised,
}

impl Template {
    fn rule(self) -> Rule {
        match self {
            Self::Single => Rule::Majority,
            Self::Consortium => Rule::TwoThirds,
            Self::Supervised => Rule::RegulatorVeto,
        }
    }

    fn check(self, members: &Members) -> Result<(), &'static str> {
        let regulated = members.as_slice().iter().any(|member| member.role == MemberRole::Regulator);
        match self {
            Self::Single if members.count() != 1 => Err("a channel of the template `single` has one member"),
            Self::Supervised if !regulated => Err("a channel of the template `supervised` has a regulator among its members"),
            _ => Ok(()),
        }
    }
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
    // That their keys are theirs is checked here; whoever compares the digest has looked at them.
    let members = arguments.members.iter().map(|path| Ok(keys::read_member(path)?.0)).collect::<Result<Vec<_>, Failure>>()?;
    let members = Members::new(members).map_err(Failure::bad_input)?;
    arguments.template.check(&members).map_err(Failure::bad_input)?;
    check_name(&arguments.channel).map_err(Failure::bad_input)?;
    let origin = format!("entrepot/{}", arguments.channel);
    let rule = arguments.rule.unwrap_or_else(|| arguments.template.rule());
    let genesis = Genesis::new(&origin, rule.into(), &members).map_err(chained)?;
    let digest = genesis.digest().to_string();
    let document = serde_json::to_value(&genesis).map_err(anyhow::Error::from)?;
    match &arguments.out {
        Some(path) => {
            files::write_public(path, format!("{document:#}\n").as_bytes())?;
            let decide = match (members.count(), members.quorum()) {
                (1, _) => "one member, who decides alone".to_owned(),
                (count, quorum) => format!("{count} members, {quorum} of whom decide"),
            };
            let text = format!("{origin} with {decide}\ngenesis {digest}");
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
