//! `entrepot chain right`: what becomes of a right. A record is made as a file that anybody can read, goes to everyone it binds, each of whom
//! signs it offline, and is then submitted by any of them or by somebody else.

use crate::{
    commands::chain::{
        act::Signing,
        genesis,
        read::At,
        show::{self, RightArguments, read_right},
    },
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use entrepot_chain_ledger::{RightAction, RightKind, RightRecord, RightTransaction};
use entrepot_chain_statement::{Did, Hash, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

#[derive(Subcommand)]
pub enum Command {
    /// It goes to another. Both sign.
    Transfer {
        /// Who holds it from then on.
        #[arg(long, value_name = "DID")]
        to: Did,
        #[command(flatten)]
        of: Of,
    },
    /// Another statement describes it from now on. Its holder signs.
    Change {
        /// The statement's leaf, which is in the log.
        #[arg(long, value_name = "HASH")]
        leaf: Hash,
        #[command(flatten)]
        of: Of,
    },
    /// It lasts until another moment. Its holder signs.
    Renew {
        /// Milliseconds since 1970; without it, the right lasts until it is cancelled.
        #[arg(long, value_name = "MS")]
        until: Option<i64>,
        #[command(flatten)]
        of: Of,
    },
    /// It ends. Its holder signs.
    Cancel {
        #[command(flatten)]
        of: Of,
    },
    /// Somebody else claims it. A regulator among the members signs, and the claimant.
    Dispute {
        /// Who, if it is to be named.
        #[arg(long, value_name = "DID")]
        claimant: Option<Did>,
        #[command(flatten)]
        of: Of,
    },
    /// The dispute is settled. A regulator among the members signs, and one more member.
    Resolve {
        /// Who holds it from now on.
        #[arg(long, value_name = "DID")]
        holder: Did,
        #[command(flatten)]
        of: Of,
    },
    /// Sign a record, which binds the holder of the key.
    Sign(SignArguments),
    /// Submit a record that all have signed.
    Submit(SubmitArguments),
    /// What the chain says of it.
    Show(RightArguments),
}

/// Which right, and where its record goes.
#[derive(Args)]
pub struct Of {
    /// Its name, as `entrepot chain show statement` tells of its registration.
    #[arg(long, value_name = "HASH")]
    right: Hash,
    /// The channel's genesis file, known beforehand.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The file to make.
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct SignArguments {
    /// The record, with the signatures that it has.
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    /// The file to make: the record with one signature more.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The channel's genesis file, known beforehand.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The key file of somebody whom it binds.
    #[arg(long, env = "ENTREPOT_KEY", value_name = "FILE")]
    key: PathBuf,
}

#[derive(Args)]
pub struct SubmitArguments {
    /// The record.
    #[arg(long, value_name = "FILE")]
    record: PathBuf,
    #[command(flatten)]
    signing: Signing,
}

/// Format and version of a record in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum RecordFormat {
    /// The only one.
    #[default]
    #[serde(rename = "entrepot.right-record.v1")]
    V1,
}

/// A record on its way from signer to signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordFile {
    format: RecordFormat,
    /// Digest of the genesis of the channel that it is for.
    pub(super) genesis: Hash,
    right: Hash,
    kind: RightKind,
    /// How many records came before.
    #[serde(with = "entrepot_chain_statement::wide")]
    number: u64,
    action: Action,
    /// Signatures in base64, by signer.
    signatures: BTreeMap<Did, String>,
}

/// [`RightAction`] as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Action {
    Transfer { to: Did },
    Change { leaf: Hash },
    Renewal { expires_at: Option<Timestamp> },
    Cancellation,
    Dispute { claimant: Option<Did> },
    Resolve { holder: Did },
}

impl From<Action> for RightAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Transfer { to } => Self::Transfer { to },
            Action::Change { leaf } => Self::Change { leaf },
            Action::Renewal { expires_at } => Self::Renewal { expires: expires_at },
            Action::Cancellation => Self::Cancellation,
            Action::Dispute { claimant } => Self::Dispute { claimant },
            Action::Resolve { holder } => Self::Resolve { holder },
        }
    }
}

