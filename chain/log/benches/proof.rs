//! How long a proof takes to make and to check from its text, beside the signature checks alone that it cannot do without.

use entrepot_benches::{Figure, fastest};
use entrepot_chain_log::{Checkpoint, MerkleTree, NoteSigner, TlogProof, leaf_hash};
use entrepot_chain_statement::{Hash, SigningKey};
use std::hint::black_box;

const ORIGIN: &str = "entrepot/bench";
/// As many as a job of three workers has: the log, one validator, three witnesses.
const COSIGNERS: u8 = 4;
const PROOFS: u64 = 500;
const RUNS: usize = 5;

fn entry(index: u64) -> Hash {
    Hash::of(&[b"entry", &index.to_be_bytes()])
}

fn cosigner(seed: u8) -> NoteSigner {
    let key = SigningKey::from_seed(&[seed; 32]);
    NoteSigner::cosigner(key.did().as_str(), key).expect("a name")
}

/// Microseconds to make a proof and to check one, of a log of this size.
fn measure(name: &str, size: u64) {
    let log = NoteSigner::log(ORIGIN, SigningKey::from_seed(&[1; 32])).expect("a name");
    let cosigners: Vec<_> = (0..COSIGNERS).map(|n| cosigner(n + 2)).collect();
    let mut tree = MerkleTree::new();
    for index in 0..size {
        tree.push_leaf_hash(leaf_hash(&entry(index).0));
    }
    let mut checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size, root: tree.root() }.sign(&log).expect("signs");
    for cosigner in &cosigners {
        let line = checkpoint.cosign(cosigner, 1_700_000_000);
        checkpoint.add_cosignature(cosigner.public(), line).expect("adds");
    }
    let indices: Vec<u64> = (0..PROOFS).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % size).collect();
    let make = |index: u64| {
        let path = tree.inclusion_proof(index, size).expect("is in the log");
        TlogProof { extra: None, index, path, checkpoint: checkpoint.clone() }.to_string()
    };
    let texts: Vec<(u64, String)> = indices.iter().map(|index| (*index, make(*index))).collect();
    let made = fastest(RUNS, || indices.iter().for_each(|index| drop(black_box(make(*index)))));
    let checked = fastest(RUNS, || {
        for (index, text) in &texts {
            let proof: TlogProof = text.parse().expect("a proof");
            proof.checkpoint.verify_log(ORIGIN, log.public()).expect("is the log's");
            proof.verify_entry(&entry(*index).0).expect("is in the log");
            for cosigner in &cosigners {
                assert!(proof.checkpoint.cosigned_at(cosigner.public()).expect("is right").is_some());
            }
        }
    });
    let key = SigningKey::from_seed(&[9; 32]);
    let (did, message) = (key.did(), [7; 100]);
    let signature = key.sign(&message);
    let bare = fastest(RUNS, || (0..PROOFS * u64::from(1 + COSIGNERS)).for_each(|_| assert!(did.verify(black_box(&message), &signature))));
    let micros = |seconds: f64| seconds * 1e6 / PROOFS as f64;
    let conditions = format!(
        "{size} entries, log and {COSIGNERS} cosignatures, from text, on one core; made in {:.1} us from memory, {} bytes; reference: {} Ed25519 verifications",
        micros(made),
        texts[0].1.len(),
        1 + COSIGNERS
    );
    Figure { name, value: micros(checked), unit: "us", reference: micros(bare), conditions: &conditions }.print();
}

fn main() {
    measure("chain.proof.1e3", 1_000);
    measure("chain.proof.1e6", 1_000_000);
    measure("chain.proof.1e7", 10_000_000);
}
