//! Statements of jobs to log, and a new chain for them.

use entrepot_chain_ledger::Leaf;
use entrepot_chain_log::consortium::{Genesis, Member, MemberKeys, MemberRole, Members, VotingRule};
use entrepot_chain_node::{Node, NodeConfig, NodeKeys};
use entrepot_chain_statement::{Facts, Hash, SigningKey, Timestamp, envelope::leaf_message, facts};
use std::{path::Path, sync::Arc};

const ORIGIN: &str = "entrepot/bench";

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The leaf with this number of a submitter who logs an agreement and then job after job: order, hold, three receipts, release.
pub fn leaf(submitter: u8, number: usize) -> Leaf {
    const CONSUMER: u8 = 205;
    const EXCHANGE: u8 = 206;
    const WORKER: u8 = 7;
    let name = |kind: &[u8], job: u64| Hash::of(&[kind, &[submitter], &job.to_be_bytes()]);
    let (agreement, split) = (name(b"agreement", 0), Hash([2; 32]));
    let (did, job) = (|seed| key(seed).did(), number.saturating_sub(1) as u64 / 6);
    let (order, hold) = (name(b"order", job), name(b"hold", job));
    let (facts, signer) = match number.checked_sub(1).map(|number| number % 6) {
        None => {
            let workers = [did(WORKER), did(WORKER), did(WORKER)];
            let (consumer, exchange) = (did(CONSUMER), did(EXCHANGE));
            (Facts::Agreement { name: agreement, consumer, exchange, workers, uses_max: u32::MAX, split }, CONSUMER)
        }
        Some(0) => (Facts::Order { name: order, agreement, sequence: job + 1 }, CONSUMER),
        Some(1) => (Facts::Hold { name: hold, order, consumer: did(CONSUMER) }, EXCHANGE),
        Some(5) => (Facts::Release { hold, split }, EXCHANGE),
        Some(party) => (Facts::UsageReceipt { order, consumer: did(CONSUMER), attempt: 1, party: party as u8 - 2 }, WORKER),
    };
    let salted = Hash::of(&[&[submitter], &(number as u64).to_be_bytes()]);
    let signature = key(signer).sign(&leaf_message(&facts::leaf(&salted, &facts)));
    Leaf { salted, facts, binds: [did(signer)].into(), signatures: [(did(signer), signature)].into() }
}

fn keys() -> NodeKeys {
    NodeKeys { log: key(101), cosigning: key(102), consensus: key(103), transport: key(104) }
}

/// A channel of one member.
pub fn genesis() -> Genesis {
    genesis_of(ORIGIN)
}

/// The same under another name.
pub fn genesis_of(origin: &str) -> Genesis {
    let keys = keys();
    let keys = MemberKeys { consensus: keys.consensus.did(), cosigning: keys.cosigning.did(), transport: keys.transport.did() };
    let member = Member { did: key(105).did(), name: "one".to_owned(), role: MemberRole::Member, keys };
    Genesis::new(origin, VotingRule::Majority, &Members::new(vec![member]).expect("one member")).expect("a genesis")
}

/// A new chain in this folder.
pub fn node(folder: &Path) -> Node {
    node_of(genesis(), folder)
}

/// The same of another channel.
pub fn node_of(genesis: Genesis, folder: &Path) -> Node {
    let clock = Arc::new(|| Timestamp(1_700_000_000_000));
    let orderer = keys().sole_member(&genesis);
    Node::open(NodeConfig { path: folder.join("chain"), genesis, clock }, keys(), orderer).expect("the node opens")
}
