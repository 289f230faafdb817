//! Proofs that an entry is in a log (c2sp.org/tlog-proof v1): index, inclusion path and checkpoint in one text that is checked offline.

use crate::{
    CheckpointError, SignedCheckpoint,
    checkpoint::{decimal, hash},
    merkle::{LEVELS_MAX, ProofError, leaf_hash, verify_inclusion},
    note::NOTE_MAX_BYTES,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::Hash;
use std::{fmt, str::FromStr};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// Longest extra data that is read.
const EXTRA_MAX_BYTES: usize = 4 << 10;
/// Longest text that is read: a note, the extra line and the hashes.
pub const PROOF_MAX_BYTES: usize = NOTE_MAX_BYTES + 2 * EXTRA_MAX_BYTES + LEVELS_MAX * 45 + 256;

/// Why a text is not a proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// Not in the form of tlog-proof v1.
    #[error("not a log proof: {0}")]
    Form(&'static str),
    /// Its checkpoint is not one.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// That an entry is at an index of a log, relative to a checkpoint; nothing in it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    /// Opaque data beside the proof; not authenticated.
    pub extra: Option<Vec<u8>>,
    /// Index of the entry.
    pub index: u64,
    /// RFC 6962 inclusion path, leaf's sibling first.
    pub path: Vec<Hash>,
    /// The checkpoint it leads to.
    pub checkpoint: SignedCheckpoint,
}

impl TlogProof {
    /// Whether the path leads from this entry to the checkpoint's root. Says nothing about who signed the checkpoint.
    pub fn verify_entry(&self, entry: &[u8]) -> Result<(), ProofError> {
        let head = self.checkpoint.checkpoint();
        verify_inclusion(&leaf_hash(entry), self.index, head.size, &self.path, &head.root)
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64_STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", BASE64_STANDARD.encode(hash.0)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;
    fn from_str(text: &str) -> Result<Self, TlogProofError> {
        if text.len() > PROOF_MAX_BYTES {
            return Err(TlogProofError::Form("too long"));
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::Form("no blank line before the checkpoint"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(TlogProofError::Form("the first line is not that of version 1"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            Some(extra) => {
                lines.next();
                let extra = BASE64_STANDARD.decode(extra).ok().filter(|extra| extra.len() <= EXTRA_MAX_BYTES);
                Some(extra.ok_or(TlogProofError::Form("the extra data is not base64, or too long"))?)
            }
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(TlogProofError::Form("no index"))?;
        let path: Option<Vec<Hash>> = lines.take(LEVELS_MAX + 1).map(hash).collect();
        let path = path.filter(|path| path.len() <= LEVELS_MAX).ok_or(TlogProofError::Form("the path is not hashes, or too long"))?;
        Ok(Self { extra, index, path, checkpoint: checkpoint.parse()? })
    }
}
