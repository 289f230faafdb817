//! What members decide about each other.

use super::{Frame, MEMBERS, write_frame};
use crate::codec::{DecodeError, KnownKeys, Reader};
use entrepot_chain_log::consortium::{MEMBER_NAME_MAX_BYTES, Member, MemberKeys, Possession, VotingRule};
use entrepot_chain_statement::{Did, Hash, SigningKey};

/// A change of the members, or of the rule by which they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembersChange {
    /// Somebody becomes a member.
    Join(Member),
    /// A member is one no longer.
    Leave(Did),
    /// Both at once, so that there are never fewer.
    Replace {
        /// Who goes.
        leaves: Did,
        /// Who comes.
        joins: Member,
    },
    /// Changes need other consent from now on.
    SetRule(VotingRule),
}

/// What an organisation does. It is the submitter, so its sequence numbers see to it that nothing of it is done twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MembersAction {
    /// Proposes a change, and approves of it. Without a vote: to leave by itself.
    Propose(MembersChange),
    /// Votes on an open proposal; the last vote of a member counts.
    Vote {
        /// The hash of the transaction that proposed it.
        proposal: Hash,
        /// Whether it approves.
        approve: bool,
    },
    /// Replaces the keys of its own node.
    RotateKeys(MemberKeys),
}

/// An organisation's action, signed by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembersTransaction {
    /// What it does.
    pub action: MembersAction,
    /// Shows that the keys which the action brings are whose it says; the ledger wants it of every action that brings some.
    pub possession: Option<Possession>,
    /// The organisation: a member.
    pub submitter: Did,
    /// Its number among the organisation's.
    pub sequence: u64,
    /// The organisation's signature over all of it and the genesis digest.
    pub submitter_signature: [u8; 64],
}

impl MembersTransaction {
    /// Acts in the channel with this genesis digest, with the key of the organisation. `possession` is nothing but for an action that brings
    /// keys.
    pub fn sign(genesis: &Hash, action: MembersAction, possession: Option<Possession>, sequence: u64, key: &SigningKey) -> Self {
        let submitter = key.did();
        let possession = possession.filter(|_| action.brings(&submitter).is_some());
        let mut transaction = Self { action, possession, submitter, sequence, submitter_signature: [0; 64] };
        transaction.submitter_signature = key.sign(&transaction.message(genesis));
        transaction
    }

    /// The keys that it brings, whose they are to be, and what shows it.
    pub(crate) fn brought(&self) -> Option<(&Did, &MemberKeys, Option<&Possession>)> {
        self.action.brings(&self.submitter).map(|(organisation, keys)| (organisation, keys, self.possession.as_ref()))
    }

    pub(super) fn message(&self, genesis: &Hash) -> Vec<u8> {
        super::message(genesis, |out| self.write_unsigned(out))
    }

    pub(super) fn write_unsigned(&self, out: &mut Vec<u8>) {
        write_frame(out, MEMBERS, &self.submitter, self.sequence);
        match &self.action {
            MembersAction::Propose(change) => {
                out.push(1);
                change.write(out);
            }
            MembersAction::Vote { proposal, approve } => {
                out.push(2);
                out.extend_from_slice(&proposal.0);
                out.push(u8::from(*approve));
            }
            MembersAction::RotateKeys(keys) => {
                out.push(3);
                for key in [&keys.consensus, &keys.cosigning, &keys.transport] {
                    out.extend_from_slice(&key.public_bytes());
                }
            }
        }
        if let Some((.., possession)) = self.brought() {
            out.push(u8::from(possession.is_some()));
            out.extend(possession.iter().flat_map(|possession| possession.encode()));
        }
    }

    pub(super) fn read(frame: Frame, reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let action = match reader.u8()? {
            1 => MembersAction::Propose(MembersChange::read(reader, known)?),
            2 => MembersAction::Vote { proposal: reader.hash()?, approve: read_bool(reader)? },
            3 => {
                let (consensus, cosigning, transport) = (reader.did(known)?, reader.did(known)?, reader.did(known)?);
                MembersAction::RotateKeys(MemberKeys { consensus, cosigning, transport })
            }
            _ => return Err(DecodeError::Value("action of a member")),
        };
        let Frame { submitter, sequence } = frame;
        let possession = match action.brings(&submitter) {
            Some(_) if read_bool(reader)? => {
                Some(Possession { consensus: reader.array()?, cosigning: reader.array()?, transport: reader.array()? })
            }
            _ => None,
        };
        Ok(Self { action, possession, submitter, sequence, submitter_signature: reader.array()? })
    }

    pub(super) fn fits(&self) -> bool {
        match &self.action {
            MembersAction::Propose(MembersChange::Join(joins) | MembersChange::Replace { joins, .. }) => {
                joins.name.len() <= MEMBER_NAME_MAX_BYTES
            }
            _ => true,
        }
    }
}

impl MembersAction {
    /// The keys of a node that it brings, and of which organisation.
    fn brings<'a>(&'a self, submitter: &'a Did) -> Option<(&'a Did, &'a MemberKeys)> {
        match self {
            Self::Propose(MembersChange::Join(joins) | MembersChange::Replace { joins, .. }) => Some((&joins.did, &joins.keys)),
            Self::RotateKeys(keys) => Some((submitter, keys)),
            Self::Propose(MembersChange::Leave(_) | MembersChange::SetRule(_)) | Self::Vote { .. } => None,
        }
    }
}

impl MembersChange {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Join(member) => {
                out.push(1);
                member.write(out);
            }
            Self::Leave(did) => {
                out.push(2);
                out.extend_from_slice(&did.public_bytes());
            }
            Self::Replace { leaves, joins } => {
                out.push(3);
                out.extend_from_slice(&leaves.public_bytes());
                joins.write(out);
            }
            Self::SetRule(rule) => out.extend_from_slice(&[4, rule_code(*rule)]),
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            1 => Self::Join(Member::read(reader, known)?),
            2 => Self::Leave(reader.did(known)?),
            3 => Self::Replace { leaves: reader.did(known)?, joins: Member::read(reader, known)? },
            4 => Self::SetRule(read_rule(reader)?),
            _ => return Err(DecodeError::Value("change of the members")),
        })
    }
}

pub(crate) fn rule_code(rule: VotingRule) -> u8 {
    match rule {
        VotingRule::Majority => 1,
        VotingRule::TwoThirds => 2,
        VotingRule::Unanimous => 3,
        VotingRule::RegulatorVeto => 4,
    }
}

pub(crate) fn read_rule(reader: &mut Reader<'_>) -> Result<VotingRule, DecodeError> {
    Ok(match reader.u8()? {
        1 => VotingRule::Majority,
        2 => VotingRule::TwoThirds,
        3 => VotingRule::Unanimous,
        4 => VotingRule::RegulatorVeto,
        _ => return Err(DecodeError::Value("voting rule")),
    })
}

pub(crate) fn read_bool(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Value("yes or no")),
    }
}
