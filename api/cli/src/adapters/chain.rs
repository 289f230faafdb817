//! The chain and its log as strangers read them over REST: those of this process's node.

mod decisions;
mod record;
mod search;

pub use decisions::decisions;

use async_trait::async_trait;
use entrepot_api_server::{
    chain::{
        BlockName, BlockRecord, ChainError, ChainReader, Connection, EvidenceRecord, Head, Health, MembersAt, MembersEpoch, Part,
        PeerHealth, StateEntry, SubmitError, Submitted, TransactionPosition, TransactionRecord, TransactionSearch, TransactionStatus,
    },
    log::LogReader,
};
use entrepot_chain_ledger::{KnownKeys, Outcome, Rejection, Transaction};
use entrepot_chain_log::{CommitCertificate, Genesis, Member, Tile};
use entrepot_chain_node::{BlockSummary, Node, NodeError};
use entrepot_chain_statement::{Did, Hash, Timestamp};
use entrepot_exchange_market::NotaryError;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// Transactions handed in over REST that wait for their blocks, with or without somebody who waits for the answer.
const WAITING_MAX: usize = 1024;

/// Whose transactions are taken besides those of the members' organisations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// Everybody's leaves and rights. Each new submitter costs the ledger a place for ever.
    Taken,
    /// Nobody's: whoever is no member goes through one, which submits under its own name what others have signed.
    Refused,
}

/// Tells the transport keys of the members to whose nodes there is a connection.
pub type Connected = Arc<dyn Fn() -> BTreeSet<Did> + Send + Sync>;

/// This node, read and submitted to. Cheap to clone.
#[derive(Clone)]
pub struct NodeChain {
    node: Node,
    connected: Connected,
    strangers: Strangers,
    waiting: Arc<Mutex<HashMap<Hash, TransactionRecord>>>,
    places: Arc<Semaphore>,
}

impl NodeChain {
    /// On this node.
    pub fn new(node: Node, connected: Connected, strangers: Strangers) -> Self {
        Self { node, connected, strangers, waiting: Arc::default(), places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// On another channel's node. What waits is counted over both.
    pub fn beside(&self, node: Node) -> Self {
        Self { node, waiting: Arc::default(), ..self.clone() }
    }

    /// Reads more than a key or two, aside of the tasks.
    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Node) -> Result<T, ChainError> + Send + 'static) -> Result<T, ChainError> {
        let node = self.node.clone();
        tokio::task::spawn_blocking(move || read(&node)).await.map_err(unavailable)?
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Hash, TransactionRecord>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a member does only a member hands in, in any case: the ledger would refuse it of others, and remember them for ever.
    fn admits(&self, transaction: &Transaction) -> bool {
        let is_open = self.strangers == Strangers::Taken && !matches!(transaction, Transaction::Members(_));
        is_open || self.node.members().by_did(transaction.submitter()).is_some()
    }

    /// Hands it to the node; the answer comes whether or not somebody waits for it.
    fn hand_in(&self, transaction: Transaction, record: TransactionRecord) -> Result<Answer, SubmitError> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| SubmitError::Full)?;
        let (chain, hash) = (self.clone(), record.hash);
        self.waiting().insert(hash, record);
        Ok(tokio::spawn(async move {
            let outcomes = chain.node.submit_in_turn(vec![transaction]).await;
            // What was decided is durable by now, so that nobody finds it in neither place.
            chain.waiting().remove(&hash);
            drop(place);
            Ok(outcomes?.pop())
        }))
    }

    /// The other members, as this node sees them.
    fn peers(&self, own: Option<&Did>) -> Vec<PeerHealth> {
        let connected = (self.connected)();
        let health = |member: &Member| PeerHealth {
            member: member.did.clone(),
            name: member.name.clone(),
            connection: if connected.contains(&member.keys.transport) { Connection::Open } else { Connection::None },
            height: None,
        };
        self.node.members().as_slice().iter().filter(|member| Some(&member.did) != own).map(health).collect()
    }
}

type Answer = tokio::task::JoinHandle<Result<Option<Outcome>, NodeError>>;

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> ChainError {
    ChainError::Unavailable(Box::new(error))
}

fn block_record(summary: BlockSummary) -> BlockRecord {
    BlockRecord { header: summary.header, transactions: summary.transactions }
}

fn pruned(node: &Node) -> ChainError {
    ChainError::Pruned { first_height: node.first_height() }
}

