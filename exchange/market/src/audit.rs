//! What a regulator asks: what is connected with this, what happened since, does the log only grow, and all of it to take away.
//! Who may ask is checked by whoever calls.

mod bundle;
mod trace;

pub use bundle::{AuditBundle, AuditEdge, AuditNode, AuditTrace, JournalLine, bundle};
pub use trace::{EDGES_MAX, Edge, NODES_MAX, Node, NodeDetail, Trace, trace};

use crate::{Market, NotaryError, notary::LogCheckpoint};
use entrepot_chain_statement::{EnvelopeError, Hash};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use entrepot_exchange_store::{Page, PageRequest, StoreError, statements, statements::StatementRow};

/// Why an auditor got no answer.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The text is no id, hash or index.
    #[error(
        "expected the id of a dataset, product, agreement, order, job, grant or quote, of a journal entry, a participant's DID, a leaf, a statement hash, or the index of a leaf"
    )]
    UnknownForm,
    /// Nothing was signed about it.
    #[error("nothing is signed or booked under this id")]
    NotFound,
    /// The log has no checkpoint of this size.
    #[error("the log has no checkpoint of {size} entries")]
    NoCheckpoint {
        /// The size.
        size: u64,
    },
    /// The first checkpoint is newer than the second.
    #[error("`from` is {from}, beyond `to`, which is {to}")]
    Backwards {
        /// Size of the first.
        from: u64,
        /// Size of the second.
        to: u64,
    },
    /// The trace does not fit into one statement.
    #[error("the trace is too large to be signed as one")]
    TooLarge,
    /// The bundle could not be signed.
    #[error("the trace could not be signed")]
    Unsigned(#[source] EnvelopeError),
    /// The log does not answer.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for AuditError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownForm => "invalid_id",
            Self::NotFound => "not_found",
            Self::NoCheckpoint { .. } => "no_checkpoint",
            Self::Backwards { .. } => "invalid_range",
            Self::TooLarge => "trace_too_large",
            Self::Unsigned(_) => "internal",
            Self::Notary(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::UnknownForm | Self::Backwards { .. } => RefusalKind::Invalid,
            Self::NotFound | Self::NoCheckpoint { .. } => RefusalKind::NotFound,
            Self::TooLarge => RefusalKind::Unprocessable,
            Self::Unsigned(_) => RefusalKind::Internal,
            Self::Notary(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoCheckpoint { .. } => {
                Some("take sizes of checkpoints that the log published; /v1/log/checkpoint has the newest".to_owned())
            }
            Self::TooLarge => Some("ask about an order or a job instead of what many share".to_owned()),
            Self::Notary(error) => error.hint(),
            _ => None,
        }
    }
}

/// The statements at the places `since` and up, in the order of the log. The key of a page is the place of its last statement.
pub async fn events(market: &Market, since: u64, request: &PageRequest) -> Result<Page<StatementRow>, AuditError> {
    let after = request.after.as_deref().map(str::parse::<u64>).transpose().map_err(|_| AuditError::UnknownForm)?;
    let from = after.map_or(since, |after| since.max(after.saturating_add(1)));
    let rows = statements::logged_since(&mut *market.store.reader().await?, from, request.probe()).await?;
    Ok(request.page(rows, |row| match row.state {
        statements::LogState::Logged { index } => index.to_string(),
        _ => String::new(),
    }))
}

/// Two checkpoints, and the proof that the second's log begins with the first's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consistency {
    /// The first.
    pub from: LogCheckpoint,
    /// The second.
    pub to: LogCheckpoint,
    /// RFC 6962 consistency proof.
    pub proof: Vec<Hash>,
}

/// Shows that the log only grew between two checkpoints.
pub async fn consistency(market: &Market, from: u64, to: u64) -> Result<Consistency, AuditError> {
    if from > to {
        return Err(AuditError::Backwards { from, to });
    }
    let first = market.notary.checkpoint_at(from).await?.ok_or(AuditError::NoCheckpoint { size: from })?;
    let second = market.notary.checkpoint_at(to).await?.ok_or(AuditError::NoCheckpoint { size: to })?;
    let proof = market.notary.consistency(from, to).await?.ok_or(AuditError::NoCheckpoint { size: to })?;
    Ok(Consistency { from: first, to: second, proof })
}
