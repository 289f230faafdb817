//! What the consensus and the ledger of a node ask of each other. Blocks and transactions are bytes here: what they mean is the ledger's.

use crate::wire::Evidence;
use entrepot_chain_log::{CommitCertificate, Members};
use entrepot_chain_statement::{Did, Hash};
use tokio::sync::oneshot;

/// Where the ledger stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Height of the last durable block; 0 before the first.
    pub height: u64,
    /// Its hash; before the first, the digest of the genesis.
    pub block: Hash,
    /// Who decides on the next block.
    pub members: Members,
    /// Who decides on the one after it.
    pub upcoming: Members,
    /// Whether something waits to be ordered.
    pub waiting: bool,
}

/// A block that was made to be proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drafted {
    /// The block.
    pub block: Vec<u8>,
    /// Nothing waited: the block holds no transactions.
    pub empty: bool,
}

/// What is wanted of the ledger.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a few at a time, and evidence, the largest, is rare")]
pub enum Task {
    /// Make the block of this height, the one after the last durable block; an empty one if nothing waits.
    Draft {
        /// Of the block.
        height: u64,
        /// Takes the block.
        reply: oneshot::Sender<Drafted>,
    },
    /// Say whether these bytes are a block that may follow the last durable one.
    Check {
        /// The block.
        block: Vec<u8>,
        /// More than two thirds have decided on its header: how its time compares with our clock is no matter any more.
        decided: bool,
        /// Takes its hash, if it may.
        reply: oneshot::Sender<Option<Hash>>,
    },
    /// Make this block durable, together with its certificate.
    Commit {
        /// The block.
        block: Vec<u8>,
        /// Proof that it was decided.
        certificate: CommitCertificate,
        /// Takes where the ledger stands afterwards.
        reply: oneshot::Sender<Committed>,
    },
    /// Transactions that were submitted to other members.
    Submitted {
        /// Encoded.
        transactions: Vec<Vec<u8>>,
    },
    /// Another member's cosignature of a checkpoint.
    Cosignature {
        /// Entries of the log.
        size: u64,
        /// The cosigning key.
        key: Did,
        /// A signature line.
        line: String,
    },
    /// A member contradicted itself.
    Evidence {
        /// At this height.
        height: u64,
        /// Both messages.
        evidence: Evidence,
    },
}

/// Decided blocks that can be handed to a member that lacks them. Reads block.
pub trait Archive: Send + Sync + 'static {
    /// The block of this height and its certificate; none if it is not there, or not any more.
    fn certified(&self, height: u64) -> Result<Option<(Vec<u8>, CommitCertificate)>, ArchiveError>;
}

/// The archive cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("decided blocks cannot be read")]
pub struct ArchiveError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
