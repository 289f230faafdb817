//! What the handles on a node and its writer share.

use crate::{
    Archive, ArchiveError, CosignatureAnswer, NodeConfig, NodeError, NodeKeys, Verified,
    replay::{Depth, replay},
    store::{ChainStore, Durability, Identity, Reads},
};
use entrepot_chain_ledger::{KnownKeys, State};
use entrepot_chain_log::{
    Checkpoint, NoteKey, NoteSignature, NoteSigner, SignedCheckpoint,
    consortium::{CommitCertificate, Genesis},
    cosignature_vkey,
};
use entrepot_chain_statement::{Did, Hash, Timestamp};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// Checkpoints whose cosignatures are counted in memory.
const WITNESSED_MAX: usize = 4096;
/// Checkpoints among which a proof looks for the one with the most witnesses.
const CANDIDATES_MAX: usize = 64;
/// Witnesses of one checkpoint; with log and validators they must fit into a note.
const WITNESSES_MAX: usize = 100;

/// An open folder.
pub(crate) struct Shared {
    pub store: ChainStore,
    pub genesis: Genesis,
    pub log: NoteSigner,
    pub validator: NoteSigner,
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The orderer tells other members what is submitted here.
    pub gossips: bool,
    pub sizes: watch::Sender<u64>,
    pub heights: watch::Sender<u64>,
    pub known_keys: Arc<Mutex<KnownKeys>>,
    /// Why the writer stopped.
    pub stopped: Mutex<Option<String>>,
    state: RwLock<Arc<State>>,
    first_height: AtomicU64,
    witnessed: Mutex<BTreeMap<u64, u32>>,
    /// One prunes, or reads everything, at a time.
    whole: Mutex<()>,
}

impl Shared {
    /// Opens a folder, or founds a new channel in it, and replays the chain.
    pub fn open(config: NodeConfig, keys: NodeKeys, gossips: bool, reads: Reads) -> Result<(Self, Arc<State>), NodeError> {
        let NodeConfig { path, genesis, clock } = config;
        let name = |_| NodeError::Name(genesis.origin.clone());
        let log = NoteSigner::log(&genesis.origin, keys.log).map_err(name)?;
        let validator = keys.cosigning.did();
        let validator = NoteSigner::cosigner(validator.as_str(), keys.cosigning).map_err(name)?;
        let beginning = genesis_state(&genesis)?;
        let store = ChainStore::open(&path, reads)?;
        let identity = Identity {
            origin: genesis.origin.clone(),
            genesis: genesis.digest(),
            log_vkey: log.public().to_string(),
            validator_vkey: validator.public().to_string(),
        };
        let found = store.identity()?;
        match &found {
            None => store.found(&identity, &beginning)?,
            Some(found) => check_identity(&identity, found)?,
        }
        let base = store.base()?.unwrap_or(beginning);
        let first_height = base.height() + 1;
        let state = Arc::new(replay(&store, base, Depth::Structure)?);
        if let Some(found) = &found {
            check_validator(&identity, found, validator.public(), &state)?;
        }
        let witnessed = store.witnessed(WITNESSED_MAX)?.into_iter().collect();
        let shared = Self {
            store,
            genesis,
            log,
            validator,
            clock,
            gossips,
            sizes: watch::Sender::new(state.log_size()),
            heights: watch::Sender::new(state.height()),
            known_keys: Arc::default(),
            stopped: Mutex::default(),
            state: RwLock::new(state.clone()),
            first_height: AtomicU64::new(first_height),
            witnessed: Mutex::new(witnessed),
            whole: Mutex::default(),
        };
        Ok((shared, state))
    }

    pub fn origin(&self) -> &str {
        &self.genesis.origin
    }

    pub fn genesis_digest(&self) -> Hash {
        self.state().genesis_digest()
    }

