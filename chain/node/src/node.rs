//! The handle on a running node: submitting, and everything that is read.

use crate::{
    NodeError, Orderer, SoleMember,
    pool::{Pooled, WhenEarly},
    shared::{Archived, Shared},
    store::{ChainStore, Durability, Reads, StoredLeaf},
    writer::{Request, Writer, blocking, committed},
};
use entrepot_chain_ledger::{Block, KnownKeys, Outcome, Submission, Transaction, block::BLOCK_TRANSACTIONS_MAX};
use entrepot_chain_log::{NoteKey, SignedCheckpoint, Tile, TlogProof, consortium::Genesis, merkle};
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp};
use std::{
    path::PathBuf,
    sync::{Arc, PoisonError},
};
use tokio::sync::{mpsc, oneshot, watch};

/// Transactions whose signatures are checked sooner than another thread is woken to check them.
const CHECKED_HERE_MAX: usize = 2;
/// Submissions that wait for the writer.
const QUEUE_MAX: usize = 1024;

/// Where and what a node is.
#[derive(Clone)]
pub struct NodeConfig {
    /// Its folder; made if it is missing.
    pub path: PathBuf,
    /// How the channel begins. Its origin is the log's name.
    pub genesis: Genesis,
    /// Tells the time, for blocks and cosignatures.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

/// The keys of a node. They serve nothing else.
#[derive(Clone, Debug)]
pub struct NodeKeys {
    /// Signs checkpoints as the log. Confers no trust.
    pub log: SigningKey,
    /// Cosigns checkpoints as a validator.
    pub cosigning: SigningKey,
    /// Signs proposals and votes on blocks.
    pub consensus: SigningKey,
    /// Authenticates connections to other members.
    pub transport: SigningKey,
}

impl NodeKeys {
    /// Decides alone, in the channel with this genesis.
    pub fn sole_member(&self, genesis: &Genesis) -> SoleMember {
        SoleMember::new(self.consensus.clone(), genesis.digest())
    }
}

/// Which blocks a full replay went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The first. If it is not 1, older blocks were pruned, and the state before it is the node's own word.
    pub first: u64,
    /// The last; one below the first if there is none.
    pub last: u64,
}

/// Where the chain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeHead {
    /// Height of the last block; 0 before the first.
    pub height: u64,
    /// Its hash.
    pub block: Hash,
    /// Entries of the log.
    pub log_size: u64,
    /// RFC 6962 root of the log.
    pub log_root: Hash,
}

/// What became of a witness's cosignature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CosignatureAnswer {
    /// It is right and durable.
    Kept,
    /// There is no checkpoint of that size.
    NoSuchCheckpoint,
    /// It is not that witness's cosignature of that checkpoint.
    Wrong,
    /// The checkpoint has as many witnesses as a note holds.
    Full,
}

/// A running node. Cheap to clone. Reads go to RocksDB directly and are quick; they show what is durable.
#[derive(Clone)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    follows: watch::Receiver<bool>,
}

impl Node {
    /// Opens a folder, or founds a new channel in it; replays the chain; starts the writer. Must run inside tokio. Refuses a folder of another
    /// channel or other keys, one that another process has open, and one that contradicts itself.
    pub fn open(config: NodeConfig, keys: NodeKeys, mut orderer: impl Orderer) -> Result<Self, NodeError> {
        let (shared, state) = Shared::open(config, keys, orderer.gossips(), Reads::Shared)?;
        let head = committed(&state, false);
        let shared = Arc::new(shared);
        orderer.begin(head, Arc::new(Archived(Arc::downgrade(&shared))))?;
        let follows = orderer.follows();
        tracing::info!(origin = shared.origin(), height = state.height(), log_size = state.log_size(), "the chain is open");
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        Writer::new(shared.clone(), orderer, state, queue).start();
        Ok(Self { shared, requests, follows })
    }

