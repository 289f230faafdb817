//! A node's membership in a channel: the handle that the ledger's writer holds, and the thread behind it.

use crate::{
    Fault, WalError,
    driver::{Command, Driver, Wanted},
    mesh::{Channel, Heard},
    rejoin::{self, Rejoin},
    task::{Archive, Committed, Task},
    wal::Wal,
    wire::Record,
};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use malachite_types::LinearTimeouts;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

/// Work that waits for the ledger.
const TASKS_MAX: usize = 64;
const WAL_FILE: &str = "wal";
/// Is there while the member follows the others past what an earlier life of it may have signed.
const REJOINING_FILE: &str = "rejoining";

/// A member of a channel, as its node knows itself.
pub struct ConsortiumConfig {
    /// Digest of the channel's genesis.
    pub genesis: Hash,
    /// Signs proposals and votes.
    pub key: SigningKey,
    /// The folder of the write-ahead log, outside of what backups hold: a restored log would sign anew what was signed after the backup.
    pub folder: PathBuf,
    /// How long a round's steps wait.
    pub timeouts: LinearTimeouts,
    /// What it knows of its past.
    pub past: Past,
}

/// What a member knows of what it signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Past {
    /// It is in the log. Where there is none, the member may be new or may have lost it, and is cautious; see `rejoin`.
    #[default]
    Logged,
    /// Nothing: its keys were never used in this channel. It votes at once, however far the others are. Only who starts it can know this,
    /// once: refused where there is a log or a block. If it is not true, the member may sign twice, and what it signed is evidence.
    Nothing,
    /// Not known. It follows the others past everything that it may have signed, then votes again.
    Unknown,
}

/// Why a member cannot take part, or not any longer.
#[derive(Debug, thiserror::Error)]
pub enum ConsortiumError {
    /// The write-ahead log.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// The folder.
    #[error("the folder of the consensus log, {path}, cannot be used")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The log is gone, and with it what was signed.
    #[error(
        "this member's consensus log {path} is gone, while its chain is at height {height}: start with --rejoin, which first follows the others past what was signed"
    )]
    LogGone {
        /// The file.
        path: PathBuf,
        /// Of the chain.
        height: u64,
    },
    /// It was there before.
    #[error(
        "{path} shows that this member was started before: without --founding it knows what it signed, and with --rejoin it follows past it"
    )]
    NotFounding {
        /// Its folder.
        path: PathBuf,
    },
    /// It signed what is not decided here, so it is not for it alone to decide.
    #[error(
        "this member may have signed at height {signed}, while its chain ends at {height}: start it as a member of several ([consortium])"
    )]
    NotAlone {
        /// The highest height of a signature.
        signed: u64,
        /// Of the chain.
        height: u64,
    },
    /// The chain is an older copy.
    #[error(
        "this member may have signed at height {signed}, while its chain ends at {height}: an older copy was put in place; start with --rejoin"
    )]
    OldChain {
        /// The highest height of a signature.
        signed: u64,
        /// Of the chain.
        height: u64,
    },
    /// Nothing that this member could wait for shows that what it signed is past.
    #[error(
        "this member cannot rejoin: {quorum} others would have to go on without it, and the channel has {others}. Put its consensus log back, \
         from its own disk; if that is lost, the organisations have to found the channel anew"
    )]
    CannotRejoin {
        /// Members beside this one.
        others: usize,
        /// As many decide.
        quorum: usize,
    },
    /// Going on would break the protocol.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// More than two thirds decided on a block that the ledger's rules refuse, or the ledger stopped answering.
    #[error("the ledger did not take the decided block {height}")]
    Ledger {
        /// Of the block.
        height: u64,
    },
    /// The operating system gives no thread.
    #[error("the consensus thread cannot be started")]
    Thread(#[source] io::Error),
    /// It ended before.
    #[error("the consensus has stopped: {why}")]
    Stopped {
        /// Why.
        why: String,
    },
}

/// A member that takes part, on a thread of its own. It leaves when this is dropped.
#[derive(Debug)]
pub struct Consortium {
    commands: mpsc::UnboundedSender<Command>,
    tasks: mpsc::Receiver<Wanted>,
    /// Of the peer whose message the ledger works on.
    budget: Option<OwnedSemaphorePermit>,
    follows: watch::Receiver<bool>,
    ended: Arc<Mutex<Option<String>>>,
}

