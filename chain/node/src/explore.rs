//! What explorers read: blocks, transactions, members, certificates. Pages go from the newest to the oldest; the last item of one is the
//! cursor of the next. Everything read is durable.

use crate::{Node, NodeError, store::described};
use entrepot_chain_ledger::{Block, LookupError, Outcome, Right, State, Transaction};
use entrepot_chain_log::{
    consortium::{BlockHeader, CommitCertificate, Members},
    state_tree::{self, StateProof, StateTreeError},
};
use entrepot_chain_statement::{Did, Hash, Timestamp};
use std::sync::Arc;
use tokio::sync::watch;

/// Items of one page.
pub const PAGE_MAX: usize = 1000;

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Of its block.
    pub height: u64,
    /// In its block, from 0.
    pub place: u32,
}

/// What became of a transaction when its block was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionVerdict {
    /// It did what it says.
    Accepted,
    /// Its leaf is in the log.
    Logged {
        /// The leaf's place in the log, from 0.
        index: u64,
    },
    /// It used up its submitter's number and did nothing else.
    Rejected {
        /// The stable code.
        code: String,
        /// The reason in words.
        reason: String,
    },
}

impl From<&Outcome> for TransactionVerdict {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Accepted { index } => Self::Logged { index: *index },
            Outcome::Members(_) | Outcome::Right { .. } => Self::Accepted,
            Outcome::Rejected(why) => Self::Rejected { code: why.code().to_owned(), reason: why.to_string() },
        }
    }
}

/// A transaction that was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedTransaction {
    /// Its identity.
    pub hash: Hash,
    /// Where it is.
    pub place: Place,
    /// What became of it.
    pub verdict: TransactionVerdict,
    /// The transaction itself; none if its block was pruned.
    pub transaction: Option<Transaction>,
}

/// A block without its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    /// The header.
    pub header: BlockHeader,
    /// Its hash: the identity of the block.
    pub hash: Hash,
    /// How many transactions it has.
    pub transactions: u32,
}

/// A block after which other members decide, and the proof of it for whoever knows the members before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersStep {
    /// The header, whose `next_members` is the digest of the members.
    pub header: BlockHeader,
    /// Signed by the members before.
    pub certificate: CommitCertificate,
    /// Who decides from the next block on.
    pub members: Members,
}

/// Proof that a member misbehaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Rises with each piece that was found, from 1.
    pub number: u64,
    /// At which height.
    pub height: u64,
    /// What the orderer makes of it.
    pub bytes: Vec<u8>,
}

/// What the state after a block says about a key, and the proof of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The header of the block, whose `state_root` the proof leads to.
    pub header: BlockHeader,
    /// Leads from the key to the root; shows that there is no entry if there is none.
    pub proof: StateProof,
    /// The value in the tree: the digest of the encoding. None if there is no entry.
    pub value: Option<Hash>,
    /// The entry's encoding. The sequence numbers of submitters are not kept.
    pub encoding: Option<Vec<u8>>,
}

impl Node {
    /// The height of the last block, and every change of it.
    pub fn heights(&self) -> watch::Receiver<u64> {
        self.shared.heights.subscribe()
    }

    /// The lowest height whose block is kept; one above the last if none is.
    pub fn first_height(&self) -> u64 {
        self.shared.first_height()
    }

    /// The block of this height, without its transactions. Pruning leaves it.
    pub fn block_summary(&self, height: u64) -> Result<Option<BlockSummary>, NodeError> {
        let found = self.store().header(height)?;
        Ok(found.map(|(header, transactions)| BlockSummary { hash: header.hash(), header, transactions }))
    }

    /// The height of the block with this hash.
    pub fn block_height(&self, hash: &Hash) -> Result<Option<u64>, NodeError> {
        self.store().block_height(hash)
    }

    /// Blocks below `before`, or the newest; at most [`PAGE_MAX`].
    pub fn blocks(&self, before: Option<u64>, limit: usize) -> Result<Vec<BlockSummary>, NodeError> {
        let end = before.unwrap_or(u64::MAX).min(self.head().height.saturating_add(1));
        let heights = (1..end).rev().take(limit.min(PAGE_MAX));
        heights
            .map(|height| self.block_summary(height)?.ok_or_else(|| NodeError::damaged(format!("the header of block {height}"))))
            .collect()
    }

    /// The first height whose block is not older than this; none if every block is.
    pub fn height_at(&self, time: Timestamp) -> Result<Option<u64>, NodeError> {
        let last = self.head().height;
        let (mut low, mut high) = (1, last.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            let summary = self.block_summary(middle)?.ok_or_else(|| NodeError::damaged(format!("the header of block {middle}")))?;
            if summary.header.time < time { low = middle + 1 } else { high = middle }
        }
        Ok((low <= last).then_some(low))
    }

    /// The transactions of a block, in order; none if there is no such block or it was pruned.
    pub fn block_transactions(&self, height: u64) -> Result<Option<Vec<DecidedTransaction>>, NodeError> {
        let Some(block) = self.block(height)? else { return Ok(None) };
        let found = block.transactions.into_iter().map(|transaction| {
            let hash = transaction.hash();
            let (place, verdict) = self.found(&hash)?;
            Ok(DecidedTransaction { hash, place, verdict, transaction: Some(transaction) })
        });
        found.collect::<Result<_, _>>().map(Some)
    }

