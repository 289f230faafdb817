//! Every line of SQL.
//!
//! Reads take a `&mut Connection`, writes a `&mut Tx`, so that nothing is written outside a named transaction; a `Tx` can be passed
//! wherever a connection is wanted. `$1` placeholders, TEXT ids, INTEGER milliseconds, no functions that only SQLite has.

pub mod account;
pub mod agreement;
pub mod audit;
mod backup;
pub mod books;
pub mod dataset;
pub mod error;
pub mod escrow;
pub mod idempotency;
pub mod job;
pub mod journal;
pub mod order;
pub mod outbox;
pub mod page;
pub mod participant;
pub mod pool;
pub mod product;
pub mod quote;
pub mod receipt;
pub mod share;
pub mod statements;
pub mod token;
pub mod tx;
pub mod witness;
pub mod worker_grant;

pub use error::StoreError;
pub use page::{Page, PageRequest};
pub use pool::{Reader, Store};
pub use tx::{Tx, TxFuture};

/// One connection to the database.
pub type Connection = sqlx::SqliteConnection;

/// An envelope as it is stored.
pub(crate) fn envelope_text(envelope: &entrepot_chain_statement::Envelope) -> Result<String, StoreError> {
    String::from_utf8(envelope.to_json()).map_err(|_| StoreError::Corrupt { what: "envelope" })
}
