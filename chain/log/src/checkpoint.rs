//! Checkpoints (c2sp.org/tlog-checkpoint v1.0.0): the head of a log's tree, signed by the log and cosigned by validators and witnesses.
//! No extension lines, neither written nor read.

use crate::{
    NoteError, NoteKey, NoteSignature, NoteSigner, SignedNote,
    merkle::empty_root,
    note::{KeyKind, SignedAt, WrongSignature},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::Hash;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest origin.
pub const ORIGIN_MAX_BYTES: usize = 255;

/// Why a text is not a checkpoint, or not one to believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a signed note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note's text is not origin, size and root.
    #[error("not a checkpoint: expected an origin, a size and a root")]
    Form,
    /// Of another log.
    #[error("the checkpoint is of the log {found}")]
    Origin {
        /// The origin found.
        found: String,
    },
    /// The log's key did not sign.
    #[error("the log's key has not signed the checkpoint")]
    NotSigned,
    /// A line of a known key is wrong.
    #[error(transparent)]
    WrongSignature(#[from] WrongSignature),
}

/// The head of a log's tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Hash,
}

impl Checkpoint {
    /// Signs it as the log.
    pub fn sign(&self, log: &NoteSigner) -> Result<SignedCheckpoint, CheckpointError> {
        SignedCheckpoint::try_from(SignedNote::sign(self.to_string(), log, 0)?)
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, BASE64_STANDARD.encode(self.root.0))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root), Some(""), None) = (lines.next(), lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Form);
        };
        if origin.is_empty() || origin.len() > ORIGIN_MAX_BYTES {
            return Err(CheckpointError::Form);
        }
        let size = decimal(size).ok_or(CheckpointError::Form)?;
        let root = hash(root).ok_or(CheckpointError::Form)?;
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::Form);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// A decimal number without a sign or leading zeros, below 2^63.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok().filter(|number| *number <= i64::MAX as u64)?;
    (number.to_string() == text).then_some(number)
}

/// The padded base64 of 32 bytes.
pub(crate) fn hash(text: &str) -> Option<Hash> {
    (text.len() == 44).then(|| BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Hash)).flatten()
}

/// A checkpoint and its signatures, none of them checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl SignedCheckpoint {
    /// What is signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note.
    pub fn note(&self) -> &SignedNote {
        &self.note
    }

    /// Whether it is of this log and signed by the log's key.
    pub fn verify_log(&self, origin: &str, log: &NoteKey) -> Result<(), CheckpointError> {
        if self.checkpoint.origin != origin {
            return Err(CheckpointError::Origin { found: self.checkpoint.origin.clone() });
        }
        if log.kind() != KeyKind::Log {
            return Err(CheckpointError::NotSigned);
        }
        self.note.signed_by(log)?.map(drop).ok_or(CheckpointError::NotSigned)
    }

    /// When this cosigner cosigned, in seconds since 1970; none if it did not.
    pub fn cosigned_at(&self, cosigner: &NoteKey) -> Result<Option<u64>, WrongSignature> {
        Ok(match self.note.signed_by(cosigner)? {
            Some(SignedAt(seconds)) => seconds,
            None => None,
        })
    }

    /// Cosigns. Only for a checkpoint that the cosigner knows to be consistent with all it cosigned before, as [`crate::Witness`] checks.
    pub fn cosign(&self, cosigner: &NoteSigner, at_seconds: u64) -> NoteSignature {
        cosigner.sign(self.note.text(), at_seconds)
    }

    /// Cosigns as [`SignedCheckpoint::cosign`] does, and adds the line, which nobody has to check who has just made it.
    pub fn add_own_cosignature(&mut self, cosigner: &NoteSigner, at_seconds: u64) -> Result<NoteSignature, CheckpointError> {
        let line = self.cosign(cosigner, at_seconds);
        self.note.add(line.clone())?;
        Ok(line)
    }

    /// Adds a cosignature of this key; refuses any other line.
    pub fn add_cosignature(&mut self, cosigner: &NoteKey, line: NoteSignature) -> Result<(), CheckpointError> {
        if cosigner.kind() != KeyKind::Cosigner || cosigner.verify(self.note.text(), &line).is_none() {
            return Err(CheckpointError::WrongSignature(WrongSignature { name: line.name().to_owned() }));
        }
        Ok(self.note.add(line)?)
    }
}

impl TryFrom<SignedNote> for SignedCheckpoint {
    type Error = CheckpointError;
    fn try_from(note: SignedNote) -> Result<Self, CheckpointError> {
        Ok(Self { checkpoint: note.text().parse()?, note })
    }
}

impl FromStr for SignedCheckpoint {
    type Err = CheckpointError;
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        Self::try_from(text.parse::<SignedNote>()?)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.note, f)
    }
}

impl TryFrom<String> for SignedCheckpoint {
    type Error = CheckpointError;
    fn try_from(text: String) -> Result<Self, CheckpointError> {
        text.parse()
    }
}

impl From<SignedCheckpoint> for String {
    fn from(checkpoint: SignedCheckpoint) -> Self {
        checkpoint.to_string()
    }
}
