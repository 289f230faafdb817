//! Four members on loopback in one process, so that all of them share the machine's cores: what they commit a second, how long one
//! transaction takes, how fast a member that was away catches up, and what a leaf costs on disk.

#[expect(dead_code, reason = "shared with benchmarks that need more of it")]
mod jobs;

use entrepot_benches::{Figure, Machine, cores};
use entrepot_chain_ledger::{LeafTransaction, Outcome, Transaction};
use entrepot_chain_log::consortium::{Genesis, Member, MemberKeys, MemberRole, Members, VotingRule};
use entrepot_chain_node::{ConsortiumConfig, Mesh, MeshConfig, Node, NodeConfig, NodeKeys, Past, Seat, timeouts};
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp};
use futures::future::join_all;
use jobs::{key, leaf};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

const MEMBERS: u8 = 4;
const SUBMITTERS: u8 = 16;
/// Of each submitter.
const TRANSACTIONS: usize = 1_024;
const BATCH: usize = 256;
/// Sent one after the other, to see how long one takes.
const ALONE: usize = 300;
/// Blocks that a member is behind.
const BEHIND: usize = 10_000;
const TIMEOUT: Duration = Duration::from_secs(2);

fn keys(of: u8) -> NodeKeys {
    let key = |purpose: u8| SigningKey::from_seed(&[[of, purpose]; 16].concat().try_into().expect("32 bytes"));
    NodeKeys { log: key(1), cosigning: key(2), consensus: key(3), transport: key(4) }
}

fn genesis() -> Genesis {
    let member = |of: u8| {
        let keys = keys(of);
        let keys = MemberKeys { consensus: keys.consensus.did(), cosigning: keys.cosigning.did(), transport: keys.transport.did() };
        Member { did: key(100 + of).did(), name: format!("member {of}"), role: MemberRole::Member, keys }
    };
    let members = Members::new((0..MEMBERS).map(member).collect()).expect("distinct keys");
    Genesis::new("entrepot/bench", VotingRule::TwoThirds, &members).expect("a genesis")
}

struct Cluster {
    folder: tempfile::TempDir,
    addresses: Vec<SocketAddr>,
    nodes: Vec<Node>,
}

impl Cluster {
    async fn new() -> Self {
        let held: Vec<TcpListener> = (0..MEMBERS).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let addresses = held.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        let mut cluster = Self { folder: tempfile::tempdir().expect("a folder"), addresses, nodes: Vec::new() };
        drop(held);
        for of in 0..MEMBERS {
            let node = cluster.open(of, Past::Nothing).await;
            cluster.nodes.push(node);
        }
        cluster
    }

    async fn open(&self, of: u8, past: Past) -> Node {
        let (keys, genesis) = (keys(of), genesis());
        let peers: BTreeMap<Did, String> =
            (0..MEMBERS).map(|of| (self::keys(of).transport.did(), self.addresses[usize::from(of)].to_string())).collect();
        let listen = self.addresses[usize::from(of)];
        let mesh = Mesh::start(MeshConfig { key: self::keys(of).transport, listen, peers }).await.expect("the port is free");
        let folder = self.folder.path().join(of.to_string());
        let config = ConsortiumConfig {
            genesis: genesis.digest(),
            key: self::keys(of).consensus,
            folder: folder.join("consensus"),
            timeouts: timeouts(TIMEOUT, TIMEOUT / 2),
            past,
        };
        let seat = Seat::new(config, Arc::new(mesh), keys.cosigning.did());
        fs::create_dir_all(&folder).expect("a folder");
        let clock = Arc::new(|| Timestamp(SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as i64)));
        Node::open(NodeConfig { path: folder.join("chain"), genesis, clock }, keys, seat).expect("the node opens")
    }

    fn node(&self, of: u8) -> &Node {
        &self.nodes[usize::from(of)]
    }

    async fn reach(&self, of: u8, height: u64) {
        let mut heights = self.node(of).heights();
        heights.wait_for(|at| *at >= height).await.expect("the node runs");
    }

    async fn close(self) {
        for node in self.nodes {
            node.close().await;
        }
    }
}

async fn submit(node: &Node, transactions: Vec<LeafTransaction>) {
    let outcomes = node.submit(transactions).await.expect("submits");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
}

fn transactions(submitter: u8, count: usize) -> Vec<LeafTransaction> {
    let genesis = genesis().digest();
    (0..count).map(|number| LeafTransaction::sign(&genesis, leaf(submitter, number), number as u64 + 1, &key(submitter))).collect()
}

