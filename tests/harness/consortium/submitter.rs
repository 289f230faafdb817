//! Transactions, encoded here once more and not by the ledger's own code: what a stranger would write by its description.

use crate::member::random;
use base64::{Engine, prelude::BASE64_STANDARD};
use entrepot_chain_statement::{Hash, SigningKey, envelope::leaf_message};

const CONTEXT: &[u8] = b"entrepot/transaction/v1\n";
const VERSION: u8 = 1;
const LEAF: u8 = 1;
const USAGE_RECEIPT: u8 = 7;

/// A signed transaction.
#[derive(Clone, Debug)]
pub struct Signed {
    /// Its identity.
    pub hash: Hash,
    /// Its encoding, in base64.
    pub encoded: String,
}

/// Logs leaves under a key.
pub struct Submitter {
    key: SigningKey,
    genesis: Hash,
    sequence: u64,
}

impl Submitter {
    /// In the channel with this genesis digest; `sequence` is the last number that was used.
    pub fn new(key: SigningKey, genesis: Hash, sequence: u64) -> Self {
        Self { key, genesis, sequence }
    }

    /// The last number that was used.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// A new random leaf, which binds the submitter alone.
    pub fn leaf(&mut self) -> Signed {
        self.sequence += 1;
        let (own, leaf) = (self.key.did().public_bytes(), Hash(random()));
        let mut encoding = vec![VERSION, LEAF];
        encoding.extend_from_slice(&own);
        encoding.extend_from_slice(&self.sequence.to_be_bytes());
        encoding.extend_from_slice(&leaf.0);
        // Of the kind of a receipt, with one key that is bound and one signature.
        encoding.extend_from_slice(&[USAGE_RECEIPT, 1]);
        encoding.extend_from_slice(&own);
        encoding.push(1);
        encoding.extend_from_slice(&own);
        encoding.extend_from_slice(&self.key.sign(&leaf_message(&leaf)));
        let signature = self.key.sign(&[CONTEXT, &self.genesis.0, &encoding].concat());
        encoding.extend_from_slice(&signature);
        Signed { hash: Hash::of(&[CONTEXT, &encoding]), encoded: BASE64_STANDARD.encode(encoding) }
    }
}
