//! The members of a channel.

use crate::codec::{DecodeError, KnownKeys, Reader};
use entrepot_chain_statement::{Did, Hash};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, sync::Arc};

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"entrepot/members/v1\n";
/// Members of one channel. Every member speaks to every other.
pub const MEMBERS_MAX: usize = 64;
/// Longest name of a member, in bytes.
pub const MEMBER_NAME_MAX_BYTES: usize = 64;

/// What a member is to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// One vote.
    Member,
    /// One vote, and a veto where the voting rule grants it.
    Regulator,
}

/// The keys of a member's node. Each serves one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberKeys {
    /// Signs proposals and votes on blocks.
    pub consensus: Did,
    /// Cosigns checkpoints of decided blocks.
    pub cosigning: Did,
    /// Authenticates the node's connections.
    pub transport: Did,
}

/// An organisation that decides on the blocks of a channel, with one vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The organisation. Its key signs what members decide about each other; it need not lie on the node.
    pub did: Did,
    /// For people.
    pub name: String,
    /// What it is to the others.
    pub role: MemberRole,
    /// The keys of its node.
    pub keys: MemberKeys,
}

/// Why these cannot be the members of a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembersError {
    /// None, or more than [`MEMBERS_MAX`].
    #[error("a channel has between 1 and {MEMBERS_MAX} members")]
    Count,
    /// One organisation, or one key, in two places.
    #[error("the key {0} stands twice among the members")]
    Twice(Did),
    /// A name is empty, too long, or has control characters.
    #[error("the name of {0} is empty, longer than {MEMBER_NAME_MAX_BYTES} bytes, or has control characters")]
    Name(Did),
}

/// The members of a channel at one height: ordered by the organisation's DID, every key used once. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members(Arc<[Member]>);

impl Members {
    /// These, in their one order.
    pub fn new(mut members: Vec<Member>) -> Result<Self, MembersError> {
        if !(1..=MEMBERS_MAX).contains(&members.len()) {
            return Err(MembersError::Count);
        }
        members.sort_by(|a, b| a.did.cmp(&b.did));
        let mut seen = BTreeSet::new();
        for member in &members {
            if member.name.is_empty() || member.name.len() > MEMBER_NAME_MAX_BYTES || member.name.chars().any(char::is_control) {
                return Err(MembersError::Name(member.did.clone()));
            }
            // Of an organisation that has one key for everything there is no telling what it signed.
            let keys = &member.keys;
            for key in [&member.did, &keys.consensus, &keys.cosigning, &keys.transport] {
                if !seen.insert(key) {
                    return Err(MembersError::Twice(key.clone()));
                }
            }
        }
        Ok(Self(members.into()))
    }

    /// All of them, by DID.
    pub fn as_slice(&self) -> &[Member] {
        &self.0
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many of them decide: more than two thirds.
    pub fn quorum(&self) -> usize {
        self.0.len() * 2 / 3 + 1
    }

    /// The organisation's place.
    pub fn by_did(&self, did: &Did) -> Option<&Member> {
        self.0.iter().find(|member| member.did == *did)
    }

    /// Whose key signs blocks.
    pub fn by_consensus_key(&self, key: &Did) -> Option<&Member> {
        self.0.iter().find(|member| member.keys.consensus == *key)
    }

    /// Whose turn it is to propose a block: each in turn, the next with each round.
    pub fn proposer(&self, height: u64, round: u32) -> &Member {
        let turn = height.saturating_sub(1).wrapping_add(u64::from(round)) % self.0.len() as u64;
        &self.0[turn as usize]
    }

    /// What a block's header commits to.
    pub fn digest(&self) -> Hash {
        Hash::of(&[CONTEXT, &self.encode()])
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, u8::try_from(self.0.len()).unwrap_or(u8::MAX)];
        for member in self.0.iter() {
            member.write(&mut out);
        }
        out
    }

    /// Reads the encoding from the front.
    pub fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        reader.version(VERSION)?;
        let count = usize::from(reader.u8()?);
        if count > MEMBERS_MAX {
            return Err(DecodeError::TooMany("members"));
        }
        let members = (0..count).map(|_| Member::read(reader, known)).collect::<Result<Vec<_>, _>>()?;
        if !members.is_sorted_by(|a, b| a.did < b.did) {
            return Err(DecodeError::Order("members"));
        }
        Self::new(members).map_err(|_| DecodeError::Value("set of members"))
    }
}

impl Member {
    /// Appends the encoding.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.did.public_bytes());
        out.push(match self.role {
            MemberRole::Member => 1,
            MemberRole::Regulator => 2,
        });
        for key in [&self.keys.consensus, &self.keys.cosigning, &self.keys.transport] {
            out.extend_from_slice(&key.public_bytes());
        }
        // A longer name is refused by `Members::new`.
        out.push(u8::try_from(self.name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(self.name.as_bytes());
    }

    /// Reads the encoding from the front. Whether it fits among the others is for [`Members::new`].
    pub fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let did = reader.did(known)?;
        let role = match reader.u8()? {
            1 => MemberRole::Member,
            2 => MemberRole::Regulator,
            _ => return Err(DecodeError::Value("role of a member")),
        };
        let keys = MemberKeys { consensus: reader.did(known)?, cosigning: reader.did(known)?, transport: reader.did(known)? };
        let length = usize::from(reader.u8()?);
        if length > MEMBER_NAME_MAX_BYTES {
            return Err(DecodeError::TooMany("bytes of a member's name"));
        }
        let name = String::from_utf8(reader.take(length)?.to_vec()).map_err(|_| DecodeError::Value("name of a member"))?;
        Ok(Self { did, name, role, keys })
    }
}
