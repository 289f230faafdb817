//! `entrepot trust`: writes the trust file with which receipts and certificates are checked offline.

use crate::{
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::Args;
use entrepot_chain_log::{NoteKey, TrustFile, TrustedLog, TrustedWitness, cosignature_vkey, independent};
use entrepot_chain_statement::{Did, Envelope, statements::WorkerGrant};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Arguments {
    /// What the exchange says of itself: the `exchange.json` of its data folder, from somewhere else than the exchange's own endpoints.
    #[arg(long, value_name = "FILE")]
    exchange: PathBuf,
    /// Somebody whose signature means something, known from that participant; may be repeated.
    #[arg(long = "participant", value_name = "DID", required = true)]
    participants: Vec<Did>,
    /// A grant that one of these participants signed: its worker is a witness. May be repeated; may come from anywhere.
    #[arg(long = "grant", value_name = "FILE")]
    grants: Vec<PathBuf>,
    /// How many witnesses of different participants make a checkpoint `witnessed`; most of them if absent.
    #[arg(long, value_name = "NUMBER")]
    quorum: Option<u32>,
    /// Where the trust file goes; standard output if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What others must know of an exchange beforehand.
#[derive(Deserialize)]
pub struct Exchange {
    /// Its identity.
    pub did: Did,
    /// Where its REST side is.
    pub rest: String,
    /// Where its control plane is.
    pub grpc: String,
    /// The file with the control plane's certificate.
    pub grpc_ca: String,
    /// Origin of its log.
    pub origin: String,
    /// The log's own key.
    pub log_key: NoteKey,
    /// The cosigning key of its chain's validator.
    pub validator: NoteKey,
}

impl Exchange {
    /// Reads `exchange.json`.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        serde_json::from_slice(&files::read(path)?)
            .map_err(|error| Failure::bad_input(format!("{} does not describe an exchange: {error}", path.display())))
    }
}

/// Everything that verification shall believe. Without a quorum, most of the witnesses.
pub fn compose(exchange: &Exchange, participants: &[Did], grants: &[WorkerGrant], quorum: Option<u32>) -> Result<TrustFile, Failure> {
    let witness =
        |grant: &WorkerGrant| TrustedWitness { vkey: cosignature_vkey(&grant.witness), participant: Some(grant.participant.clone()) };
    let witnesses: Vec<_> = grants.iter().map(witness).collect();
    let most = independent(&witnesses) / 2 + 1;
    let file = TrustFile {
        format: Default::default(),
        log: TrustedLog { origin: exchange.origin.clone(), key: exchange.log_key.clone() },
        validators: vec![exchange.validator.clone()],
        quorum: quorum.unwrap_or(most),
        witnesses,
        exchange: exchange.did.clone(),
        participants: participants.iter().cloned().collect(),
    };
    file.check().map_err(Failure::bad_input)?;
    Ok(file)
}

pub fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let exchange = Exchange::read(&arguments.exchange)?;
    let grants = arguments.grants.iter().map(|path| read_grant(path, &arguments.participants)).collect::<Result<Vec<_>, _>>()?;
    let file = compose(&exchange, &arguments.participants, &grants, arguments.quorum)?;
    let document = serde_json::to_value(&file).map_err(anyhow::Error::from)?;
    match &arguments.out {
        Some(path) => files::write_public(path, document.to_string().as_bytes()),
        None => {
            output.result(&document.to_string(), &document);
            Ok(())
        }
    }
}

fn read_grant(path: &Path, participants: &[Did]) -> Result<WorkerGrant, Failure> {
    let wrong = |why: String| Failure::bad_input(format!("{}: {why}", path.display()));
    let envelope = Envelope::from_json(&files::read(path)?).map_err(|error| wrong(error.to_string()))?;
    let grant: WorkerGrant = envelope.open().map_err(|error| wrong(error.to_string()))?;
    if !participants.contains(&grant.participant) {
        return Err(wrong(format!("{} is none of the participants to trust; add it with --participant if it is", grant.participant)));
    }
    envelope.verify_signed_by(&grant.participant).map_err(|error| wrong(error.to_string()))?;
    Ok(grant)
}
