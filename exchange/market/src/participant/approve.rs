//! An operator lets a participant in.

use entrepot_chain_statement::{Did, Timestamp};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use entrepot_exchange_store::{
    StoreError, Tx,
    participant::{self, ParticipantRow},
};

/// Why an approval did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// Nobody enrolled under this DID.
    #[error("nobody has enrolled under this DID")]
    NotFound,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for ApproveError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::Store(error) => error.kind(),
        }
    }
}

/// Pending → approved; approving twice changes nothing. That `operator` is one is for the caller to check.
pub async fn approve(tx: &mut Tx<'_>, now: Timestamp, operator: &Did, did: &Did) -> Result<ParticipantRow, ApproveError> {
    participant::approve(tx, did, operator, now).await?;
    participant::find(tx, did).await?.ok_or(ApproveError::NotFound)
}