pub async fn run(command: &Command, output: &Output) -> Outcome {
    let (of, action) = match command {
        Command::Sign(arguments) => return sign(arguments, output),
        Command::Submit(arguments) => return submit(arguments, output).await,
        Command::Show(arguments) => return show::right(arguments, output).await,
        Command::Transfer { to, of } => (of, Action::Transfer { to: to.clone() }),
        Command::Change { leaf, of } => (of, Action::Change { leaf: *leaf }),
        Command::Renew { until, of } => (of, Action::Renewal { expires_at: until.map(Timestamp) }),
        Command::Cancel { of } => (of, Action::Cancellation),
        Command::Dispute { claimant, of } => (of, Action::Dispute { claimant: claimant.clone() }),
        Command::Resolve { holder, of } => (of, Action::Resolve { holder: holder.clone() }),
    };
    let genesis = genesis::read(&of.genesis)?.digest();
    let right = read_right(&of.at, &of.right).await?;
    RecordFile::new(genesis, (of.right, right.kind), right.records, action).write(&of.record, output)
}

fn sign(arguments: &SignArguments, output: &Output) -> Outcome {
    let genesis = genesis::read(&arguments.genesis)?.digest();
    let mut record = RecordFile::read(&arguments.record, &genesis)?;
    let key = files::read_key(&arguments.key)?.signing;
    record.signatures.insert(key.did(), BASE64_STANDARD.encode(key.sign(&record.record().message(&genesis))));
    record.write(&arguments.out, output)
}

async fn submit(arguments: &SubmitArguments, output: &Output) -> Outcome {
    let make = |genesis: &Hash, sequence, key: &_| {
        let record = RecordFile::read(&arguments.record, genesis)?;
        Ok(RightTransaction::submit(genesis, record.record(), record.signatures()?, sequence, key).into())
    };
    arguments.signing.submit(make, output).await
}

impl RecordFile {
    pub(super) fn new(genesis: Hash, (right, kind): (Hash, RightKind), number: u64, action: Action) -> Self {
        Self { format: RecordFormat::V1, genesis, right, kind, number, action, signatures: BTreeMap::new() }
    }

    /// Reads a record for the channel with this genesis digest: nobody signs for another one unaware.
    pub(super) fn read(path: &Path, genesis: &Hash) -> Result<Self, Failure> {
        let record: Self = serde_json::from_slice(&files::read(path)?)
            .map_err(|error| Failure::bad_input(format!("{} is no record of a right: {error}", path.display())))?;
        if record.genesis != *genesis {
            return Err(Failure::bad_input(format!(
                "the record is for the channel with the genesis {}, the file has {genesis}",
                record.genesis
            )));
        }
        Ok(record)
    }

    /// What its signers sign.
    pub(super) fn record(&self) -> RightRecord {
        RightRecord { right: self.right, kind: self.kind, number: self.number, action: self.action.clone().into() }
    }

    pub(super) fn signatures(&self) -> Result<BTreeMap<Did, [u8; 64]>, Failure> {
        let message = self.record().message(&self.genesis);
        let read = |(did, text): (&Did, &String)| {
            let signature = BASE64_STANDARD.decode(text).ok().and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
            let right = signature.filter(|signature| did.verify(&message, signature));
            right.map(|right| (did.clone(), right)).ok_or_else(|| Failure::bad_input(format!("the signature of {did} is wrong")))
        };
        self.signatures.iter().map(read).collect()
    }

    fn write(&self, path: &Path, output: &Output) -> Outcome {
        let document: Value = serde_json::to_value(self).map_err(anyhow::Error::from)?;
        files::write_public(path, format!("{document:#}\n").as_bytes())?;
        let signers: Vec<&str> = self.signatures.keys().map(Did::as_str).collect();
        let signed = if signers.is_empty() { "nobody yet".to_owned() } else { signers.join(", ") };
        output.result(&format!("the record is in {}; signed by {signed}", path.display()), &document);
        Ok(())
    }
}