    /// Submits transactions, at most [`BLOCK_TRANSACTIONS_MAX`], in this order; answers once every outcome is durable. What is not in turn
    /// is told at once; that outcome is not final.
    pub async fn submit<T: Into<Transaction>>(&self, transactions: Vec<T>) -> Result<Vec<Outcome>, NodeError> {
        self.submit_with(transactions, WhenEarly::Tell).await
    }

    /// As [`Node::submit`], but what is not in turn waits for what comes before it, which this node may not have heard of yet: for
    /// [`crate::EARLY_PATIENCE`], and no more than [`crate::EARLY_OF_SUBMITTER_MAX`] of one submitter. Then it is told as well. The
    /// only member of a channel has heard of everything, so it tells at once.
    pub async fn submit_in_turn<T: Into<Transaction>>(&self, transactions: Vec<T>) -> Result<Vec<Outcome>, NodeError> {
        self.submit_with(transactions, WhenEarly::Wait).await
    }

    async fn submit_with<T: Into<Transaction>>(&self, transactions: Vec<T>, when_early: WhenEarly) -> Result<Vec<Outcome>, NodeError> {
        if transactions.len() > BLOCK_TRANSACTIONS_MAX {
            return Err(NodeError::TooMany { limit: BLOCK_TRANSACTIONS_MAX });
        }
        if transactions.is_empty() {
            return Ok(Vec::new());
        }
        let transactions: Vec<Transaction> = transactions.into_iter().map(Into::into).collect();
        let is_short = transactions.len() <= CHECKED_HERE_MAX;
        // The place first: what has one is answered even if the node is closed meanwhile.
        let place = self.requests.reserve().await.map_err(|_| self.shared.stopped())?;
        // Needs no turn: it is done while the writer waits for the disk.
        let (genesis, gossips) = (self.genesis_digest(), self.shared.gossips);
        let check = move || {
            let checked = Submission::check(&genesis, transactions).into_iter();
            checked.map(|submission| Pooled::new(submission, gossips)).collect()
        };
        let submissions = if is_short { check() } else { blocking(check).await? };
        let (answer, outcomes) = oneshot::channel();
        place.send(Request::Submit { submissions, when_early, answer });
        outcomes.await.map_err(|_| self.shared.stopped())
    }

    /// Answers what was submitted, then stops the writer. The folder stays open until the last handle is dropped.
    pub async fn close(&self) {
        let (answer, closed) = oneshot::channel();
        if self.requests.send(Request::Close { answer }).await.is_ok() {
            // An error means that the writer is gone already.
            let _gone = closed.await;
        }
    }

    /// Whether its member only follows for the moment, because it cannot know what it signed.
    pub fn follows(&self) -> bool {
        *self.follows.borrow()
    }

