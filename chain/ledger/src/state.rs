//! The ledger's state and how a block changes it. Pure: the same state and block give the same outcome on every machine.

use crate::{
    block::{BLOCK_TRANSACTIONS_MAX, Block, BlockHeader, genesis_hash, transactions_digest},
    codec::{DecodeError, KnownKeys, Reader},
    outcome::{Outcome, Rejection},
    signatures::{self, Checked, Submission},
    transaction::{Leaf, LeafTransaction},
};
use entrepot_chain_log::{Frontier, NodeId, leaf_hash};
use entrepot_chain_statement::{Did, Hash, Timestamp};
use std::collections::{BTreeMap, HashMap};

const STATE_VERSION: u8 = 1;
/// Submitters of one log; each costs 40 bytes of state.
pub const SUBMITTERS_MAX: usize = 1 << 16;

/// Where leaves that were logged before are found. Implemented by whoever stores them.
pub trait LeafLookup {
    /// The index of a leaf, if the log holds it.
    fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LookupError>;
}

/// The lookup failed: nothing can be said about a transaction.
#[derive(Debug, thiserror::Error)]
#[error("the index of leaves cannot be read")]
pub struct LookupError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Everything that decides on the next block, but for the leaves themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The log's name.
    origin: String,
    /// Height of the last block; 0 before the first.
    height: u64,
    /// Hash of the last block.
    last_block: Hash,
    /// Time of the last block.
    time: Timestamp,
    /// The right edge of the log's tree.
    frontier: Frontier,
    /// The last sequence number of each submitter.
    sequences: BTreeMap<Did, u64>,
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
    /// The leaves they appended; the first has the log's old size as its index.
    pub leaves: Vec<Hash>,
    /// The nodes of the log's tree that became full.
    pub nodes: Vec<(NodeId, Hash)>,
}

/// A block made from submissions, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The block; none if nothing that was submitted changes the state.
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
    /// It holds more transactions than a block may, or none.
    #[error("block {height} holds {found} transactions; 1 to {BLOCK_TRANSACTIONS_MAX} are allowed")]
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
    /// The leaves could not be looked up.
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
    /// The state of an empty log.
    pub fn genesis(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            height: 0,
            last_block: genesis_hash(origin),
            time: Timestamp(i64::MIN),
            frontier: Frontier::default(),
            sequences: BTreeMap::new(),
        }
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
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

    /// The sequence number that this submitter uses next.
    pub fn next_sequence(&self, submitter: &Did) -> u64 {
        self.sequences.get(submitter).map_or(1, |last| last.saturating_add(1))
    }

    /// Makes the next block of those submissions, at most [`BLOCK_TRANSACTIONS_MAX`], that change the state; the rest are answered and left
    /// out. `time` is
    /// moved up to the last block's if the clock went back.
    pub fn draft(&self, lookup: &dyn LeafLookup, time: Timestamp, submissions: Vec<Submission>) -> Result<Draft, LookupError> {
        let (submissions, checked): (Vec<_>, Vec<_>) =
            submissions.into_iter().map(|submission| (submission.transaction, submission.checked)).unzip();
        let mut applied = self.execute(lookup, &submissions, Some(checked))?;
        let changes = applied.verdicts.iter().map(|verdict| verdict.changes_state);
        let transactions: Vec<_> = submissions.into_iter().zip(changes).filter_map(|(tx, changes)| changes.then_some(tx)).collect();
        if transactions.is_empty() {
            return Ok(Draft { block: None, applied });
        }
        let header = BlockHeader {
            height: self.height + 1,
            previous: self.last_block,
            time: time.max(self.time),
            transactions: transactions_digest(&transactions),
            log_size: applied.state.log_size(),
            log_root: applied.state.log_root(),
        };
        applied.state.follow(&header);
        Ok(Draft { block: Some(Block { header, transactions }), applied })
    }

    /// Applies a block that others, or this member earlier, decided on.
    pub fn apply(&self, lookup: &dyn LeafLookup, block: &Block, signatures: Signatures) -> Result<Applied, ApplyError> {
        let header = &block.header;
        let height = header.height;
        if height != self.height + 1 {
            return Err(ApplyError::Height { last: self.height, found: height });
        }
        if header.previous != self.last_block {
            return Err(ApplyError::Previous { height });
        }
        if header.time < self.time {
            return Err(ApplyError::Time { height });
        }
        if !(1..=BLOCK_TRANSACTIONS_MAX).contains(&block.transactions.len()) {
            return Err(ApplyError::Count { height, found: block.transactions.len() });
        }
        if header.transactions != transactions_digest(&block.transactions) {
            return Err(ApplyError::Transactions { height });
        }
        // All at once; a member's own blocks hardly ever need it.
        let checked = (signatures == Signatures::Check).then(|| signatures::check(&block.transactions, &self.origin));
        let mut applied = self.execute(lookup, &block.transactions, checked)?;
        if !applied.verdicts.iter().all(|verdict| verdict.changes_state) {
            return Err(ApplyError::WithoutEffect { height });
        }
        if (applied.state.log_size(), applied.state.log_root()) != (header.log_size, header.log_root) {
            return Err(ApplyError::Log { height });
        }
        applied.state.follow(header);
        Ok(applied)
    }

    fn follow(&mut self, header: &BlockHeader) {
        self.height = header.height;
        self.last_block = header.hash();
        self.time = header.time;
    }

    /// Without checks, a leaf that is stored in its place is trusted, and whatever else there is is checked one by one.
    fn execute(
        &self,
        lookup: &dyn LeafLookup,
        transactions: &[LeafTransaction],
        checked: Option<Vec<Checked>>,
    ) -> Result<Applied, LookupError> {
        let mut run = Run {
            state: self.clone(),
            lookup,
            trusts_stored: checked.is_none(),
            size_before: self.log_size(),
            fresh: HashMap::new(),
            leaves: Vec::new(),
            nodes: Vec::new(),
        };
        let mut checked = checked.unwrap_or_default().into_iter();
        let verdicts = transactions.iter().map(|transaction| run.judge(transaction, checked.next())).collect::<Result<_, _>>()?;
        Ok(Applied { state: run.state, verdicts, leaves: run.leaves, nodes: run.nodes })
    }
}

