//! Transactions, encoded here once more and not by the ledger's own code: what a stranger would write by its description.

use crate::member::random;
use base64::{Engine, prelude::BASE64_STANDARD};
use entrepot_chain_statement::{Hash, SigningKey, envelope::leaf_message};

const CONTEXT: &[u8] = b"entrepot/transaction/v1\n";
const VERSION: u8 = 1;
const LEAF: u8 = 1;
/// Encoded facts, version and kind, of a data product: no contract judges it.
const DATA_PRODUCT: [u8; 2] = [1, 3];
/// Then comes which right, and its holder.
const RIGHTS_REGISTRATION: [u8; 2] = [1, 2];
const HOLD: u8 = 1;

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
        self.log(&DATA_PRODUCT).0
    }

    /// A registration of the submitter's right to hold something, and the right's name.
    pub fn registration(&mut self) -> (Signed, Hash) {
        let own = self.key.did().public_bytes();
        let (signed, leaf) = self.log(&[&RIGHTS_REGISTRATION[..], &[HOLD], &own].concat());
        (signed, Hash::of(&[b"entrepot/right/v1\n", &leaf.0, &[HOLD], &own]))
    }

    /// A random salted hash under these facts, and its entry in the log.
    fn log(&mut self, facts: &[u8]) -> (Signed, Hash) {
        self.sequence += 1;
        let (own, salted) = (self.key.did().public_bytes(), Hash(random()));
        let leaf = Hash::of(&[b"entrepot/leaf/v2\n", &salted.0, facts]);
        let mut encoding = vec![VERSION, LEAF];
        encoding.extend_from_slice(&own);
        encoding.extend_from_slice(&self.sequence.to_be_bytes());
        encoding.extend_from_slice(&salted.0);
        encoding.extend_from_slice(facts);
        // One key that is bound and one signature.
        encoding.push(1);
        encoding.extend_from_slice(&own);
        encoding.push(1);
        encoding.extend_from_slice(&own);
        encoding.extend_from_slice(&self.key.sign(&leaf_message(&leaf)));
        let signature = self.key.sign(&[CONTEXT, &self.genesis.0, &encoding].concat());
        encoding.extend_from_slice(&signature);
        (Signed { hash: Hash::of(&[CONTEXT, &encoding]), encoded: BASE64_STANDARD.encode(encoding) }, leaf)
    }
}
