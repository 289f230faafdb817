//! What a chain tells of itself, in plain types.

use entrepot_chain_log::{BlockHeader, CommitCertificate, Members};
use entrepot_chain_statement::{Did, Hash, Timestamp};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T, P> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask for next; none at the end. May be there although nothing follows.
    pub next: Option<P>,
}

impl<T, P> Part<T, P> {
    /// Nothing, and nothing follows.
    pub fn empty() -> Self {
        Self { items: Vec::new(), next: None }
    }

    /// Cuts a list that was read one longer than `limit`, to learn whether more follows; `place` is where the next part begins or ends.
    pub fn cut(mut items: Vec<T>, limit: u32, place: impl FnOnce(&T) -> P) -> Self {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(place) } else { None };
        Self { items, next }
    }
}

/// How a block is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockName {
    /// 1, 2, 3 …
    Height(u64),
    /// The hash of its header.
    Hash(Hash),
}

/// A decided block, without its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRecord {
    /// What its members voted on.
    pub header: BlockHeader,
    /// How many transactions it has.
    pub transactions: u32,
}

/// Where a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The log's name.
    pub origin: String,
    /// Digest of the genesis: the channel's identity.
    pub genesis: Hash,
    /// The last block; none before the first.
    pub last: Option<BlockRecord>,
    /// The oldest block that this node keeps with its transactions.
    pub first_height: u64,
}

/// What a transaction asks of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionKind {
    /// To log a leaf.
    Leaf,
    /// To change the members, or to vote on it.
    Members,
    /// To record what becomes of a right.
    Right,
}

impl TransactionKind {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Members => "members",
            Self::Right => "right",
        }
    }
}

/// A place in the chain; ordered as the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TransactionPosition {
    /// Of the block.
    pub height: u64,
    /// In the block, from 0.
    pub place: u32,
}

/// What the ledger said of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect, now or since earlier.
    Accepted {
        /// Its leaf's place in the log, if it has a leaf.
        index: Option<u64>,
    },
    /// It has no effect and never will.
    Rejected {
        /// Stable code.
        code: String,
        /// What is wrong, for people.
        reason: String,
    },
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    /// It waits to be ordered.
    Pending,
    /// Nothing about it was put into a block because it changes nothing: a repetition, or wrong beyond doubt.
    Answered(Verdict),
    /// A block has it.
    Decided {
        /// Where.
        at: TransactionPosition,
        /// Time of the block.
        time: Timestamp,
        /// What the ledger said.
        verdict: Verdict,
    },
}

/// A transaction and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionRecord {
    /// Its identity.
    pub hash: Hash,
    /// What it asks.
    pub kind: TransactionKind,
    /// More exactly, in a word: the kind of statement behind a leaf, what members do, what becomes of a right.
    pub action: String,
    /// Who submitted it.
    pub submitter: Did,
    /// The submitter's number for it.
    pub sequence: u64,
    /// The leaf or, of a right, the leaf of the statement that describes it.
    pub leaf: Option<Hash>,
    /// Whom it binds: each has signed.
    pub binds: Vec<Did>,
    /// The bytes.
    pub encoded: Vec<u8>,
    /// What became of it.
    pub status: TransactionStatus,
}

/// Which transactions. Every condition must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionSearch {
    /// Submitted by this key or binding it.
    pub subject: Option<Did>,
    /// About this leaf.
    pub leaf: Option<Hash>,
    /// In blocks of this height and later.
    pub from_height: u64,
}

/// Who decides on the block of a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersAt {
    /// The height.
    pub height: u64,
    /// The members.
    pub members: Members,
}

/// A set of members, and the proof that the set before it knew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersEpoch {
    /// First height that they decide on.
    pub from_height: u64,
    /// The members.
    pub members: Members,
    /// The block before, whose header names them as those of the next, and its certificate. None for the genesis.
    pub proof: Option<(BlockHeader, CommitCertificate)>,
}

/// What the state has at a key after a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The entry's encoding; none if nothing is there. The state's tree holds its hash.
    pub value: Option<Vec<u8>>,
    /// Encoded proof of presence or absence under the header's state root.
    pub proof: Vec<u8>,
    /// Of the block.
    pub header: BlockHeader,
    /// That the block was decided.
    pub certificate: CommitCertificate,
}

/// Proof that a member misbehaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceRecord {
    /// Rises with each that this node found.
    pub number: u64,
    /// Height it is about.
    pub height: u64,
    /// The bytes.
    pub evidence: Vec<u8>,
}

/// How a node fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Its last block.
    pub height: u64,
    /// The member whose validator it is; none if it is nobody's (yet).
    pub member: Option<Did>,
    /// The member does not vote for the moment: it cannot know what it signed, and follows the others past it.
    pub following: bool,
    /// Why it answers no submissions any more; none while it does.
    pub failure: Option<String>,
    /// The other members, as this node sees them.
    pub peers: Vec<PeerHealth>,
}

/// Another member, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerHealth {
    /// The organisation.
    pub member: Did,
    /// For people.
    pub name: String,
    /// Whether there is a connection to its node.
    pub connection: Connection,
    /// The last height that it spoke of.
    pub height: Option<u64>,
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Open and authenticated.
    Open,
    /// None at the moment.
    None,
}

/// What became of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// The transaction's identity.
    pub hash: Hash,
    /// What became of it.
    pub status: TransactionStatus,
}
