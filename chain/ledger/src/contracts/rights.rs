//! Who holds which right, by signed records: its registration, which is a leaf, then transfer, change, renewal, cancellation; and disputes.
//!
//! Leaks: that some right exists, of which kind, between which keys it went and when. What it is a right to stands in a statement of which
//! the ledger knows a salted hash.

use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    outcome::Rejection,
    transaction::{RightAction, RightKind, RightRecord, read_bool, read_expiry, read_right_kind, write_expiry},
};
use entrepot_chain_log::consortium::{MemberRole, Members};
use entrepot_chain_statement::{Did, Hash, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u8 = 1;

/// Whether a right can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RightStatus {
    /// Its holder has it, until it expires.
    Held,
    /// Nobody can do anything with it until a regulator resolves the dispute.
    Disputed {
        /// Who claims it, if named.
        claimant: Option<Did>,
    },
    /// It ended.
    Cancelled,
}

/// A right as its records left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Which of the three it is.
    pub kind: RightKind,
    /// The leaf of the statement that describes it now.
    pub leaf: Hash,
    /// Who holds it.
    pub holder: Did,
    /// The height since which its holder holds it.
    pub since: u64,
    /// Until when; without, until it is cancelled.
    pub expires: Option<Timestamp>,
    /// Whether it can be used.
    pub status: RightStatus,
    /// How many records it has.
    pub records: u64,
}

/// What a record is held against.
pub(crate) struct Scene<'a> {
    /// Height and time of the block.
    pub height: u64,
    pub time: Timestamp,
    /// Of them a regulator decides disputes.
    pub members: &'a Members,
    /// The leaf that the record names is in the log.
    pub is_logged: bool,
}

/// The leaf that a record says is in the log.
pub(crate) fn named_leaf(action: &RightAction) -> Option<&Hash> {
    match action {
        RightAction::Change { leaf } => Some(leaf),
        _ => None,
    }
}

/// What a record makes of a right, and who has to sign it.
pub(crate) fn follow(
    right: Option<Right>,
    record: &RightRecord,
    signatures: &BTreeMap<Did, [u8; 64]>,
    scene: &Scene<'_>,
) -> Result<(Right, BTreeSet<Did>), Rejection> {
    let mut right = right.ok_or(Rejection::NoSuchRight)?;
    if record.kind != right.kind {
        return Err(Rejection::RightKind);
    }
    if record.number != right.records {
        return Err(Rejection::RecordNumber { expected: right.records });
    }
    let binds = right.change(&record.action, signatures, scene)?;
    right.records += 1;
    Ok((right, binds))
}

/// The right that begins with this leaf, and its name. Its holder signed.
pub(crate) fn begin(leaf: Hash, kind: RightKind, holder: &Did, height: u64) -> (Hash, Right) {
    let right = Right { kind, leaf, holder: holder.clone(), since: height, expires: None, status: RightStatus::Held, records: 1 };
    (RightRecord::id(&leaf, kind, holder), right)
}

fn check_expiry(expires: Option<Timestamp>, scene: &Scene<'_>) -> Result<(), Rejection> {
    if expires.is_some_and(|expires| expires <= scene.time) { Err(Rejection::ExpiryPast) } else { Ok(()) }
}

impl Right {
    /// Whether its holder can use it at this moment.
    pub fn is_valid(&self, at: Timestamp) -> bool {
        self.status == RightStatus::Held && self.expires.is_none_or(|expires| at < expires)
    }

