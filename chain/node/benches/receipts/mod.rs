//! Receipts to log, and a new chain for them.

use entrepot_chain_ledger::Leaf;
use entrepot_chain_node::{Node, NodeConfig, NodeKeys, SoleMember};
use entrepot_chain_statement::{
    Envelope, Hash, SigningKey, Timestamp,
    ids::JobId,
    statements::{SealedShareDigest, Security, UsageReceipt},
};
use std::{path::Path, sync::Arc};

pub const ORIGIN: &str = "entrepot/bench";

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn receipt(number: usize, worker: &SigningKey) -> Leaf {
    let digest = |share| SealedShareDigest { share, ciphertext: Hash([share; 32]) };
    let receipt = UsageReceipt {
        job_id: JobId::compose(Timestamp(number as i64), [3; 10]),
        attempt: 1,
        agreement: Hash([1; 32]),
        order: Hash([2; 32]),
        plan: Hash([3; 32]),
        party: 0,
        participant: key(8).did(),
        worker: worker.did(),
        security: Security::SemiHonest,
        input_commitment: None,
        rows_input: 0,
        shares: vec![digest(0), digest(1)],
        transcript: Hash([4; 32]),
        finished_at: Timestamp(5),
    };
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Leaf::of(&Envelope::sign(&receipt, worker, salt).expect("signs")).expect("receipts are logged")
}

/// A new chain in this folder.
pub fn node(folder: &Path) -> Node {
    let clock = Arc::new(|| Timestamp(1_700_000_000_000));
    let config = NodeConfig { path: folder.join("chain"), origin: ORIGIN.to_owned(), clock };
    Node::open(config, NodeKeys { log: key(101), cosigning: key(102) }, SoleMember::default()).expect("the node opens")
}
