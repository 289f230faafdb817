//! Replaying the stored chain: every block must follow the one before, and the last must lead to the stored state.

use crate::{NodeError, store::ChainStore};
use entrepot_chain_ledger::{Applied, Block, KnownKeys, Signatures, State};
use entrepot_chain_log::{NodeStore as _, NoteKey, SignedCheckpoint};
use std::sync::Arc;

/// How much of the stored chain to doubt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth<'a> {
    /// Blocks, leaves, sequence numbers and the log's root.
    Structure,
    /// All of that, every signature, every node of the log's tree and every checkpoint.
    Everything {
        /// Signed the checkpoints.
        log: &'a NoteKey,
    },
}

/// Replays from the first block to the last; the state that it arrives at is the stored one.
pub(crate) fn replay(store: &ChainStore, origin: &str, depth: Depth<'_>) -> Result<State, NodeError> {
    let stored = store.state()?;
    let signatures = match depth {
        Depth::Structure => Signatures::CheckedWhenStored,
        Depth::Everything { .. } => Signatures::Check,
    };
    let mut state = State::genesis(origin);
    let mut known = KnownKeys::default();
    for item in store.blocks()? {
        let (height, bytes) = item?;
        if height > stored.height() {
            if let Depth::Everything { .. } = depth {
                // Stored since this began.
                break;
            }
            return Err(NodeError::damaged(format!("block {height} is there, the state ends at {}", stored.height())));
        }
        let block = Block::decode(&bytes, &mut known).map_err(|error| NodeError::damaged(format!("block {height}: {error}")))?;
        if block.header.height != height {
            return Err(NodeError::damaged(format!("block {} is stored as {height}", block.header.height)));
        }
        let applied = state.apply(store, &block, signatures).map_err(|source| NodeError::Block { height, source: Arc::new(source) })?;
        for (index, leaf) in (state.log_size()..).zip(&applied.leaves) {
            let found = store.leaf(index)?;
            if found.is_none_or(|found| (found.leaf, found.height) != (*leaf, height)) || store.index(leaf)? != Some(index) {
                return Err(NodeError::damaged(format!("leaf {index} is not what block {height} appended")));
            }
        }
        if let Depth::Everything { log } = depth {
            check_tree(store, &applied, log)?;
        }
        state = applied.state;
    }
    if state != stored {
        return Err(NodeError::damaged(format!("its blocks lead to height {}, its state says {}", state.height(), stored.height())));
    }
    if matches!(depth, Depth::Structure) && store.leaf_count()? != state.log_size() {
        return Err(NodeError::damaged("it holds leaves that no block appended"));
    }
    Ok(state)
}

/// Whether the nodes that a block made full are stored, and the checkpoint after it.
fn check_tree(store: &ChainStore, applied: &Applied, log: &NoteKey) -> Result<(), NodeError> {
    for (id, hash) in &applied.nodes {
        if store.node(*id)? != Some(*hash) {
            return Err(NodeError::damaged(format!("node {} of level {} of the log's tree", id.index, id.level)));
        }
    }
    if applied.leaves.is_empty() {
        return Ok(());
    }
    let state = &applied.state;
    let damaged = || NodeError::damaged(format!("the checkpoint of size {}", state.log_size()));
    let checkpoint: SignedCheckpoint = store.checkpoint(state.log_size())?.ok_or_else(damaged)?.parse().map_err(|_| damaged())?;
    checkpoint.verify_log(state.origin(), log).map_err(|_| damaged())?;
    let said = checkpoint.checkpoint();
    if (said.size, said.root) == (state.log_size(), state.log_root()) { Ok(()) } else { Err(damaged()) }
}
