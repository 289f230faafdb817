//! `entrepot sign`: turns a statement into a signed envelope, or adds a signature to one. Fields that the key or the clock determine may be
//! left out of the statement and are filled in.

use crate::{
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::{Args, ValueEnum};
use entrepot_chain_statement::{
    Envelope, Statement, ids,
    key::KeyFile,
    statements::{Agreement, DataProduct, Order, ParticipantEnrolment, RightsRegistration, WorkerGrant},
};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// The statements that participants sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    ParticipantEnrolment,
    WorkerGrant,
    RightsRegistration,
    DataProduct,
    Agreement,
    Order,
}

#[derive(Args)]
pub struct Arguments {
    /// What the statement is.
    #[arg(value_enum)]
    kind: Kind,
    /// The key file of whoever signs.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The statement, or the envelope to countersign; `-` is standard input.
    #[arg(long = "in", value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Where the envelope goes; standard output if absent.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let key = files::read_key(&arguments.key)?;
    let bytes = files::read(&arguments.input)?;
    let document: Value = serde_json::from_slice(&bytes)
        .map_err(|error| Failure::bad_input(format!("{} is not JSON: {error}", arguments.input.display())))?;
    let envelope = if document.get("payloadType").is_some() {
        countersign(arguments.kind, &bytes, &key)?
    } else {
        sign(arguments.kind, document, &key)?
    };
    match &arguments.out {
        Some(path) => files::write_public(path, &envelope.to_json())?,
        None => {
            let document: Value = serde_json::from_slice(&envelope.to_json()).map_err(anyhow::Error::from)?;
            output.result(&document.to_string(), &document);
        }
    }
    Ok(())
}

fn countersign(kind: Kind, bytes: &[u8], key: &KeyFile) -> Result<Envelope, Failure> {
    let mut envelope = Envelope::from_json(bytes).map_err(Failure::bad_input)?;
    // Nobody signs what does not read as what they said it is.
    match kind {
        Kind::ParticipantEnrolment => envelope.open::<ParticipantEnrolment>().map(drop),
        Kind::WorkerGrant => envelope.open::<WorkerGrant>().map(drop),
        Kind::RightsRegistration => envelope.open::<RightsRegistration>().map(drop),
        Kind::DataProduct => envelope.open::<DataProduct>().map(drop),
        Kind::Agreement => envelope.open::<Agreement>().map(drop),
        Kind::Order => envelope.open::<Order>().map(drop),
    }
    .map_err(Failure::bad_input)?;
    envelope.countersign(&key.signing).map_err(Failure::bad_input)?;
    Ok(envelope)
}

fn sign(kind: Kind, mut document: Value, key: &KeyFile) -> Result<Envelope, Failure> {
    let fields = document.as_object_mut().ok_or_else(|| Failure::bad_input("a statement is a JSON object"))?;
    fill_in(kind, fields, key)?;
    match kind {
        Kind::ParticipantEnrolment => sign_as::<ParticipantEnrolment>(document, key),
        Kind::WorkerGrant => sign_as::<WorkerGrant>(document, key),
        Kind::RightsRegistration => sign_as::<RightsRegistration>(document, key),
        Kind::DataProduct => sign_as::<DataProduct>(document, key),
        Kind::Agreement => sign_as::<Agreement>(document, key),
        Kind::Order => sign_as::<Order>(document, key),
    }
}

fn sign_as<S: Statement>(document: Value, key: &KeyFile) -> Result<Envelope, Failure> {
    let statement: S = serde_json::from_value(document).map_err(|error| Failure::bad_input(format!("not such a statement: {error}")))?;
    Envelope::sign(&statement, &key.signing, files::random()).map_err(Failure::bad_input)
}

/// Who signs, when, and a fresh id: only where absent.
fn fill_in(kind: Kind, fields: &mut Map<String, Value>, key: &KeyFile) -> Result<(), Failure> {
    let did = Value::from(key.signing.did().as_str());
    let now = files::now();
    let issued_at = serde_json::to_value(now).map_err(anyhow::Error::from)?;
    let sealing_key = serde_json::to_value(key.sealing.public()).map_err(anyhow::Error::from)?;
    let filled: Vec<(&str, Value)> = match kind {
        Kind::ParticipantEnrolment => vec![("participant", did), ("sealing_key", sealing_key), ("issued_at", issued_at)],
        Kind::WorkerGrant => {
            vec![("participant", did), ("grant_id", ids::GrantId::compose(now, files::random()).as_str().into()), ("not_before", issued_at)]
        }
        Kind::RightsRegistration => {
            vec![("holder", did), ("right", "hold".into()), ("record", "initial".into()), ("issued_at", issued_at)]
        }
        Kind::DataProduct => vec![("product_id", ids::ProductId::compose(now, files::random()).as_str().into()), ("issued_at", issued_at)],
        Kind::Agreement => vec![
            ("consumer", did),
            ("agreement_id", ids::AgreementId::compose(now, files::random()).as_str().into()),
            ("sealing_key", sealing_key),
            ("issued_at", issued_at),
        ],
        Kind::Order => vec![("order_id", ids::OrderId::compose(now, files::random()).as_str().into()), ("issued_at", issued_at)],
    };
    for (field, value) in filled {
        fields.entry(field).or_insert(value);
    }
    Ok(())
}
