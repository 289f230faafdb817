//! The ledger's state and how a block changes it. Pure: the same state and block give the same outcome on every machine.

mod encoding;
pub mod entries;
mod run;
mod sequences;

pub use encoding::StateError;

use crate::{
    block::{BLOCK_TRANSACTIONS_MAX, Block, transactions_digest},
    contracts::{
        members::{Membership, Proposal},
        rights::Right,
    },
    outcome::Outcome,
    signatures::{self, Checked, Submission},
    transaction::Transaction,
};
use entrepot_chain_log::{
    Frontier, NodeId,
    consortium::{BlockHeader, Genesis, GenesisError, Members, VotingRule},
    state_tree::{EMPTY_STATE, StateNodes, StateUpdate},
};
use entrepot_chain_statement::{Did, Hash, Timestamp};
use run::Run;
use sequences::Sequences;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Submitters of one log; each costs 40 bytes of state.
pub const SUBMITTERS_MAX: usize = 1 << 16;

/// Where that is found which the state does not hold itself: leaves, nodes of the state's tree, entries of state. Implemented by whoever
/// stores them.
pub trait Lookup: StateNodes<Error = LookupError> {
    /// The index of a leaf, if the log holds it.
    fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LookupError>;

    /// The encoding of an entry of state, by its [`state_value`](entrepot_chain_log::state_tree::state_value); it is held against that, so a damaged one decides nothing.
    fn entry(&self, value: &Hash) -> Result<Option<Vec<u8>>, LookupError>;
}

/// The lookup failed: nothing can be said about a transaction.
#[derive(Debug, thiserror::Error)]
#[error("what the ledger looks up cannot be read")]
pub struct LookupError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Everything that decides on the next block, but for what is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The log's name.
    origin: Arc<str>,
    /// Digest of the genesis: which channel this is.
    genesis: Hash,
    /// Height of the last block; 0 before the first.
    height: u64,
    /// Hash of the last block.
    last_block: Hash,
    /// Time of the last block.
    time: Timestamp,
    /// The right edge of the log's tree.
    frontier: Frontier,
    /// Who decides.
    membership: Membership,
    /// The last sequence number of each submitter.
    sequences: Sequences,
    /// Root of the tree of all entries of state.
    state_root: Hash,
}

/// An outcome, and whether the transaction changed the state: one that did not need not be in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What became of it.
    pub outcome: Outcome,
    /// It used up its submitter's sequence number.
    pub changes_state: bool,
}

/// What transactions do to a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The state after them.
    pub state: State,
    /// A verdict for each, in order.
    pub verdicts: Vec<Verdict>,
    /// Whose numbers they used.
    pub submitters: BTreeSet<Did>,
    /// The leaves they appended; the first has the log's old size as its index.
    pub leaves: Vec<Hash>,
    /// The nodes of the log's tree that became full.
    pub nodes: Vec<(NodeId, Hash)>,
    /// The encodings of entries of state that came, by their [`state_value`](entrepot_chain_log::state_tree::state_value); but for sequence numbers, which the state holds.
    pub entries: BTreeMap<Hash, Vec<u8>>,
    /// Nodes of the state's tree that came, by their names, and names of those that the newest state no longer needs. Replaying the chain
    /// needs those too, and so does whoever asks about earlier heights.
    pub state_nodes: StateUpdate,
}

/// A block made from submissions, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The block; none if nothing that was submitted changes the state and none without transactions was asked for.
    pub block: Option<Block>,
    /// The state after it, and a verdict for each submission, in order.
    pub applied: Applied,
}

/// Why a block does not follow a state. Nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Another height is next.
    #[error("block {found} does not follow block {last}")]
    Height {
        /// The last block's height.
        last: u64,
        /// The block's.
        found: u64,
    },
    /// It follows another block.
    #[error("block {height} follows another block than ours")]
    Previous {
        /// The block's height.
        height: u64,
    },
    /// It is older than the block before.
    #[error("block {height} is older than the block before")]
    Time {
        /// The block's height.
        height: u64,
    },
    /// Its transactions are not those of its header.
    #[error("block {height} does not hold the transactions of its header")]
    Transactions {
        /// The block's height.
        height: u64,
    },
    /// It holds more transactions than a block may.
    #[error("block {height} holds {found} transactions; {BLOCK_TRANSACTIONS_MAX} are allowed")]
    Count {
        /// The block's height.
        height: u64,
        /// How many.
        found: usize,
    },
    /// A transaction changes nothing and has no place in a block.
    #[error("block {height} holds a transaction without effect")]
    WithoutEffect {
        /// The block's height.
        height: u64,
    },
    /// Size or root of the log after it differ from its header.
    #[error("block {height} leads to another log than its header says")]
    Log {
        /// The block's height.
        height: u64,
    },
    /// The members that decide on the next block differ from those of its header.
    #[error("block {height} leads to other members than its header says")]
    Members {
        /// The block's height.
        height: u64,
    },
    /// The state after it differs from that of its header.
    #[error("block {height} leads to another state than its header says")]
    State {
        /// The block's height.
        height: u64,
    },
    /// What the ledger looks up could not be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// Why no block was made.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The signatures of a submission were checked for another channel.
    #[error("a submission was checked for the channel {found}, and this is {ours}; check it for this one")]
    OtherChannel {
        /// The genesis digest of ours.
        ours: Hash,
        /// The genesis digest it was checked for.
        found: Hash,
    },
    /// What the ledger looks up could not be read.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

