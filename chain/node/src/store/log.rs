//! The log: leaves, the tree's nodes, checkpoints and their cosignatures.

use super::{CHECKPOINTS, COSIGNATURES, ChainStore, Durability, LEAF_INDEX, LEAVES, NODES, StoredLeaf};
use crate::NodeError;
use entrepot_chain_ledger::Applied;
use entrepot_chain_log::{NodeId, NodeStore, merkle::MerkleError};
use entrepot_chain_statement::Hash;
use rocksdb::{Direction, IteratorMode, WriteBatch};

impl ChainStore {
    /// What a block appends to the log.
    pub(super) fn put_log(
        &self,
        batch: &mut WriteBatch,
        height: u64,
        applied: &Applied,
        checkpoint: Option<&str>,
    ) -> Result<(), NodeError> {
        let (leaves, leaf_index, nodes) = (self.column(LEAVES)?, self.column(LEAF_INDEX)?, self.column(NODES)?);
        let first = applied.state.log_size() - applied.leaves.len() as u64;
        for (index, leaf) in (first..).zip(&applied.leaves) {
            batch.put_cf(leaves, index.to_be_bytes(), [&leaf.0[..], &height.to_be_bytes()].concat());
            batch.put_cf(leaf_index, leaf.0, index.to_be_bytes());
        }
        for (id, hash) in &applied.nodes {
            batch.put_cf(nodes, node_key(*id), hash.0);
        }
        if let Some(note) = checkpoint {
            batch.put_cf(self.column(CHECKPOINTS)?, applied.state.log_size().to_be_bytes(), note);
        }
        Ok(())
    }

    pub fn leaf(&self, index: u64) -> Result<Option<StoredLeaf>, NodeError> {
        let Some(bytes) = self.get(LEAVES, &index.to_be_bytes())? else { return Ok(None) };
        let (leaf, height) = bytes.split_first_chunk::<32>().ok_or_else(|| NodeError::damaged(format!("leaf {index}")))?;
        let height = height.try_into().map_err(|_| NodeError::damaged(format!("leaf {index}")))?;
        Ok(Some(StoredLeaf { leaf: Hash(*leaf), height: u64::from_be_bytes(height) }))
    }

    pub fn index(&self, leaf: &Hash) -> Result<Option<u64>, NodeError> {
        let Some(bytes) = self.get(LEAF_INDEX, &leaf.0)? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| NodeError::damaged(format!("index of leaf {leaf}")))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    /// How many leaves are stored: one more than the largest index.
    pub fn leaf_count(&self) -> Result<u64, NodeError> {
        match self.db.iterator_cf(self.column(LEAVES)?, IteratorMode::End).next() {
            None => Ok(0),
            Some(item) => {
                let (key, _) = item.map_err(NodeError::database("reading leaves"))?;
                let index = key[..].try_into().map_err(|_| NodeError::damaged("the key of a leaf"))?;
                Ok(u64::from_be_bytes(index).saturating_add(1))
            }
        }
    }

    /// The note of a checkpoint as this node signed it.
    pub fn checkpoint(&self, size: u64) -> Result<Option<String>, NodeError> {
        let Some(bytes) = self.get(CHECKPOINTS, &size.to_be_bytes())? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| NodeError::damaged(format!("checkpoint {size}")))
    }

    /// Keeps one signature line of a checkpoint, in place of the same key's earlier one.
    pub fn add_cosignature(&self, size: u64, cosigner: &str, line: &str, durability: Durability) -> Result<(), NodeError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.column(COSIGNATURES)?, [&size.to_be_bytes()[..], cosigner.as_bytes()].concat(), line);
        self.write(batch, durability)
    }

    /// The signature lines that witnesses added to a checkpoint, by the names of their keys.
    pub fn cosignatures(&self, size: u64) -> Result<Vec<String>, NodeError> {
        let prefix = size.to_be_bytes();
        let mut lines = Vec::new();
        for item in self.db.iterator_cf(self.column(COSIGNATURES)?, IteratorMode::From(&prefix, Direction::Forward)) {
            let (key, line) = item.map_err(NodeError::database("reading cosignatures"))?;
            if !key.starts_with(&prefix) {
                break;
            }
            lines.push(String::from_utf8(line.into_vec()).map_err(|_| NodeError::damaged(format!("a cosignature of {size}")))?);
        }
        Ok(lines)
    }

    /// The sizes of the newest checkpoints with cosignatures, newest first, and how many each has; at most `limit` sizes.
    pub fn witnessed(&self, limit: usize) -> Result<Vec<(u64, u32)>, NodeError> {
        let mut found: Vec<(u64, u32)> = Vec::new();
        for item in self.db.iterator_cf(self.column(COSIGNATURES)?, IteratorMode::End) {
            let (key, _) = item.map_err(NodeError::database("reading cosignatures"))?;
            let size = key.first_chunk().map(|size| u64::from_be_bytes(*size)).ok_or_else(|| NodeError::damaged("a cosignature's key"))?;
            let sizes = found.len();
            match found.last_mut() {
                Some((last, count)) if *last == size => *count += 1,
                _ if sizes >= limit => break,
                _ => found.push((size, 1)),
            }
        }
        Ok(found)
    }
}

fn node_key(id: NodeId) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = id.level;
    key[1..].copy_from_slice(&id.index.to_be_bytes());
    key
}

impl NodeStore for ChainStore {
    type Error = NodeError;
    fn node(&self, id: NodeId) -> Result<Option<Hash>, NodeError> {
        let Some(bytes) = self.get(NODES, &node_key(id))? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| NodeError::damaged(format!("node {} of level {}", id.index, id.level)))?;
        Ok(Some(Hash(bytes)))
    }
}

impl From<MerkleError<NodeError>> for NodeError {
    fn from(error: MerkleError<NodeError>) -> Self {
        match error {
            MerkleError::Store(error) => error,
            other => Self::damaged(other.to_string()),
        }
    }
}
