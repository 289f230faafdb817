//! The Merkle tree of RFC 6962 §2.1 (SHA-256), over nodes that live elsewhere.
//!
//! Only *full* nodes are stored: node (level, index) covers the 2^level leaves from index · 2^level, is written once when the last of them
//! arrives, and never changes. A tree of any past size is a handful of full nodes, so roots and proofs for every size take O(log n) reads.

use entrepot_chain_statement::Hash;
use std::convert::Infallible;

/// No tree grows beyond this; proofs have at most so many hashes.
pub const LEVELS_MAX: usize = 63;

/// Where a full node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// 0 for leaves.
    pub level: u8,
    /// Which of its level, from 0.
    pub index: u64,
}

/// Where full nodes are kept.
pub trait NodeStore {
    /// Why a read failed.
    type Error;
    /// The node, if it was written.
    fn node(&self, id: NodeId) -> Result<Option<Hash>, Self::Error>;
}

/// Why a root or a proof could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MerkleError<E> {
    /// The store failed.
    #[error("reading a node of the log")]
    Store(#[source] E),
    /// The store lacks a node that the size says is there.
    #[error("node {index} of level {level} is missing from the log")]
    Missing {
        /// Its level.
        level: u8,
        /// Its index.
        index: u64,
    },
    /// An index or size beyond the tree.
    #[error("{asked} is beyond a log of {size} entries")]
    Beyond {
        /// What was asked for.
        asked: u64,
        /// The tree's size.
        size: u64,
    },
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Index and sizes contradict each other.
    #[error("no proof exists between these positions")]
    Range,
    /// Too few or too many hashes for the sizes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes lead elsewhere.
    #[error("the proof does not lead to the root")]
    Root,
}

/// Hash of an entry: SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    Hash::of(&[&[0], entry])
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash::of(&[&[1], &left.0, &right.0])
}

