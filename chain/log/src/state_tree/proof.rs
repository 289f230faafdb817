//! That a key has a value under a root, or none.

use super::{EMPTY_STATE, STATE_DEPTH_MAX, StateLeaf, StateNode, StateNodes, StateTreeError, bit, descend};
use crate::codec::{DecodeError, Reader};
use entrepot_chain_statement::Hash;

const VERSION: u8 = 1;
/// Longest encoding of a proof: a sibling at every level, and a leaf.
pub const STATE_PROOF_MAX_BYTES: usize = 1 + 2 + STATE_DEPTH_MAX / 8 + 32 * STATE_DEPTH_MAX + 1 + 64;

/// That a key has a value under a root, or none; nothing in it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateProof {
    /// The neighbours on the way to where the key ends, the root's child first.
    pub siblings: Vec<Hash>,
    /// What stands there: the key's own leaf, that of another key which shares all bits so far, or nothing.
    pub end: Option<StateLeaf>,
}

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StateProofError {
    /// It is about another value.
    #[error("the proof is not about this value")]
    Value,
    /// It shows an entry that is said to be absent.
    #[error("the proof shows that the entry is there")]
    Present,
    /// It ends at a key that does not stand on the way.
    #[error("the proof ends beside the key")]
    Beside,
    /// It has more levels than a key has bits.
    #[error("the proof has more than {STATE_DEPTH_MAX} levels")]
    Depth,
    /// It leads to another root.
    #[error("the proof leads to the root {found}, not to {expected}")]
    Root {
        /// Where it leads.
        found: Hash,
        /// Where it should.
        expected: Hash,
    },
}

/// Proves what a key's value is under a root, or that it has none.
pub fn prove<S: StateNodes>(root: &Hash, key: &Hash, store: &S) -> Result<StateProof, StateTreeError<S::Error>> {
    let mut siblings = Vec::new();
    let end = descend(root, key, store, |sibling| siblings.push(sibling))?;
    Ok(StateProof { siblings, end })
}

impl StateProof {
    /// Whether the key has this value under the root or, if none is given, has none. The root has to come from a header that was decided:
    /// of a root that somebody made up by other rules than [`update`](super::update), a proof of absence says nothing.
    pub fn verify(&self, root: &Hash, key: &Hash, value: Option<&Hash>) -> Result<(), StateProofError> {
        let depth = self.siblings.len();
        if depth > STATE_DEPTH_MAX {
            return Err(StateProofError::Depth);
        }
        match (value, &self.end) {
            (Some(value), end) if *end != Some(StateLeaf { key: *key, value: *value }) => return Err(StateProofError::Value),
            (None, Some(leaf)) if leaf.key == *key => return Err(StateProofError::Present),
            (None, Some(leaf)) if (0..depth).any(|depth| bit(&leaf.key, depth) != bit(key, depth)) => return Err(StateProofError::Beside),
            _ => {}
        }
        let end = self.end.map_or(EMPTY_STATE, |leaf| StateNode::Leaf(leaf).hash());
        let found = self.siblings.iter().enumerate().rev().fold(end, |below, (depth, sibling)| {
            let (left, right) = if bit(key, depth) { (*sibling, below) } else { (below, *sibling) };
            StateNode::Inner { left, right }.hash()
        });
        if found == *root { Ok(()) } else { Err(StateProofError::Root { found, expected: *root }) }
    }

    /// The encoding. Of siblings that are empty it keeps one bit each.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&u16::try_from(self.siblings.len()).unwrap_or(u16::MAX).to_be_bytes());
        let mut full = vec![0; self.siblings.len().div_ceil(8)];
        let there = || self.siblings.iter().enumerate().filter(|(_, sibling)| **sibling != EMPTY_STATE);
        for (depth, _) in there() {
            full[depth / 8] |= 0x80 >> (depth % 8);
        }
        out.extend_from_slice(&full);
        there().for_each(|(_, sibling)| out.extend_from_slice(&sibling.0));
        out.push(u8::from(self.end.is_some()));
        if let Some(leaf) = &self.end {
            out.extend_from_slice(&leaf.key.0);
            out.extend_from_slice(&leaf.value.0);
        }
        out
    }

    /// Reads the encoding from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION)?;
        let depth = usize::from(u16::from_be_bytes(reader.array()?));
        if depth > STATE_DEPTH_MAX {
            return Err(DecodeError::TooMany("levels of a state proof"));
        }
        let full = reader.take(depth.div_ceil(8))?;
        let is_full = |depth: usize| full[depth / 8] & 0x80 >> (depth % 8) != 0;
        if (depth..full.len() * 8).any(is_full) {
            return Err(DecodeError::Value("list of a state proof's siblings"));
        }
        let mut siblings = Vec::with_capacity(depth);
        for depth in 0..depth {
            let sibling = if is_full(depth) { reader.hash()? } else { EMPTY_STATE };
            if is_full(depth) && sibling == EMPTY_STATE {
                return Err(DecodeError::Value("sibling of a state proof"));
            }
            siblings.push(sibling);
        }
        let end = match reader.u8()? {
            0 => None,
            1 => Some(StateLeaf { key: reader.hash()?, value: reader.hash()? }),
            _ => return Err(DecodeError::Value("end of a state proof")),
        };
        Ok(Self { siblings, end })
    }

    /// Decodes exactly one proof.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let proof = Self::read(&mut reader)?;
        reader.end()?;
        Ok(proof)
    }
}