/// How signatures are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// Check them all.
    Check,
    /// For a member's own durable blocks: a leaf that the lookup knows at exactly the place it would get now was checked when its block
    /// was made durable, and the root in the header says that it was accepted then. Everything else is checked.
    CheckedWhenStored,
}

impl State {
    /// The state of a channel that was just founded.
    pub fn genesis(genesis: &Genesis) -> Result<Self, GenesisError> {
        let digest = genesis.digest();
        Ok(Self {
            origin: genesis.origin.as_str().into(),
            genesis: digest,
            height: 0,
            last_block: digest,
            time: Timestamp(i64::MIN),
            frontier: Frontier::default(),
            membership: Membership::genesis(genesis)?,
            sequences: Sequences::default(),
            state_root: EMPTY_STATE,
        })
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Digest of the genesis: the channel's identity.
    pub fn genesis_digest(&self) -> Hash {
        self.genesis
    }

    /// Height of the last block.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Hash of the last block.
    pub fn last_block(&self) -> Hash {
        self.last_block
    }

    /// Time of the last block.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Entries of the log.
    pub fn log_size(&self) -> u64 {
        self.frontier.size()
    }

    /// RFC 6962 root of the log.
    pub fn log_root(&self) -> Hash {
        self.frontier.root()
    }

    /// The right edge of the log's tree.
    pub fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Who decides on the next block.
    pub fn members(&self) -> &Members {
        &self.membership.current
    }

    /// Who decides on the block of this height: known of the next and of the one after it.
    pub fn members_at(&self, height: u64) -> Option<&Members> {
        match height.checked_sub(self.height) {
            Some(1) => Some(&self.membership.current),
            Some(2) => Some(&self.membership.decided),
            _ => None,
        }
    }

    /// Whose consent changes of the members need.
    pub fn voting_rule(&self) -> VotingRule {
        self.membership.rule
    }

    /// Changes that wait for votes, by the hash of the transaction that proposed them.
    pub fn proposals(&self) -> &BTreeMap<Hash, Proposal> {
        &self.membership.proposals
    }

    /// Root of the tree of all entries of state; empty before the first block, which writes what the genesis says.
    pub fn state_root(&self) -> Hash {
        self.state_root
    }

    /// A right, if it was ever registered.
    pub fn right(&self, lookup: &dyn Lookup, right: &Hash) -> Result<Option<Right>, LookupError> {
        entries::right(&self.state_root, lookup, right)
    }

    /// The last sequence number of each submitter, by submitter.
    pub fn sequences(&self) -> impl Iterator<Item = (&Did, u64)> {
        self.sequences.iter()
    }

    /// The sequence number that this submitter uses next.
    pub fn next_sequence(&self, submitter: &Did) -> u64 {
        self.sequences.get(submitter).map_or(1, |last| last.saturating_add(1))
    }

    /// Makes the next block of those submissions, at most [`BLOCK_TRANSACTIONS_MAX`], that change the state; the rest are answered and left
    /// out. `time` is moved up to the last block's if the clock went back.
    pub fn draft(&self, lookup: &dyn Lookup, time: Timestamp, submissions: Vec<Submission>) -> Result<Draft, DraftError> {
        if let Some(other) = submissions.iter().find(|submission| submission.genesis != self.genesis) {
            return Err(DraftError::OtherChannel { ours: self.genesis, found: other.genesis });
        }
        let (submissions, checked): (Vec<_>, Vec<_>) =
            submissions.into_iter().map(|submission| (submission.transaction, submission.checked)).unzip();
        let time = time.max(self.time);
        let mut applied = self.execute(lookup, time, &submissions, Some(checked))?;
        let changes = applied.verdicts.iter().map(|verdict| verdict.changes_state);
        let transactions: Vec<_> = submissions.into_iter().zip(changes).filter_map(|(tx, changes)| changes.then_some(tx)).collect();
        if transactions.is_empty() {
            // Not even what the genesis says, or what ends with the height.
            let (submitters, entries) = (BTreeSet::new(), BTreeMap::new());
            applied = Applied { state: self.clone(), submitters, entries, state_nodes: entries::untouched(self), ..applied };
            return Ok(Draft { block: None, applied });
        }
        Ok(self.close(time, transactions, applied))
    }

    /// Makes a block without transactions, which ends its height and leaves the log as it is.
    pub fn draft_empty(&self, lookup: &dyn Lookup, time: Timestamp) -> Result<Draft, DraftError> {
        let time = time.max(self.time);
        Ok(self.close(time, Vec::new(), self.execute(lookup, time, &[], None)?))
    }

    fn close(&self, time: Timestamp, transactions: Vec<Transaction>, mut applied: Applied) -> Draft {
        let header = BlockHeader {
            height: self.height + 1,
            previous: self.last_block,
            time,
            transactions: transactions_digest(&transactions),
            log_size: applied.state.log_size(),
            log_root: applied.state.log_root(),
            state_root: applied.state.state_root,
            next_members: applied.state.members().digest(),
        };
        applied.state.follow(&header);
        Draft { block: Some(Block { header, transactions }), applied }
    }

    /// Applies a block that others, or this member earlier, decided on.
    pub fn apply(&self, lookup: &dyn Lookup, block: &Block, signatures: Signatures) -> Result<Applied, ApplyError> {
        self.check_place(block)?;
        match self.follow_to(lookup, block, signatures) {
            // A leaf that was rejected and is stored because it came again with the right signatures was trusted too early.
            Err(error) if signatures == Signatures::CheckedWhenStored && !matches!(error, ApplyError::Lookup(_)) => {
                self.follow_to(lookup, block, Signatures::Check)
            }
            followed => followed,
        }
    }

    fn follow_to(&self, lookup: &dyn Lookup, block: &Block, signatures: Signatures) -> Result<Applied, ApplyError> {
        let header = &block.header;
        let height = header.height;
        // All at once; a member's own blocks hardly ever need it.
        let checked = (signatures == Signatures::Check).then(|| signatures::check(&block.transactions, &self.genesis));
        let mut applied = self.execute(lookup, header.time, &block.transactions, checked)?;
        if !applied.verdicts.iter().all(|verdict| verdict.changes_state) {
            return Err(ApplyError::WithoutEffect { height });
        }
        if (applied.state.log_size(), applied.state.log_root()) != (header.log_size, header.log_root) {
            return Err(ApplyError::Log { height });
        }
        if applied.state.members().digest() != header.next_members {
            return Err(ApplyError::Members { height });
        }
        if applied.state.state_root != header.state_root {
            return Err(ApplyError::State { height });
        }
        applied.state.follow(header);
        Ok(applied)
    }

    /// Whether a block is the next one, as far as that can be said without executing it.
    fn check_place(&self, block: &Block) -> Result<(), ApplyError> {
        let header = &block.header;
        let height = header.height;
        if self.height.checked_add(1) != Some(height) {
            return Err(ApplyError::Height { last: self.height, found: height });
        }
        if header.previous != self.last_block {
            return Err(ApplyError::Previous { height });
        }
        if header.time < self.time {
            return Err(ApplyError::Time { height });
        }
        if block.transactions.len() > BLOCK_TRANSACTIONS_MAX {
            return Err(ApplyError::Count { height, found: block.transactions.len() });
        }
        if header.transactions != transactions_digest(&block.transactions) {
            return Err(ApplyError::Transactions { height });
        }
        Ok(())
    }

    fn follow(&mut self, header: &BlockHeader) {
        self.height = header.height;
        self.last_block = header.hash();
        self.time = header.time;
    }

    /// Without checks, a leaf that is stored in its place is trusted, and whatever else there is is checked one by one.
    fn execute(
        &self,
        lookup: &dyn Lookup,
        time: Timestamp,
        transactions: &[Transaction],
        checked: Option<Vec<Checked>>,
    ) -> Result<Applied, LookupError> {
        let mut run = Run::new(self, lookup, time, checked.is_none());
        let mut checked = checked.unwrap_or_default().into_iter();
        let verdicts = transactions.iter().map(|transaction| run.judge(transaction, checked.next())).collect::<Result<_, _>>()?;
        run.end(self, verdicts)
    }
}
