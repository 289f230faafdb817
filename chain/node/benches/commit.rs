//! Signed transactions committed a second, beside the signatures this machine checks one by one; and how long one alone takes, beside a sync.

mod jobs;

use entrepot_benches::{Figure, Machine, cores};
use entrepot_chain_ledger::{LeafTransaction, Outcome};
use entrepot_chain_node::Node;
use futures::future::join_all;
use jobs::{genesis, key, leaf, node};
use std::{fs::File, io::Write as _, time::Instant};

const SUBMITTERS: u8 = 16;
/// Of each submitter.
const TRANSACTIONS: usize = 2_048;
const BATCH: usize = 256;
const RUNS: usize = 3;
/// Sent one after the other, to see how long one takes.
const ALONE: usize = 300;

async fn submit(node: &Node, transactions: Vec<LeafTransaction>) {
    let outcomes = node.submit(transactions).await.expect("submits");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
}

/// Transactions of each submitter, signed.
fn transactions() -> Vec<Vec<LeafTransaction>> {
    let genesis = genesis().digest();
    let of = |submitter: u8| {
        let numbers = 0..TRANSACTIONS;
        numbers.map(|number| LeafTransaction::sign(&genesis, leaf(submitter, number), number as u64 + 1, &key(submitter))).collect()
    };
    (0..SUBMITTERS).map(of).collect()
}

/// Seconds to commit all of them on a new chain, and blocks.
async fn commit(all: &[Vec<LeafTransaction>]) -> (f64, u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(folder.path());
    let start = Instant::now();
    join_all(all.iter().map(|own| async {
        for batch in own.chunks(BATCH) {
            submit(&node, batch.to_vec()).await;
        }
    }))
    .await;
    let seconds = start.elapsed().as_secs_f64();
    let blocks = node.head().height;
    node.close().await;
    (seconds, blocks)
}

/// Milliseconds of each of some transactions, sent one after the other, and of a page synced before each; both sorted. In turn, because a
/// disk changes its mind from second to second.
async fn alone(transactions: &[LeafTransaction]) -> (Vec<f64>, Vec<f64>) {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(folder.path());
    let mut file = File::create(folder.path().join("page")).expect("a file");
    let (mut commits, mut syncs) = (Vec::new(), Vec::new());
    for transaction in transactions {
        let start = Instant::now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).expect("the disk takes a page");
        syncs.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        submit(&node, vec![transaction.clone()]).await;
        commits.push(start.elapsed().as_secs_f64() * 1e3);
    }
    node.close().await;
    commits.sort_by(f64::total_cmp);
    syncs.sort_by(f64::total_cmp);
    (commits, syncs)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let all = transactions();
    let mut best = (f64::INFINITY, 0);
    for _ in 0..RUNS {
        let run = runtime.block_on(commit(&all));
        best = if run.0 < best.0 { run } else { best };
    }
    let (seconds, blocks) = best;
    let count = usize::from(SUBMITTERS) * TRANSACTIONS;
    let machine = Machine::measure();
    let conditions = format!(
        "{count} transactions of two signatures each, {SUBMITTERS} submitters with {BATCH} at a time, {blocks} synced blocks, one member; reference: cores x single Ed25519 verifications"
    );
    let reference = machine.ed25519_verifications * cores() as f64;
    Figure { name: "chain.commit.1", value: count as f64 / seconds, unit: "transactions/s", reference, conditions: &conditions }.print();

    let (commits, syncs) = runtime.block_on(alone(&all[0][..ALONE]));
    let at = |sorted: &[f64], share: f64| sorted[((ALONE - 1) as f64 * share) as usize];
    let (slow, slow_sync) = (at(&commits, 0.99), at(&syncs, 0.99));
    let conditions = format!(
        "p50 of {ALONE} transactions, one at a time, one sync a block, one member; p99 {slow:.2} ms, of a sync {slow_sync:.2} ms; reference: p50 of appending a page and syncing it, in turn with them"
    );
    Figure { name: "chain.latency.1", value: at(&commits, 0.5), unit: "ms", reference: at(&syncs, 0.5), conditions: &conditions }.print();
}