    /// Why the node answers no submissions any more; none while it does.
    pub fn failure(&self) -> Option<String> {
        self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replays the chain with every signature, node and checkpoint, from the first block that is kept. Reads all of it; meant for backups and
    /// auditors.
    pub fn verify_all(&self) -> Result<Verified, NodeError> {
        self.shared.verify_all()
    }

    /// Removes all blocks but the newest so many; the lowest height that is kept. Headers, the proofs of who decided, the log and the state
    /// stay, so that every proof can be given as before. A replay begins from the state before the blocks that are kept, which is this
    /// node's own word from now on. Reads what it removes.
    pub fn prune(&self, keep_blocks: u64) -> Result<u64, NodeError> {
        self.shared.prune(keep_blocks)
    }

    pub(crate) fn store(&self) -> &ChainStore {
        &self.shared.store
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        self.shared.origin()
    }

    /// How the channel begins.
    pub fn genesis(&self) -> &Genesis {
        &self.shared.genesis
    }

    /// The channel's identity.
    pub fn genesis_digest(&self) -> Hash {
        self.shared.genesis_digest()
    }

    /// The public half of the log's key.
    pub fn log_vkey(&self) -> &NoteKey {
        self.shared.log.public()
    }

    /// The public half of this validator's cosigning key.
    pub fn validator_vkey(&self) -> &NoteKey {
        self.shared.validator.public()
    }

    /// Where the chain is.
    pub fn head(&self) -> NodeHead {
        let state = self.shared.state();
        NodeHead { height: state.height(), block: state.last_block(), log_size: state.log_size(), log_root: state.log_root() }
    }

    /// The log's size, and every change of it.
    pub fn sizes(&self) -> watch::Receiver<u64> {
        self.shared.sizes.subscribe()
    }

    /// The sequence number that this submitter uses next.
    pub fn next_sequence(&self, submitter: &Did) -> u64 {
        self.shared.state().next_sequence(submitter)
    }

    /// The leaf at a place of the log.
    pub fn leaf(&self, index: u64) -> Result<Option<StoredLeaf>, NodeError> {
        self.shared.store.leaf(index)
    }

    /// The place of a leaf in the log.
    pub fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, NodeError> {
        self.shared.store.index(leaf)
    }

    /// The block of this height.
    pub fn block(&self, height: u64) -> Result<Option<Block>, NodeError> {
        let Some(bytes) = self.shared.store.block(height)? else { return Ok(None) };
        let block = Block::decode(&bytes, &mut KnownKeys::default());
        block.map(Some).map_err(|error| NodeError::damaged(format!("block {height}: {error}")))
    }

    /// RFC 6962 path of an entry in the log of this size; none unless `index < size <=` the log's size.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Option<Vec<Hash>>, NodeError> {
        if index >= size || size > self.head().log_size {
            return Ok(None);
        }
        Ok(Some(merkle::inclusion_proof(&self.shared.store, index, size)?))
    }

    /// RFC 6962 proof that the log of size `to` begins with that of size `from`; none unless `from <= to <=` the log's size.
    pub fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, NodeError> {
        if from > to || to > self.head().log_size {
            return Ok(None);
        }
        Ok(Some(merkle::consistency_proof(&self.shared.store, from, to)?))
    }

    /// A tile of the log, as c2sp.org/tlog-tiles has it; none if the log does not cover it.
    pub fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, NodeError> {
        let store = &self.shared.store;
        Ok(tile.read(self.head().log_size, store, |index| Ok(store.leaf(index)?.map(|stored| stored.leaf)))?)
    }

    /// The newest checkpoint, with its cosignatures so far; none while the log is empty.
    pub fn checkpoint(&self) -> Result<Option<SignedCheckpoint>, NodeError> {
        self.checkpoint_at(self.head().log_size)
    }

    /// The checkpoint of this size, with its cosignatures so far; none if no block ended there.
    pub fn checkpoint_at(&self, size: u64) -> Result<Option<SignedCheckpoint>, NodeError> {
        self.shared.checkpoint_at(size)
    }

    /// C2SP proof of the entry at `index`: under the checkpoint of exactly `size`, or else under the one with the most witnesses among the
    /// newest that cover it. None if there is no such entry or checkpoint.
    pub fn proof(&self, index: u64, size: Option<u64>) -> Result<Option<TlogProof>, NodeError> {
        let log_size = self.head().log_size;
        if index >= log_size {
            return Ok(None);
        }
        let size = size.unwrap_or_else(|| self.shared.best_witnessed(index).unwrap_or(log_size));
        if index >= size {
            return Ok(None);
        }
        let Some(checkpoint) = self.checkpoint_at(size)? else { return Ok(None) };
        let Some(path) = self.inclusion(index, size)? else { return Ok(None) };
        Ok(Some(TlogProof { extra: None, index, path, checkpoint }))
    }

    /// Checks and keeps a witness's cosignature: one signature line of the checkpoint of this size, under a key named by its own DID.
    pub async fn add_cosignature(&self, size: u64, witness: &Did, line: &str) -> Result<CosignatureAnswer, NodeError> {
        let (shared, witness, line) = (self.shared.clone(), witness.clone(), line.to_owned());
        blocking(move || shared.add_cosignature(size, &witness, &line, Durability::Synced)).await?
    }
}
