//! An authenticated map: one root commits to every key and value, and a short proof shows that a key has a value, or has none.
//!
//! Paper: Gao, Hu, Wu, "Jellyfish Merkle Tree" (Diem, 2021), §3: a sparse Merkle tree in which a subtree with one leaf is that leaf and an
//! empty one a fixed hash. Deviations: binary nodes instead of sixteen-fold ones, and nodes are addressed by their hash, not by version and
//! path, so that a root is all one needs to read the state of any height.
//! Not the `jmt` crate: it brings anyhow, borsh and (by default) ics23 with prost into offline verification, and neither its leaves' nor its
//! proofs' encoding is ours to pin.
//! Shapes: a key is a [`state_key`], a value a [`state_value`]; a node is 65 bytes, hashed under this module's context.
//!
//! ```
//! use entrepot_chain_log::state_tree::{EMPTY_STATE, StateNode, prove, state_key, state_value, update};
//! use std::collections::BTreeMap;
//! let (key, value) = (state_key("right", b"r1"), state_value(b"held by A"));
//! let mut nodes = BTreeMap::new();
//! let step = update(&EMPTY_STATE, &BTreeMap::from([(key, Some(value))]), &nodes)?;
//! nodes.extend(step.added);
//! prove(&step.root, &key, &nodes)?.verify(&step.root, &key, Some(&value))?;
//! prove(&step.root, &state_key("right", b"r2"), &nodes)?.verify(&step.root, &state_key("right", b"r2"), None)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod proof;

pub use proof::{STATE_PROOF_MAX_BYTES, StateProof, StateProofError, prove};

use crate::codec::{DecodeError, Reader};
use entrepot_chain_statement::Hash;
use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

const CONTEXT: &[u8] = b"entrepot/state/v1\n";
const KEY_CONTEXT: &[u8] = b"entrepot/state-key/v1\n";
const VALUE_CONTEXT: &[u8] = b"entrepot/state-value/v1\n";
const LEAF: u8 = 0;
const INNER: u8 = 1;
/// Length of a node's encoding.
pub const STATE_NODE_BYTES: usize = 1 + 32 + 32;
/// Levels below the root: one for each bit of a key.
pub const STATE_DEPTH_MAX: usize = 256;
/// Root of the map that holds nothing: SHA-256 of the context and the byte 2.
pub const EMPTY_STATE: Hash = Hash([
    0x31, 0xbc, 0x9c, 0x13, 0x98, 0x66, 0x19, 0x60, 0xe7, 0x47, 0x97, 0x36, 0x96, 0x2e, 0x75, 0xb8, 0x99, 0xc9, 0x27, 0x99, 0x34, 0xe5,
    0x38, 0x8b, 0x68, 0xed, 0xa4, 0xa4, 0x21, 0x8e, 0x9a, 0x35,
]);

/// Where the entry of this kind and name stands. Entries of two kinds never meet.
pub fn state_key(kind: &str, name: &[u8]) -> Hash {
    Hash::of(&[KEY_CONTEXT, &(kind.len() as u64).to_be_bytes(), kind.as_bytes(), name])
}

/// What the tree holds of an entry with this encoding.
pub fn state_value(encoding: &[u8]) -> Hash {
    Hash::of(&[VALUE_CONTEXT, encoding])
}

/// An entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateLeaf {
    /// Its [`state_key`].
    pub key: Hash,
    /// Its [`state_value`].
    pub value: Hash,
}

/// A node of the tree. Its name is the hash of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateNode {
    /// The only entry below here.
    Leaf(StateLeaf),
    /// At least two entries below.
    Inner {
        /// Below here the next bit of the keys is 0.
        left: Hash,
        /// Below here it is 1.
        right: Hash,
    },
}

impl StateNode {
    /// Its name.
    pub fn hash(&self) -> Hash {
        Hash::of(&[CONTEXT, &self.encode()])
    }

    /// The encoding.
    pub fn encode(&self) -> [u8; STATE_NODE_BYTES] {
        let (tag, first, second) = match self {
            Self::Leaf(leaf) => (LEAF, &leaf.key, &leaf.value),
            Self::Inner { left, right } => (INNER, left, right),
        };
        let mut out = [tag; STATE_NODE_BYTES];
        out[1..33].copy_from_slice(&first.0);
        out[33..].copy_from_slice(&second.0);
        out
    }

    /// Decodes exactly one node.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let (tag, first, second) = (reader.u8()?, reader.hash()?, reader.hash()?);
        reader.end()?;
        match tag {
            LEAF => Ok(Self::Leaf(StateLeaf { key: first, value: second })),
            INNER => Ok(Self::Inner { left: first, right: second }),
            _ => Err(DecodeError::Value("node of the state's tree")),
        }
    }
}