impl Consortium {
    /// Takes part from where the ledger stands. Refuses if this member cannot know what it signed. One that has no log and no block yet
    /// votes once enough others say that the channel has not got anywhere without it, or at once if it is told that its keys are new; see
    /// `rejoin`.
    pub fn start(
        config: ConsortiumConfig,
        head: Committed,
        archive: Arc<dyn Archive>,
        channel: Channel,
        heard: mpsc::Receiver<Heard>,
    ) -> Result<Self, ConsortiumError> {
        let (wal, records, rejoin) = open(&config, &head)?;
        let (commands, orders) = mpsc::unbounded_channel();
        let (wanted, tasks) = mpsc::channel(TASKS_MAX);
        let ended = Arc::new(Mutex::new(None));
        let why = ended.clone();
        let (following, follows) = watch::channel(rejoin.is_some());
        let driver = Driver::new(config, head, archive, channel, wal, wanted, (rejoin, following));
        // Its own thread: it waits for the disk between two messages, and nothing else may wait with it.
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
            let outcome = match runtime {
                Ok(runtime) => runtime.block_on(driver.run(records, orders, heard)),
                Err(error) => Err(ConsortiumError::Thread(error)),
            };
            if let Err(error) = outcome {
                tracing::error!(%error, "the consensus has stopped");
                *why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        };
        thread::Builder::new().name("consensus".to_owned()).spawn(body).map_err(ConsortiumError::Thread)?;
        Ok(Self { commands, tasks, budget: None, follows, ended })
    }

    /// Something waits to be ordered.
    pub fn offer(&self) {
        let _stopped = self.commands.send(Command::Offer);
    }

    /// Encoded transactions, for those other members that are connected.
    pub fn tell(&self, transactions: Vec<Vec<u8>>) {
        let _stopped = self.commands.send(Command::Tell(transactions));
    }

    /// Whether it only follows, because it does not know what it signed.
    pub fn follows(&self) -> watch::Receiver<bool> {
        self.follows.clone()
    }

    /// Our cosignature of a checkpoint, for the other members.
    pub fn cosigned(&self, size: u64, key: Did, line: String) {
        let _stopped = self.commands.send(Command::Cosigned { size, key, line });
    }

    /// What the ledger has to do next; waits while there is nothing. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Task, ConsortiumError> {
        self.budget = None;
        match self.tasks.recv().await {
            Some((task, budget)) => {
                self.budget = budget;
                Ok(task)
            }
            None => {
                let why = self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(ConsortiumError::Stopped { why: why.unwrap_or_else(|| "its thread panicked; the log says where".to_owned()) })
            }
        }
    }
}

/// Keeps a log for a member that decides alone, and has nothing to note in it: what it signs is decided with the same write. So it can go on
/// as one of several when others have joined, knowing that its chain is all that it signed.
pub fn stand_alone(folder: &Path, height: u64) -> Result<(), ConsortiumError> {
    let path = make_folder(folder)?;
    let (wal, _) = Wal::open(&path)?;
    if wal.height() > height {
        return Err(ConsortiumError::NotAlone { signed: wal.height(), height });
    }
    Ok(())
}

/// The folder, durable; where its log is.
fn make_folder(folder: &Path) -> Result<PathBuf, ConsortiumError> {
    let failed = |source| ConsortiumError::Folder { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all()).map_err(failed)?;
    Ok(folder.join(WAL_FILE))
}

/// The log and what it holds; a member that does not know what it signed follows for the moment.
fn open(config: &ConsortiumConfig, head: &Committed) -> Result<(Wal, Vec<Record>, Option<Rejoin>), ConsortiumError> {
    let failed = |source| ConsortiumError::Folder { path: config.folder.clone(), source };
    let (path, marker) = (make_folder(&config.folder)?, config.folder.join(REJOINING_FILE));
    let is_member = head.members.by_consensus_key(&config.key.did()).is_some();
    let (others, quorum) = (head.members.as_slice().len() - usize::from(is_member), head.members.quorum());
    let (is_new, rejoins) = (config.past == Past::Nothing, config.past == Past::Unknown);
    if is_new && (marker.exists() || Wal::exists(&path) || head.height > 0) {
        return Err(ConsortiumError::NotFounding { path: config.folder.clone() });
    }
    let forgets = rejoins && !marker.exists();
    if forgets && is_member && (1..quorum).contains(&others) {
        return Err(ConsortiumError::CannotRejoin { others, quorum });
    }
    if is_new || (!marker.exists() && !rejoins && Wal::exists(&path)) {
        let (wal, records) = Wal::open(&path)?;
        if wal.height() > head.height.saturating_add(1) {
            return Err(ConsortiumError::OldChain { signed: wal.height(), height: head.height });
        }
        // With other keys than the log's it decides nothing yet, and was silent at this height.
        return Ok((wal, if is_member { records } else { Vec::new() }, None));
    }
    if !marker.exists() && !rejoins && head.height > 0 && is_member {
        return Err(ConsortiumError::LogGone { path, height: head.height });
    }
    // The lock comes first, then the note that it only follows; only then may what it said be forgotten.
    let mut wal = Wal::open_damaged(&path)?;
    let signed = wal.height();
    if others == 0 && signed > head.height.saturating_add(1) {
        return Err(ConsortiumError::OldChain { signed, height: head.height });
    }
    if rejoins || !marker.exists() {
        rejoin::put_down(&marker, !rejoins).map_err(failed)?;
    }
    wal.begin(signed)?;
    wal.sync_all()?;
    Ok((wal, Vec::new(), Some(Rejoin::of(marker, signed).map_err(failed)?)))
}
