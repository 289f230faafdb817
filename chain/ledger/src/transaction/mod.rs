//! What is submitted to the ledger, and its one encoding: version, kind, submitter, sequence number, what the kind adds, the submitter's
//! signature.

mod leaf;
mod members;
mod right;

pub use leaf::{Leaf, LeafTransaction};
pub use members::{MembersAction, MembersChange, MembersTransaction};
pub(crate) use members::{read_bool, read_rule, rule_code};
pub use right::{RightAction, RightKind, RightRecord, RightTransaction};
pub(crate) use right::{read_expiry, read_right_kind, write_expiry};

use crate::codec::{DecodeError, KnownKeys, Reader};
use entrepot_chain_statement::{Did, Hash, envelope::SIGNATURES_MAX, facts::FACTS_BYTES_MAX};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
/// What a submitter signs begins so, then the genesis digest: no transaction is good for another channel, nor for one founded anew.
const CONTEXT: &[u8] = b"entrepot/transaction/v1\n";
const LEAF: u8 = 1;
const MEMBERS: u8 = 2;
const RIGHT: u8 = 3;
/// Version, kind, submitter, sequence number and submitter's signature.
const FRAME_BYTES: usize = 1 + 1 + 32 + 8 + 64;
/// Longest encoding of a transaction: a leaf with as many keys and signatures as there may be.
pub const TRANSACTION_BYTES_MAX: usize = FRAME_BYTES + 32 + FACTS_BYTES_MAX + 1 + SIGNATURES_MAX * 32 + 1 + SIGNATURES_MAX * 96;

/// A transaction: one submitter, one of the submitter's numbers, one signature of the submitter over all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// An entry for the log.
    Leaf(LeafTransaction),
    /// The members decide about themselves.
    Members(MembersTransaction),
    /// Who holds a right.
    Right(RightTransaction),
}

impl From<LeafTransaction> for Transaction {
    fn from(transaction: LeafTransaction) -> Self {
        Self::Leaf(transaction)
    }
}

impl From<MembersTransaction> for Transaction {
    fn from(transaction: MembersTransaction) -> Self {
        Self::Members(transaction)
    }
}

impl From<RightTransaction> for Transaction {
    fn from(transaction: RightTransaction) -> Self {
        Self::Right(transaction)
    }
}

impl Transaction {
    /// Who submits it.
    pub fn submitter(&self) -> &Did {
        match self {
            Self::Leaf(transaction) => &transaction.submitter,
            Self::Members(transaction) => &transaction.submitter,
            Self::Right(transaction) => &transaction.submitter,
        }
    }

    /// Its number among the submitter's: 1, 2, 3 … so that nothing of theirs is overtaken or lost unseen.
    pub fn sequence(&self) -> u64 {
        match self {
            Self::Leaf(transaction) => transaction.sequence,
            Self::Members(transaction) => transaction.sequence,
            Self::Right(transaction) => transaction.sequence,
        }
    }

    /// The submitter's signature.
    pub fn submitter_signature(&self) -> &[u8; 64] {
        match self {
            Self::Leaf(transaction) => &transaction.submitter_signature,
            Self::Members(transaction) => &transaction.submitter_signature,
            Self::Right(transaction) => &transaction.submitter_signature,
        }
    }

    /// What the submitter signs in the channel with this genesis.
    pub(crate) fn message(&self, genesis: &Hash) -> Vec<u8> {
        match self {
            Self::Leaf(transaction) => transaction.message(genesis),
            Self::Members(transaction) => transaction.message(genesis),
            Self::Right(transaction) => transaction.message(genesis),
        }
    }

    /// Whether it is within the limits of its encoding.
    pub fn fits(&self) -> bool {
        match self {
            Self::Leaf(transaction) => transaction.fits(),
            Self::Members(transaction) => transaction.fits(),
            Self::Right(transaction) => transaction.fits(),
        }
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        match self {
            Self::Leaf(transaction) => transaction.write_unsigned(&mut out),
            Self::Members(transaction) => transaction.write_unsigned(&mut out),
            Self::Right(transaction) => transaction.write_unsigned(&mut out),
        }
        out.extend_from_slice(self.submitter_signature());
        out
    }

    /// Decodes exactly one transaction. Checks its form, no signature.
    pub fn decode(bytes: &[u8], known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let kind = reader.u8()?;
        let frame = Frame { submitter: reader.did(known)?, sequence: reader.u64()? };
        let transaction = match kind {
            LEAF => Self::Leaf(LeafTransaction::read(frame, &mut reader, known)?),
            MEMBERS => Self::Members(MembersTransaction::read(frame, &mut reader, known)?),
            RIGHT => Self::Right(RightTransaction::read(frame, &mut reader, known)?),
            _ => return Err(DecodeError::Value("kind of a transaction")),
        };
        reader.end()?;
        Ok(transaction)
    }

    /// The identity of the transaction.
    pub fn hash(&self) -> Hash {
        Hash::of(&[CONTEXT, &self.encode()])
    }
}

/// What begins the encoding of every kind, after version and kind.
struct Frame {
    submitter: Did,
    sequence: u64,
}

fn write_frame(out: &mut Vec<u8>, kind: u8, submitter: &Did, sequence: u64) {
    out.extend_from_slice(&[VERSION, kind]);
    out.extend_from_slice(&submitter.public_bytes());
    out.extend_from_slice(&sequence.to_be_bytes());
}

/// What is signed: the context, the genesis digest, and what `write` adds.
fn message(genesis: &Hash, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::with_capacity(512);
    message.extend_from_slice(CONTEXT);
    message.extend_from_slice(&genesis.0);
    write(&mut message);
    message
}

/// More than the limit cannot be decoded again; who encodes that much is told by `fits`.
fn write_signatures(out: &mut Vec<u8>, signatures: &BTreeMap<Did, [u8; 64]>) {
    out.push(u8::try_from(signatures.len()).unwrap_or(u8::MAX));
    for (did, signature) in signatures {
        out.extend_from_slice(&did.public_bytes());
        out.extend_from_slice(signature);
    }
}

fn read_signatures(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<BTreeMap<Did, [u8; 64]>, DecodeError> {
    let mut signatures = BTreeMap::new();
    for _ in 0..read_count(reader, "signatures")? {
        let did = reader.did(known)?;
        if signatures.last_key_value().is_some_and(|(last, _)| *last >= did) {
            return Err(DecodeError::Order("signatures"));
        }
        signatures.insert(did, reader.array()?);
    }
    Ok(signatures)
}

fn read_count(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, DecodeError> {
    let count = usize::from(reader.u8()?);
    if count <= SIGNATURES_MAX { Ok(count) } else { Err(DecodeError::TooMany(what)) }
}
