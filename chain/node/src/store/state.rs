//! The state, and the tree and entries that its root commits to. Those of earlier heights stay: the root in a block's header is all that is
//! needed to read the state after it.

use super::{BASE_KEY, BASE_SEQUENCES_KEY, ChainStore, META, SEQUENCES, STATE_ENTRIES, STATE_KEY, STATE_NODES, described};
use crate::NodeError;
use entrepot_chain_ledger::{
    Applied, KnownKeys, Lookup, LookupError, State,
    codec::{DecodeError, Reader},
};
use entrepot_chain_log::{
    Frontier,
    state_tree::{StateNode, StateNodes},
};
use entrepot_chain_statement::{Did, Hash};
use rocksdb::{IteratorMode, WriteBatch};
use std::{collections::BTreeMap, sync::PoisonError};

impl ChainStore {
    pub(super) fn put_state(&self, batch: &mut WriteBatch, applied: &Applied) -> Result<(), NodeError> {
        let (nodes, entries) = (self.column(STATE_NODES)?, self.column(STATE_ENTRIES)?);
        for (name, node) in &applied.state_nodes.added {
            batch.put_cf(nodes, name.0, node.encode());
        }
        for (value, encoding) in &applied.entries {
            batch.put_cf(entries, value.0, encoding);
        }
        let sequences = self.column(SEQUENCES)?;
        for submitter in &applied.submitters {
            let last = applied.state.next_sequence(submitter).saturating_sub(1);
            batch.put_cf(sequences, submitter.public_bytes(), last.to_be_bytes());
        }
        batch.put_cf(self.column(META)?, STATE_KEY, applied.state.encode());
        Ok(())
    }

    /// The state after the last stored block.
    pub fn state(&self) -> Result<State, NodeError> {
        // Blocks are committed meanwhile.
        let snapshot = self.db.snapshot();
        let bytes = snapshot.get_cf(self.column(META)?, STATE_KEY).map_err(NodeError::database("reading the state"))?;
        let bytes = bytes.ok_or_else(|| NodeError::damaged("its state is missing"))?;
        let mut sequences = Vec::new();
        for item in snapshot.iterator_cf(self.column(SEQUENCES)?, IteratorMode::Start) {
            let (submitter, last) = item.map_err(NodeError::database("reading sequence numbers"))?;
            sequences.extend_from_slice(&submitter);
            sequences.extend_from_slice(&last);
        }
        self.decode_state(&bytes, &sequences)
    }

    /// The state from which the stored blocks lead on; none if the first block is among them.
    pub fn base(&self) -> Result<Option<State>, NodeError> {
        let Some(bytes) = self.get(META, BASE_KEY)? else { return Ok(None) };
        let sequences =
            self.get(META, BASE_SEQUENCES_KEY)?.ok_or_else(|| NodeError::damaged("the numbers of its base state are missing"))?;
        self.decode_state(&bytes, &sequences).map(Some)
    }

    /// Lets the stored blocks lead on from this state.
    pub(super) fn put_base(&self, batch: &mut WriteBatch, base: &State) -> Result<(), NodeError> {
        let meta = self.column(META)?;
        batch.put_cf(meta, BASE_KEY, base.encode());
        let one = |(submitter, last): (&Did, u64)| [&submitter.public_bytes()[..], &last.to_be_bytes()].concat();
        batch.put_cf(meta, BASE_SEQUENCES_KEY, base.sequences().flat_map(one).collect::<Vec<u8>>());
        Ok(())
    }

    /// `sequences` are submitters and their last numbers, one after the other.
    fn decode_state(&self, bytes: &[u8], sequences: &[u8]) -> Result<State, NodeError> {
        let damaged = || NodeError::damaged("a sequence number is not one");
        let (each, rest) = sequences.as_chunks::<{ 32 + 8 }>();
        if !rest.is_empty() {
            return Err(damaged());
        }
        let mut known = KnownKeys::default();
        let mut read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            Ok((reader.did(&mut known)?, reader.u64()?))
        };
        let each: Result<BTreeMap<Did, u64>, DecodeError> = each.iter().map(|bytes| read(bytes)).collect();
        let state = State::decode(bytes, each.map_err(|_| damaged())?, |size| Frontier::load(self, size));
        state.map_err(|error| NodeError::damaged(described(&error)))
    }

    /// The next block reads them again.
    pub(super) fn remember(&self, added: &BTreeMap<Hash, StateNode>) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        added.iter().for_each(|(name, node)| nodes.put(*name, *node));
    }

    /// The node of the state's tree with this name, from the disk.
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
        if let Some(node) = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(Some(node));
        }
        let found = self.node_of_state(name).map_err(failed)?;
        if let Some(node) = found {
            self.nodes.lock().unwrap_or_else(PoisonError::into_inner).put(*name, node);
        }
        Ok(found)
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
