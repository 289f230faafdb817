//! What happens to a right.

use super::{Frame, RIGHT, read_signatures, write_frame, write_signatures};
use crate::codec::{DecodeError, KnownKeys, Reader};
pub use entrepot_chain_statement::statements::Right as RightKind;
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp, envelope::SIGNATURES_MAX};
use std::collections::BTreeMap;

/// What signers of a record sign begins so, then the genesis digest.
const CONTEXT: &[u8] = b"entrepot/right-record/v1\n";

const ID_CONTEXT: &[u8] = b"entrepot/right/v1\n";

/// What happens to a right after the first record, which is the leaf of its registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RightAction {
    /// It goes to another. Both sign.
    Transfer {
        /// Who holds it from now on.
        to: Did,
    },
    /// Its statement is replaced. Its holder signs.
    Change {
        /// The leaf of the statement that describes it from now on; it is in the log.
        leaf: Hash,
    },
    /// It lasts longer. Its holder signs.
    Renewal {
        /// Until when; without, until it is cancelled.
        expires: Option<Timestamp>,
    },
    /// It ends. Its holder signs.
    Cancellation,
    /// Somebody else claims it. A regulator among the members signs; a claimant too, if one is named.
    Dispute {
        /// Who claims it.
        claimant: Option<Did>,
    },
    /// The dispute is settled. A regulator among the members signs, and one more member if there is one.
    Resolve {
        /// Who holds it from now on.
        holder: Did,
    },
}

/// A record of a right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightRecord {
    /// Its [`RightRecord::id`].
    pub right: Hash,
    /// Which of the three it is.
    pub kind: RightKind,
    /// How many records of this right came before, with its registration: no signature under a record is good for a second one.
    pub number: u64,
    /// What happens to it.
    pub action: RightAction,
}

/// A record of a right with the signatures of whom it binds, submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightTransaction {
    /// What happens to the right.
    pub record: RightRecord,
    /// Signatures over the record: one of each whom it binds and none besides.
    pub signatures: BTreeMap<Did, [u8; 64]>,
    /// Who submits it.
    pub submitter: Did,
    /// Its number among the submitter's.
    pub sequence: u64,
    /// The submitter's signature over all of it and the genesis digest.
    pub submitter_signature: [u8; 64],
}

impl RightRecord {
    /// What names a right for good: the leaf of the statement that it was first registered with, a salted hash which says nothing to
    /// strangers; its kind; and who held it first.
    pub fn id(leaf: &Hash, kind: RightKind, holder: &Did) -> Hash {
        Hash::of(&[ID_CONTEXT, &leaf.0, &[kind.code()], &holder.public_bytes()])
    }

    /// What its signers sign in the channel with this genesis digest.
    pub fn message(&self, genesis: &Hash) -> Vec<u8> {
        let mut message = [CONTEXT, &genesis.0].concat();
        self.write(&mut message);
        message
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.right.0);
        out.push(self.kind.code());
        out.extend_from_slice(&self.number.to_be_bytes());
        match &self.action {
            RightAction::Transfer { to } => {
                out.push(1);
                out.extend_from_slice(&to.public_bytes());
            }
            RightAction::Change { leaf } => {
                out.push(2);
                out.extend_from_slice(&leaf.0);
            }
            RightAction::Renewal { expires } => {
                out.push(3);
                write_expiry(out, *expires);
            }
            RightAction::Cancellation => out.push(4),
            RightAction::Dispute { claimant } => {
                out.extend_from_slice(&[5, u8::from(claimant.is_some())]);
                claimant.iter().for_each(|did| out.extend_from_slice(&did.public_bytes()));
            }
            RightAction::Resolve { holder } => {
                out.push(6);
                out.extend_from_slice(&holder.public_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let (right, kind, number) = (reader.hash()?, read_right_kind(reader)?, reader.u64()?);
        let action = match reader.u8()? {
            1 => RightAction::Transfer { to: reader.did(known)? },
            2 => RightAction::Change { leaf: reader.hash()? },
            3 => RightAction::Renewal { expires: read_expiry(reader)? },
            4 => RightAction::Cancellation,
            5 => RightAction::Dispute { claimant: super::members::read_bool(reader)?.then(|| reader.did(known)).transpose()? },
            6 => RightAction::Resolve { holder: reader.did(known)? },
            _ => return Err(DecodeError::Value("record of a right")),
        };
        Ok(Self { right, kind, number, action })
    }
}

pub(crate) fn read_right_kind(reader: &mut Reader<'_>) -> Result<RightKind, DecodeError> {
    let code = reader.u8()?;
    RightKind::ALL.into_iter().find(|kind| kind.code() == code).ok_or(DecodeError::Value("kind of a right"))
}

pub(crate) fn write_expiry(out: &mut Vec<u8>, expires: Option<Timestamp>) {
    out.push(u8::from(expires.is_some()));
    expires.iter().for_each(|expires| out.extend_from_slice(&expires.0.to_be_bytes()));
}

pub(crate) fn read_expiry(reader: &mut Reader<'_>) -> Result<Option<Timestamp>, DecodeError> {
    super::members::read_bool(reader)?.then(|| reader.i64().map(Timestamp)).transpose()
}

impl RightTransaction {
    /// Signs a record with the keys of all whom it binds, and submits it to the channel with this genesis digest.
    pub fn sign(genesis: &Hash, record: RightRecord, signers: &[&SigningKey], sequence: u64, key: &SigningKey) -> Self {
        let message = record.message(genesis);
        let signatures = signers.iter().map(|signer| (signer.did(), signer.sign(&message))).collect();
        Self::submit(genesis, record, signatures, sequence, key)
    }

    /// Submits a record that others signed to the channel with this genesis digest.
    pub fn submit(genesis: &Hash, record: RightRecord, signatures: BTreeMap<Did, [u8; 64]>, sequence: u64, key: &SigningKey) -> Self {
        let mut transaction = Self { record, signatures, submitter: key.did(), sequence, submitter_signature: [0; 64] };
        transaction.submitter_signature = key.sign(&transaction.message(genesis));
        transaction
    }

    pub(super) fn message(&self, genesis: &Hash) -> Vec<u8> {
        super::message(genesis, |out| self.write_unsigned(out))
    }

    pub(super) fn write_unsigned(&self, out: &mut Vec<u8>) {
        write_frame(out, RIGHT, &self.submitter, self.sequence);
        self.record.write(out);
        write_signatures(out, &self.signatures);
    }

    pub(super) fn read(frame: Frame, reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let record = RightRecord::read(reader, known)?;
        let signatures = read_signatures(reader, known)?;
        let Frame { submitter, sequence } = frame;
        Ok(Self { record, signatures, submitter, sequence, submitter_signature: reader.array()? })
    }

    pub(super) fn fits(&self) -> bool {
        self.signatures.len() <= SIGNATURES_MAX
    }
}
