//! What can go wrong with the database.

use entrepot_exchange_domain::{Refusal, RefusalKind};
use std::sync::Arc;

/// The database failed, or holds what it must not hold. Never caused by a well-behaved caller's input.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A statement failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// A migration failed at start-up.
    #[error("the database could not be brought to this version's schema")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The transactions that were committed together with this one failed with it.
    #[error("the transaction could not be committed")]
    Commit(#[source] Arc<sqlx::Error>),
    /// A row holds what its column's comment excludes.
    #[error("the database holds an invalid {what}")]
    Corrupt {
        /// Which value.
        what: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether another process held the lock, so that the same transaction may work now.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Database(error) if is_busy(error)) || matches!(self, Self::Commit(error) if is_busy(error))
    }

    /// Whether a row with this unique key was there already.
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// SQLITE_BUSY and SQLITE_LOCKED with their extended codes.
fn is_busy(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    let primary = error.code().and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    matches!(primary, Some(5 | 6))
}

impl Refusal for StoreError {
    fn code(&self) -> &'static str {
        "internal"
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Internal
    }
}
