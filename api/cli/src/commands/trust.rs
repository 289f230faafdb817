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
use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

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
    /// A witness that one of these participants runs by itself, with `entrepot witness`; known from that participant. May be repeated.
    #[arg(long = "witness", value_name = "PARTICIPANT=WITNESS")]
    witnesses: Vec<StandingWitness>,
    /// How many witnesses of different participants make a checkpoint `witnessed`; most of them if absent.
    #[arg(long, value_name = "NUMBER")]
    quorum: Option<u32>,
    /// Where the trust file goes; standard output if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A participant, and the key that its own witness cosigns with.
#[derive(Clone)]
struct StandingWitness {
    participant: Did,
    witness: Did,
}

impl FromStr for StandingWitness {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (participant, witness) = text.split_once('=').ok_or("expected the did:key of a participant, `=`, and that of its witness")?;
        let did = |text: &str| text.parse().map_err(|error| format!("{text}: {error}"));
        Ok(Self { participant: did(participant)?, witness: did(witness)? })
    }
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
    let witnesses = grants.iter().map(|grant| trusted_witness(&grant.participant, &grant.witness)).collect();
    compose_with(exchange, participants, witnesses, quorum)
}

fn trusted_witness(participant: &Did, witness: &Did) -> TrustedWitness {
    TrustedWitness { vkey: cosignature_vkey(witness), participant: Some(participant.clone()) }
}

fn compose_with(
    exchange: &Exchange,
    participants: &[Did],
    witnesses: Vec<TrustedWitness>,
    quorum: Option<u32>,
) -> Result<TrustFile, Failure> {
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
    let mut witnesses: Vec<_> = grants.iter().map(|grant| trusted_witness(&grant.participant, &grant.witness)).collect();
    for standing in &arguments.witnesses {
        known(&standing.participant, &arguments.participants).map_err(Failure::bad_input)?;
        witnesses.push(trusted_witness(&standing.participant, &standing.witness));
    }
    let file = compose_with(&exchange, &arguments.participants, witnesses, arguments.quorum)?;
    let document = serde_json::to_value(&file).map_err(anyhow::Error::from)?;
    match &arguments.out {
        Some(path) => files::write_public(path, document.to_string().as_bytes()),
        None => {
            output.result(&document.to_string(), &document);
            Ok(())
        }
    }
}

fn known(participant: &Did, participants: &[Did]) -> Result<(), String> {
    match participants.contains(participant) {
        true => Ok(()),
        false => Err(format!("{participant} is none of the participants to trust; add it with --participant if it is")),
    }
}

fn read_grant(path: &Path, participants: &[Did]) -> Result<WorkerGrant, Failure> {
    let wrong = |why: String| Failure::bad_input(format!("{}: {why}", path.display()));
    let envelope = Envelope::from_json(&files::read(path)?).map_err(|error| wrong(error.to_string()))?;
    let grant: WorkerGrant = envelope.open().map_err(|error| wrong(error.to_string()))?;
    known(&grant.participant, participants).map_err(wrong)?;
    envelope.verify_signed_by(&grant.participant).map_err(|error| wrong(error.to_string()))?;
    Ok(grant)
}
