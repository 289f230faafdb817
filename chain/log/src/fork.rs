//! Evidence that a log, or its members, told two histories: two signed things of which one at most is true. Whoever holds both can show them
//! to anybody who knows the keys; nobody has to be believed.
//!
//! What it says about whom: a key that signed two roots of one size is at fault, whatever its owner says. A member that precommitted two
//! blocks in one round is too. Two blocks of one height decided in *different* rounds show that more than a third of the members broke the
//! protocol, not which ones: to change one's vote between rounds is allowed on seeing enough prevotes, and these are not part of a certificate.
//! Two checkpoints of different sizes are no evidence here: that no consistency proof leads from one to the other cannot be shown by signatures.

use crate::{
    NoteKey, SignedCheckpoint,
    consortium::{DecidedHeader, HistoryError, MemberHistory, TrustedChannel},
};
use entrepot_chain_statement::Did;
use serde::{Deserialize, Serialize};

/// Longest evidence that is read.
pub const FORK_MAX_BYTES: usize = 12 << 20;

/// Two things that cannot both be true; nothing in it is checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", deny_unknown_fields)]
pub enum ForkEvidence {
    /// Two roots of one size.
    #[serde(rename = "entrepot.checkpoint-fork.v1")]
    Checkpoints {
        /// One.
        first: SignedCheckpoint,
        /// The other.
        second: SignedCheckpoint,
    },
    /// Two decided blocks of one height.
    #[serde(rename = "entrepot.block-fork.v1")]
    Blocks {
        /// Who decides at that height.
        history: MemberHistory,
        /// One.
        first: Box<DecidedHeader>,
        /// The other.
        second: Box<DecidedHeader>,
    },
}

/// Why it is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum ForkError {
    /// Longer than [`FORK_MAX_BYTES`].
    #[error("the evidence is longer than {FORK_MAX_BYTES} bytes")]
    TooLong,
    /// Not JSON of this shape.
    #[error("the evidence is not JSON of the expected shape")]
    Json(#[source] serde_json::Error),
    /// Both can be true.
    #[error("the two do not contradict each other: both may be true")]
    NoContradiction,
    /// No known key signed both.
    #[error("no known key signed both")]
    Unsigned,
    /// One of the blocks is not shown to be decided.
    #[error("one of the two blocks is not decided")]
    History(#[from] HistoryError),
    /// Blocks are judged by the channel's members, and none is trusted.
    #[error("the evidence is about blocks; name the channel's genesis to judge it")]
    NoChannel,
}

/// Who is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtFault {
    /// The owner of each of these keys, whatever else is true.
    Keys(Vec<Did>),
    /// More than a third of this many members; which ones, these signatures do not tell.
    MoreThanAThird {
        /// Members at that height.
        members: usize,
    },
}

impl ForkEvidence {
    /// Evidence of two checkpoints; none if both can be true. Whose signatures are under them is for [`ForkEvidence::verify`].
    pub fn of_checkpoints(first: &SignedCheckpoint, second: &SignedCheckpoint) -> Option<Self> {
        let evidence = Self::Checkpoints { first: first.clone(), second: second.clone() };
        evidence.contradicts().then_some(evidence)
    }

    /// Evidence of two blocks; none if both can be true.
    pub fn of_blocks(mut history: MemberHistory, first: &DecidedHeader, second: &DecidedHeader) -> Option<Self> {
        // One of the two may be a step of the history, which is believed only as far as they do not contradict it.
        history.steps.retain(|step| step.decided.header.height < first.header.height);
        let evidence = Self::Blocks { history, first: Box::new(first.clone()), second: Box::new(second.clone()) };
        evidence.contradicts().then_some(evidence)
    }

    fn contradicts(&self) -> bool {
        match self {
            Self::Checkpoints { first, second } => {
                let (one, other) = (first.checkpoint(), second.checkpoint());
                one.origin == other.origin && one.size == other.size && one.root != other.root
            }
            Self::Blocks { first, second, .. } => first.header.height == second.header.height && first.header != second.header,
        }
    }

    /// Reads the JSON; checks its form only.
    pub fn from_json(json: &[u8]) -> Result<Self, ForkError> {
        if json.len() > FORK_MAX_BYTES {
            return Err(ForkError::TooLong);
        }
        serde_json::from_slice(json).map_err(ForkError::Json)
    }

    /// Who is at fault: by these keys of the log and its cosigners, or by the members of this channel.
    pub fn verify<'a>(&self, keys: impl IntoIterator<Item = &'a NoteKey>, channel: Option<&TrustedChannel>) -> Result<AtFault, ForkError> {
        if !self.contradicts() {
            return Err(ForkError::NoContradiction);
        }
        match self {
            Self::Checkpoints { first, second } => {
                let mut both = Vec::new();
                for key in keys {
                    // A wrong line under one key must not shield the others: it only fails to accuse its own.
                    if signed(first, key) && signed(second, key) && !both.contains(key.key()) {
                        both.push(key.key().clone());
                    }
                }
                if both.is_empty() { Err(ForkError::Unsigned) } else { Ok(AtFault::Keys(both)) }
            }
            Self::Blocks { history, first, second } => {
                let walk = history.walk(channel.ok_or(ForkError::NoChannel)?)?;
                walk.decides(first)?;
                let members = walk.decides(second)?.count();
                let (one, other) = (&first.certificate, &second.certificate);
                if one.round != other.round {
                    return Ok(AtFault::MoreThanAThird { members });
                }
                Ok(AtFault::Keys(one.signatures.keys().filter(|key| other.signatures.contains_key(*key)).cloned().collect()))
            }
        }
    }
}

fn signed(checkpoint: &SignedCheckpoint, key: &NoteKey) -> bool {
    matches!(checkpoint.note().signed_by(key), Ok(Some(_)))
}
