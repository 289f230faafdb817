//! The write-ahead log of one member: what it saw and said at the height that is open.
//!
//! ```text
//! header: magic [8] ‖ height u64 ‖ mark [8] ‖ crc32   the highest height at which this member may have signed anything
//! record: mark [8] ‖ length u32 ‖ crc32 ‖ payload
//! ```
//! The log is emptied when the next height begins, and a new random mark is drawn: what a crash leaves of earlier heights carries another
//! mark, and so does what somebody puts into a block so that it looks like a record. A crash may also keep the old header and records of the
//! new mark; nothing was said after them, because saying waits for both. A record that a crash tore is the last one, was never followed by a
//! message to anybody, and is cut off. Damage before a good record is an error: a member that has lost what it signed must not sign. Damage
//! of the very last durable record cannot be told from a torn one.

use crate::wire::Record;
use entrepot_chain_log::DecodeError;
use std::{
    collections::hash_map::RandomState,
    fs::{File, OpenOptions, TryLockError},
    hash::{BuildHasher as _, Hasher as _},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"entrwal2";
const MARK_BYTES: usize = 8;
const HEADER_BYTES: usize = 8 + 8 + MARK_BYTES + 4;
const RECORD_HEADER_BYTES: usize = MARK_BYTES + 4 + 4;
/// Longest payload: a block.
const PAYLOAD_MAX: usize = crate::wire::MESSAGE_BYTES_MAX;

/// Why the log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Reading or writing failed.
    #[error("the consensus log {path} cannot be {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// As in "cannot be written".
        doing: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// There is no room.
    #[error("the disk is full, or a file may not grow: the consensus log {path} cannot be written; make room, then start again")]
    Full {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Another process has it.
    #[error("the consensus log {path} is in use by another process: two processes must never sign with one key")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Its content was changed.
    #[error(
        "the consensus log {path} is damaged at byte {at}: start with --rejoin, which first follows the others past what was signed here"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
    /// A record cannot be understood.
    #[error("the consensus log {path} holds a record that this version does not understand")]
    Record {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: DecodeError,
    },
}

/// In front of every record of one height, so that nothing else looks like one.
type Mark = [u8; MARK_BYTES];

/// An open log. One process at a time.
#[derive(Debug)]
pub struct Wal {
    path: PathBuf,
    file: File,
    height: u64,
    mark: Mark,
    pending: Vec<u8>,
}

impl Wal {
    /// Whether there is a log. An empty file is none: a crash left it before the first header was durable.
    pub fn exists(path: &Path) -> bool {
        path.metadata().is_ok_and(|file| file.len() > 0)
    }

    /// Opens the log, or makes an empty one, and reads what belongs to its height. What was read is durable.
    pub fn open(path: &Path) -> Result<(Self, Vec<Record>), WalError> {
        let mut wal = Self::locked(path)?;
        let bytes = wal.read()?;
        if bytes.is_empty() {
            wal.begin(0)?;
            wal.sync_all()?;
            return Ok((wal, Vec::new()));
        }
        (wal.height, wal.mark) = header(&bytes).ok_or_else(|| wal.damaged(0))?;
        let (records, end) = wal.scan(&bytes)?;
        wal.file.set_len(end).and_then(|()| wal.file.seek(SeekFrom::End(0)).map(drop)).map_err(wal.failed("written"))?;
        // The process before may have been killed between writing and syncing: what is answered from now on must outlive a power cut.
        wal.sync_all()?;
        Ok((wal, records))
    }

    /// Takes the log for a member that forgets what it says: locks it, reads the highest height it knows of, if that is still legible, and
    /// changes nothing yet.
    pub fn open_damaged(path: &Path) -> Result<Self, WalError> {
        let mut wal = Self::locked(path)?;
        let bytes = wal.read()?;
        wal.height = header(&bytes).map_or(0, |(height, _)| height);
        Ok(wal)
    }

    fn locked(path: &Path) -> Result<Self, WalError> {
        let failed = |doing| move |source| WalError::Io { path: path.to_owned(), doing, source };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed("opened"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => WalError::Locked { path: path.to_owned() },
            TryLockError::Error(source) => failed("locked")(source),
        })?;
        Ok(Self { path: path.to_owned(), file, height: 0, mark: Mark::default(), pending: Vec::new() })
    }

    fn read(&mut self) -> Result<Vec<u8>, WalError> {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).map_err(self.failed("read"))?;
        Ok(bytes)
    }

    fn failed(&self, doing: &'static str) -> impl Fn(io::Error) -> WalError + use<> {
        let path = self.path.clone();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                WalError::Full { path: path.clone(), source }
            }
            _ => WalError::Io { path: path.clone(), doing, source },
        }
    }

    fn damaged(&self, at: usize) -> WalError {
        WalError::Damaged { path: self.path.clone(), at: at as u64 }
    }

    fn scan(&self, bytes: &[u8]) -> Result<(Vec<Record>, u64), WalError> {
        let (mut at, mut records) = (HEADER_BYTES, Vec::new());
        while at < bytes.len() {
            let Some(payload) = record(&self.mark, &bytes[at..]) else {
                // A torn record has nothing of its height behind it.
                let behind = bytes[at..].windows(MARK_BYTES).enumerate().skip(1).filter(|(_, mark)| *mark == self.mark);
                if behind.into_iter().any(|(later, _)| record(&self.mark, &bytes[at + later..]).is_some()) {
                    return Err(self.damaged(at));
                }
                tracing::warn!(path = %self.path.display(), at, "the end of the consensus log was torn by a crash and is cut off");
                break;
            };
            records.push(Record::decode(payload).map_err(|source| WalError::Record { path: self.path.clone(), source })?);
            at += RECORD_HEADER_BYTES + payload.len();
        }
        Ok((records, at as u64))
    }

    /// The highest height at which this member may have signed.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Empties the log for a height. Durable with the first record: until then nothing was said at this height.
    pub fn begin(&mut self, height: u64) -> Result<(), WalError> {
        self.height = height;
        self.mark = drawn();
        self.pending.clear();
        let mut header = [&MAGIC[..], &height.to_be_bytes(), &self.mark].concat();
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        let rewritten =
            self.file.set_len(HEADER_BYTES as u64).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(&header));
        rewritten.map_err(self.failed("written"))
    }

    /// Makes the file as it is durable, and its entry in the folder.
    pub fn sync_all(&mut self) -> Result<(), WalError> {
        let folder = || self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all());
        self.file.sync_all().and_then(|()| folder()).map_err(self.failed("written"))
    }

    /// Adds a record; it is durable after the next [`Wal::sync`].
    pub fn append(&mut self, record: &Record) {
        let payload = record.encode();
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.pending.extend_from_slice(&self.mark);
        self.pending.extend_from_slice(&length);
        self.pending.extend_from_slice(&checksum(&self.mark, length, &payload));
        self.pending.extend_from_slice(&payload);
    }

    /// Makes everything that was added durable.
    pub fn sync(&mut self) -> Result<(), WalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        entrepot_failpoint::reach("consensus.before_sync");
        let written = self.file.write_all(&self.pending).and_then(|()| self.file.sync_data());
        written.map_err(self.failed("written"))?;
        self.pending.clear();
        entrepot_failpoint::reach("consensus.after_sync");
        Ok(())
    }
}

/// A mark that nobody else can know: each [`RandomState`] has keys of the operating system's randomness.
fn drawn() -> Mark {
    RandomState::new().build_hasher().finish().to_be_bytes()
}

fn checksum(mark: &Mark, length: [u8; 4], payload: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(mark);
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize().to_be_bytes()
}

fn header(bytes: &[u8]) -> Option<(u64, Mark)> {
    let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (said, crc) = header.split_last_chunk::<4>()?;
    let (known, mark) = said.split_last_chunk::<MARK_BYTES>()?;
    let whole = known.starts_with(MAGIC) && crc32fast::hash(said).to_be_bytes() == *crc;
    whole.then(|| known.last_chunk().map(|height| (u64::from_be_bytes(*height), *mark)))?
}

/// The payload of the record with this mark that these bytes begin with.
fn record<'a>(mark: &Mark, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let rest = bytes.strip_prefix(mark)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let bytes = u32::from_be_bytes(*length) as usize;
    let payload = rest.get(..bytes).filter(|_| bytes <= PAYLOAD_MAX)?;
    (checksum(mark, *length, payload) == *crc).then_some(payload)
}
