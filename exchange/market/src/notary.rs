//! The log, as the use cases see it. It is given leaves, the facts that they commit to and signatures over them, never a statement.

use async_trait::async_trait;
use entrepot_chain_log::{Tile, TlogProof, bundle::Decisions};
use entrepot_chain_statement::{Did, Envelope, Facts, Hash};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use std::collections::BTreeSet;

/// The log could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the log does not answer")]
pub struct NotaryError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl Refusal for NotaryError {
    fn code(&self) -> &'static str {
        "log_unavailable"
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unavailable
    }
    fn hint(&self) -> Option<String> {
        Some("nothing is lost: try again in a few seconds".to_owned())
    }
}

/// What shows that the members decided on the checkpoints behind these proofs; none if nothing is logged, or the log cannot show it.
pub async fn decisions_behind(notary: &dyn Notary, proofs: impl IntoIterator<Item = &str>) -> Result<Option<Decisions>, NotaryError> {
    let size = |proof: &str| proof.parse::<TlogProof>().map(|proof| proof.checkpoint.checkpoint().size);
    let sizes = proofs.into_iter().map(size).collect::<Result<BTreeSet<u64>, _>>().map_err(|error| NotaryError(Box::new(error)))?;
    if sizes.is_empty() { Ok(None) } else { notary.decisions(&sizes).await }
}

/// What is to be logged; its leaf commits to salted hash and facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotaryLeaf {
    /// The salted hash of the statement.
    pub salted: Hash,
    /// What the ledger may know of it.
    pub facts: Facts,
    /// Signatures over the leaf, by every key that the statement binds.
    pub signatures: Vec<(Did, [u8; 64])>,
}

impl NotaryLeaf {
    /// The leaf of an envelope whose every signer is bound by it.
    pub fn of(envelope: &Envelope) -> Self {
        let signatures = envelope.signatures().iter().map(|signature| (signature.keyid.clone(), signature.leaf_sig)).collect();
        Self { salted: envelope.salted_hash(), facts: envelope.facts().clone(), signatures }
    }
}

/// What became of a leaf. Final, and durable when it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotaryOutcome {
    /// It is in the log.
    Logged {
        /// Its place, from 0.
        index: u64,
    },
    /// The ledger refused it.
    Rejected {
        /// Stable code and words.
        reason: String,
    },
}

/// A checkpoint of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCheckpoint {
    /// Entries that it covers.
    pub size: u64,
    /// C2SP checkpoint: a signed note with the signatures of log and validators, and the witnesses' as far as they are known.
    pub note: String,
}

/// The log that statements go to.
#[async_trait]
pub trait Notary: Send + Sync {
    /// Logs leaves in this order and says what became of each. What is logged already gets the same index again.
    async fn submit(&self, leaves: &[NotaryLeaf]) -> Result<Vec<NotaryOutcome>, NotaryError>;
    /// C2SP tlog-proof text of a leaf, under the checkpoint with the most witnesses among the newest that cover it; none while it is
    /// pending.
    async fn proof(&self, leaf: &Hash) -> Result<Option<String>, NotaryError>;
    /// The same for a place in the log; with a size, under the checkpoint of exactly that size. None if there is no such entry or
    /// checkpoint.
    async fn proof_at(&self, index: u64, size: Option<u64>) -> Result<Option<String>, NotaryError>;
    /// The newest checkpoint; none while the log is empty.
    async fn checkpoint(&self) -> Result<Option<LogCheckpoint>, NotaryError>;
    /// The checkpoint of exactly this size.
    async fn checkpoint_at(&self, size: u64) -> Result<Option<LogCheckpoint>, NotaryError>;
    /// RFC 6962 proof that the log of size `to` begins with the log of size `from`; none unless `from <= to <=` the log's size.
    async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, NotaryError>;
    /// A tile of the log (c2sp.org/tlog-tiles); none if the log does not cover it.
    async fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, NotaryError>;
    /// That the checkpoints of these sizes are the members' decisions, for whoever trusts the channel's genesis. None if the log cannot show it:
    /// then witnesses alone speak for a checkpoint.
    async fn decisions(&self, sizes: &BTreeSet<u64>) -> Result<Option<Decisions>, NotaryError>;
    /// Checks and keeps a witness's cosignature of the checkpoint of this size: one note signature line, under a key that is named by its
    /// own DID. False if there is no such checkpoint or the line is not that key's.
    async fn add_cosignature(&self, size: u64, line: &str) -> Result<bool, NotaryError>;
}