/// Transactions being applied, one after the other.
struct Run<'a> {
    state: State,
    lookup: &'a dyn LeafLookup,
    trusts_stored: bool,
    /// Size of the log before the block.
    size_before: u64,
    /// Leaves appended by this run.
    fresh: HashMap<Hash, u64>,
    leaves: Vec<Hash>,
    nodes: Vec<(NodeId, Hash)>,
}

impl Run<'_> {
    fn judge(&mut self, transaction: &LeafTransaction, checked: Option<Checked>) -> Result<Verdict, LookupError> {
        let unchanged = |outcome| Ok(Verdict { outcome, changes_state: false });
        if !transaction.fits() {
            return unchanged(Outcome::Rejected(Rejection::TooManySignatures));
        }
        let stored = self.lookup.index_of(&transaction.leaf.leaf)?;
        let trusted = self.trusts_stored && stored == Some(self.state.log_size());
        let checked =
            if trusted { None } else { checked.or_else(|| signatures::check(std::slice::from_ref(transaction), &self.state.origin).pop()) };
        if checked.as_ref().is_some_and(|checked| !checked.submitter) {
            return unchanged(Outcome::Rejected(Rejection::BadSubmitterSignature));
        }
        let expected = self.state.next_sequence(&transaction.submitter);
        let in_turn = transaction.sequence == expected && expected < u64::MAX;
        let known = self.fresh.get(&transaction.leaf.leaf).copied().or(stored.filter(|index| *index < self.size_before));
        if let Some(index) = known {
            // Sent again: the answer is the same, whatever number it came with.
            if in_turn {
                self.state.sequences.insert(transaction.submitter.clone(), expected);
            }
            return Ok(Verdict { outcome: Outcome::Accepted { index }, changes_state: in_turn });
        }
        if !in_turn {
            let late = transaction.sequence < expected;
            let why = if late { Rejection::StaleSequence { expected } } else { Rejection::SequenceGap { expected } };
            return unchanged(Outcome::Rejected(why));
        }
        if expected == 1 && self.state.sequences.len() >= SUBMITTERS_MAX {
            return unchanged(Outcome::Rejected(Rejection::TooManySubmitters));
        }
        self.state.sequences.insert(transaction.submitter.clone(), expected);
        if let Some(checked) = checked
            && let Err(why) = check_bonds(&transaction.leaf, &checked.leaf)
        {
            return Ok(Verdict { outcome: Outcome::Rejected(why), changes_state: true });
        }
        let index = self.state.log_size();
        let nodes = &mut self.nodes;
        self.state.frontier.append(leaf_hash(&transaction.leaf.leaf.0), |id, hash| nodes.push((id, hash)));
        self.fresh.insert(transaction.leaf.leaf, index);
        self.leaves.push(transaction.leaf.leaf);
        Ok(Verdict { outcome: Outcome::Accepted { index }, changes_state: true })
    }
}