/// Where nodes are kept.
pub trait StateNodes {
    /// Why it cannot be read.
    type Error;
    /// The node of this name; none if it was never added, or dropped.
    fn state_node(&self, name: &Hash) -> Result<Option<StateNode>, Self::Error>;
}

impl<T: StateNodes + ?Sized> StateNodes for &T {
    type Error = T::Error;
    fn state_node(&self, name: &Hash) -> Result<Option<StateNode>, T::Error> {
        (**self).state_node(name)
    }
}

impl StateNodes for BTreeMap<Hash, StateNode> {
    type Error = Infallible;
    fn state_node(&self, name: &Hash) -> Result<Option<StateNode>, Infallible> {
        Ok(self.get(name).copied())
    }
}

/// Why the state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateTreeError<E> {
    /// The nodes cannot be read.
    #[error("the nodes of the state cannot be read")]
    Store(#[source] E),
    /// A node is not there.
    #[error("the node {0} of the state is missing; restore this node's data from a backup or from another member")]
    Missing(Hash),
    /// A node is another than its name says.
    #[error("the node {0} of the state is damaged; restore this node's data from a backup or from another member")]
    Damaged(Hash),
    /// No updates led to this root.
    #[error("the node {0} of the state stands where no update puts it; this root is not to be believed")]
    Misplaced(Hash),
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateUpdate {
    /// The new root.
    pub root: Hash,
    /// Nodes of the new tree that the old one lacks. To be kept, and durable no later than the root.
    pub added: BTreeMap<Hash, StateNode>,
    /// Nodes of the old tree that the new one lacks. Whoever needs only the newest state drops them together with adding the others; whoever
    /// keeps older roots keeps them.
    pub replaced: BTreeSet<Hash>,
}

/// Sets each of these entries to its value, or removes it. What comes of it depends on what the map then holds, not on how it came there.
pub fn update<S: StateNodes>(
    root: &Hash,
    changes: &BTreeMap<Hash, Option<Hash>>,
    store: &S,
) -> Result<StateUpdate, StateTreeError<S::Error>> {
    let changes: Vec<Change> = changes.iter().map(|(key, value)| (*key, *value)).collect();
    let mut pass = Pass { store, added: BTreeMap::new(), read: BTreeSet::new() };
    let changed = pass.change(root, 0, &changes)?;
    let root = pass.place(changed);
    Ok(StateUpdate { root, added: pass.added, replaced: pass.read })
}

/// The value of a key.
pub fn value<S: StateNodes>(root: &Hash, key: &Hash, store: &S) -> Result<Option<Hash>, StateTreeError<S::Error>> {
    let leaf = descend(root, key, store, |_| ())?;
    Ok(leaf.filter(|leaf| leaf.key == *key).map(|leaf| leaf.value))
}

/// Follows the bits of a key to where it ends, and tells of each sibling on the way, the root's child first.
fn descend<S: StateNodes>(
    root: &Hash,
    key: &Hash,
    store: &S,
    mut sibling: impl FnMut(Hash),
) -> Result<Option<StateLeaf>, StateTreeError<S::Error>> {
    let mut at = *root;
    for depth in 0..=STATE_DEPTH_MAX {
        if at == EMPTY_STATE {
            return Ok(None);
        }
        match read(store, &at)? {
            StateNode::Leaf(leaf) => return Ok(Some(leaf)),
            StateNode::Inner { .. } if depth == STATE_DEPTH_MAX => break,
            StateNode::Inner { left, right } => {
                let (next, other) = if bit(key, depth) { (right, left) } else { (left, right) };
                sibling(other);
                at = next;
            }
        }
    }
    Err(StateTreeError::Misplaced(at))
}

/// A damaged disk must not become a wrong root, so every node is held against its name.
fn read<S: StateNodes>(store: &S, name: &Hash) -> Result<StateNode, StateTreeError<S::Error>> {
    let node = store.state_node(name).map_err(StateTreeError::Store)?.ok_or(StateTreeError::Missing(*name))?;
    if node.hash() == *name { Ok(node) } else { Err(StateTreeError::Damaged(*name)) }
}

/// The bit of a key that decides at this depth; `depth` is below [`STATE_DEPTH_MAX`].
fn bit(key: &Hash, depth: usize) -> bool {
    key.0[depth / 8] >> (7 - depth % 8) & 1 == 1
}

type Change = (Hash, Option<Hash>);

/// What an update makes of a part of the tree.
#[derive(Clone, Copy)]
enum Subtree {
    Empty,
    /// Where it will stand is not settled: it rises until it has a neighbour.
    Leaf(StateLeaf),
    /// Stands, and is no leaf.
    Inner(Hash),
    /// Untouched and not read: a leaf or not.
    Unread(Hash),
}

/// One update: down with the changes, up with what becomes of them.
struct Pass<'a, S> {
    store: &'a S,
    added: BTreeMap<Hash, StateNode>,
    /// Nodes of the old tree that were read and have no place in the new one yet. No node stands twice in one tree, because the keys below it
    /// tell where it stands; so one that is placed again is the one that was read.
    read: BTreeSet<Hash>,
}

