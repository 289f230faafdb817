//! Envelopes: opened, checked, named by their hash.

use crate::errors::{refusal, refusal_text};
use entrepot_chain_statement::{Did, Envelope, EnvelopeError, Hash, SigningKey, Statement, statements};
use pyo3::prelude::*;

/// What is done to an envelope of a kind that Python names in text.
enum Action<'a> {
    Peek(&'a Envelope),
    OpenSignedBy(&'a Envelope, &'a [Did]),
}

/// Calls a generic function with the statement type that has this name.
macro_rules! with_statement_type {
    ($kind:expr, $function:ident ( $($argument:expr),* )) => {
        match $kind {
            "participant-enrolment" => $function::<statements::ParticipantEnrolment>($($argument),*),
            "worker-grant" => $function::<statements::WorkerGrant>($($argument),*),
            "rights-registration" => $function::<statements::RightsRegistration>($($argument),*),
            "data-product" => $function::<statements::DataProduct>($($argument),*),
            "quote" => $function::<statements::Quote>($($argument),*),
            "agreement" => $function::<statements::Agreement>($($argument),*),
            "order" => $function::<statements::Order>($($argument),*),
            "hold" => $function::<statements::Hold>($($argument),*),
            "usage-receipt" => $function::<statements::UsageReceipt>($($argument),*),
            "release" => $function::<statements::Release>($($argument),*),
            "refund" => $function::<statements::Refund>($($argument),*),
            _ => Err(refusal_text("statement_kind", "there is no statement of this kind")),
        }
    };
}

fn envelope_refusal(error: &EnvelopeError) -> PyErr {
    let code = match error {
        EnvelopeError::NotSigned { .. } | EnvelopeError::BadSignature { .. } | EnvelopeError::NobodyAsked => "signature",
        _ => "envelope",
    };
    refusal(code, error)
}

pub fn parse(json: &[u8]) -> PyResult<Envelope> {
    Envelope::from_json(json).map_err(|error| envelope_refusal(&error))
}

pub fn text(envelope: &Envelope) -> PyResult<String> {
    String::from_utf8(envelope.to_json()).map_err(|error| refusal("envelope", &error))
}

/// Parses the statement into its type, so that nothing is signed that others would not read, and signs it under a fresh salt.
pub fn sign(kind: &str, json: &str, key: &SigningKey, salt: [u8; 32]) -> PyResult<Envelope> {
    fn typed<S: Statement>(json: &str, key: &SigningKey, salt: [u8; 32]) -> PyResult<Envelope> {
        let statement: S = serde_json::from_str(json).map_err(|error| refusal("statement", &error))?;
        Envelope::sign(&statement, key, salt).map_err(|error| envelope_refusal(&error))
    }
    with_statement_type!(kind, typed(json, key, salt))
}

fn open(kind: &str, action: Action<'_>) -> PyResult<String> {
    fn typed<S: Statement>(action: Action<'_>) -> PyResult<String> {
        let (envelope, opened) = match action {
            Action::Peek(envelope) => (envelope, envelope.open::<S>()),
            Action::OpenSignedBy(envelope, signers) => (envelope, envelope.open_signed_by::<S>(signers)),
        };
        // What was read is canonical, so the payload is the statement's JSON.
        opened.map_err(|error| envelope_refusal(&error))?;
        String::from_utf8(envelope.payload().to_vec()).map_err(|error| refusal("envelope", &error))
    }
    with_statement_type!(kind, typed(action))
}

fn did(text: &str) -> PyResult<Did> {
    text.parse().map_err(|error: entrepot_chain_statement::did::DidError| refusal("did", &error))
}

/// The statement's JSON, if all of these signed it. At least one signer must be asked for.
#[pyfunction]
pub fn envelope_open(envelope: &[u8], kind: &str, signers: Vec<String>) -> PyResult<String> {
    let signers = signers.iter().map(|signer| did(signer)).collect::<PyResult<Vec<_>>>()?;
    open(kind, Action::OpenSignedBy(&parse(envelope)?, &signers))
}

/// The statement's JSON without a check of any signature: to find out who should have signed.
#[pyfunction]
pub fn envelope_peek(envelope: &[u8], kind: &str) -> PyResult<String> {
    open(kind, Action::Peek(&parse(envelope)?))
}

/// The statement hash: what other statements call this one by.
#[pyfunction]
pub fn envelope_hash(envelope: &[u8]) -> PyResult<String> {
    Ok(parse(envelope)?.statement_hash().to_string())
}

/// Who claims to have signed, without a check.
#[pyfunction]
pub fn envelope_signers(envelope: &[u8]) -> PyResult<Vec<String>> {
    Ok(parse(envelope)?.signers().map(ToString::to_string).collect())
}

/// SHA-256, in hexadecimal.
#[pyfunction]
pub fn sha256(bytes: &[u8]) -> String {
    Hash::of(&[bytes]).to_string()
}
