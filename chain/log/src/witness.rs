//! The rule of a witness: cosign a checkpoint only if the log has not been seen in a state that contradicts it.
//!
//! Source: c2sp.org/tlog-witness, `add-checkpoint`. The rule is pure: the caller keeps the head, and must make the new one durable *before*
//! it lets the cosignature out, else a crash would let the witness cosign two histories.

use crate::{
    CheckpointError, NoteKey, NoteSignature, NoteSigner, SignedCheckpoint,
    merkle::{ProofError, verify_consistency},
    note::KeyKind,
};
use entrepot_chain_statement::Hash;
use serde::{Deserialize, Serialize};

/// What a witness remembers of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreeHead {
    /// Entries.
    #[serde(with = "entrepot_chain_statement::wide")]
    pub size: u64,
    /// RFC 6962 root.
    pub root: Hash,
}

/// Why a checkpoint was not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WitnessRefusal {
    /// Not a checkpoint, of another log, or not signed by the log's key.
    #[error("not a checkpoint of the log this witness follows")]
    Checkpoint(#[source] CheckpointError),
    /// The proof starts elsewhere than at what was cosigned last. Ask again from there.
    #[error("the last checkpoint cosigned here has {known} entries; prove consistency from there")]
    OldSize {
        /// What was cosigned last; 0 if nothing.
        known: u64,
    },
    /// Smaller than what was cosigned last.
    #[error("the log shrank: {known} entries were cosigned, {offered} are offered")]
    Rollback {
        /// What was cosigned last.
        known: u64,
        /// What is offered.
        offered: u64,
    },
    /// The size cosigned last under another root: the log shows different people different histories.
    #[error("the log forked: two roots for {size} entries")]
    Fork {
        /// The size of both.
        size: u64,
    },
    /// The proof does not show that the log only grew.
    #[error("the consistency proof is wrong")]
    Inconsistent(#[source] ProofError),
}

impl WitnessRefusal {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Checkpoint(_) => "wrong_checkpoint",
            Self::OldSize { .. } => "known_size",
            Self::Rollback { .. } => "rollback",
            Self::Fork { .. } => "fork",
            Self::Inconsistent(_) => "inconsistent",
        }
    }
}

/// A cosignature, and what to remember before it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Make this durable first.
    pub head: TreeHead,
    /// Then send this line.
    pub signature: NoteSignature,
}

/// A witness of one log.
#[derive(Clone, Debug)]
pub struct Witness {
    signer: NoteSigner,
    origin: String,
    log: NoteKey,
}

/// A checkpoint that is offered to a witness.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The checkpoint, signed by the log.
    pub checkpoint: &'a str,
    /// From which size the proof starts.
    pub old_size: u64,
    /// RFC 6962 consistency proof from there.
    pub consistency: &'a [Hash],
}

impl Witness {
    /// A witness of the log of this origin and key; none if one of the keys is of the wrong kind.
    pub fn new(signer: NoteSigner, origin: &str, log: NoteKey) -> Option<Self> {
        let kinds = (signer.public().kind(), log.kind());
        (kinds == (KeyKind::Cosigner, KeyKind::Log)).then(|| Self { signer, origin: origin.to_owned(), log })
    }

    /// Decides on an offer, given what was cosigned last. What was cosigned before is cosigned again, so that a lost answer is no harm.
    pub fn consider(&self, known: Option<TreeHead>, offer: Offer<'_>, now_seconds: u64) -> Result<Cosigned, WitnessRefusal> {
        let checkpoint: SignedCheckpoint = offer.checkpoint.parse().map_err(WitnessRefusal::Checkpoint)?;
        checkpoint.verify_log(&self.origin, &self.log).map_err(WitnessRefusal::Checkpoint)?;
        let head = TreeHead { size: checkpoint.checkpoint().size, root: checkpoint.checkpoint().root };
        if let Some(known) = known {
            if head.size < known.size {
                return Err(WitnessRefusal::Rollback { known: known.size, offered: head.size });
            }
            if head.size == known.size && head.root != known.root {
                return Err(WitnessRefusal::Fork { size: known.size });
            }
        }
        // Before the first, the empty tree is known: everything is consistent with it.
        let known = known.unwrap_or(TreeHead { size: 0, root: crate::merkle::empty_root() });
        if known != head {
            if offer.old_size != known.size {
                return Err(WitnessRefusal::OldSize { known: known.size });
            }
            verify_consistency((known.size, &known.root), (head.size, &head.root), offer.consistency)
                .map_err(WitnessRefusal::Inconsistent)?;
        }
        Ok(Cosigned { head, signature: checkpoint.cosign(&self.signer, now_seconds) })
    }
}
