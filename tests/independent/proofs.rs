//! Proofs of trees of every small shape: right ones are accepted by others, and what departs from them is refused.

use entrepot_chain_log::MerkleTree;
use tlog_tiles::{Hash, check_record, check_tree, record_hash};

/// Every shape of the upper levels that a proof can meet is there below this size.
const SIZE_MAX: u64 = 40;

fn entry(index: u64) -> Vec<u8> {
    format!("entry {index}").into_bytes()
}

fn theirs(hashes: &[entrepot_chain_statement::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| Hash(hash.0)).collect()
}

fn tree(size: u64) -> MerkleTree {
    (0..size).map(entry).collect()
}

fn spoilt(proof: &[Hash]) -> impl Iterator<Item = Vec<Hash>> + '_ {
    let flipped = (0..proof.len()).map(|at| {
        let mut changed = proof.to_vec();
        changed[at].0[7] ^= 1;
        changed
    });
    let shorter = proof.split_last().map(|(_, rest)| rest.to_vec());
    flipped.chain(shorter).chain([[proof, &[Hash([7; 32])]].concat()])
}

#[test]
fn every_inclusion_proof_leads_to_its_root_for_others_and_no_changed_one_does() {
    let mut refused = 0;
    for size in 1..=SIZE_MAX {
        let tree = tree(size);
        let root = Hash(tree.root().0);
        for index in 0..size {
            let proof = theirs(&tree.inclusion_proof(index, size).expect("in the tree"));
            let leaf = record_hash(&entry(index));
            check_record(&proof, size, root, index, leaf).unwrap_or_else(|error| panic!("{index} of {size}: {error}"));
            assert!(check_record(&proof, size, root, index, record_hash(b"another")).is_err());
            assert!(check_record(&proof, size, root, (index + 1) % size, leaf).is_err() || size == 1);
            for changed in spoilt(&proof) {
                assert!(check_record(&changed, size, root, index, leaf).is_err(), "{index} of {size}");
                refused += 1;
            }
        }
    }
    assert!(refused > 3000, "only {refused} changed proofs");
}

#[test]
fn every_consistency_proof_holds_for_others_and_no_fork_or_stale_size_does() {
    for new in 1..=SIZE_MAX {
        let tree = tree(new);
        let root = Hash(tree.root().0);
        for old in 1..=new {
            let old_root = Hash(self::tree(old).root().0);
            let proof = theirs(&tree.consistency_proof(old, new).expect("in the tree"));
            check_tree(&proof, new, root, old, old_root).unwrap_or_else(|error| panic!("{old} to {new}: {error}"));
            let mut forked: MerkleTree = (0..old - 1).map(entry).collect();
            forked.push(b"another history");
            assert!(check_tree(&proof, new, root, old, Hash(forked.root().0)).is_err(), "a fork at {old} of {new}");
            if old < new {
                assert!(check_tree(&proof, old, old_root, new, root).is_err(), "{new} shrank to {old}");
                for changed in spoilt(&proof) {
                    assert!(check_tree(&changed, new, root, old, old_root).is_err(), "{old} to {new}");
                }
            }
        }
    }
}
