//! Channels of one member and of four, and an orderer that does what a test says.

use entrepot_chain_ledger::{Facts, Leaf, LeafTransaction, Outcome};
use entrepot_chain_log::codec::Reader;
use entrepot_chain_log::consortium::{
    BlockHeader, CommitCertificate, Genesis, Member, MemberKeys, MemberRole, Members, VoteKind, VotingRule, vote_message,
};
use entrepot_chain_node::{Archive, Committed, Node, NodeConfig, NodeError, NodeKeys, Orderer, OrdererError, SoleMember, Submitter, Task};
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp, envelope::leaf_message, facts};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::sync::{mpsc, oneshot};

pub const ORIGIN: &str = "entrepot/test";
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// The first byte of the keys' seeds of the only member, or the first one.
const FIRST: u8 = 100;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The keys of the node of a member.
pub fn keys_of(member: u8) -> NodeKeys {
    let key = |number| key(FIRST + member * 10 + number);
    NodeKeys { log: key(1), cosigning: key(2), consensus: key(3), transport: key(4) }
}

pub fn keys() -> NodeKeys {
    keys_of(0)
}

/// The key of a member's organisation.
pub fn organisation(member: u8) -> SigningKey {
    key(FIRST + member * 10)
}

pub fn member(number: u8) -> Member {
    let keys = keys_of(number);
    let keys = MemberKeys { consensus: keys.consensus.did(), cosigning: keys.cosigning.did(), transport: keys.transport.did() };
    Member { did: organisation(number).did(), name: format!("member {number}"), role: MemberRole::Member, keys }
}

pub fn genesis_of(origin: &str, members: u8) -> Genesis {
    let members = Members::new((0..members).map(member).collect()).expect("members");
    Genesis::new(origin, VotingRule::Majority, &members).expect("a genesis")
}

/// A channel of one member.
pub fn genesis() -> Genesis {
    genesis_of(ORIGIN, 1)
}

pub fn config(path: &Path) -> NodeConfig {
    NodeConfig { path: path.to_owned(), genesis: genesis(), clock: Arc::new(|| NOW) }
}

pub fn sole() -> SoleMember {
    keys().sole_member(&genesis())
}

pub fn open(path: &Path) -> Node {
    Node::open(config(path), keys(), sole()).expect("the node opens")
}

pub fn leaf(seed: u64) -> Leaf {
    signed_leaf(seed, Facts::DataProduct, &key(1))
}

pub fn signed_leaf(seed: u64, facts: Facts, signer: &SigningKey) -> Leaf {
    let salted = Hash::of(&[&seed.to_be_bytes()]);
    let signature = signer.sign(&leaf_message(&facts::leaf(&salted, &facts)));
    Leaf { salted, facts, binds: [signer.did()].into(), signatures: [(signer.did(), signature)].into() }
}

pub fn leaves(seeds: std::ops::Range<u64>) -> Vec<Leaf> {
    seeds.map(leaf).collect()
}

pub fn submitter(node: &Node) -> Submitter {
    Submitter::new(node.clone(), key(9))
}

pub fn indices(outcomes: &[Outcome]) -> Vec<u64> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted { index } => *index,
            other => panic!("not logged: {other:?}"),
        })
        .collect()
}

/// Closes for good: the folder can be opened again when this returns.
pub async fn shut(node: Node) {
    node.close().await;
    drop(node);
}

/// The error of opening; a node has no debug form.
pub fn refusal(outcome: Result<Node, NodeError>) -> NodeError {
    outcome.err().expect("opening is refused")
}

/// A transaction that only uses up its number: nobody signed its leaf.
pub fn unsigned_leaf(genesis: &Genesis, submitter: u8, sequence: u64) -> LeafTransaction {
    unsigned_leaf_of(genesis, submitter, sequence, [key(1).did()].into())
}

pub fn unsigned_leaf_of(genesis: &Genesis, submitter: u8, sequence: u64, binds: BTreeSet<Did>) -> LeafTransaction {
    let salted = Hash::of(&[&[submitter], &sequence.to_be_bytes()]);
    let leaf = Leaf { salted, facts: Facts::DataProduct, binds, signatures: BTreeMap::new() };
    LeafTransaction::sign(&genesis.digest(), leaf, sequence, &key(submitter))
}

