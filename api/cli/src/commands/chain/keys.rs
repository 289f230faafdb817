//! `entrepot chain keys`: an organisation and its node, by four keys. Each serves one purpose, and only three of them go to the node.

use crate::{
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::{Args, ValueEnum};
use entrepot_chain_log::consortium::{Member, MemberDescription, MemberKeyring, MemberKeys, MemberRole, Members, Possession};
use entrepot_chain_statement::{Did, key::KeyFile};
use rand_core::OsRng;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Signs what members decide about each other. It need not lie on the node.
pub const ORGANISATION: &str = "organisation.key.json";
/// Signs proposals and votes on blocks.
pub const CONSENSUS: &str = "consensus.key.json";
/// Cosigns checkpoints of decided blocks.
pub const COSIGNING: &str = "cosigning.key.json";
/// Authenticates the node's connections.
pub const TRANSPORT: &str = "transport.key.json";
/// What the others are given.
pub const MEMBER: &str = "member.json";

#[derive(Args)]
pub struct Arguments {
    /// A new folder for the files.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The organisation's name, for people.
    #[arg(long)]
    name: String,
    /// What it is to the others.
    #[arg(long, value_enum, default_value = "member")]
    role: Role,
    /// An organisation's key file that is there already: a participant's. Without it, one is made.
    #[arg(long, value_name = "FILE")]
    organisation: Option<PathBuf>,
}

/// What a member is to the others.
#[derive(Clone, Copy, ValueEnum)]
pub enum Role {
    /// One vote.
    Member,
    /// One vote, and a veto where the rule grants it.
    Regulator,
}

impl From<Role> for MemberRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Regulator => Self::Regulator,
        }
    }
}

pub fn run(arguments: &Arguments, output: &Output) -> Outcome {
    refuse_present(&arguments.out)?;
    let did = match &arguments.organisation {
        Some(path) => files::read_key(path)?.signing.did(),
        None => make(&arguments.out.join(ORGANISATION))?.signing.did(),
    };
    let (keys, possession) = make_node_keys(&arguments.out, &did)?;
    let member = Member { did, name: arguments.name.clone(), role: arguments.role.into(), keys };
    // Alone it must be able to be a member: a name that nobody would accept is told here.
    Members::new(vec![member.clone()]).map_err(Failure::bad_input)?;
    let description = serde_json::to_value(MemberDescription::of(member.clone(), possession)).map_err(anyhow::Error::from)?;
    let file = arguments.out.join(MEMBER);
    files::write_public(&file, format!("{description:#}\n").as_bytes())?;
    output.result(
        &format!(
            "{} is {}; give {} to the others, and {ORGANISATION} to nobody, not even the node",
            member.name,
            member.did,
            file.display()
        ),
        &json!({"member": description, "folder": arguments.out}),
    );
    Ok(())
}

/// Makes the three keys of an organisation's node in a folder, each durable when this returns; and what shows whose they are.
pub fn make_node_keys(folder: &Path, organisation: &Did) -> Result<(MemberKeys, Possession), Failure> {
    let (consensus, cosigning, transport) =
        (make(&folder.join(CONSENSUS))?, make(&folder.join(COSIGNING))?, make(&folder.join(TRANSPORT))?);
    let keyring = MemberKeyring { consensus: &consensus.signing, cosigning: &cosigning.signing, transport: &transport.signing };
    Ok((keyring.keys(), keyring.possession(organisation)))
}

/// Nothing may be half new and half old.
pub fn refuse_present(folder: &Path) -> Outcome {
    match folder.exists() {
        true => Err(Failure::bad_input(format!("{} exists: name a new folder", folder.display()))),
        false => Ok(()),
    }
}

fn make(path: &Path) -> Result<KeyFile, Failure> {
    let key = KeyFile::generate(&mut OsRng);
    files::write_secret(path, key.to_json().as_bytes())?;
    Ok(key)
}

/// Reads what a member gave to the others; its keys are its own.
pub fn read_member(path: &Path) -> Result<(Member, Possession), Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::bad_input(format!("{} does not describe a member, as `entrepot chain keys` does: {error}", path.display()))
    };
    let described: MemberDescription = serde_json::from_slice(&files::read(path)?).map_err(|error| wrong(&error))?;
    let member = described.member().map_err(|error| wrong(&error))?;
    Ok((member, described.possession))
}
