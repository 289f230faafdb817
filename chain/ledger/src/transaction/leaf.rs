//! A leaf on its way into the log.

use super::{Frame, LEAF, read_count, read_right_kind, read_signatures, write_frame, write_signatures};
use crate::codec::{DecodeError, KnownKeys, Reader};
use entrepot_chain_statement::{Did, Envelope, Facts, Hash, LeafKind, SigningKey, envelope::SIGNATURES_MAX, facts};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Salted hash of a statement.
    pub salted: Hash,
    /// What the ledger may know of that statement.
    pub facts: Facts,
    /// The keys that the statement binds.
    pub binds: BTreeSet<Did>,
    /// Signatures over the leaf; the ledger wants one of each key that is bound and none besides.
    pub signatures: BTreeMap<Did, [u8; 64]>,
}

impl Leaf {
    /// The leaf of an envelope, binding all who signed it. None if its type is not logged.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let facts = envelope.facts().clone();
        facts.kind()?;
        let signatures = envelope.signatures().iter().map(|signature| (signature.keyid.clone(), signature.leaf_sig)).collect();
        Some(Self { salted: envelope.salted_hash(), facts, binds: envelope.signers().cloned().collect(), signatures })
    }

    /// The entry of the log.
    pub fn leaf(&self) -> Hash {
        facts::leaf(&self.salted, &self.facts)
    }
}

/// A leaf, submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafTransaction {
    /// What is to be logged.
    pub leaf: Leaf,
    /// Who submits it.
    pub submitter: Did,
    /// 1, 2, 3 … for each submitter: nothing of theirs is overtaken or lost unseen.
    pub sequence: u64,
    /// The submitter's signature over all of it and the genesis digest.
    pub submitter_signature: [u8; 64],
}

impl LeafTransaction {
    /// Submits a leaf to the channel with this genesis digest.
    pub fn sign(genesis: &Hash, leaf: Leaf, sequence: u64, key: &SigningKey) -> Self {
        let mut transaction = Self { leaf, submitter: key.did(), sequence, submitter_signature: [0; 64] };
        transaction.submitter_signature = key.sign(&transaction.message(genesis));
        transaction
    }

    pub(super) fn message(&self, genesis: &Hash) -> Vec<u8> {
        super::message(genesis, |out| self.write_unsigned(out))
    }

    pub(super) fn write_unsigned(&self, out: &mut Vec<u8>) {
        write_frame(out, LEAF, &self.submitter, self.sequence);
        out.extend_from_slice(&self.leaf.salted.0);
        out.extend_from_slice(&self.leaf.facts.encode());
        out.push(u8::try_from(self.leaf.binds.len()).unwrap_or(u8::MAX));
        for did in &self.leaf.binds {
            out.extend_from_slice(&did.public_bytes());
        }
        write_signatures(out, &self.leaf.signatures);
    }

    pub(super) fn read(frame: Frame, reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let (salted, facts) = (reader.hash()?, read_facts(reader, known)?);
        let mut binds = BTreeSet::new();
        for _ in 0..read_count(reader, "bound keys")? {
            let did = reader.did(known)?;
            if binds.last().is_some_and(|last| *last >= did) {
                return Err(DecodeError::Order("bound keys"));
            }
            binds.insert(did);
        }
        let signatures = read_signatures(reader, known)?;
        let Frame { submitter, sequence } = frame;
        Ok(Self { leaf: Leaf { salted, facts, binds, signatures }, submitter, sequence, submitter_signature: reader.array()? })
    }

    pub(super) fn fits(&self) -> bool {
        self.leaf.facts.kind().is_some() && self.leaf.binds.len() <= SIGNATURES_MAX && self.leaf.signatures.len() <= SIGNATURES_MAX
    }
}

/// Facts of a statement that is logged, as [`Facts::encode`] writes them.
fn read_facts(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Facts, DecodeError> {
    reader.version(facts::VERSION)?;
    let kind = LeafKind::from_code(reader.u8()?).map_err(|_| DecodeError::Value("kind of a leaf"))?;
    Ok(match kind {
        LeafKind::WorkerGrant => Facts::WorkerGrant,
        LeafKind::RightsRegistration => Facts::RightsRegistration { right: read_right_kind(reader)?, holder: reader.did(known)? },
        LeafKind::DataProduct => Facts::DataProduct,
        LeafKind::Agreement => Facts::Agreement {
            name: reader.hash()?,
            consumer: reader.did(known)?,
            exchange: reader.did(known)?,
            workers: [reader.did(known)?, reader.did(known)?, reader.did(known)?],
            uses_max: reader.u32()?,
            split: reader.hash()?,
        },
        LeafKind::Order => Facts::Order { name: reader.hash()?, agreement: reader.hash()?, sequence: reader.u64()? },
        LeafKind::Hold => Facts::Hold { name: reader.hash()?, order: reader.hash()?, consumer: reader.did(known)? },
        LeafKind::UsageReceipt => {
            Facts::UsageReceipt { order: reader.hash()?, consumer: reader.did(known)?, attempt: reader.u32()?, party: reader.u8()? }
        }
        LeafKind::Release => Facts::Release { hold: reader.hash()?, split: reader.hash()? },
        LeafKind::Refund => Facts::Refund { hold: reader.hash()? },
    })
}