/// Root of the tree without entries: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// What appending needs to know of a tree: its size and the roots of its maximal full subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl Frontier {
    /// The frontier of the stored tree of this size.
    pub fn load<S: NodeStore>(store: &S, size: u64) -> Result<Self, MerkleError<S::Error>> {
        let peaks = peak_ids(0, size).map(|id| read(store, id)).collect::<Result<_, _>>()?;
        Ok(Self { size, peaks })
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends an entry by its [`leaf_hash`]; hands every node that became full to `write`, leaves first.
    pub fn append(&mut self, leaf: Hash, mut write: impl FnMut(NodeId, Hash)) {
        let (mut hash, mut id) = (leaf, NodeId { level: 0, index: self.size });
        write(id, hash);
        while id.index & 1 == 1 {
            // An odd index has a full sibling to its left, which is the smallest peak.
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            id = NodeId { level: id.level + 1, index: id.index >> 1 };
            write(id, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        fold(&self.peaks)
    }
}

/// Joins peaks from the smallest: RFC 6962 splits at the largest power of two, so the small ones hang deepest.
fn fold(peaks: &[Hash]) -> Hash {
    let mut rest = peaks.iter().rev();
    let Some(last) = rest.next() else { return empty_root() };
    rest.fold(*last, |right, left| node_hash(left, &right))
}

/// The maximal full nodes that cover `size` leaves from `start`, which is aligned to them; largest first.
fn peak_ids(start: u64, size: u64) -> impl Iterator<Item = NodeId> {
    let mut at = start;
    (0..64).rev().filter(move |level| size >> level & 1 == 1).map(move |level| {
        let id = NodeId { level, index: at >> level };
        at += 1 << level;
        id
    })
}

fn read<S: NodeStore>(store: &S, id: NodeId) -> Result<Hash, MerkleError<S::Error>> {
    store.node(id).map_err(MerkleError::Store)?.ok_or(MerkleError::Missing { level: id.level, index: id.index })
}

fn range_root<S: NodeStore>(store: &S, start: u64, end: u64) -> Result<Hash, MerkleError<S::Error>> {
    let peaks: Vec<Hash> = peak_ids(start, end - start).map(|id| read(store, id)).collect::<Result<_, _>>()?;
    Ok(fold(&peaks))
}

/// The largest power of two below `n`, which is at least 2.
fn split_at(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// Root of the first `size` entries.
pub fn root<S: NodeStore>(store: &S, size: u64) -> Result<Hash, MerkleError<S::Error>> {
    range_root(store, 0, size)
}

/// RFC 6962 §2.1.1: the path from the entry's sibling up to the root's child, in the tree of `size` entries.
pub fn inclusion_proof<S: NodeStore>(store: &S, index: u64, size: u64) -> Result<Vec<Hash>, MerkleError<S::Error>> {
    if index >= size {
        return Err(MerkleError::Beyond { asked: index, size });
    }
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split_at(end - start);
        if index < middle {
            path.push(range_root(store, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(store, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// RFC 6962 §2.1.2: that the tree of `to` entries begins with the tree of `from`. Empty if `from` is 0 or `to`.
pub fn consistency_proof<S: NodeStore>(store: &S, from: u64, to: u64) -> Result<Vec<Hash>, MerkleError<S::Error>> {
    if from > to {
        return Err(MerkleError::Beyond { asked: from, size: to });
    }
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let (mut start, mut end, mut path) = (0, to, Vec::new());
    while end != from {
        let middle = start + split_at(end - start);
        if from <= middle {
            path.push(range_root(store, middle, end)?);
            end = middle;
        } else {
            path.push(range_root(store, start, middle)?);
            start = middle;
        }
    }
    // The old tree itself is a subtree only if nothing was to its left; the verifier knows that root.
    if start != 0 {
        path.push(range_root(store, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// RFC 9162 §2.1.3.2: whether the entry with this [`leaf_hash`] is at `index` of the tree of `size` entries with this root.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last, hash == *root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// RFC 9162 §2.1.4.2: whether the second tree begins with the first. Every tree begins with the empty one, by an empty proof.
pub fn verify_consistency(first: (u64, &Hash), second: (u64, &Hash), path: &[Hash]) -> Result<(), ProofError> {
    let ((from, first_root), (to, second_root)) = (first, second);
    if from > to {
        return Err(ProofError::Range);
    }
    if from == 0 || from == to {
        let known = (from != 0 || *first_root == empty_root()) && (from != to || first_root == second_root);
        return match (path.is_empty(), known) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    // A first tree that is full is a node of the second; its root opens the path.
    let (seed, rest) = if from.is_power_of_two() { (first_root, path) } else { path.split_first().ok_or(ProofError::Length)? };
    let shift = (from - 1).trailing_ones();
    let (mut node, mut last) = ((from - 1) >> shift, (to - 1) >> shift);
    let (mut old, mut new) = (*seed, *seed);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    match (last, old == *first_root && new == *second_root) {
        (0, true) => Ok(()),
        (0, false) => Err(ProofError::Root),
        _ => Err(ProofError::Length),
    }
}

/// A whole tree in memory, for commitments to rows and for tests.
#[derive(Clone, Debug, Default)]
pub struct MerkleTree {
    frontier: Frontier,
    levels: Vec<Vec<Hash>>,
}

impl NodeStore for MerkleTree {
    type Error = Infallible;
    fn node(&self, id: NodeId) -> Result<Option<Hash>, Infallible> {
        Ok(usize::try_from(id.index).ok().and_then(|index| self.levels.get(usize::from(id.level))?.get(index).copied()))
    }
}

impl MerkleTree {
    /// The tree without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry; says its index.
    pub fn push(&mut self, entry: &[u8]) -> u64 {
        self.push_leaf_hash(leaf_hash(entry))
    }

    /// Appends an entry by its [`leaf_hash`]; says its index.
    pub fn push_leaf_hash(&mut self, leaf: Hash) -> u64 {
        let levels = &mut self.levels;
        self.frontier.append(leaf, |id, hash| {
            let level = usize::from(id.level);
            if levels.len() == level {
                levels.push(Vec::new());
            }
            levels[level].push(hash);
        });
        self.frontier.size() - 1
    }

    /// Entries so far.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Root of the first `size` entries; none beyond the tree.
    pub fn root_at(&self, size: u64) -> Option<Hash> {
        (size <= self.size()).then(|| root(self, size).ok()).flatten()
    }

    /// [`inclusion_proof`]; none beyond the tree.
    pub fn inclusion_proof(&self, index: u64, size: u64) -> Option<Vec<Hash>> {
        (size <= self.size()).then(|| inclusion_proof(self, index, size).ok()).flatten()
    }

    /// [`consistency_proof`]; none beyond the tree.
    pub fn consistency_proof(&self, from: u64, to: u64) -> Option<Vec<Hash>> {
        (to <= self.size()).then(|| consistency_proof(self, from, to).ok()).flatten()
    }
}

impl<B: AsRef<[u8]>> FromIterator<B> for MerkleTree {
    fn from_iter<I: IntoIterator<Item = B>>(entries: I) -> Self {
        let mut tree = Self::new();
        for entry in entries {
            tree.push(entry.as_ref());
        }
        tree
    }
}
