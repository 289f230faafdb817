//! Replaying the stored chain: every block must follow the one before, and the last must lead to the stored state.

use crate::{NodeError, store::ChainStore};
use entrepot_chain_ledger::{Applied, Block, KnownKeys, Signatures, State};
use entrepot_chain_log::{NodeStore as _, NoteKey, SignedCheckpoint, consortium::Members};
use std::sync::Arc;

/// How much of the stored chain to doubt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth<'a> {
    /// Blocks, leaves, sequence numbers and the log's root.
    Structure,
    /// The same, up to a height.
    Until(u64),
    /// All of that, every signature, certificate and index, every node of the log's tree and every checkpoint.
    Everything {
        /// Signed the checkpoints.
        log: &'a NoteKey,
    },
}

/// Replays the stored blocks, which lead on from `base`; the state that it arrives at is the stored one.
pub(crate) fn replay(store: &ChainStore, base: State, depth: Depth<'_>) -> Result<State, NodeError> {
    let stored = store.state()?;
    let last = if let Depth::Until(height) = depth { height.min(stored.height()) } else { stored.height() };
    let signatures = if let Depth::Everything { .. } = depth { Signatures::Check } else { Signatures::CheckedWhenStored };
    let mut state = base;
    let mut known = KnownKeys::default();
    for item in store.blocks()? {
        let (height, bytes) = item?;
        if height > last {
            if !matches!(depth, Depth::Structure) {
                // Stored since this began, or not asked for.
                break;
            }
            return Err(NodeError::damaged(format!("block {height} is there, the state ends at {last}")));
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
            check_block(store, &block, &applied, state.members())?;
        }
        state = applied.state;
    }
    if matches!(depth, Depth::Until(_)) {
        return if state.height() == last { Ok(state) } else { Err(NodeError::damaged(format!("block {last} is missing"))) };
    }
    if state != stored {
        return Err(NodeError::damaged(format!("its blocks lead to height {}, its state says {}", state.height(), stored.height())));
    }
    if matches!(depth, Depth::Structure) && store.leaf_count()? != state.log_size() {
        return Err(NodeError::damaged("it holds leaves that no block appended"));
    }
    Ok(state)
}

/// Whether the nodes that a block made full are stored, what it changed of the state, and the checkpoint after it.
fn check_tree(store: &ChainStore, applied: &Applied, log: &NoteKey) -> Result<(), NodeError> {
    for (id, hash) in &applied.nodes {
        if store.node(*id)? != Some(*hash) {
            return Err(NodeError::damaged(format!("node {} of level {} of the log's tree", id.index, id.level)));
        }
    }
    for (name, node) in &applied.state_nodes.added {
        if store.node_of_state(name)? != Some(*node) {
            return Err(NodeError::damaged(format!("the node {name} of the state")));
        }
    }
    for (value, encoding) in &applied.entries {
        if store.entry_of_state(value)?.as_ref() != Some(encoding) {
            return Err(NodeError::damaged(format!("the entry {value} of the state")));
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

/// Whether the members of its height decided on a block, and whether it and what is in it is found again.
fn check_block(store: &ChainStore, block: &Block, applied: &Applied, members: &Members) -> Result<(), NodeError> {
    let (height, hash, state) = (block.header.height, block.hash(), &applied.state);
    let damaged = |what: &str| NodeError::damaged(format!("the {what} of block {height}"));
    let certificate = store.certificate(height)?.ok_or_else(|| damaged("certificate"))?;
    if (certificate.height, certificate.block) != (height, hash) || certificate.verify(&state.genesis_digest(), members).is_err() {
        return Err(damaged("certificate"));
    }
    let header = store.header(height)?.ok_or_else(|| damaged("header"))?;
    if header != (block.header.clone(), u32::try_from(block.transactions.len()).unwrap_or(u32::MAX)) {
        return Err(damaged("header"));
    }
    if store.block_height(&hash)? != Some(height) {
        return Err(damaged("index"));
    }
    if store.members_at(height)?.as_ref() != Some(members) || store.members_at(height + 1)?.as_ref() != Some(state.members()) {
        return Err(damaged("members"));
    }
    for ((at, transaction), verdict) in (0_u32..).zip(&block.transactions).zip(&applied.verdicts) {
        let found = store.transaction(&transaction.hash())?.ok_or_else(|| damaged("index"))?;
        if (found.0.height, found.0.place) != (height, at) || found.1 != (&verdict.outcome).into() {
            return Err(damaged("index"));
        }
    }
    Ok(())
}
