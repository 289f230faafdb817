//! The head of a log as its members decided it, in one file.

use super::{BlockHeader, DecidedHeader, HistoryError, MemberHistory, Members, TrustedChannel};
use entrepot_chain_statement::Hash;
use serde::{Deserialize, Serialize};

/// Longest file with a [`CertifiedCheckpoint`] that is read.
pub const CERTIFIED_CHECKPOINT_MAX_BYTES: usize = 12 << 20;

/// Format and version of a file with a certified checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertifiedCheckpointFormat {
    /// The only one.
    #[default]
    #[serde(rename = "entrepot.certified-checkpoint.v1")]
    V1,
}

/// The head of a log as its members decided it, checked without any witness: by the genesis, or by members trusted later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertifiedCheckpoint {
    /// Format and version.
    pub format: CertifiedCheckpointFormat,
    /// Who decides.
    pub history: MemberHistory,
    /// What they decided.
    pub decided: DecidedHeader,
}

/// What a [`CertifiedCheckpoint`] shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedHead {
    /// Of the block.
    pub height: u64,
    /// Entries of the log after it.
    pub log_size: u64,
    /// The log's root after it.
    pub log_root: Hash,
    /// Root of the state after it.
    pub state_root: Hash,
    /// Who decided on it.
    pub members: Members,
}

/// Why a file holds no certified checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CertifiedCheckpointError {
    /// Longer than [`CERTIFIED_CHECKPOINT_MAX_BYTES`].
    #[error("the certified checkpoint is longer than {CERTIFIED_CHECKPOINT_MAX_BYTES} bytes")]
    TooLong,
    /// Not JSON of this shape.
    #[error("the certified checkpoint is not JSON of the expected shape")]
    Json(#[source] serde_json::Error),
}

impl CertifiedCheckpoint {
    /// Reads the JSON; checks its form only.
    pub fn from_json(json: &[u8]) -> Result<Self, CertifiedCheckpointError> {
        if json.len() > CERTIFIED_CHECKPOINT_MAX_BYTES {
            return Err(CertifiedCheckpointError::TooLong);
        }
        serde_json::from_slice(json).map_err(CertifiedCheckpointError::Json)
    }

    /// What it shows to somebody who trusts this.
    pub fn verify(&self, trusted: &TrustedChannel) -> Result<CertifiedHead, HistoryError> {
        let walk = self.history.walk(trusted)?;
        let members = walk.decides(&self.decided)?.clone();
        let BlockHeader { height, log_size, log_root, state_root, .. } = self.decided.header;
        Ok(CertifiedHead { height, log_size, log_root, state_root, members })
    }
}
