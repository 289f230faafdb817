//! `entrepot trust`: writes the trust file with which receipts and certificates are checked offline.

use crate::{
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::Args;
use entrepot_chain_log::{
    Genesis, NoteKey, TrustFile, TrustedLog, TrustedWitness,
    consortium::{TrustedChannel, TrustedMembers},
    cosignature_vkey, independent,
};
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
    /// The channel's genesis file, known from its members: who decides on its blocks then follows from what receipts show, and the validator
    /// that the exchange names is not believed.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
    /// Members who decide from a later height on, known from somebody who checked; nothing about earlier heights is believed then. The digest
    /// is that of `entrepot chain members`.
    #[arg(long, value_name = "HEIGHT=DIGEST", requires = "genesis")]
    since: Option<Since>,
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

/// Members at a height.
#[derive(Clone, Copy)]
struct Since(TrustedMembers);

impl FromStr for Since {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (height, members) =
            text.split_once('=').ok_or("expected a height, `=`, and the digest of the members who decide from there on")?;
        let height = height.parse().map_err(|error| format!("{height}: {error}"))?;
        Ok(Self(TrustedMembers { height, members: members.parse().map_err(|error: &str| format!("{members}: {error}"))? }))
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
    compose_with(exchange, participants, witnesses, quorum, None)
}

fn trusted_witness(participant: &Did, witness: &Did) -> TrustedWitness {
    TrustedWitness { vkey: cosignature_vkey(witness), participant: Some(participant.clone()) }
}

fn compose_with(
    exchange: &Exchange,
    participants: &[Did],
    witnesses: Vec<TrustedWitness>,
    quorum: Option<u32>,
    channel: Option<TrustedChannel>,
) -> Result<TrustFile, Failure> {
    let most = independent(&witnesses) / 2 + 1;
    let file = TrustFile {
        format: Default::default(),
        log: TrustedLog { origin: exchange.origin.clone(), key: exchange.log_key.clone() },
        // The genesis tells them, and they may change.
        validators: if channel.is_some() { Vec::new() } else { vec![exchange.validator.clone()] },
        channel,
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
    let channel = arguments.genesis.as_deref().map(|path| read_channel(path, &exchange.origin, arguments.since)).transpose()?;
    let file = compose_with(&exchange, &arguments.participants, witnesses, arguments.quorum, channel)?;
    let document = serde_json::to_value(&file).map_err(anyhow::Error::from)?;
    match &arguments.out {
        Some(path) => files::write_public(path, document.to_string().as_bytes()),
        None => {
            output.result(&document.to_string(), &document);
            Ok(())
        }
    }
}

fn read_channel(path: &Path, origin: &str, since: Option<Since>) -> Result<TrustedChannel, Failure> {
    let wrong = |why: String| Failure::bad_input(format!("{}: {why}", path.display()));
    let genesis = Genesis::from_json(&files::read(path)?).map_err(|error| wrong(error.to_string()))?;
    if genesis.origin != origin {
        return Err(wrong(format!("it is the genesis of {}; the exchange's log is {origin}", genesis.origin)));
    }
    Ok(TrustedChannel { genesis: genesis.digest(), since: since.map(|Since(members)| members) })
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
