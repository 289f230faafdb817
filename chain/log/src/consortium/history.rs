//! Who decides at a height: a walk from members that are known, over the blocks that changed them.
//!
//! The members of a height are those that the header before it names as `next_members`, and of the first height those of the genesis. So a
//! change that is voted through at height h and active at h + 2 shows in the header of h + 1. Each such header is decided by the members
//! before it ([`DecidedHeader`]), and nothing else is believed: not that a history is complete, for each block shown says itself who decides
//! on it, and not what a history says about heights before its start.
//!
//! What this cannot tell: whether former members, more than two thirds of a set that was replaced, signed another history later, when they had
//! nothing to lose. Both histories look alike to somebody who knows only the genesis. Three things bound it: [`TrustedMembers`] at a recent
//! height, below which nothing is believed; witnesses, who cosign one history only; and two decided headers of one height, which together
//! are evidence ([`MemberWalk::decides`] tells them apart if one of them is in the history).

use super::{BlockHeader, DecidedError, DecidedHeader, GENESIS_MAX_BYTES, Genesis, GenesisError, Members};
use crate::codec::{DecodeError, KnownKeys, Reader};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::{Hash, canonical::to_canonical_json};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;
/// Changes of the members in one history. Whoever has more starts at members trusted later.
pub const HISTORY_STEPS_MAX: usize = 1024;
/// Longest encoding of a history that is read.
pub const HISTORY_MAX_BYTES: usize = 8 << 20;

/// Members known from elsewhere, as by a trust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedMembers {
    /// The first height they decide on.
    #[serde(with = "entrepot_chain_statement::wide")]
    pub height: u64,
    /// Their [`Members::digest`].
    pub members: Hash,
}

/// The channel somebody believes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedChannel {
    /// Digest of its genesis.
    pub genesis: Hash,
    /// Members at a later height. What is said about heights before is then not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<TrustedMembers>,
}

/// Where a history starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryStart {
    /// At the beginning.
    Genesis(Genesis),
    /// At members that the reader already trusts.
    Members {
        /// The first height they decide on.
        height: u64,
        /// Them.
        members: Members,
    },
}

/// A block that changed the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStep {
    /// The block: the last that the members before decided on.
    pub decided: DecidedHeader,
    /// Who decides from the next height on.
    pub members: Members,
}

impl MemberStep {
    /// What a node keeps of a block that it makes durable: the step to `members`, who decide next, if these are others than those who decided
    /// on the block.
    pub fn of(decided: &DecidedHeader, decided_by: &Members, members: &Members) -> Option<Self> {
        (decided_by != members).then(|| Self { decided: decided.clone(), members: members.clone() })
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.write(&mut out);
        out
    }

    /// Decodes exactly one step.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let step = Self::read(&mut reader, &mut KnownKeys::default())?;
        reader.end()?;
        Ok(step)
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.decided.write(out);
        out.extend_from_slice(&self.members.encode());
    }

    fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        Ok(Self { decided: DecidedHeader::read(reader, known)?, members: Members::read(reader, known)? })
    }
}

/// All changes of the members up to some height; nothing in it is checked yet. In JSON the base64 of the encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberHistory {
    /// Where it starts.
    pub start: HistoryStart,
    /// By height.
    pub steps: Vec<MemberStep>,
}