    pub fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows a new durable state.
    pub fn follow(&self, state: &Arc<State>) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state.clone();
        self.heights.send_replace(state.height());
        self.sizes.send_if_modified(|size| std::mem::replace(size, state.log_size()) != state.log_size());
    }

    /// The lowest height whose block is kept.
    pub fn first_height(&self) -> u64 {
        self.first_height.load(Ordering::Relaxed)
    }

    /// Signs the checkpoint of a state as log and validator; the validator's line besides.
    pub fn sign_checkpoint(&self, state: &State, at: Timestamp) -> Result<(SignedCheckpoint, NoteSignature), NodeError> {
        let unsigned = Checkpoint { origin: self.origin().to_owned(), size: state.log_size(), root: state.log_root() };
        let refused = |error| NodeError::damaged(format!("its checkpoint cannot be signed: {error}"));
        let mut signed = unsigned.sign(&self.log).map_err(refused)?;
        let line = signed.add_own_cosignature(&self.validator, u64::try_from(at.0 / 1000).unwrap_or(0)).map_err(refused)?;
        Ok((signed, line))
    }

    pub fn stopped(&self) -> NodeError {
        let why = self.stopped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        NodeError::Stopped { why: why.unwrap_or_else(|| "it was closed".to_owned()) }
    }

    /// The state from which the kept blocks lead on.
    fn base(&self) -> Result<State, NodeError> {
        match self.store.base()? {
            Some(base) => Ok(base),
            None => genesis_state(&self.genesis),
        }
    }

    pub fn verify_all(&self) -> Result<Verified, NodeError> {
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let base = self.base()?;
        let first = base.height() + 1;
        let last = replay(&self.store, base, Depth::Everything { log: self.log.public() })?.height();
        Ok(Verified { first, last })
    }

    pub fn prune(&self, keep_blocks: u64) -> Result<u64, NodeError> {
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let base = self.base()?;
        let (from, until) = (base.height() + 1, self.state().height().saturating_sub(keep_blocks));
        if until < from {
            return Ok(from);
        }
        let base = replay(&self.store, base, Depth::Until(until))?;
        self.store.prune(from, &base)?;
        self.first_height.store(until + 1, Ordering::Relaxed);
        Ok(until + 1)
    }

    pub fn checkpoint_at(&self, size: u64) -> Result<Option<SignedCheckpoint>, NodeError> {
        let Some(mut note) = self.store.checkpoint(size)? else { return Ok(None) };
        for line in self.store.cosignatures(size)? {
            note.push_str(&line);
            note.push('\n');
        }
        note.parse().map(Some).map_err(|error| NodeError::damaged(format!("checkpoint {size}: {error}")))
    }

    /// The size of the checkpoint with the most cosignatures among the newest that cover an entry.
    pub fn best_witnessed(&self, index: u64) -> Option<u64> {
        let witnessed = self.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = witnessed.range(index.saturating_add(1)..).rev().take(CANDIDATES_MAX);
        newest.max_by_key(|(size, count)| (**count, **size)).map(|(size, _)| *size)
    }

    /// Checks and keeps a cosignature: one signature line of the checkpoint of this size, under a key named by its own DID.
    pub fn add_cosignature(&self, size: u64, cosigner: &Did, line: &str, durability: Durability) -> Result<CosignatureAnswer, NodeError> {
        let Some(mut checkpoint) = self.checkpoint_at(size)? else { return Ok(CosignatureAnswer::NoSuchCheckpoint) };
        let key: NoteKey = cosignature_vkey(cosigner);
        let Ok(signature) = line.parse::<NoteSignature>() else { return Ok(CosignatureAnswer::Wrong) };
        let line = signature.to_string();
        let before = checkpoint.note().signatures().len();
        if before >= WITNESSES_MAX && !checkpoint.note().signatures().iter().any(|present| key.claims(present)) {
            return Ok(CosignatureAnswer::Full);
        }
        if checkpoint.add_cosignature(&key, signature).is_err() {
            return Ok(CosignatureAnswer::Wrong);
        }
        self.store.add_cosignature(size, key.name(), &line, durability)?;
        if checkpoint.note().signatures().len() > before {
            let mut witnessed = self.witnessed.lock().unwrap_or_else(PoisonError::into_inner);
            *witnessed.entry(size).or_default() += 1;
            while witnessed.len() > WITNESSED_MAX {
                witnessed.pop_first();
            }
        }
        Ok(CosignatureAnswer::Kept)
    }
}

/// Durable blocks for an orderer, which may outlive the node.
pub(crate) struct Archived(pub Weak<Shared>);

impl Archive for Archived {
    fn certified(&self, height: u64) -> Result<Option<(Vec<u8>, CommitCertificate)>, ArchiveError> {
        let shared = self.0.upgrade().ok_or_else(|| ArchiveError("the node is closed".into()))?;
        let read = || match (shared.store.block(height)?, shared.store.certificate(height)?) {
            (Some(block), Some(certificate)) => Ok(Some((block, certificate))),
            _ => Ok(None),
        };
        read().map_err(|error: NodeError| ArchiveError(Box::new(error)))
    }
}

fn genesis_state(genesis: &Genesis) -> Result<State, NodeError> {
    State::genesis(genesis).map_err(|error| NodeError::Genesis(Arc::new(error)))
}

fn check_identity(expected: &Identity, found: &Identity) -> Result<(), NodeError> {
    if expected.origin != found.origin {
        return Err(NodeError::Origin { expected: expected.origin.clone(), found: found.origin.clone() });
    }
    if expected.genesis != found.genesis {
        return Err(NodeError::OtherGenesis { expected: expected.genesis, found: found.genesis });
    }
    check_key("log key", &expected.log_vkey, &found.log_vkey)
}

/// The validator's key is the one that the folder was made with, or one by which the member has replaced it since. One of several members
/// may have done so in a block that is not here yet: it follows until it sees itself.
fn check_validator(expected: &Identity, found: &Identity, key: &NoteKey, state: &State) -> Result<(), NodeError> {
    let upcoming = (state.height() + 1..=state.height() + 2).filter_map(|height| state.members_at(height));
    let is_member = upcoming.flat_map(|members| members.as_slice()).any(|member| member.keys.cosigning.as_str() == key.name());
    let same = check_key("validator key", &expected.validator_vkey, &found.validator_vkey);
    match same {
        Err(_) if !is_member && state.members().count() > 1 => {
            tracing::warn!("no member is known by these keys, nor was the folder made with them: the node follows until one is");
            Ok(())
        }
        Err(error) if !is_member => Err(error),
        _ => Ok(()),
    }
}

fn check_key(role: &'static str, expected: &str, found: &str) -> Result<(), NodeError> {
    if expected == found { Ok(()) } else { Err(NodeError::Key { role, expected: expected.to_owned(), found: found.to_owned() }) }
}
