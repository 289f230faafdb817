//! A leaf on its way into the log.

use super::{Frame, LEAF, read_count, read_signatures, write_frame, write_signatures};
use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    kind::LeafKind,
};
use entrepot_chain_statement::{Did, Envelope, Hash, SigningKey, envelope::SIGNATURES_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The entry: a salted hash of a statement.
    pub leaf: Hash,
    /// The kind of that statement.
    pub kind: LeafKind,
    /// The keys that the statement binds.
    pub binds: BTreeSet<Did>,
    /// Signatures over the leaf; the ledger wants one of each key that is bound and none besides.
    pub signatures: BTreeMap<Did, [u8; 64]>,
}

impl Leaf {
    /// The leaf of an envelope, binding all who signed it. None if its type is not logged.
    pub fn of(envelope: &Envelope) -> Option<Self> {
        let name = envelope.payload_type().strip_prefix("application/vnd.entrepot.")?.strip_suffix(".v1+json")?;
        let kind = name.parse().ok()?;
        let signatures = envelope.signatures().iter().map(|signature| (signature.keyid.clone(), signature.leaf_sig)).collect();
        Some(Self { leaf: envelope.leaf(), kind, binds: envelope.signers().cloned().collect(), signatures })
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
        out.extend_from_slice(&self.leaf.leaf.0);
        out.push(self.leaf.kind.code());
        out.push(u8::try_from(self.leaf.binds.len()).unwrap_or(u8::MAX));
        for did in &self.leaf.binds {
            out.extend_from_slice(&did.public_bytes());
        }
        write_signatures(out, &self.leaf.signatures);
    }

    pub(super) fn read(frame: Frame, reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let leaf = reader.hash()?;
        let kind = LeafKind::from_code(reader.u8()?).map_err(|_| DecodeError::Value("kind of a leaf"))?;
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
        Ok(Self { leaf: Leaf { leaf, kind, binds, signatures }, submitter, sequence, submitter_signature: reader.array()? })
    }

    pub(super) fn fits(&self) -> bool {
        self.leaf.binds.len() <= SIGNATURES_MAX && self.leaf.signatures.len() <= SIGNATURES_MAX
    }
}