#[async_trait]
impl ChainReader for NodeChain {
    async fn genesis(&self) -> Result<Genesis, ChainError> {
        Ok(self.node.genesis().clone())
    }

    async fn head(&self) -> Result<Head, ChainError> {
        let last = self.node.block_summary(self.node.head().height).map_err(unavailable)?.map(block_record);
        let origin = self.node.origin().to_owned();
        Ok(Head { origin, genesis: self.node.genesis_digest(), last, first_height: self.node.first_height() })
    }

    fn heights(&self) -> watch::Receiver<u64> {
        self.node.heights()
    }

    async fn block(&self, name: BlockName) -> Result<Option<BlockRecord>, ChainError> {
        let height = match name {
            BlockName::Height(height) => Some(height),
            BlockName::Hash(hash) => self.node.block_height(&hash).map_err(unavailable)?,
        };
        let found = height.map(|height| self.node.block_summary(height)).transpose().map_err(unavailable)?;
        Ok(found.flatten().map(block_record))
    }

    async fn blocks(&self, before: Option<u64>, limit: u32) -> Result<Part<BlockRecord, u64>, ChainError> {
        let found = move |node: &Node| node.blocks(before, limit as usize + 1).map_err(unavailable);
        let blocks = self.read(found).await?.into_iter().map(block_record).collect();
        Ok(Part::cut(blocks, limit, |block: &BlockRecord| block.header.height))
    }

    async fn first_block_since(&self, time: Timestamp) -> Result<Option<u64>, ChainError> {
        self.read(move |node| node.height_at(time).map_err(unavailable)).await
    }

    async fn certificate(&self, height: u64) -> Result<Option<CommitCertificate>, ChainError> {
        match self.node.certificate(height).map_err(unavailable)? {
            None if (1..=self.node.head().height).contains(&height) => Err(pruned(&self.node)),
            found => Ok(found),
        }
    }

    async fn transactions_of(&self, height: u64, from: u32, limit: u32) -> Result<Part<TransactionRecord, u32>, ChainError> {
        self.read(move |node| search::of_block(node, height, from, limit)).await
    }

    async fn transaction(&self, hash: &Hash) -> Result<Option<TransactionRecord>, ChainError> {
        // First what waits: it is removed only once it is in a block.
        let (hash, waiting) = (*hash, self.waiting().get(hash).cloned());
        Ok(self.read(move |node| search::by_hash(node, &hash)).await?.or(waiting))
    }

    async fn transactions(
        &self,
        search: &TransactionSearch,
        before: Option<TransactionPosition>,
        limit: u32,
    ) -> Result<Part<TransactionRecord, TransactionPosition>, ChainError> {
        let search = search.clone();
        self.read(move |node| search::find(node, &search, before, limit)).await
    }

    async fn members(&self, height: Option<u64>) -> Result<Option<MembersAt>, ChainError> {
        let state = self.node.state();
        let height = height.unwrap_or(state.height() + 1);
        let members = match state.members_at(height) {
            Some(members) => Some(members.clone()),
            None => self.node.members_at(height).map_err(unavailable)?,
        };
        Ok(members.map(|members| MembersAt { height, members }))
    }

    async fn members_history(&self, after: Option<u64>, limit: u32) -> Result<Part<MembersEpoch, u64>, ChainError> {
        self.read(move |node| members_history(node, after.unwrap_or(0), limit)).await
    }

    async fn state(&self, key: &Hash, height: Option<u64>) -> Result<Option<StateEntry>, ChainError> {
        let key = *key;
        self.read(move |node| state_entry(node, &key, height.unwrap_or(node.head().height))).await
    }

    async fn evidence(&self, before: Option<u64>, limit: u32) -> Result<Part<EvidenceRecord, u64>, ChainError> {
        let found = self.read(|node| node.evidence().map_err(unavailable)).await?;
        let newest = found.into_iter().rev().filter(|piece| before.is_none_or(|before| piece.number < before));
        let records = newest.map(|piece| EvidenceRecord { number: piece.number, height: piece.height, evidence: piece.bytes });
        Ok(Part::cut(records.take(limit as usize + 1).collect(), limit, |record: &EvidenceRecord| record.number))
    }

    async fn health(&self) -> Result<Health, ChainError> {
        let (members, cosigner) = (self.node.members(), self.node.validator_vkey().key().clone());
        let own = members.as_slice().iter().find(|member| member.keys.cosigning == cosigner).map(|member| member.did.clone());
        let peers = self.peers(own.as_ref());
        Ok(Health { height: self.node.head().height, member: own, following: self.node.follows(), failure: self.node.failure(), peers })
    }

