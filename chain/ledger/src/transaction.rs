//! A leaf on its way into the log.

use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    kind::LeafKind,
};
use entrepot_chain_statement::{Did, Envelope, Hash, SigningKey, envelope::SIGNATURES_MAX};
use std::collections::{BTreeMap, BTreeSet};

const VERSION: u8 = 1;
/// What a submitter signs begins so, then the origin of the log and a line feed: no transaction is good for another log.
const CONTEXT: &[u8] = b"entrepot/transaction/v1\n";
/// Longest encoding of a transaction.
pub const TRANSACTION_BYTES_MAX: usize = 1 + 32 + 1 + 32 + 8 + 1 + SIGNATURES_MAX * 32 + 1 + SIGNATURES_MAX * 96 + 64;

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
    /// The submitter's signature over all of it and the log's origin.
    pub submitter_signature: [u8; 64],
}

impl LeafTransaction {
    /// Submits a leaf to the log of this origin.
    pub fn sign(origin: &str, leaf: Leaf, sequence: u64, key: &SigningKey) -> Self {
        let mut transaction = Self { leaf, submitter: key.did(), sequence, submitter_signature: [0; 64] };
        transaction.submitter_signature = key.sign(&transaction.message(origin));
        transaction
    }

    /// What the submitter signs.
    pub(crate) fn message(&self, origin: &str) -> Vec<u8> {
        let mut message = [CONTEXT, origin.as_bytes(), b"\n"].concat();
        self.encode_unsigned(&mut message);
        message
    }

    fn encode_unsigned(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend_from_slice(&self.leaf.leaf.0);
        out.push(self.leaf.kind.code());
        out.extend_from_slice(&self.submitter.public_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        // More than the limit cannot be decoded again; a transaction that long is refused by `check`, not here.
        out.push(u8::try_from(self.leaf.binds.len()).unwrap_or(u8::MAX));
        for did in &self.leaf.binds {
            out.extend_from_slice(&did.public_bytes());
        }
        out.push(u8::try_from(self.leaf.signatures.len()).unwrap_or(u8::MAX));
        for (did, signature) in &self.leaf.signatures {
            out.extend_from_slice(&did.public_bytes());
            out.extend_from_slice(signature);
        }
    }

    /// Whether it is within the limits of its encoding.
    pub fn fits(&self) -> bool {
        self.leaf.binds.len() <= SIGNATURES_MAX && self.leaf.signatures.len() <= SIGNATURES_MAX
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.encode_unsigned(&mut out);
        out.extend_from_slice(&self.submitter_signature);
        out
    }

    /// Decodes exactly one transaction. Checks its form, no signature.
    pub fn decode(bytes: &[u8], known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let leaf = reader.hash()?;
        let kind = LeafKind::from_code(reader.u8()?).map_err(|_| DecodeError::Value("kind"))?;
        let submitter = reader.did(known)?;
        let sequence = reader.u64()?;
        let mut binds = BTreeSet::new();
        for _ in 0..count(&mut reader, "bound keys")? {
            let did = reader.did(known)?;
            if binds.last().is_some_and(|last| *last >= did) {
                return Err(DecodeError::Order("bound keys"));
            }
            binds.insert(did);
        }
        let mut signatures = BTreeMap::new();
        for _ in 0..count(&mut reader, "signatures")? {
            let did = reader.did(known)?;
            if signatures.last_key_value().is_some_and(|(last, _)| *last >= did) {
                return Err(DecodeError::Order("signatures"));
            }
            signatures.insert(did, reader.array()?);
        }
        let submitter_signature = reader.array()?;
        reader.end()?;
        Ok(Self { leaf: Leaf { leaf, kind, binds, signatures }, submitter, sequence, submitter_signature })
    }

    /// The identity of the transaction.
    pub fn hash(&self) -> Hash {
        Hash::of(&[CONTEXT, &self.encode()])
    }
}

fn count(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, DecodeError> {
    let count = usize::from(reader.u8()?);
    if count <= SIGNATURES_MAX { Ok(count) } else { Err(DecodeError::TooMany(what)) }
}
