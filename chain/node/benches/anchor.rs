//! Leaves a second into the chain: signatures checked, applied, in a synced block, under a checkpoint. Beside the signature checks alone.

mod jobs;

use entrepot_benches::{Figure, cores, fastest, on_every_core};
use entrepot_chain_ledger::{Leaf, Outcome};
use entrepot_chain_node::Submitter;
use entrepot_chain_statement::envelope::verify_leaf_signature;
use jobs::{key, leaf, node};
use std::hint::black_box;

const LEAVES: usize = 8_192;
/// As many as the exchange submits at once.
const BATCH: usize = 256;
const RUNS: usize = 3;

/// Seconds to log all of them on a new chain.
async fn log(leaves: &[Leaf]) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let node = node(folder.path());
    let submitter = Submitter::new(node.clone(), key(9));
    let start = std::time::Instant::now();
    for batch in leaves.chunks(BATCH) {
        let outcomes = submitter.submit(batch).await.expect("submits");
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Accepted { .. })));
    }
    let seconds = start.elapsed().as_secs_f64();
    node.close().await;
    seconds
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let leaves: Vec<Leaf> = (0..LEAVES).map(|number| leaf(0, number)).collect();
    let seconds = (0..RUNS).map(|_| runtime.block_on(log(&leaves))).fold(f64::INFINITY, f64::min);

    // What cannot be saved: one signature over the leaf, and the submitter's over the transaction.
    let entry = leaves[0].leaf();
    let (did, signature) = leaves[0].signatures.first_key_value().expect("a signature");
    let checks = 2_000;
    let reference_seconds = fastest(RUNS, || {
        on_every_core(|| (0..2 * checks).for_each(|_| assert!(verify_leaf_signature(did, black_box(&entry), signature))));
    });
    let reference = f64::from(checks) * cores() as f64 / reference_seconds;
    let conditions = format!(
        "{LEAVES} leaves of jobs (order, hold, three receipts, release) of one signature each in batches of {BATCH}, one member, synced blocks; reference: two signatures a leaf checked on all cores"
    );
    Figure { name: "chain.anchor", value: LEAVES as f64 / seconds, unit: "leaves/s", reference, conditions: &conditions }.print();
}
