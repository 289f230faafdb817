//! What the routes ask of the log. The exchange answers from its market's notary, a member's node from itself.

use crate::Problem;
use async_trait::async_trait;
use axum::{extract::FromRequestParts, http::request::Parts};
use entrepot_chain_log::Tile;
use entrepot_chain_statement::Hash;
use entrepot_exchange_domain::RefusalKind;
use entrepot_exchange_market::{Notary, NotaryError};
use std::sync::Arc;

/// A log, read.
#[async_trait]
pub trait LogReader: Send + Sync {
    /// The newest checkpoint, or the one of exactly this size: a C2SP signed note. None if there is none.
    async fn checkpoint(&self, size: Option<u64>) -> Result<Option<String>, NotaryError>;
    /// C2SP tlog-proof text of a leaf, under the checkpoint with the most witnesses among the newest; none while it is pending.
    async fn proof(&self, leaf: &Hash) -> Result<Option<String>, NotaryError>;
    /// The same for a place in the log; with a size, under the checkpoint of exactly that size.
    async fn proof_at(&self, index: u64, size: Option<u64>) -> Result<Option<String>, NotaryError>;
    /// RFC 6962 proof that the log of size `to` begins with the log of size `from`; none unless `from <= to <=` the log's size.
    async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, NotaryError>;
    /// A tile of the log (c2sp.org/tlog-tiles); none if the log does not cover it.
    async fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, NotaryError>;
}

/// The market's log.
pub struct NotaryLog(pub Arc<dyn Notary>);

#[async_trait]
impl LogReader for NotaryLog {
    async fn checkpoint(&self, size: Option<u64>) -> Result<Option<String>, NotaryError> {
        let found = match size {
            Some(size) => self.0.checkpoint_at(size).await?,
            None => self.0.checkpoint().await?,
        };
        Ok(found.map(|checkpoint| checkpoint.note))
    }
    async fn proof(&self, leaf: &Hash) -> Result<Option<String>, NotaryError> {
        self.0.proof(leaf).await
    }
    async fn proof_at(&self, index: u64, size: Option<u64>) -> Result<Option<String>, NotaryError> {
        self.0.proof_at(index, size).await
    }
    async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, NotaryError> {
        self.0.consistency(from, to).await
    }
    async fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, NotaryError> {
        self.0.tile(tile).await
    }
}

/// The log that the log's handlers read. Cheap to clone.
#[derive(Clone)]
pub struct LogState(Arc<dyn LogReader>);

impl LogState {
    /// On this log.
    pub fn new(log: Arc<dyn LogReader>) -> Self {
        Self(log)
    }
}

impl std::ops::Deref for LogState {
    type Target = dyn LogReader;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LogState {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let log = parts.extensions.get::<Self>().cloned();
        log.ok_or_else(|| Problem::new(RefusalKind::Unavailable, "log_unavailable", "no log is read here"))
    }
}
