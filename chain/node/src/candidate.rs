//! Blocks for the next height, drafted or checked, which need not be applied again when they are decided.

use crate::{
    NodeError,
    store::{BlockRecord, ChainStore, described},
};
use entrepot_chain_ledger::{Applied, Block, Draft, KnownKeys, Outcome, State, Submission, Transaction};
use entrepot_chain_statement::{Hash, Timestamp};
use std::sync::{Mutex, PoisonError};

/// A block that may be next.
pub(crate) struct Candidate {
    pub record: BlockRecord,
    /// What our own block leaves out because it has no effect after it.
    pub left_out: Vec<(Hash, Outcome)>,
    /// It was drafted here.
    pub is_ours: bool,
}

impl Candidate {
    /// Somebody else's.
    pub fn of_another(record: BlockRecord) -> Self {
        Self { record, left_out: Vec::new(), is_ours: false }
    }

    /// Makes the next block of these transactions; an empty one if none has an effect.
    pub fn draft(
        store: &ChainStore,
        state: &State,
        time: Timestamp,
        hashes: Vec<Hash>,
        submissions: Vec<Submission>,
    ) -> Result<Self, NodeError> {
        let Draft { block, applied } = state.draft(store, time, submissions).map_err(|error| NodeError::damaged(described(&error)))?;
        let (inside, outside): (Vec<_>, Vec<_>) = hashes.into_iter().zip(applied.verdicts).partition(|(_, verdict)| verdict.changes_state);
        let left_out = outside.into_iter().map(|(hash, verdict)| (hash, verdict.outcome)).collect();
        let (transactions, verdicts) = inside.into_iter().unzip();
        let (block, applied) = match block {
            Some(block) => (block, Applied { verdicts, ..applied }),
            None => empty(store, state, time)?,
        };
        let bytes = block.encode();
        Ok(Self { record: BlockRecord::new(block, bytes, transactions, applied), left_out, is_ours: true })
    }

    /// Applies another's block by making it again from its transactions and its time: only the very same block is right. So the signatures
    /// of transactions that waited here, `checked`, are not checked again.
    pub fn check(
        store: &ChainStore,
        state: &State,
        block: Block,
        bytes: Vec<u8>,
        hashes: Vec<Hash>,
        checked: Vec<Option<Submission>>,
    ) -> Result<Option<Self>, NodeError> {
        let unknown = block.transactions.iter().zip(&checked).filter(|(_, checked)| checked.is_none());
        let unknown = unknown.map(|(transaction, _)| transaction.clone()).collect();
        let mut newly = Submission::check(&state.genesis_digest(), unknown).into_iter();
        let submissions: Vec<_> = checked.into_iter().filter_map(|checked| checked.or_else(|| newly.next())).collect();
        let time = block.header.time;
        let (again, applied) = if submissions.is_empty() {
            let (block, applied) = empty(store, state, time)?;
            (Some(block), applied)
        } else {
            let draft = state.draft(store, time, submissions).map_err(|error| NodeError::damaged(described(&error)))?;
            (draft.block, draft.applied)
        };
        if again.as_ref() != Some(&block) {
            return Ok(None);
        }
        Ok(Some(Self::of_another(BlockRecord::new(block, bytes, hashes, applied))))
    }
}

fn empty(store: &ChainStore, state: &State, time: Timestamp) -> Result<(Block, Applied), NodeError> {
    let Draft { block, applied } = state.draft_empty(store, time).map_err(|error| NodeError::damaged(described(&error)))?;
    let block = block.ok_or_else(|| NodeError::damaged("the ledger made no empty block"))?;
    Ok((block, applied))
}

/// A block and the hashes of its transactions; none if these bytes are not exactly one.
pub(crate) fn decode(known_keys: &Mutex<KnownKeys>, bytes: &[u8]) -> Option<(Block, Vec<Hash>)> {
    let block = Block::decode(bytes, &mut known_keys.lock().unwrap_or_else(PoisonError::into_inner)).ok()?;
    let hashes = block.transactions.iter().map(Transaction::hash).collect();
    Some((block, hashes))
}
