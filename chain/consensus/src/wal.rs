//! The write-ahead log of one member: what it saw and said at the height that is open.
//!
//! ```text
//! header: magic [8] ‖ height u64 ‖ crc32            the highest height at which this member may have signed anything
//! record: length u32 ‖ height u64 ‖ crc32 ‖ payload
//! ```
//! The log is emptied when the next height begins; records of earlier heights that a crash left behind are passed over. A record that a
//! crash tore is the last one, was never followed by a message to anybody, and is cut off. Damage before a good record is an error: a member
//! that has lost what it signed must not sign. Damage of the very last durable record cannot be told from a torn one.

use crate::wire::Record;
use entrepot_chain_log::DecodeError;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 8] = b"entrwal1";
const HEADER_BYTES: usize = 8 + 8 + 4;
const RECORD_HEADER_BYTES: usize = 4 + 8 + 4;
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
    /// Another process has it.
    #[error("the consensus log {path} is in use by another process: two processes must never sign with one key")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Its content was changed.
    #[error("the consensus log {path} is damaged at byte {at}: start with --rejoin, which first follows the others past what was signed here")]
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

/// An open log. One process at a time.
#[derive(Debug)]
pub struct Wal {
    path: PathBuf,
    file: File,
    height: u64,
    pending: Vec<u8>,
    synced: u64,
}

impl Wal {
    /// Whether there is a log.
    pub fn exists(path: &Path) -> bool {
        path.exists()
    }

    /// Opens the log, or makes an empty one, and reads what belongs to its height.
    pub fn open(path: &Path) -> Result<(Self, Vec<Record>), WalError> {
        let failed = |doing| {
            let path = path.to_owned();
            move |source| WalError::Io { path, doing, source }
        };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed("opened"))?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => WalError::Locked { path: path.to_owned() },
            TryLockError::Error(source) => WalError::Io { path: path.to_owned(), doing: "locked", source },
        })?;
        let mut wal = Self { path: path.to_owned(), file, height: 0, pending: Vec::new(), synced: 0 };
        let mut bytes = Vec::new();
        wal.file.read_to_end(&mut bytes).map_err(failed("read"))?;
        if bytes.is_empty() {
            wal.begin(0)?;
            wal.file.sync_all().map_err(failed("written"))?;
            // The entry in the folder as well.
            if let Some(folder) = path.parent() {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("written"))?;
            }
            return Ok((wal, Vec::new()));
        }
        wal.height = header(&bytes).ok_or_else(|| wal.damaged(0))?;
        let (records, end) = wal.scan(&bytes)?;
        wal.file.set_len(end).and_then(|()| wal.file.seek(SeekFrom::End(0)).map(drop)).map_err(failed("written"))?;
        Ok((wal, records))
    }

    fn damaged(&self, at: usize) -> WalError {
        WalError::Damaged { path: self.path.clone(), at: at as u64 }
    }

    fn scan(&self, bytes: &[u8]) -> Result<(Vec<Record>, u64), WalError> {
        let (mut at, mut records) = (HEADER_BYTES, Vec::new());
        while at < bytes.len() {
            let Some((height, payload)) = record(&bytes[at..]) else {
                // A torn record has nothing behind it.
                if (at + 1..bytes.len()).any(|later| record(&bytes[later..]).is_some()) {
                    return Err(self.damaged(at));
                }
                tracing::warn!(path = %self.path.display(), at, "the last record of the consensus log was torn by a crash and is cut off");
                break;
            };
            if height > self.height {
                return Err(self.damaged(at));
            }
            if height == self.height {
                records.push(Record::decode(payload).map_err(|source| WalError::Record { path: self.path.clone(), source })?);
            }
            at += RECORD_HEADER_BYTES + payload.len();
        }
        Ok((records, at as u64))
    }

    /// The highest height at which this member may have signed.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// How often it was synced since it was opened.
    pub fn syncs(&self) -> u64 {
        self.synced
    }

    /// Empties the log for a height. Durable with the first record: until then nothing was said at this height.
    pub fn begin(&mut self, height: u64) -> Result<(), WalError> {
        self.height = height;
        self.pending.clear();
        let mut header = [&MAGIC[..], &height.to_be_bytes()].concat();
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        let rewritten = self.file.set_len(HEADER_BYTES as u64).and_then(|()| self.file.rewind()).and_then(|()| self.file.write_all(&header));
        rewritten.map_err(|source| WalError::Io { path: self.path.clone(), doing: "written", source })
    }

    /// Makes the emptied log itself durable.
    pub fn sync_all(&mut self) -> Result<(), WalError> {
        self.file.sync_all().map_err(|source| WalError::Io { path: self.path.clone(), doing: "written", source })
    }

    /// Adds a record; it is durable after the next [`Wal::sync`].
    pub fn append(&mut self, record: &Record) {
        let payload = record.encode();
        let mut head = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        head.extend_from_slice(&self.height.to_be_bytes());
        let crc = checksum(&head, &payload);
        self.pending.extend_from_slice(&head);
        self.pending.extend_from_slice(&crc.to_be_bytes());
        self.pending.extend_from_slice(&payload);
    }

    /// Makes everything that was added durable.
    pub fn sync(&mut self) -> Result<(), WalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        entrepot_failpoint::reach("consensus.before_sync");
        let written = self.file.write_all(&self.pending).and_then(|()| self.file.sync_data());
        written.map_err(|source| WalError::Io { path: self.path.clone(), doing: "written", source })?;
        self.pending.clear();
        self.synced += 1;
        entrepot_failpoint::reach("consensus.after_sync");
        Ok(())
    }
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

fn header(bytes: &[u8]) -> Option<u64> {
    let (header, _) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let (said, crc) = header.split_last_chunk::<4>()?;
    let whole = said.starts_with(MAGIC) && crc32fast::hash(said).to_be_bytes() == *crc;
    whole.then(|| said.last_chunk().map(|height| u64::from_be_bytes(*height)))?
}

/// The record that these bytes begin with.
fn record(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let length = u32::from_be_bytes(*header.first_chunk()?) as usize;
    let payload = rest.get(..length).filter(|_| length <= PAYLOAD_MAX)?;
    let (head, crc) = header.split_last_chunk::<4>()?;
    let height = u64::from_be_bytes(*head.last_chunk()?);
    (checksum(head, payload).to_be_bytes() == *crc).then_some((height, payload))
}