    async fn submit(&self, encoded: Vec<u8>, wait: Duration) -> Result<Submitted, SubmitError> {
        let malformed = |why: entrepot_chain_ledger::DecodeError| SubmitError::Malformed { why: why.to_string() };
        let transaction = Transaction::decode(&encoded, &mut KnownKeys::default()).map_err(malformed)?;
        if !self.admits(&transaction) {
            return Err(SubmitError::Stranger);
        }
        let failed = |error: ChainError| SubmitError::Unavailable(Box::new(error));
        let (hash, asked) = (transaction.hash(), transaction.clone());
        let known =
            self.read(move |node| record::status(node, &hash)?.map_or_else(|| record::waiting(node, asked).map(Err), |s| Ok(Ok(s))));
        let record = match known.await.map_err(failed)? {
            Ok(status) => return Ok(Submitted { hash, status }),
            Err(record) => record,
        };
        let answer = self.hand_in(transaction, record)?;
        let Ok(answer) = tokio::time::timeout(wait, answer).await else {
            return Ok(Submitted { hash, status: TransactionStatus::Pending });
        };
        let outcome = answer.map_err(unavailable).and_then(|outcome| outcome.map_err(unavailable)).map_err(failed)?;
        let decided = self.read(move |node| record::status(node, &hash)).await.map_err(failed)?;
        if let (None, Some(Outcome::Rejected(Rejection::SequenceGap { expected }))) = (&decided, &outcome) {
            return Err(SubmitError::Early { expected: *expected });
        }
        // No block has what changes nothing.
        let answered =
            || outcome.as_ref().map_or(TransactionStatus::Pending, |outcome| TransactionStatus::Answered(record::verdict(outcome.into())));
        Ok(Submitted { hash, status: decided.unwrap_or_else(answered) })
    }
}

/// The genesis' members, then every change of them.
fn members_history(node: &Node, after: u64, limit: u32) -> Result<Part<MembersEpoch, u64>, ChainError> {
    let mut epochs = Vec::new();
    if after == 0 {
        let members = node.genesis().members().map_err(unavailable)?;
        epochs.push(MembersEpoch { from_height: 1, members, proof: None });
    }
    // A step's block is the last that the members before decide on.
    let steps = node.members_steps(after.saturating_sub(1), limit as usize + 1).map_err(unavailable)?;
    let epoch = |step: entrepot_chain_node::MembersStep| MembersEpoch {
        from_height: step.header.height + 1,
        members: step.members,
        proof: Some((step.header, step.certificate)),
    };
    epochs.extend(steps.into_iter().map(epoch).filter(|epoch| epoch.from_height > after));
    Ok(Part::cut(epochs, limit, |epoch| epoch.from_height))
}

fn state_entry(node: &Node, key: &Hash, height: u64) -> Result<Option<StateEntry>, ChainError> {
    let Some(entry) = node.state_entry(height, key).map_err(unavailable)? else { return Ok(None) };
    let certificate = node.certificate(height).map_err(unavailable)?.ok_or_else(|| pruned(node))?;
    if entry.value.is_some() && entry.encoding.is_none() {
        return Err(ChainError::NotKept);
    }
    Ok(Some(StateEntry { value: entry.encoding, proof: entry.proof.encode(), header: entry.header, certificate }))
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> NotaryError {
    NotaryError(Box::new(error))
}

#[async_trait]
impl LogReader for NodeChain {
    async fn checkpoint(&self, size: Option<u64>) -> Result<Option<String>, NotaryError> {
        let found = match size {
            Some(size) => self.node.checkpoint_at(size),
            None => self.node.checkpoint(),
        };
        Ok(found.map_err(failed)?.map(|checkpoint| checkpoint.to_string()))
    }

    async fn proof(&self, leaf: &Hash) -> Result<Option<String>, NotaryError> {
        match self.node.index_of(leaf).map_err(failed)? {
            Some(index) => self.proof_at(index, None).await,
            None => Ok(None),
        }
    }

    async fn proof_at(&self, index: u64, size: Option<u64>) -> Result<Option<String>, NotaryError> {
        Ok(self.node.proof(index, size).map_err(failed)?.map(|proof| proof.to_string()))
    }

    async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, NotaryError> {
        self.node.consistency(from, to).map_err(failed)
    }

    async fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, NotaryError> {
        self.node.tile(tile).map_err(failed)
    }
}

#[cfg(test)]
mod tests;