/// Why a history is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// It begins with another genesis than the trusted one.
    #[error("the history is of the channel {found}; {expected} is trusted")]
    Genesis {
        /// The digest it begins with.
        found: Hash,
        /// The trusted one.
        expected: Hash,
    },
    /// The genesis names no possible members.
    #[error("the history's genesis makes no sense")]
    Members,
    /// It begins at members that are not trusted.
    #[error("the history does not begin with the genesis, and not with the members that are trusted")]
    Start,
    /// Others than the trusted ones decide at the trusted height.
    #[error("by this history others decide on the block {height} than the members that are trusted: former members may have made it up")]
    Stale {
        /// The trusted height.
        height: u64,
    },
    /// More than [`HISTORY_STEPS_MAX`] steps.
    #[error("the history has more than {HISTORY_STEPS_MAX} steps; start it at members trusted later")]
    Long,
    /// Steps are not in order.
    #[error("the step at the block {height} is not after the one before")]
    Order {
        /// Of the step.
        height: u64,
    },
    /// A step changes nothing, or names others than its header does.
    #[error("the header of the block {height} does not change the members to those of the step")]
    Change {
        /// Of the step.
        height: u64,
    },
    /// Not decided by whom it takes.
    #[error(transparent)]
    Decided(#[from] DecidedError),
    /// It says nothing about so early a height.
    #[error("nothing is known about the members of the block {height}: what is trusted begins later")]
    Before {
        /// The height.
        height: u64,
    },
    /// Two blocks of one height, both decided.
    #[error("the channel forked: two blocks of height {height} are decided")]
    Fork {
        /// Of both.
        height: u64,
    },
}

/// Members, and from where on they decide.
#[derive(Clone, Debug)]
struct Term {
    from: u64,
    members: Members,
    /// The block before, if it is known.
    last: Option<BlockHeader>,
}

/// A history that was checked.
#[derive(Clone, Debug)]
pub struct MemberWalk {
    genesis: Hash,
    origin: Option<String>,
    terms: Vec<Term>,
}

impl MemberHistory {
    /// Checks every step by the members before it, from what is trusted.
    pub fn walk(&self, trusted: &TrustedChannel) -> Result<MemberWalk, HistoryError> {
        if self.steps.len() > HISTORY_STEPS_MAX {
            return Err(HistoryError::Long);
        }
        let mut walk = self.begin(trusted)?;
        for step in &self.steps {
            walk.step(step)?;
        }
        if let Some(since) = &trusted.since {
            walk.forget_before(since)?;
        }
        Ok(walk)
    }

    fn begin(&self, trusted: &TrustedChannel) -> Result<MemberWalk, HistoryError> {
        let (origin, from, members) = match &self.start {
            HistoryStart::Genesis(genesis) => {
                let members = genesis.members().map_err(|_: GenesisError| HistoryError::Members)?;
                let found = genesis.digest();
                if found != trusted.genesis {
                    return Err(HistoryError::Genesis { found, expected: trusted.genesis });
                }
                (Some(genesis.origin.clone()), 1, members)
            }
            HistoryStart::Members { height, members } => {
                if trusted.since != Some(TrustedMembers { height: *height, members: members.digest() }) {
                    return Err(HistoryError::Start);
                }
                (None, *height, members.clone())
            }
        };
        Ok(MemberWalk { genesis: trusted.genesis, origin, terms: vec![Term { from, members, last: None }] })
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match &self.start {
            HistoryStart::Genesis(genesis) => {
                let json = to_canonical_json(genesis).unwrap_or_else(|_| unreachable!("it is short and has no numbers"));
                out.push(0);
                out.extend_from_slice(&u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes());
                out.extend_from_slice(&json);
            }
            HistoryStart::Members { height, members } => {
                out.push(1);
                out.extend_from_slice(&height.to_be_bytes());
                out.extend_from_slice(&members.encode());
            }
        }
        out.extend_from_slice(&u32::try_from(self.steps.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.steps.iter().for_each(|step| step.write(&mut out));
        out
    }

    /// Decodes exactly one history.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > HISTORY_MAX_BYTES {
            return Err(DecodeError::TooMany("bytes of a history of members"));
        }
        let (mut reader, mut known) = (Reader::new(bytes), KnownKeys::default());
        reader.version(VERSION)?;
        let start = match reader.u8()? {
            0 => HistoryStart::Genesis(read_genesis(&mut reader)?),
            1 => HistoryStart::Members { height: reader.u64()?, members: Members::read(&mut reader, &mut known)? },
            _ => return Err(DecodeError::Value("start of a history of members")),
        };
        let count = reader.u32()? as usize;
        if count > HISTORY_STEPS_MAX {
            return Err(DecodeError::TooMany("steps of a history of members"));
        }
        let mut steps = Vec::new();
        for _ in 0..count {
            steps.push(MemberStep::read(&mut reader, &mut known)?);
        }
        reader.end()?;
        Ok(Self { start, steps })
    }
}