    fn change(
        &mut self,
        action: &RightAction,
        signatures: &BTreeMap<Did, [u8; 64]>,
        scene: &Scene<'_>,
    ) -> Result<BTreeSet<Did>, Rejection> {
        match (&self.status, action) {
            (RightStatus::Cancelled, _) => return Err(Rejection::RightCancelled),
            (RightStatus::Held, RightAction::Resolve { .. }) => return Err(Rejection::RightNotDisputed),
            (RightStatus::Disputed { .. }, RightAction::Resolve { .. }) | (RightStatus::Held, _) => {}
            (RightStatus::Disputed { .. }, _) => return Err(Rejection::RightDisputed),
        }
        let expired = self.expires.is_some_and(|expires| expires <= scene.time);
        if expired && matches!(action, RightAction::Transfer { .. } | RightAction::Change { .. }) {
            return Err(Rejection::RightExpired);
        }
        let holder = self.holder.clone();
        match action {
            RightAction::Transfer { to } => {
                self.pass_to(to, scene.height);
                Ok([holder, to.clone()].into())
            }
            RightAction::Change { .. } if !scene.is_logged => Err(Rejection::LeafNotLogged),
            RightAction::Change { leaf } => {
                self.leaf = *leaf;
                Ok([holder].into())
            }
            RightAction::Renewal { expires } => {
                check_expiry(*expires, scene)?;
                self.expires = *expires;
                Ok([holder].into())
            }
            RightAction::Cancellation => {
                self.status = RightStatus::Cancelled;
                Ok([holder].into())
            }
            RightAction::Dispute { claimant } => {
                self.status = RightStatus::Disputed { claimant: claimant.clone() };
                Ok(claimant.iter().cloned().chain([regulator(signatures, scene)?]).collect())
            }
            RightAction::Resolve { holder } => {
                self.status = RightStatus::Held;
                self.pass_to(holder, scene.height);
                resolvers(signatures, scene)
            }
        }
    }

    fn pass_to(&mut self, holder: &Did, height: u64) {
        if self.holder != *holder {
            (self.holder, self.since) = (holder.clone(), height);
        }
    }

    /// The encoding, as the state's tree holds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.kind.code()];
        out.extend_from_slice(&self.leaf.0);
        out.extend_from_slice(&self.holder.public_bytes());
        out.extend_from_slice(&self.since.to_be_bytes());
        write_expiry(&mut out, self.expires);
        match &self.status {
            RightStatus::Held => out.push(1),
            RightStatus::Disputed { claimant } => {
                out.extend_from_slice(&[2, u8::from(claimant.is_some())]);
                claimant.iter().for_each(|did| out.extend_from_slice(&did.public_bytes()));
            }
            RightStatus::Cancelled => out.push(3),
        }
        out.extend_from_slice(&self.records.to_be_bytes());
        out
    }

    /// Decodes exactly one right.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, mut known) = (Reader::new(bytes), KnownKeys::default());
        reader.version(VERSION)?;
        let (kind, leaf, holder) = (read_right_kind(&mut reader)?, reader.hash()?, reader.did(&mut known)?);
        let (since, expires) = (reader.u64()?, read_expiry(&mut reader)?);
        let status = match reader.u8()? {
            1 => RightStatus::Held,
            2 => RightStatus::Disputed { claimant: read_bool(&mut reader)?.then(|| reader.did(&mut known)).transpose()? },
            3 => RightStatus::Cancelled,
            _ => return Err(DecodeError::Value("status of a right")),
        };
        let records = reader.u64()?;
        reader.end()?;
        Ok(Self { kind, leaf, holder, since, expires, status, records })
    }
}

/// The regulator who signed.
fn regulator(signatures: &BTreeMap<Did, [u8; 64]>, scene: &Scene<'_>) -> Result<Did, Rejection> {
    let mut regulators = scene.members.as_slice().iter().filter(|member| member.role == MemberRole::Regulator);
    regulators.find(|member| signatures.contains_key(&member.did)).map(|member| member.did.clone()).ok_or(Rejection::NoRegulator)
}

/// The regulator who signed and another member who did: no regulator takes a right alone, unless nobody else is there.
fn resolvers(signatures: &BTreeMap<Did, [u8; 64]>, scene: &Scene<'_>) -> Result<BTreeSet<Did>, Rejection> {
    let regulator = regulator(signatures, scene)?;
    let mut others = scene.members.as_slice().iter().filter(|member| member.did != regulator);
    match others.find(|member| signatures.contains_key(&member.did)) {
        Some(second) => Ok([regulator, second.did.clone()].into()),
        None if scene.members.count() == 1 => Ok([regulator].into()),
        None => Err(Rejection::NoSecondMember),
    }
}