/// Whether each key that the leaf binds signed it, and no other.
fn check_bonds(leaf: &Leaf, right: &[bool]) -> Result<(), Rejection> {
    if leaf.binds.is_empty() {
        return Err(Rejection::BindsNobody);
    }
    if let Some(key) = leaf.binds.iter().find(|key| !leaf.signatures.contains_key(*key)) {
        return Err(Rejection::Unbound { key: key.clone() });
    }
    for (key, right) in leaf.signatures.keys().zip(right) {
        if !leaf.binds.contains(key) {
            return Err(Rejection::NotBound { key: key.clone() });
        }
        if !right {
            return Err(Rejection::BadSignature { key: key.clone() });
        }
    }
    Ok(())
}

impl State {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![STATE_VERSION];
        out.extend_from_slice(&u32::try_from(self.origin.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(self.origin.as_bytes());
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&self.last_block.0);
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&self.log_size().to_be_bytes());
        out.extend_from_slice(&self.log_root().0);
        out.extend_from_slice(&u32::try_from(self.sequences.len()).unwrap_or(u32::MAX).to_be_bytes());
        for (did, last) in &self.sequences {
            out.extend_from_slice(&did.public_bytes());
            out.extend_from_slice(&last.to_be_bytes());
        }
        out
    }

    /// Decodes exactly one state. `load` finds the right edge of the tree of a given size, which the encoding names by its root.
    pub fn decode<E>(bytes: &[u8], load: impl FnOnce(u64) -> Result<Frontier, E>) -> Result<Self, StateError<E>> {
        let mut reader = Reader::new(bytes);
        let mut known = KnownKeys::default();
        reader.version(STATE_VERSION)?;
        let length = reader.u32()? as usize;
        let origin = String::from_utf8(reader.take(length)?.to_vec()).map_err(|_| DecodeError::Value("origin"))?;
        let (height, last_block, time) = (reader.u64()?, reader.hash()?, Timestamp(reader.i64()?));
        let (size, root) = (reader.u64()?, reader.hash()?);
        let count = reader.u32()? as usize;
        if count > SUBMITTERS_MAX {
            return Err(DecodeError::TooMany("submitters").into());
        }
        let mut sequences = BTreeMap::new();
        for _ in 0..count {
            let did = reader.did(&mut known)?;
            if sequences.last_key_value().is_some_and(|(last, _)| *last >= did) {
                return Err(DecodeError::Order("submitters").into());
            }
            sequences.insert(did, reader.u64()?);
        }
        reader.end()?;
        let frontier = load(size).map_err(StateError::Frontier)?;
        if (frontier.size(), frontier.root()) != (size, root) {
            return Err(StateError::Root);
        }
        Ok(Self { origin, height, last_block, time, frontier, sequences })
    }
}

/// Why bytes are not the state that they say they are.
#[derive(Debug, thiserror::Error)]
pub enum StateError<E> {
    /// The bytes are not a state.
    #[error("not a ledger state")]
    Decode(#[from] DecodeError),
    /// The tree's edge could not be loaded.
    #[error("the edge of the log's tree cannot be loaded")]
    Frontier(#[source] E),
    /// The tree has another root than the state names.
    #[error("the log's tree has another root than the state")]
    Root,
}
