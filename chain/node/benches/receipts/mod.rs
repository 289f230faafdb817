//! Receipts to log, and a new chain for them.

use entrepot_chain_ledger::Leaf;
use entrepot_chain_log::consortium::{Genesis, Member, MemberKeys, MemberRole, Members, VotingRule};
use entrepot_chain_node::{Node, NodeConfig, NodeKeys};
use entrepot_chain_statement::{
    Envelope, Hash, SigningKey, Timestamp,
    ids::JobId,
    statements::{SealedShareDigest, Security, UsageReceipt},
};
use std::{path::Path, sync::Arc};

const ORIGIN: &str = "entrepot/bench";

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

fn keys() -> NodeKeys {
    NodeKeys { log: key(101), cosigning: key(102), consensus: key(103), transport: key(104) }
}

/// A channel of one member.
pub fn genesis() -> Genesis {
    let keys = keys();
    let keys = MemberKeys { consensus: keys.consensus.did(), cosigning: keys.cosigning.did(), transport: keys.transport.did() };
    let member = Member { did: key(105).did(), name: "one".to_owned(), role: MemberRole::Member, keys };
    Genesis::new(ORIGIN, VotingRule::Majority, &Members::new(vec![member]).expect("one member")).expect("a genesis")
}

/// A new chain in this folder.
pub fn node(folder: &Path) -> Node {
    let clock = Arc::new(|| Timestamp(1_700_000_000_000));
    let genesis = genesis();
    let orderer = keys().sole_member(&genesis);
    Node::open(NodeConfig { path: folder.join("chain"), genesis, clock }, keys(), orderer).expect("the node opens")
}
