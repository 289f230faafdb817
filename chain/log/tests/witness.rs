//! A witness cosigns one history.

use entrepot_chain_log::{
    Checkpoint, Cosigned, MerkleTree, NoteSigner, SignedCheckpoint, TreeHead, Witness, WitnessRefusal, cosignature_vkey, witness::Offer,
};
use entrepot_chain_statement::{Hash, SigningKey};
use proptest::prelude::*;

const ORIGIN: &str = "entrepot/main";

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn log() -> NoteSigner {
    NoteSigner::log(ORIGIN, key(1)).unwrap()
}

fn witness() -> Witness {
    Witness::new(NoteSigner::cosigner(key(2).did().as_str(), key(2)).unwrap(), ORIGIN, log().public().clone()).unwrap()
}

fn tree(size: u64) -> MerkleTree {
    (0..size).map(u64::to_be_bytes).collect()
}

fn note(tree: &MerkleTree) -> String {
    Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() }.sign(&log()).unwrap().to_string()
}

fn head(tree: &MerkleTree) -> TreeHead {
    TreeHead { size: tree.size(), root: tree.root() }
}

fn consider(known: Option<TreeHead>, checkpoint: &str, old_size: u64, consistency: &[Hash]) -> Result<Cosigned, WitnessRefusal> {
    witness().consider(known, Offer { checkpoint, old_size, consistency }, 1_700_000_000)
}

#[test]
fn growth_is_cosigned() {
    let (small, large) = (tree(3), tree(8));
    let first = consider(None, &note(&small), 0, &[]).unwrap();
    assert_eq!(first.head, head(&small));
    let proof = large.consistency_proof(3, 8).unwrap();
    let second = consider(Some(first.head), &note(&large), 3, &proof).unwrap();
    assert_eq!(second.head, head(&large));
    let mut cosigned: SignedCheckpoint = note(&large).parse().unwrap();
    let vkey = cosignature_vkey(&key(2).did());
    cosigned.add_cosignature(&vkey, second.signature).unwrap();
    assert_eq!(cosigned.cosigned_at(&vkey), Ok(Some(1_700_000_000)));
}

#[test]
fn a_lost_answer_is_given_again() {
    let known = head(&tree(5));
    assert_eq!(consider(Some(known), &note(&tree(5)), 3, &[]).unwrap().head, known);
}

#[test]
fn a_fork_of_the_same_size_is_refused() {
    let forked: MerkleTree = (0..5u64).map(|n| if n == 4 { [9; 8] } else { n.to_be_bytes() }).collect();
    let refusal = consider(Some(head(&tree(5))), &note(&forked), 5, &[]).unwrap_err();
    assert_eq!((refusal.code(), &refusal), ("fork", &WitnessRefusal::Fork { size: 5 }));
}

#[test]
fn a_fork_that_has_grown_is_refused() {
    let forked: MerkleTree = (0..9u64).map(|n| if n == 2 { [9; 8] } else { n.to_be_bytes() }).collect();
    for proof in [forked.consistency_proof(5, 9).unwrap(), tree(9).consistency_proof(5, 9).unwrap(), vec![]] {
        let refusal = consider(Some(head(&tree(5))), &note(&forked), 5, &proof).unwrap_err();
        assert_eq!(refusal.code(), "inconsistent");
    }
}

#[test]
fn a_shrunken_log_is_refused() {
    let refusal = consider(Some(head(&tree(5))), &note(&tree(4)), 4, &[]).unwrap_err();
    assert_eq!((refusal.code(), refusal), ("rollback", WitnessRefusal::Rollback { known: 5, offered: 4 }));
}

#[test]
fn a_proof_from_elsewhere_is_sent_back_with_the_known_size() {
    let large = tree(8);
    let proof = large.consistency_proof(3, 8).unwrap();
    let refusal = consider(Some(head(&tree(5))), &note(&large), 3, &proof).unwrap_err();
    assert_eq!((refusal.code(), refusal), ("known_size", WitnessRefusal::OldSize { known: 5 }));
    assert_eq!(consider(None, &note(&large), 3, &proof).unwrap_err(), WitnessRefusal::OldSize { known: 0 });
    assert_eq!(consider(None, &note(&large), 0, &proof).unwrap_err().code(), "inconsistent", "nothing to prove from nothing");
}

#[test]
fn another_log_another_key_and_no_signature_are_refused() {
    let tree = tree(3);
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size: 3, root: tree.root() };
    let other_origin = Checkpoint { origin: "entrepot/other".into(), ..checkpoint.clone() }.sign(&log()).unwrap();
    let other_key = checkpoint.sign(&NoteSigner::log(ORIGIN, key(9)).unwrap()).unwrap();
    let forged = note(&tree).replace("\n3\n", "\n4\n");
    for wrong in [other_origin.to_string(), other_key.to_string(), forged, "nonsense".into(), String::new()] {
        assert_eq!(consider(None, &wrong, 0, &[]).unwrap_err().code(), "wrong_checkpoint", "{wrong}");
    }
}

#[test]
fn keys_of_the_wrong_kind_make_no_witness() {
    let cosigner = NoteSigner::cosigner("w", key(2)).unwrap();
    assert!(Witness::new(log(), ORIGIN, log().public().clone()).is_none());
    assert!(Witness::new(cosigner.clone(), ORIGIN, cosigner.public().clone()).is_none());
}

proptest! {
    #[test]
    fn two_histories_are_never_both_cosigned(common in 0u64..20, left in 0u64..20, right in 1u64..20, checks in prop::collection::vec(any::<bool>(), 1..12)) {
        // A log with two faces offers them in any order, each with the best proof it can make.
        let face = |more: u64, mark: u64| -> MerkleTree { (0..common).map(|n| [0, n]).chain((0..more).map(|n| [mark, n])).map(|[a, b]| [a as u8, b as u8]).collect() };
        let faces = [face(left + 1, 1), face(right, 2)];
        let mut known: Option<TreeHead> = None;
        let mut committed: Option<bool> = None;
        for which in checks {
            let face = &faces[usize::from(which)];
            let old_size = known.map_or(0, |head| head.size);
            let proof = face.consistency_proof(old_size, face.size()).unwrap_or_default();
            if let Ok(cosigned) = consider(known, &note(face), old_size, &proof) {
                prop_assert!(committed.is_none_or(|first| first == which), "both faces cosigned");
                (known, committed) = (Some(cosigned.head), Some(which));
            }
        }
        prop_assert!(committed.is_some());
    }
}
