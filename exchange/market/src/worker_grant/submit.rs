//! A participant delegates to a worker.

use entrepot_chain_statement::{Did, Envelope, EnvelopeError, Timestamp, statements::WorkerGrant};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    participant::{GrantError, check_grant},
};
use entrepot_exchange_store::{
    StoreError, Tx, participant, statements,
    worker_grant::{self, WorkerGrantRow},
};

/// Why a grant was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitGrantError {
    /// The envelope does not hold a grant signed by the caller.
    #[error("the envelope is no worker grant signed by its own participant: {0}")]
    Envelope(#[source] EnvelopeError),
    /// Somebody else's grant.
    #[error("the grant is somebody else's")]
    NotYours,
    /// The grant breaks a rule.
    #[error(transparent)]
    Rule(#[from] GrantError),
    /// The id is taken.
    #[error("there is another grant under this id")]
    Exists,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for SubmitGrantError {
    fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "invalid_envelope",
            Self::NotYours => "not_your_statement",
            Self::Rule(rule) => rule.code(),
            Self::Exists => "id_taken",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Envelope(_) | Self::NotYours => RefusalKind::Unprocessable,
            Self::Rule(rule) => rule.kind(),
            Self::Exists => RefusalKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotYours => Some("submit it with the token of the participant who signed it".to_owned()),
            Self::Exists => Some("sign the grant again under a fresh id".to_owned()),
            Self::Rule(rule) => rule.hint(),
            _ => None,
        }
    }
}

/// Accepts a grant of the caller. Submitting the same statement again gives what is there.
pub async fn submit(tx: &mut Tx<'_>, now: Timestamp, caller: &Did, envelope: &Envelope) -> Result<WorkerGrantRow, SubmitGrantError> {
    let grant: WorkerGrant = envelope.open().map_err(SubmitGrantError::Envelope)?;
    if grant.participant != *caller {
        return Err(SubmitGrantError::NotYours);
    }
    envelope.verify_signed_by(caller).map_err(SubmitGrantError::Envelope)?;
    if let Some(present) = worker_grant::find(tx, &grant.grant_id).await? {
        return if present.statement_hash == envelope.statement_hash() { Ok(present) } else { Err(SubmitGrantError::Exists) };
    }
    let roles = participant::approved_roles(tx, caller).await?.unwrap_or_default();
    check_grant(&grant, &roles, now)?;
    let row = WorkerGrantRow { grant, statement_hash: envelope.statement_hash(), envelope: envelope.clone(), created_at: now };
    worker_grant::insert(tx, &row).await?;
    statements::insert(tx, envelope, now).await?;
    Ok(row)
}
