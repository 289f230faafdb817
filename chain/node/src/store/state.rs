//! The state, and the tree and entries that its root commits to. Those of earlier heights stay: the root in a block's header is all that is
//! needed to read the state after it.

use super::{ChainStore, META, STATE_ENTRIES, STATE_KEY, STATE_NODES};
use crate::NodeError;
use entrepot_chain_ledger::{Applied, Lookup, LookupError};
use entrepot_chain_log::state_tree::{StateNode, StateNodes};
use entrepot_chain_statement::Hash;
use rocksdb::WriteBatch;

impl ChainStore {
    pub(super) fn put_state(&self, batch: &mut WriteBatch, applied: &Applied) -> Result<(), NodeError> {
        let (nodes, entries) = (self.column(STATE_NODES)?, self.column(STATE_ENTRIES)?);
        for (name, node) in &applied.state_nodes.added {
            batch.put_cf(nodes, name.0, node.encode());
        }
        for (value, encoding) in &applied.entries {
            batch.put_cf(entries, value.0, encoding);
        }
        batch.put_cf(self.column(META)?, STATE_KEY, applied.state.encode());
        Ok(())
    }

    /// The node of the state's tree with this name.
    pub fn node_of_state(&self, name: &Hash) -> Result<Option<StateNode>, NodeError> {
        let Some(bytes) = self.get(STATE_NODES, &name.0)? else { return Ok(None) };
        StateNode::decode(&bytes).map(Some).map_err(|_| NodeError::damaged(format!("the node {name} of the state")))
    }

    /// The encoding of the entry of state with this value.
    pub fn entry_of_state(&self, value: &Hash) -> Result<Option<Vec<u8>>, NodeError> {
        self.get(STATE_ENTRIES, &value.0)
    }
}

impl StateNodes for ChainStore {
    type Error = LookupError;
    fn state_node(&self, name: &Hash) -> Result<Option<StateNode>, LookupError> {
        self.node_of_state(name).map_err(failed)
    }
}

impl Lookup for ChainStore {
    fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LookupError> {
        self.index(leaf).map_err(failed)
    }

    fn entry(&self, value: &Hash) -> Result<Option<Vec<u8>>, LookupError> {
        self.entry_of_state(value).map_err(failed)
    }
}

fn failed(error: NodeError) -> LookupError {
    LookupError(Box::new(error))
}
