//! The handle on a running node: submitting, and everything that is read.

use crate::{
    NodeError, Orderer,
    replay::{Depth, replay},
    store::{ChainStore, Identity, StoredLeaf},
    writer::{Request, Writer, blocking},
};
use entrepot_chain_ledger::{Block, KnownKeys, LeafTransaction, Outcome, State, Submission, block::BLOCK_TRANSACTIONS_MAX};
use entrepot_chain_log::{Checkpoint, NoteKey, NoteSignature, NoteSigner, SignedCheckpoint, Tile, TlogProof, cosignature_vkey, merkle};
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tokio::sync::{mpsc, oneshot, watch};

/// Submissions that wait for the writer.
const QUEUE_MAX: usize = 1024;
/// Checkpoints whose cosignatures are counted in memory.
const WITNESSED_MAX: usize = 4096;
/// Checkpoints among which a proof looks for the one with the most witnesses.
const CANDIDATES_MAX: usize = 64;
/// Witnesses of one checkpoint; with log and validators they must fit into a note.
const WITNESSES_MAX: usize = 100;

/// Where and what a node is.
#[derive(Clone)]
pub struct NodeConfig {
    /// Its folder; made if it is missing.
    pub path: PathBuf,
    /// The log's name, as in `entrepot/main`.
    pub origin: String,
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
}

/// What handle and writer share.
pub(crate) struct Shared {
    pub store: ChainStore,
    pub origin: String,
    pub log: NoteSigner,
    pub validator: NoteSigner,
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub state: RwLock<Arc<State>>,
    pub sizes: watch::Sender<u64>,
    /// Why the writer stopped.
    pub stopped: Mutex<Option<String>>,
    witnessed: Mutex<BTreeMap<u64, u32>>,
}

impl Shared {
    pub fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Signs the checkpoint of a state as log and validator.
    pub fn sign_checkpoint(&self, state: &State, at: Timestamp) -> Result<SignedCheckpoint, NodeError> {
        let unsigned = Checkpoint { origin: self.origin.clone(), size: state.log_size(), root: state.log_root() };
        let refused = |error| NodeError::damaged(format!("its checkpoint cannot be signed: {error}"));
        let mut signed = unsigned.sign(&self.log).map_err(refused)?;
        let line = signed.cosign(&self.validator, u64::try_from(at.0 / 1000).unwrap_or(0));
        signed.add_cosignature(self.validator.public(), line).map_err(refused)?;
        Ok(signed)
    }

    fn stopped(&self) -> NodeError {
        let why = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        NodeError::Stopped { why: why.unwrap_or_else(|| "it was closed".to_owned()) }
    }
}

impl Node {
    /// Opens a folder, or founds a new log in it; replays the chain; starts the writer. Must run inside tokio. Refuses a folder of another
    /// origin or other keys, one that another process has open, and one that contradicts itself.
    pub fn open(config: NodeConfig, keys: NodeKeys, orderer: impl Orderer) -> Result<Self, NodeError> {
        let name = |_| NodeError::Name(config.origin.clone());
        let log = NoteSigner::log(&config.origin, keys.log).map_err(name)?;
        let validator = keys.cosigning.did();
        let validator = NoteSigner::cosigner(validator.as_str(), keys.cosigning).map_err(name)?;
        let store = ChainStore::open(&config.path)?;
        let identity =
            Identity { origin: config.origin.clone(), log_vkey: log.public().to_string(), validator_vkey: validator.public().to_string() };
        match store.identity()? {
            None => store.found(&identity, &State::genesis(&config.origin))?,
            Some(found) => check_identity(&identity, &found)?,
        }
        let state = Arc::new(replay(&store, &config.origin, Depth::Structure)?);
        let witnessed = store.witnessed(WITNESSED_MAX)?.into_iter().collect();
        tracing::info!(origin = config.origin, height = state.height(), log_size = state.log_size(), "the chain is open");
        let shared = Arc::new(Shared {
            store,
            origin: config.origin,
            log,
            validator,
            clock: config.clock,
            sizes: watch::Sender::new(state.log_size()),
            state: RwLock::new(state.clone()),
            stopped: Mutex::default(),
            witnessed: Mutex::new(witnessed),
        });
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(Writer::new(shared.clone(), orderer, state, queue).run());
        Ok(Self { shared, requests })
    }

