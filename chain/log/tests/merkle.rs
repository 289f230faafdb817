//! The tree against published vectors, against the RFC's own recursive definitions, and against tampering.

use entrepot_chain_log::{
    MerkleTree,
    merkle::{
        Frontier, MerkleError, NodeId, NodeStore, ProofError, consistency_proof, empty_root, inclusion_proof, leaf_hash, node_hash, root,
        verify_consistency, verify_inclusion,
    },
};
use entrepot_chain_statement::Hash;
use proptest::prelude::*;
use std::{cell::Cell, convert::Infallible};

/// The entries of the Certificate Transparency reference vectors.
fn reference_entries() -> Vec<Vec<u8>> {
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
        .map(|e| hex::decode(e).unwrap())
        .to_vec()
}

#[test]
fn roots_match_the_reference_vectors() {
    let mut tree = MerkleTree::new();
    assert_eq!(tree.root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    for (entry, expected) in reference_entries().iter().zip(roots) {
        tree.push(entry);
        assert_eq!(tree.root().to_string(), expected);
        assert_eq!(tree.root_at(tree.size()).unwrap(), tree.root());
    }
}

#[test]
fn proofs_match_the_reference_vectors() {
    let tree: MerkleTree = reference_entries().into_iter().collect();
    let hexes = |path: Vec<Hash>| path.iter().map(Hash::to_string).collect::<Vec<_>>();
    assert_eq!(hexes(tree.inclusion_proof(0, 1).unwrap()), Vec::<String>::new());
    assert_eq!(
        hexes(tree.inclusion_proof(5, 8).unwrap()),
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        hexes(tree.consistency_proof(6, 8).unwrap()),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

/// MTH, PATH and PROOF word by word from RFC 6962 §2.1, over leaf hashes.
mod definition {
    use super::*;

    fn split(n: usize) -> usize {
        let mut k = 1;
        while k * 2 < n {
            k *= 2;
        }
        k
    }

    pub fn root(d: &[Hash]) -> Hash {
        match d {
            [] => empty_root(),
            [leaf] => *leaf,
            _ => node_hash(&root(&d[..split(d.len())]), &root(&d[split(d.len())..])),
        }
    }

    pub fn path(m: usize, d: &[Hash]) -> Vec<Hash> {
        if d.len() == 1 {
            return vec![];
        }
        let k = split(d.len());
        if m < k { [path(m, &d[..k]), vec![root(&d[k..])]].concat() } else { [path(m - k, &d[k..]), vec![root(&d[..k])]].concat() }
    }

    pub fn proof(m: usize, d: &[Hash], whole: bool) -> Vec<Hash> {
        let n = d.len();
        if m == n {
            return if whole { vec![] } else { vec![root(d)] };
        }
        let k = split(n);
        if m <= k {
            [proof(m, &d[..k], whole), vec![root(&d[k..])]].concat()
        } else {
            [proof(m - k, &d[k..], false), vec![root(&d[..k])]].concat()
        }
    }
}

#[test]
fn every_small_tree_is_as_defined_and_verifies() {
    let leaves: Vec<Hash> = (0..70u8).map(|n| leaf_hash(&[n])).collect();
    let tree: MerkleTree = (0..70u8).map(|n| [n]).collect();
    for size in 0..=70usize {
        let head = definition::root(&leaves[..size]);
        assert_eq!(tree.root_at(size as u64).unwrap(), head);
        assert_eq!(Frontier::load(&tree, size as u64).unwrap().root(), head);
        for index in 0..size {
            let path = tree.inclusion_proof(index as u64, size as u64).unwrap();
            assert_eq!(path, definition::path(index, &leaves[..size]));
            verify_inclusion(&leaves[index], index as u64, size as u64, &path, &head).unwrap();
        }
        for from in 0..=size {
            let path = tree.consistency_proof(from as u64, size as u64).unwrap();
            if from > 0 {
                assert_eq!(path, definition::proof(from, &leaves[..size], true));
            }
            let old = definition::root(&leaves[..from]);
            verify_consistency((from as u64, &old), (size as u64, &head), &path).unwrap();
        }
    }
    assert_eq!((tree.root_at(71), tree.inclusion_proof(0, 71), tree.consistency_proof(1, 71)), (None, None, None));
}

#[test]
fn a_frontier_goes_on_from_where_it_was_loaded() {
    let entries: Vec<[u8; 1]> = (0..50).map(|n| [n]).collect();
    let whole: MerkleTree = entries.iter().collect();
    for cut in 0..50 {
        let mut tree: MerkleTree = entries[..cut].iter().collect();
        let mut frontier = Frontier::load(&tree, cut as u64).unwrap();
        let mut written = 0;
        for entry in &entries[cut..] {
            frontier.append(leaf_hash(entry), |id, hash| {
                assert_eq!(whole.node(id).unwrap(), Some(hash));
                written += 1;
            });
            tree.push(entry);
        }
        assert_eq!((frontier.size(), frontier.root()), (50, whole.root()));
        assert_eq!(tree.root(), whole.root());
        assert!(written >= 50 - cut);
    }
}

/// A tree of 2^40 equal leaves that exists only as one node a level, and counts the reads.
struct Uniform {
    levels: Vec<Hash>,
    reads: Cell<usize>,
}

impl NodeStore for Uniform {
    type Error = Infallible;
    fn node(&self, id: NodeId) -> Result<Option<Hash>, Infallible> {
        self.reads.set(self.reads.get() + 1);
        Ok(self.levels.get(usize::from(id.level)).copied())
    }
}

#[test]
fn huge_trees_take_a_logarithmic_number_of_reads() {
    let mut levels = vec![leaf_hash(b"x")];
    for level in 0..40 {
        levels.push(node_hash(&levels[level], &levels[level]));
    }
    let store = Uniform { levels, reads: Cell::new(0) };
    let size = (1 << 40) + 12_345;
    let head = root(&store, size).unwrap();
    store.reads.set(0);
    let path = inclusion_proof(&store, 987_654_321, size).unwrap();
    assert!(store.reads.get() < 100, "{} reads", store.reads.get());
    verify_inclusion(&leaf_hash(b"x"), 987_654_321, size, &path, &head).unwrap();
    store.reads.set(0);
    let path = consistency_proof(&store, 1_000_000_007, size).unwrap();
    assert!(store.reads.get() < 100, "{} reads", store.reads.get());
    let old = root(&store, 1_000_000_007).unwrap();
    verify_consistency((1_000_000_007, &old), (size, &head), &path).unwrap();
}

#[test]
fn a_missing_node_and_positions_beyond_the_tree_are_errors() {
    let tree: MerkleTree = (0..5u8).map(|n| [n]).collect();
    assert_eq!(inclusion_proof(&tree, 5, 5), Err(MerkleError::Beyond { asked: 5, size: 5 }));
    assert_eq!(consistency_proof(&tree, 6, 5), Err(MerkleError::Beyond { asked: 6, size: 5 }));
    assert_eq!(root(&tree, 6), Err(MerkleError::Missing { level: 1, index: 2 }));
}

#[test]
fn impossible_positions_prove_nothing() {
    let hash = leaf_hash(b"x");
    assert_eq!(verify_inclusion(&hash, 1, 1, &[], &hash), Err(ProofError::Range));
    assert_eq!(verify_inclusion(&hash, 0, 0, &[], &hash), Err(ProofError::Range));
    assert_eq!(verify_inclusion(&hash, u64::MAX, u64::MAX, &[hash; 64], &hash), Err(ProofError::Range));
    assert_eq!(verify_inclusion(&hash, 0, u64::MAX, &[hash; 3], &hash), Err(ProofError::Length));
    assert_eq!(verify_consistency((2, &hash), (1, &hash), &[]), Err(ProofError::Range));
    assert_eq!(verify_consistency((0, &hash), (1, &hash), &[]), Err(ProofError::Root), "the empty tree has one root");
    assert_eq!(verify_consistency((0, &empty_root()), (1, &hash), &[hash]), Err(ProofError::Length));
    assert_eq!(verify_consistency((5, &hash), (5, &leaf_hash(b"y")), &[]), Err(ProofError::Root), "a fork");
    assert_eq!(verify_consistency((3, &hash), (5, &hash), &[]), Err(ProofError::Length));
}

proptest! {
    #[test]
    fn a_changed_proof_proves_nothing(size in 2u64..200, at in any::<u64>(), what in 0usize..5, byte in 0usize..32, flip in 1u8..) {
        let tree: MerkleTree = (0..size).map(u64::to_be_bytes).collect();
        let index = at % size;
        let entry = leaf_hash(&index.to_be_bytes());
        let path = tree.inclusion_proof(index, size).unwrap();
        let flipped = |hash: &Hash| { let mut hash = *hash; hash.0[byte] ^= flip; hash };
        let (mut leaf, mut index_now, mut path_now, mut head) = (entry, index, path.clone(), tree.root());
        match what {
            0 => leaf = flipped(&leaf),
            1 => index_now = (index + 1) % size,
            2 => { let n = at as usize % path.len(); path_now[n] = flipped(&path_now[n]) }
            3 => { path_now.pop(); }
            _ => head = flipped(&head),
        }
        prop_assert!(verify_inclusion(&leaf, index_now, size, &path_now, &head).is_err());
        path_now = [path, vec![entry]].concat();
        prop_assert!(verify_inclusion(&entry, index, size, &path_now, &tree.root()).is_err());
    }

    #[test]
    fn a_rewritten_history_is_inconsistent(size in 2u64..200, from in any::<u64>(), rewritten in any::<u64>(), at in any::<usize>()) {
        let from = 1 + from % (size - 1);
        let rewritten = rewritten % from;
        let old: MerkleTree = (0..from).map(u64::to_be_bytes).collect();
        let forged: MerkleTree = (0..size).map(|n| if n == rewritten { [0xff; 8] } else { n.to_be_bytes() }).collect();
        let path = forged.consistency_proof(from, size).unwrap();
        prop_assert!(verify_consistency((from, &old.root()), (size, &forged.root()), &path).is_err());
        // And an honest one fails once any of its hashes is another.
        let honest: MerkleTree = (0..size).map(u64::to_be_bytes).collect();
        let mut path = honest.consistency_proof(from, size).unwrap();
        verify_consistency((from, &old.root()), (size, &honest.root()), &path).unwrap();
        let at = at % path.len();
        path[at].0[0] ^= 1;
        prop_assert!(verify_consistency((from, &old.root()), (size, &honest.root()), &path).is_err());
    }
}
