//! The trust file: every key that verification believes, known beforehand and from elsewhere than what is verified.

use crate::{NoteKey, consortium::TrustedChannel, note::KeyKind};
use entrepot_chain_statement::Did;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest trust file that is read.
pub const TRUST_MAX_BYTES: usize = 4 << 20;

/// Why a trust file was refused.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Longer than [`TRUST_MAX_BYTES`].
    #[error("the trust file is longer than {TRUST_MAX_BYTES} bytes")]
    TooLong,
    /// Not JSON of this shape.
    #[error("the trust file is not JSON of the expected shape")]
    Json(#[source] serde_json::Error),
    /// The log's key has to be of type 0x01, all others of 0x04.
    #[error("the key {name} is of the wrong type for its place in the trust file")]
    KeyKind {
        /// The key's name.
        name: String,
    },
    /// One key in two places could be counted twice.
    #[error("the key {name} stands twice in the trust file")]
    KeyTwice {
        /// The key's name.
        name: String,
    },
    /// A quorum of nobody would call everything witnessed.
    #[error("the trust file's quorum is 0")]
    Quorum,
}

/// Which log, under which key it publishes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedLog {
    /// Origin of its checkpoints.
    pub origin: String,
    /// Its own key, type 0x01. It confers no trust: it says who speaks, the cosignatures say that nobody is told otherwise.
    pub key: NoteKey,
}

/// A witness whose cosignature counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedWitness {
    /// Its cosigning key, type 0x04.
    pub vkey: NoteKey,
    /// Whose it is: two witnesses of one participant count as one.
    pub participant: Option<Did>,
}

/// Format and version of a trust file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrustFormat {
    /// The only one.
    #[default]
    #[serde(rename = "entrepot.trust.v1")]
    V1,
}

/// What verification believes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustFile {
    /// Format and version.
    pub format: TrustFormat,
    /// The log.
    pub log: TrustedLog,
    /// The validators' cosigning keys: reported, not part of the quorum, for they make the log that witnesses watch.
    pub validators: Vec<NoteKey>,
    /// The channel, by its genesis: who its validators are at any height then follows from what the bundle shows, and need not be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<TrustedChannel>,
    /// The witnesses.
    pub witnesses: Vec<TrustedWitness>,
    /// How many independent witnesses make a checkpoint `witnessed`; at least 1.
    pub quorum: u32,
    /// The exchange.
    pub exchange: Did,
    /// Everyone whose signature means something.
    pub participants: BTreeSet<Did>,
}

impl TrustFile {
    /// Reads the JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, TrustError> {
        if json.len() > TRUST_MAX_BYTES {
            return Err(TrustError::TooLong);
        }
        let file: Self = serde_json::from_slice(json).map_err(TrustError::Json)?;
        file.check()?;
        Ok(file)
    }

    /// Whether the file makes sense; verification asks again, for fields can be changed.
    pub fn check(&self) -> Result<(), TrustError> {
        let cosigners = self.validators.iter().chain(self.witnesses.iter().map(|witness| &witness.vkey));
        let keys = std::iter::once((&self.log.key, KeyKind::Log)).chain(cosigners.map(|key| (key, KeyKind::Cosigner)));
        let mut seen = BTreeSet::new();
        for (key, kind) in keys {
            if key.kind() != kind {
                return Err(TrustError::KeyKind { name: key.name().to_owned() });
            }
            if !seen.insert(key.key()) {
                return Err(TrustError::KeyTwice { name: key.name().to_owned() });
            }
        }
        if self.quorum == 0 { Err(TrustError::Quorum) } else { Ok(()) }
    }
}

/// How many of these are independent: a participant counts once, a witness of nobody known for itself.
pub fn independent<'a>(witnesses: impl IntoIterator<Item = &'a TrustedWitness>) -> u32 {
    let owners: BTreeSet<&Did> = witnesses.into_iter().map(|witness| witness.participant.as_ref().unwrap_or(witness.vkey.key())).collect();
    owners.len() as u32
}