impl<S: StateNodes> Pass<'_, S> {
    /// `changes` are sorted, and their keys lead here.
    fn change(&mut self, at: &Hash, depth: usize, changes: &[Change]) -> Result<Subtree, StateTreeError<S::Error>> {
        if *at == EMPTY_STATE {
            return self.build(depth, &leaves(changes, None));
        }
        if changes.is_empty() {
            return Ok(Subtree::Unread(*at));
        }
        match self.read(at)? {
            StateNode::Leaf(leaf) => self.build(depth, &leaves(changes, Some(leaf))),
            StateNode::Inner { .. } if depth == STATE_DEPTH_MAX => Err(StateTreeError::Misplaced(*at)),
            StateNode::Inner { left, right } => {
                let (zeros, ones) = changes.split_at(changes.partition_point(|(key, _)| !bit(key, depth)));
                let left = self.change(&left, depth + 1, zeros)?;
                let right = self.change(&right, depth + 1, ones)?;
                self.join(left, right)
            }
        }
    }

    /// A tree of these leaves alone; they are sorted, and their keys lead here.
    fn build(&mut self, depth: usize, leaves: &[StateLeaf]) -> Result<Subtree, StateTreeError<S::Error>> {
        match leaves {
            [] => Ok(Subtree::Empty),
            [leaf] => Ok(Subtree::Leaf(*leaf)),
            // The keys differ, so they part before their end, unless one of them does not belong here.
            [leaf, ..] if depth == STATE_DEPTH_MAX => Err(StateTreeError::Misplaced(StateNode::Leaf(*leaf).hash())),
            _ => {
                let (zeros, ones) = leaves.split_at(leaves.partition_point(|leaf| !bit(&leaf.key, depth)));
                let left = self.build(depth + 1, zeros)?;
                let right = self.build(depth + 1, ones)?;
                self.join(left, right)
            }
        }
    }

    /// The node over two subtrees; none if there is at most one leaf.
    fn join(&mut self, left: Subtree, right: Subtree) -> Result<Subtree, StateTreeError<S::Error>> {
        let alone = matches!(left, Subtree::Empty) || matches!(right, Subtree::Empty);
        let (left, right) = if alone { (self.known(left)?, self.known(right)?) } else { (left, right) };
        match (left, right) {
            (Subtree::Empty, Subtree::Empty) => Ok(Subtree::Empty),
            (Subtree::Empty, Subtree::Leaf(leaf)) | (Subtree::Leaf(leaf), Subtree::Empty) => Ok(Subtree::Leaf(leaf)),
            _ => {
                let node = StateNode::Inner { left: self.place(left), right: self.place(right) };
                Ok(Subtree::Inner(self.add(node)))
            }
        }
    }

    /// Finds out whether it is a leaf, which would rise.
    fn known(&mut self, subtree: Subtree) -> Result<Subtree, StateTreeError<S::Error>> {
        let Subtree::Unread(name) = subtree else {
            return Ok(subtree);
        };
        Ok(match self.read(&name)? {
            StateNode::Leaf(leaf) => Subtree::Leaf(leaf),
            inner @ StateNode::Inner { .. } => Subtree::Inner(self.add(inner)),
        })
    }

    fn place(&mut self, subtree: Subtree) -> Hash {
        match subtree {
            Subtree::Empty => EMPTY_STATE,
            Subtree::Leaf(leaf) => self.add(StateNode::Leaf(leaf)),
            Subtree::Inner(name) | Subtree::Unread(name) => name,
        }
    }

    fn read(&mut self, name: &Hash) -> Result<StateNode, StateTreeError<S::Error>> {
        let node = read(self.store, name)?;
        self.read.insert(*name);
        Ok(node)
    }

    fn add(&mut self, node: StateNode) -> Hash {
        let name = node.hash();
        if !self.read.remove(&name) {
            self.added.insert(name, node);
        }
        name
    }
}

/// What is left of a leaf and some changes, sorted.
fn leaves(changes: &[Change], old: Option<StateLeaf>) -> Vec<StateLeaf> {
    let mut leaves: Vec<_> = changes.iter().filter_map(|(key, value)| value.map(|value| StateLeaf { key: *key, value })).collect();
    if let Some(old) = old.filter(|old| changes.binary_search_by_key(&old.key, |(key, _)| *key).is_err()) {
        let place = leaves.partition_point(|leaf| leaf.key < old.key);
        leaves.insert(place, old);
    }
    leaves
}
