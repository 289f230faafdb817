//! Signed transactions committed a second in many channels of one process, beside one channel of the same process with the same submitters.

#[expect(dead_code, reason = "shared with benchmarks that need more of it")]
mod jobs;

use entrepot_benches::Figure;
use entrepot_chain_ledger::{LeafTransaction, Outcome};
use entrepot_chain_log::consortium::Genesis;
use entrepot_chain_node::Node;
use futures::future::join_all;
use jobs::{genesis_of, key, leaf, node_of};
use std::time::Instant;

const CHANNELS: u8 = 64;
/// Of each submitter; there are as many of them as channels.
const TRANSACTIONS: usize = 512;
const BATCH: usize = 256;
const RUNS: usize = 3;

/// Transactions of a submitter in a channel, signed.
fn transactions(genesis: &Genesis, submitter: u8) -> Vec<LeafTransaction> {
    let (own, genesis) = (key(submitter + 110), genesis.digest());
    (0..TRANSACTIONS).map(|number| LeafTransaction::sign(&genesis, leaf(submitter, number), number as u64 + 1, &own)).collect()
}

async fn submit(node: &Node, transactions: &[LeafTransaction]) {
    for batch in transactions.chunks(BATCH) {
        let outcomes = node.submit(batch.to_vec()).await.expect("submits");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
    }
}

/// Transactions a second: each submitter at the channel of its number, or all at the only one.
async fn rate(geneses: &[Genesis], all: &[Vec<LeafTransaction>]) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |(at, genesis): (usize, &Genesis)| node_of(genesis.clone(), &folder.path().join(at.to_string()));
    let nodes: Vec<Node> = geneses.iter().enumerate().map(open).collect();
    let start = Instant::now();
    join_all(all.iter().zip(nodes.iter().cycle()).map(|(own, node)| submit(node, own))).await;
    let seconds = start.elapsed().as_secs_f64();
    join_all(nodes.iter().map(Node::close)).await;
    all.iter().map(Vec::len).sum::<usize>() as f64 / seconds
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let many: Vec<Genesis> = (0..CHANNELS).map(|channel| genesis_of(&format!("entrepot/bench-{channel}"))).collect();
    let signed = |of: &dyn Fn(u8) -> Genesis| -> Vec<_> { (0..CHANNELS).map(|at| transactions(&of(at), at)).collect() };
    let (apart, together) = (signed(&|at| many[usize::from(at)].clone()), signed(&|_| many[0].clone()));
    let (mut best, mut best_one) = (0.0_f64, 0.0_f64);
    // In turn, because a disk changes its mind from second to second.
    for _ in 0..RUNS {
        best_one = best_one.max(runtime.block_on(rate(&many[..1], &together)));
        best = best.max(runtime.block_on(rate(&many, &apart)));
    }
    let conditions = format!(
        "{CHANNELS} channels of one member in one process, a submitter at each with {TRANSACTIONS} transactions of two signatures, {BATCH} at a time; reference: the same submitters at one channel of the same process"
    );
    Figure { name: "chain.channels.64", value: best, unit: "transactions/s", reference: best_one, conditions: &conditions }.print();
}
