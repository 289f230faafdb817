//! Who is it: the greeting of a worker, checked against what the exchange knows.

use entrepot_api_wire::{hello_to_sign, v1::Hello};
use entrepot_chain_statement::{Did, Envelope, statements::WorkerGrant};
use entrepot_exchange_market::{Market, workforce::ConnectedWorker};
use entrepot_exchange_store::{StoreError, participant, worker_grant};

/// Longest address or version a worker may announce.
const TEXT_BYTES_MAX: usize = 255;

/// Why a worker may not come in.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    /// The first message must greet.
    #[error("the first message must be a Hello")]
    NotHello,
    /// A field does not hold what it must.
    #[error("the field `{0}` is not valid")]
    Field(&'static str),
    /// The signature over the challenge is not the worker's.
    #[error("the challenge was not signed by the worker's key")]
    NotSigned,
    /// The exchange does not know the grant, or not of this worker.
    #[error("register the worker's grant by REST first (POST /v1/worker-grants)")]
    UnknownGrant,
    /// The grant is not valid now.
    #[error("the worker's grant is not valid now: sign and register a new one")]
    GrantNotInForce,
    /// The participant is not approved.
    #[error("the worker's participant is not approved")]
    NotApproved,
    /// The database failed.
    #[error("the exchange cannot look the grant up now")]
    Store(#[from] StoreError),
}

/// Checks a greeting: the key signed our nonce, and an approved participant's registered grant delegates to that key now.
pub(super) async fn check(market: &Market, nonce: &[u8; 32], hello: &Hello) -> Result<ConnectedWorker, HelloError> {
    let worker: Did = hello.worker.parse().map_err(|_| HelloError::Field("worker"))?;
    let signed = hello_to_sign(market.exchange_did().as_str(), worker.as_str(), nonce);
    if !worker.verify(&signed, &hello.signature) {
        return Err(HelloError::NotSigned);
    }
    let shown: WorkerGrant =
        Envelope::from_json(&hello.grant).and_then(|envelope| envelope.open()).map_err(|_| HelloError::Field("grant"))?;
    let mut reader = market.store.reader().await?;
    // What counts is the registered grant, whose signature was checked then.
    let known = worker_grant::find(&mut reader, &shown.grant_id).await?.ok_or(HelloError::UnknownGrant)?;
    if known.grant != shown || shown.worker != worker {
        return Err(HelloError::UnknownGrant);
    }
    let now = market.now();
    if now < shown.not_before || now >= shown.expires_at {
        return Err(HelloError::GrantNotInForce);
    }
    if participant::approved_roles(&mut reader, &shown.participant).await?.is_none() {
        return Err(HelloError::NotApproved);
    }
    Ok(ConnectedWorker {
        worker,
        participant: shown.participant,
        role: shown.role,
        grant_id: shown.grant_id,
        grant: known.statement_hash,
        witness: shown.witness,
        grant_expires_at: shown.expires_at,
        peer_address: text(&hello.peer_address, "peer_address")?,
        version: text(&hello.version, "version")?,
        checkpoint_size: hello.checkpoint_size,
    })
}

fn text(text: &str, field: &'static str) -> Result<String, HelloError> {
    let valid = text.len() <= TEXT_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic());
    if valid { Ok(text.to_owned()) } else { Err(HelloError::Field(field)) }
}