/// Seconds until all members have committed all of them, blocks, and bytes on one member's disk.
async fn commit(all: &[Vec<LeafTransaction>]) -> (f64, u64, u64) {
    let cluster = Cluster::new().await;
    // The links are up once a first block is decided by all.
    submit(cluster.node(0), transactions(99, 1)).await;
    let start = Instant::now();
    join_all(all.iter().zip((0..MEMBERS).cycle()).map(|(own, of)| {
        let node = cluster.node(of);
        async move {
            for batch in own.chunks(BATCH) {
                submit(node, batch.to_vec()).await;
            }
        }
    }))
    .await;
    let height = (0..MEMBERS).map(|of| cluster.node(of).head().height).max().unwrap_or(0);
    for of in 0..MEMBERS {
        cluster.reach(of, height).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    let roots: Vec<Hash> = (0..MEMBERS).map(|of| cluster.node(of).state().state_root()).collect();
    assert!(roots.iter().all(|root| *root == roots[0]), "the members disagree");
    let bytes = size_of(&cluster.folder.path().join("0").join("chain"));
    cluster.close().await;
    (seconds, height, bytes)
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |data| data.len())).sum()
}

/// Milliseconds of each of some transactions, sent one after the other, and of a page synced before each; both sorted.
async fn alone(cluster: &Cluster, transactions: &[LeafTransaction]) -> (Vec<f64>, Vec<f64>) {
    let mut file = File::create(cluster.folder.path().join("page")).expect("a file");
    let (mut commits, mut syncs) = (Vec::new(), Vec::new());
    for transaction in transactions {
        let start = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("the disk takes a page");
        syncs.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        submit(cluster.node(0), vec![transaction.clone()]).await;
        commits.push(start.elapsed().as_secs_f64() * 1e3);
    }
    commits.sort_by(f64::total_cmp);
    syncs.sort_by(f64::total_cmp);
    (commits, syncs)
}

/// Seconds that a member takes to get back the blocks that it lost with everything else, and their number.
async fn catch_up(blocks: usize) -> (f64, u64) {
    let mut cluster = Cluster::new().await;
    for transaction in transactions(50, blocks) {
        submit(cluster.node(0), vec![transaction]).await;
    }
    let height = cluster.node(0).head().height;
    let lost = MEMBERS - 1;
    if let Some(node) = cluster.nodes.pop() {
        node.close().await;
    }
    fs::remove_dir_all(cluster.folder.path().join(lost.to_string())).expect("the folder is let go of");
    let start = Instant::now();
    let again = cluster.open(lost, Past::Unknown).await;
    cluster.nodes.push(again);
    cluster.reach(lost, height).await;
    let seconds = start.elapsed().as_secs_f64();
    cluster.close().await;
    (seconds, height)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let all: Vec<_> = (0..SUBMITTERS).map(|submitter| transactions(submitter, TRANSACTIONS)).collect();
    let (seconds, blocks, bytes) = runtime.block_on(commit(&all));
    let count = usize::from(SUBMITTERS) * TRANSACTIONS;
    let machine = Machine::measure();
    let conditions = format!(
        "{count} transactions of two signatures each, {SUBMITTERS} submitters with {BATCH} at a time at four members in one process, {blocks} blocks; every member checks every signature on the same cores; reference: cores x single Ed25519 verifications"
    );
    let reference = machine.ed25519_verifications * cores() as f64;
    Figure { name: "chain.commit.4", value: count as f64 / seconds, unit: "transactions/s", reference, conditions: &conditions }.print();
    let conditions =
        format!("RocksDB's folder of one member after {count} leaves of jobs in {blocks} blocks; reference: the encoded transaction");
    let encoded = Transaction::from(all[0][0].clone()).encode().len() as f64;
    Figure { name: "chain.receipt.bytes", value: bytes as f64 / count as f64, unit: "bytes", reference: encoded, conditions: &conditions }
        .print();

    let (commits, syncs) = runtime.block_on(async {
        let cluster = Cluster::new().await;
        submit(cluster.node(0), transactions(99, 1)).await;
        let measured = alone(&cluster, &transactions(1, ALONE)).await;
        cluster.close().await;
        measured
    });
    let at = |sorted: &[f64], share: f64| sorted[((ALONE - 1) as f64 * share) as usize];
    // One after the other: the proposer's, a follower's prevote and precommit, the block.
    let reference = at(&syncs, 0.5) * 4.0;
    let conditions = format!(
        "p50 of {ALONE} transactions, one at a time, four members in one process; p99 {:.2} ms; reference: four times the p50 of appending a page and syncing it ({:.2} ms, p99 {:.2} ms), for the four syncs that follow each other",
        at(&commits, 0.99),
        at(&syncs, 0.5),
        at(&syncs, 0.99)
    );
    Figure { name: "chain.latency.4", value: at(&commits, 0.5), unit: "ms", reference, conditions: &conditions }.print();

    let (seconds, height) = runtime.block_on(catch_up(BEHIND));
    let conditions = format!(
        "{height} blocks of one transaction that a member lost and gets from three others, same process; reference: one sync a block"
    );
    Figure { name: "chain.catch_up", value: height as f64 / seconds, unit: "blocks/s", reference: machine.fsyncs, conditions: &conditions }
        .print();
}
