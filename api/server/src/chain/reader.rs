//! What the routes ask of a chain. Who joins the parts implements it on a node; the routes know neither its disk nor its ledger.

use super::records::{
    BlockName, BlockRecord, EvidenceRecord, Head, Health, MembersAt, MembersEpoch, Part, StateEntry, Submitted, TransactionPosition,
    TransactionRecord, TransactionSearch,
};
use async_trait::async_trait;
use entrepot_chain_log::{CommitCertificate, Genesis};
use entrepot_chain_statement::{Hash, Timestamp};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use std::time::Duration;
use tokio::sync::watch;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// The chain could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The node does not answer.
    #[error("the chain does not answer")]
    Unavailable(#[source] Source),
    /// What was asked for lies before what this node still keeps.
    #[error("this node keeps nothing before height {first_height}")]
    Pruned {
        /// The oldest height that can be asked for.
        first_height: u64,
    },
    /// The state has an entry there, of which this node keeps only the hash.
    #[error("the state has a number of a submitter there, of which the node keeps only the hash")]
    NotKept,
}

impl Refusal for ChainError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "chain_unavailable",
            Self::Pruned { .. } => "pruned",
            Self::NotKept => "entry_not_kept",
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Unavailable(_) => RefusalKind::Unavailable,
            Self::Pruned { .. } | Self::NotKept => RefusalKind::NotFound,
        }
    }
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unavailable(_) => "nothing is lost: try again in a few seconds".to_owned(),
            Self::Pruned { .. } => "ask a member that keeps the whole chain".to_owned(),
            Self::NotKept => "a submitter's last number is that of its last transaction".to_owned(),
        })
    }
}

/// A transaction was not taken. What was taken has an outcome, which is not an error.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The bytes are no transaction.
    #[error("these bytes are no transaction: {why}")]
    Malformed {
        /// What is wrong with them.
        why: String,
    },
    /// This node takes no transactions of this submitter.
    #[error("this node takes no transactions of this submitter")]
    Stranger,
    /// Transactions of its submitter that come before it are missing, and it does not wait for them here, or has waited. Nothing about it
    /// is decided.
    #[error("the submitter's number is not in turn: the next is {expected}; whether it ever will be is not decided")]
    Early {
        /// The number to use.
        expected: u64,
    },
    /// Too many wait already.
    #[error("too many transactions wait to be ordered")]
    Full,
    /// The node does not answer; whether the transaction was taken is unknown.
    #[error("the chain does not answer; whether it took the transaction is unknown")]
    Unavailable(#[source] Source),
}

impl Refusal for SubmitError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "invalid_transaction",
            Self::Stranger => "not_a_submitter",
            Self::Early { .. } => "sequence_gap",
            Self::Full => "too_many_transactions",
            Self::Unavailable(_) => "chain_unavailable",
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Malformed { .. } => RefusalKind::Invalid,
            Self::Stranger => RefusalKind::Forbidden,
            Self::Early { .. } => RefusalKind::Conflict,
            Self::Full => RefusalKind::TooMany,
            Self::Unavailable(_) => RefusalKind::Unavailable,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Malformed { .. } => Some("sign it with `entrepot chain` or the SDK, for this channel's genesis".to_owned()),
            Self::Stranger => Some("submit it at the node of a member who knows the submitter".to_owned()),
            Self::Early { expected } => Some(format!(
                "hand in the transactions from number {expected} on, then the very same bytes again; or sign it anew with that number"
            )),
            Self::Full | Self::Unavailable(_) => Some("send the very same bytes again in a few seconds: it is applied once".to_owned()),
        }
    }
}

/// A chain, as the explorer sees it. Everything it tells is decided and durable, and public among those who may reach the listener.
/// Lists are bounded by the caller's `limit` (never 0); an implementation may give fewer and say where to go on, so that no question
/// costs more than a bounded scan.
#[async_trait]
pub trait ChainReader: Send + Sync {
    /// How the channel began.
    async fn genesis(&self) -> Result<Genesis, ChainError>;
    /// Where the chain stands.
    async fn head(&self) -> Result<Head, ChainError>;
    /// The height of the last block, and every change of it; 0 before the first block. Must not block.
    fn heights(&self) -> watch::Receiver<u64>;
    /// A block; none if there is no such block (yet).
    async fn block(&self, name: BlockName) -> Result<Option<BlockRecord>, ChainError>;
    /// Blocks by falling height, those below `before` alone; without it from the newest.
    async fn blocks(&self, before: Option<u64>, limit: u32) -> Result<Part<BlockRecord, u64>, ChainError>;
    /// Height of the first block at or after a moment.
    async fn first_block_since(&self, time: Timestamp) -> Result<Option<u64>, ChainError>;
    /// The signatures that decided on a block.
    async fn certificate(&self, height: u64) -> Result<Option<CommitCertificate>, ChainError>;
    /// Transactions of a block in their order, from this place on. Empty if there is no such block or place.
    async fn transactions_of(&self, height: u64, from: u32, limit: u32) -> Result<Part<TransactionRecord, u32>, ChainError>;
    /// A transaction by its hash, decided or still waiting here. If it was put into several blocks, the one that was accepted, else the
    /// first.
    async fn transaction(&self, hash: &Hash) -> Result<Option<TransactionRecord>, ChainError>;
    /// Decided transactions, newest first, those before a place alone.
    async fn transactions(
        &self,
        search: &TransactionSearch,
        before: Option<TransactionPosition>,
        limit: u32,
    ) -> Result<Part<TransactionRecord, TransactionPosition>, ChainError>;
    /// Who decides on the block of a height; of the next block without one. None if that is not known yet.
    async fn members(&self, height: Option<u64>) -> Result<Option<MembersAt>, ChainError>;
    /// Every set of members since the genesis, oldest first, those that decide from above height `after` on alone. Sets are never pruned.
    async fn members_history(&self, after: Option<u64>, limit: u32) -> Result<Part<MembersEpoch, u64>, ChainError>;
    /// What the state has at a key (the hash of its kind and name), or that it has nothing, after the
    /// block of a height; after the last without one. None if there is no such block.
    async fn state(&self, key: &Hash, height: Option<u64>) -> Result<Option<StateEntry>, ChainError>;
    /// Proofs that members misbehaved, newest first, those before a number alone.
    async fn evidence(&self, before: Option<u64>, limit: u32) -> Result<Part<EvidenceRecord, u64>, ChainError>;
    /// How the node fares.
    async fn health(&self) -> Result<Health, ChainError>;
    /// Submits an encoded transaction and waits for its verdict, no longer than `wait`: then it is told as pending and stays where it is.
    /// What was decided before is told again. Dropping the future withdraws nothing.
    async fn submit(&self, encoded: Vec<u8>, wait: Duration) -> Result<Submitted, SubmitError>;
}