    /// Submits transactions, at most [`BLOCK_TRANSACTIONS_MAX`], in this order; answers once every outcome is durable.
    pub async fn submit(&self, transactions: Vec<LeafTransaction>) -> Result<Vec<Outcome>, NodeError> {
        if transactions.len() > BLOCK_TRANSACTIONS_MAX {
            return Err(NodeError::TooMany { limit: BLOCK_TRANSACTIONS_MAX });
        }
        if transactions.is_empty() {
            return Ok(Vec::new());
        }
        // The place first: what has one is answered even if the node is closed meanwhile.
        let place = self.requests.reserve().await.map_err(|_| self.shared.stopped())?;
        // Needs no turn: it is done while the writer waits for the disk.
        let origin = self.shared.origin.clone();
        let submissions = blocking(move || Submission::check(&origin, transactions)).await?;
        let (answer, outcomes) = oneshot::channel();
        place.send(Request::Submit { submissions, answer });
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

    /// Why the node answers no submissions any more; none while it does.
    pub fn failure(&self) -> Option<String> {
        self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replays the chain with every signature, node and checkpoint. Reads all of it; meant for backups and auditors.
    pub fn verify_all(&self) -> Result<(), NodeError> {
        replay(&self.shared.store, &self.shared.origin, Depth::Everything { log: self.log_vkey() }).map(drop)
    }

    pub(crate) fn store(&self) -> &ChainStore {
        &self.shared.store
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.shared.origin
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
        let Some(mut note) = self.shared.store.checkpoint(size)? else { return Ok(None) };
        for line in self.shared.store.cosignatures(size)? {
            note.push_str(&line);
            note.push('\n');
        }
        note.parse().map(Some).map_err(|error| NodeError::damaged(format!("checkpoint {size}: {error}")))
    }

    /// C2SP proof of the entry at `index`: under the checkpoint of exactly `size`, or else under the one with the most witnesses among the
    /// newest that cover it. None if there is no such entry or checkpoint.
    pub fn proof(&self, index: u64, size: Option<u64>) -> Result<Option<TlogProof>, NodeError> {
        let log_size = self.head().log_size;
        if index >= log_size {
            return Ok(None);
        }
        let size = size.unwrap_or_else(|| self.best_witnessed(index).unwrap_or(log_size));
        if index >= size {
            return Ok(None);
        }
        let Some(checkpoint) = self.checkpoint_at(size)? else { return Ok(None) };
        let Some(path) = self.inclusion(index, size)? else { return Ok(None) };
        Ok(Some(TlogProof { extra: None, index, path, checkpoint }))
    }

    fn best_witnessed(&self, index: u64) -> Option<u64> {
        let witnessed = self.shared.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = witnessed.range(index.saturating_add(1)..).rev().take(CANDIDATES_MAX);
        newest.max_by_key(|(size, count)| (**count, **size)).map(|(size, _)| *size)
    }

    /// Checks and keeps a witness's cosignature: one signature line of the checkpoint of this size, under a key named by its own DID.
    pub async fn add_cosignature(&self, size: u64, witness: &Did, line: &str) -> Result<CosignatureAnswer, NodeError> {
        let Some(mut checkpoint) = self.checkpoint_at(size)? else { return Ok(CosignatureAnswer::NoSuchCheckpoint) };
        let key = cosignature_vkey(witness);
        let Ok(signature) = line.parse::<NoteSignature>() else { return Ok(CosignatureAnswer::Wrong) };
        let line = signature.to_string();
        let before = checkpoint.note().signatures().len();
        if before >= WITNESSES_MAX && !checkpoint.note().signatures().iter().any(|present| key.claims(present)) {
            return Ok(CosignatureAnswer::Full);
        }
        if checkpoint.add_cosignature(&key, signature).is_err() {
            return Ok(CosignatureAnswer::Wrong);
        }
        let (shared, name) = (self.shared.clone(), key.name().to_owned());
        let written = tokio::task::spawn_blocking(move || shared.store.add_cosignature(size, &name, &line)).await;
        written.map_err(|_| NodeError::damaged("writing a cosignature panicked"))??;
        if checkpoint.note().signatures().len() > before {
            let mut witnessed = self.shared.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
            *witnessed.entry(size).or_default() += 1;
            while witnessed.len() > WITNESSED_MAX {
                witnessed.pop_first();
            }
        }
        Ok(CosignatureAnswer::Kept)
    }
}

fn check_identity(expected: &Identity, found: &Identity) -> Result<(), NodeError> {
    if expected.origin != found.origin {
        return Err(NodeError::Origin { expected: expected.origin.clone(), found: found.origin.clone() });
    }
    let keys = [("log key", &expected.log_vkey, &found.log_vkey), ("validator key", &expected.validator_vkey, &found.validator_vkey)];
    for (role, expected, found) in keys {
        if expected != found {
            return Err(NodeError::Key { role, expected: expected.clone(), found: found.clone() });
        }
    }
    Ok(())
}