    /// The transaction with this hash, once it is decided.
    pub fn transaction(&self, hash: &Hash) -> Result<Option<DecidedTransaction>, NodeError> {
        let Some((place, verdict)) = self.store().transaction(hash)? else { return Ok(None) };
        let transaction = self.block(place.height)?.and_then(|block| at(&block, place).cloned());
        Ok(Some(DecidedTransaction { hash: *hash, place, verdict, transaction }))
    }

    /// Transactions that this key submitted, or that bind or concern it, before a place, newest first; at most [`PAGE_MAX`]. Those of
    /// pruned blocks are left out.
    pub fn transactions_of(&self, subject: &Did, before: Option<Place>, limit: usize) -> Result<Vec<DecidedTransaction>, NodeError> {
        let before = before.unwrap_or(Place { height: u64::MAX, place: u32::MAX });
        let mut found = Vec::new();
        let mut block: Option<Block> = None;
        for place in self.store().places_of(subject, before, limit.min(PAGE_MAX))? {
            if block.as_ref().is_none_or(|block| block.header.height != place.height) {
                block = self.block(place.height)?;
            }
            let Some(block) = &block else { break };
            let Some(transaction) = at(block, place).cloned() else {
                return Err(NodeError::damaged(format!("the index of {subject}")));
            };
            let hash = transaction.hash();
            let (place, verdict) = self.found(&hash)?;
            found.push(DecidedTransaction { hash, place, verdict, transaction: Some(transaction) });
        }
        Ok(found)
    }

    /// Where the transaction with this hash is and what became of it, once it is decided. Pruning leaves it.
    pub fn verdict(&self, hash: &Hash) -> Result<Option<(Place, TransactionVerdict)>, NodeError> {
        self.store().transaction(hash)
    }

    fn found(&self, hash: &Hash) -> Result<(Place, TransactionVerdict), NodeError> {
        self.verdict(hash)?.ok_or_else(|| NodeError::damaged(format!("the index of transaction {hash}")))
    }

    /// Who decides on the next block.
    pub fn members(&self) -> Members {
        self.shared.state().members().clone()
    }

    /// Who decided, or decides, on the block of this height; none for a height above the next.
    pub fn members_at(&self, height: u64) -> Result<Option<Members>, NodeError> {
        if height > self.head().height.saturating_add(1) { Ok(None) } else { self.store().members_at(height) }
    }

    /// The blocks above this height after which other members decide, oldest first; at most [`PAGE_MAX`]. Pruning leaves them.
    pub fn members_steps(&self, after: u64, limit: usize) -> Result<Vec<MembersStep>, NodeError> {
        let changes = self.store().members_changes(after, limit.min(PAGE_MAX))?;
        let step = |(height, members)| {
            let damaged = || NodeError::damaged(format!("the header and certificate of block {height}"));
            let (header, _) = self.store().header(height)?.ok_or_else(damaged)?;
            Ok(MembersStep { header, certificate: self.store().certificate(height)?.ok_or_else(damaged)?, members })
        };
        changes.into_iter().map(step).collect()
    }

    /// Who signed that the block of this height is decided; none if there is no such block, or it was pruned and changed no members.
    pub fn certificate(&self, height: u64) -> Result<Option<CommitCertificate>, NodeError> {
        self.store().certificate(height)
    }

    /// The state after the last block.
    pub fn state(&self) -> Arc<State> {
        self.shared.state()
    }

    /// What the state after the block of this height says about a key, as in [`entrepot_chain_ledger::state::entries`]; none if there is no such
    /// block. Pruning leaves it.
    pub fn state_entry(&self, height: u64, key: &Hash) -> Result<Option<StateEntry>, NodeError> {
        let store = self.store();
        let Some((header, _)) = store.header(height)? else { return Ok(None) };
        let damaged = |error: StateTreeError<LookupError>| NodeError::damaged(described(&error));
        let proof = state_tree::prove(&header.state_root, key, store).map_err(damaged)?;
        let value = state_tree::value(&header.state_root, key, store).map_err(damaged)?;
        let encoding = value.map(|value| store.entry_of_state(&value)).transpose()?.flatten();
        Ok(Some(StateEntry { header, proof, value, encoding }))
    }

    /// A right as it was after the block of this height; none if there was no such right, or there is no such block.
    pub fn right_at(&self, height: u64, right: &Hash) -> Result<Option<Right>, NodeError> {
        let Some((header, _)) = self.store().header(height)? else { return Ok(None) };
        entrepot_chain_ledger::state::entries::right(&header.state_root, self.store(), right)
            .map_err(|error| NodeError::damaged(described(&error)))
    }

    /// Everything that proves that a member misbehaved, as it was found.
    pub fn evidence(&self) -> Result<Vec<Evidence>, NodeError> {
        self.store().evidence()
    }
}

fn at(block: &Block, place: Place) -> Option<&Transaction> {
    block.transactions.get(usize::try_from(place.place).ok()?)
}
