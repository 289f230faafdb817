//! The file that founds a channel. Its digest is the channel's identity: every vote, proposal and block rests on it.

use super::{Member, Members, MembersError};
use entrepot_chain_statement::{Hash, canonical::to_canonical_json};
use serde::{Deserialize, Serialize};

const CONTEXT: &[u8] = b"entrepot/genesis/v1\n";
/// Longest genesis file that is read.
pub const GENESIS_MAX_BYTES: usize = 256 << 10;
/// Longest origin, in bytes.
const ORIGIN_MAX_BYTES: usize = 200;

/// Whose consent a change of the members, or of this rule, needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VotingRule {
    /// More than half of the members.
    Majority,
    /// More than two thirds of the members.
    TwoThirds,
    /// All members.
    Unanimous,
    /// More than half of the members, and every regulator among them.
    RegulatorVeto,
}

/// Format and version of a genesis file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GenesisFormat {
    /// The only one.
    #[default]
    #[serde(rename = "entrepot.genesis.v1")]
    V1,
}

/// How a channel begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// Format and version.
    pub format: GenesisFormat,
    /// The log's name, as in `entrepot/main`.
    pub origin: String,
    /// Whose consent changes need.
    pub voting_rule: VotingRule,
    /// The first members, by DID.
    pub members: Vec<Member>,
}

/// Why a genesis was refused.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// Longer than [`GENESIS_MAX_BYTES`].
    #[error("the genesis is longer than {GENESIS_MAX_BYTES} bytes")]
    TooLong,
    /// Not JSON of this shape.
    #[error("the genesis is not JSON of the expected shape")]
    Json(#[source] serde_json::Error),
    /// The origin is no name of a log.
    #[error("the origin is empty, longer than {ORIGIN_MAX_BYTES} bytes, or has spaces, plus signs or control characters")]
    Origin,
    /// The members cannot be.
    #[error("the members of the genesis are wrong")]
    Members(#[from] MembersError),
    /// They stand in another order than by DID, which would give one genesis two digests.
    #[error("the members of the genesis are not ordered by their DID")]
    Order,
}

impl Genesis {
    /// A genesis of these members.
    pub fn new(origin: &str, voting_rule: VotingRule, members: &Members) -> Result<Self, GenesisError> {
        let genesis = Self { format: GenesisFormat::V1, origin: origin.to_owned(), voting_rule, members: members.as_slice().to_vec() };
        genesis.check()?;
        Ok(genesis)
    }

    /// A genesis of one member, whose consent every rule asks for: a channel on one machine.
    pub fn sole(origin: &str, member: Member) -> Result<Self, GenesisError> {
        Self::new(origin, VotingRule::Majority, &Members::new(vec![member])?)
    }

    /// Reads the JSON.
    pub fn from_json(json: &[u8]) -> Result<Self, GenesisError> {
        if json.len() > GENESIS_MAX_BYTES {
            return Err(GenesisError::TooLong);
        }
        let genesis: Self = serde_json::from_slice(json).map_err(GenesisError::Json)?;
        genesis.check()?;
        Ok(genesis)
    }

    fn check(&self) -> Result<(), GenesisError> {
        let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if self.origin.is_empty() || self.origin.len() > ORIGIN_MAX_BYTES || self.origin.contains(wrong) {
            return Err(GenesisError::Origin);
        }
        let members = Members::new(self.members.clone())?;
        if members.as_slice() == self.members { Ok(()) } else { Err(GenesisError::Order) }
    }

    /// The first members.
    pub fn members(&self) -> Result<Members, GenesisError> {
        self.check()?;
        Ok(Members::new(self.members.clone())?)
    }

    /// The channel's identity.
    pub fn digest(&self) -> Hash {
        let json = to_canonical_json(self).unwrap_or_else(|_| unreachable!("it is short and has no numbers"));
        Hash::of(&[CONTEXT, &json])
    }
}