/// What the ledger told the orderer.
#[derive(Default)]
pub struct Told {
    /// How often something was offered.
    pub offers: usize,
    /// What was for the other members.
    pub told: Vec<Vec<u8>>,
    /// Own cosignatures.
    pub cosigned: Vec<(u64, String)>,
    /// Where it stood at the beginning, and its archive.
    pub began: Option<(Committed, Arc<dyn Archive>)>,
}

/// Asks what a [`Director`] says.
pub struct Script {
    tasks: mpsc::UnboundedReceiver<Task>,
    told: Arc<Mutex<Told>>,
}

#[async_trait::async_trait]
impl Orderer for Script {
    fn begin(&mut self, head: Committed, archive: Arc<dyn Archive>) -> Result<(), OrdererError> {
        self.told.lock().expect("unpoisoned").began = Some((head, archive));
        Ok(())
    }

    fn offer(&mut self) {
        self.told.lock().expect("unpoisoned").offers += 1;
    }

    fn tell(&mut self, transactions: Vec<Vec<u8>>) {
        self.told.lock().expect("unpoisoned").told.extend(transactions);
    }

    fn cosigned(&mut self, size: u64, line: String) {
        self.told.lock().expect("unpoisoned").cosigned.push((size, line));
    }

    async fn next(&mut self) -> Result<Task, OrdererError> {
        match self.tasks.recv().await {
            Some(task) => Ok(task),
            None => std::future::pending().await,
        }
    }
}

/// A node of a channel of four members whose orderer does what a test says.
pub struct Directed {
    pub node: Node,
    tasks: mpsc::UnboundedSender<Task>,
    pub told: Arc<Mutex<Told>>,
}

pub const MEMBERS: u8 = 4;

impl Directed {
    pub fn open(path: &Path, number: u8) -> Self {
        Self::open_at(path, number, NOW)
    }

    pub fn open_at(path: &Path, number: u8, now: Timestamp) -> Self {
        let (tasks, queue) = mpsc::unbounded_channel();
        let told = Arc::<Mutex<Told>>::default();
        let config = NodeConfig { path: path.to_owned(), genesis: genesis_of(ORIGIN, MEMBERS), clock: Arc::new(move || now) };
        let node = Node::open(config, keys_of(number), Script { tasks: queue, told: told.clone() }).expect("the node opens");
        Self { node, tasks, told }
    }

    pub fn tell(&self, task: Task) {
        self.tasks.send(task).expect("the node runs");
    }

    pub async fn draft(&self, height: u64) -> Vec<u8> {
        let (reply, draft) = oneshot::channel();
        self.tell(Task::Draft { height, reply });
        draft.await.expect("a draft").block
    }

    pub async fn check(&self, block: &[u8]) -> Option<Hash> {
        let (reply, hash) = oneshot::channel();
        self.tell(Task::Check { block: block.to_vec(), decided: false, reply });
        hash.await.expect("an answer")
    }

    /// Has a block decided by three of the four; none if the node stopped.
    pub async fn try_commit(&self, block: &[u8]) -> Option<Committed> {
        let (reply, committed) = oneshot::channel();
        self.tell(Task::Commit { block: block.to_vec(), certificate: certificate(block), reply });
        committed.await.ok()
    }

    pub async fn commit(&self, block: &[u8]) -> Committed {
        self.try_commit(block).await.expect("it follows")
    }

    /// Waits until the orderer was told something.
    pub async fn wait_until(&self, what: impl Fn(&Told) -> bool) {
        for _ in 0..2000 {
            if what(&self.told.lock().expect("unpoisoned")) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the orderer was not told");
    }

    /// Why the node has stopped, once it has.
    pub async fn failure(&self) -> String {
        for _ in 0..2000 {
            if let Some(why) = self.node.failure() {
                return why;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the node goes on");
    }

    pub fn offers(&self) -> usize {
        self.told.lock().expect("unpoisoned").offers
    }
}

pub fn header(block: &[u8]) -> BlockHeader {
    BlockHeader::read(&mut Reader::new(block)).expect("a header")
}

/// Precommits of three of the four members.
pub fn certificate(block: &[u8]) -> CommitCertificate {
    let header = header(block);
    let message = vote_message(&genesis_of(ORIGIN, MEMBERS).digest(), VoteKind::Precommit, header.height, 2, Some(&header.hash()));
    let sign = |number| {
        let key = keys_of(number).consensus;
        (key.did(), key.sign(&message))
    };
    CommitCertificate { height: header.height, round: 2, block: header.hash(), signatures: (0..3).map(sign).collect() }
}