fn read_genesis(reader: &mut Reader<'_>) -> Result<Genesis, DecodeError> {
    const WRONG: DecodeError = DecodeError::Value("genesis");
    let length = reader.u32()? as usize;
    if length > GENESIS_MAX_BYTES {
        return Err(DecodeError::TooMany("bytes of a genesis"));
    }
    let json = reader.take(length)?;
    let genesis = Genesis::from_json(json).map_err(|_| WRONG)?;
    // One genesis has one encoding here, though people may indent theirs.
    if to_canonical_json(&genesis).is_ok_and(|canonical| canonical == json) { Ok(genesis) } else { Err(WRONG) }
}

impl MemberWalk {
    /// The origin of the channel's log, if the history begins with the genesis.
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// The last members the history tells of. Later ones may have followed: what they decided has to be shown by [`MemberWalk::decides`].
    pub fn latest(&self) -> Option<&Members> {
        self.terms.last().map(|term| &term.members)
    }

    /// Who decided on this block, if it is shown to be decided by whom it takes.
    pub fn decides(&self, decided: &DecidedHeader) -> Result<&Members, HistoryError> {
        let height = decided.header.height;
        let term = self.terms.iter().rev().find(|term| term.from <= height).ok_or(HistoryError::Before { height })?;
        decided.verify(&self.genesis, &term.members)?;
        let known = |header: &BlockHeader| {
            self.terms.iter().filter_map(|term| term.last.as_ref()).all(|last| last.height != header.height || last == header)
        };
        match [Some(&decided.header), decided.parent.as_ref()].into_iter().flatten().find(|header| !known(header)) {
            Some(header) => Err(HistoryError::Fork { height: header.height }),
            None => Ok(&term.members),
        }
    }

    fn step(&mut self, step: &MemberStep) -> Result<(), HistoryError> {
        let header = &step.decided.header;
        let height = header.height;
        if self.terms.last().is_some_and(|term| height < term.from) {
            return Err(HistoryError::Order { height });
        }
        let before = self.decides(&step.decided)?;
        if header.next_members != step.members.digest() || *before == step.members {
            return Err(HistoryError::Change { height });
        }
        let from = height.checked_add(1).ok_or(HistoryError::Order { height })?;
        self.terms.push(Term { from, members: step.members.clone(), last: Some(header.clone()) });
        Ok(())
    }

    /// Steps before a trusted height may have been signed long after, by members who had left; only that they end in the trusted members counts.
    fn forget_before(&mut self, since: &TrustedMembers) -> Result<(), HistoryError> {
        let at = self.terms.iter().rposition(|term| term.from <= since.height).ok_or(HistoryError::Start)?;
        self.terms.drain(..at);
        match self.terms.first_mut() {
            Some(term) if term.members.digest() == since.members => {
                if term.from < since.height {
                    (term.from, term.last) = (since.height, None);
                }
                Ok(())
            }
            _ => Err(HistoryError::Stale { height: since.height }),
        }
    }
}

impl TryFrom<String> for MemberHistory {
    type Error = DecodeError;
    fn try_from(text: String) -> Result<Self, DecodeError> {
        Self::decode(&BASE64_STANDARD.decode(text).map_err(|_| DecodeError::Value("base64 text"))?)
    }
}

impl From<MemberHistory> for String {
    fn from(history: MemberHistory) -> Self {
        BASE64_STANDARD.encode(history.encode())
    }
}
