//! What the log's proofs show.

use super::channel::*;
use entrepot_chain_ledger::{Leaf, LeafTransaction, Outcome, Rejection};
use entrepot_chain_log::{
    MerkleTree, NodeId, NodeStore as _, NoteSigner, SignedCheckpoint, merkle::verify_consistency, merkle::verify_inclusion,
};
use entrepot_chain_node::CosignatureAnswer;
use entrepot_chain_statement::{Hash, SigningKey};

#[tokio::test]
async fn a_rejection_says_why_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let unbound = Leaf { binds: [key(1).did(), key(2).did()].into(), ..leaf(1) };
    let outcomes = submitter(&node).submit(&[leaf(0), unbound.clone(), leaf(2)]).await.expect("submits");
    assert_eq!(outcomes[0], Outcome::Accepted { index: 0 });
    assert_eq!(outcomes[1], Outcome::Rejected(Rejection::Unbound { key: key(2).did() }));
    assert_eq!(outcomes[2], Outcome::Accepted { index: 1 });
    let elsewhere = LeafTransaction::sign(&genesis_of("entrepot/other", 1).digest(), leaf(5), 4, &key(9));
    assert_eq!(node.submit(vec![elsewhere]).await.expect("submits"), [Outcome::Rejected(Rejection::BadSubmitterSignature)]);
    shut(node).await;
    let node = open(folder.path());
    assert_eq!(node.head().log_size, 2, "the replay rejects it again");
    node.verify_all().expect("and so does the full one");
    shut(node).await;
}

#[tokio::test]
async fn proofs_lead_from_each_leaf_to_signed_checkpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let mut sizes = Vec::new();
    for round in 0..6 {
        submitter(&node).submit(&leaves(round * 3..round * 3 + 3)).await.expect("submits");
        sizes.push(node.head().log_size);
    }
    for size in &sizes {
        let checkpoint = node.checkpoint_at(*size).expect("reads").expect("each block has one");
        checkpoint.verify_log(ORIGIN, node.log_vkey()).expect("the log signed");
        assert_eq!(checkpoint.cosigned_at(node.validator_vkey()), Ok(Some(1_700_000_000)));
        assert!(node.validator_vkey().to_string().contains("did:key:"));
        for index in 0..*size {
            let proof = node.proof(index, Some(*size)).expect("reads").expect("is there");
            proof.verify_entry(&leaf(index).leaf().0).expect("leads to the root");
            assert!(proof.verify_entry(&leaf(index + 1).leaf().0).is_err());
            let path = node.inclusion(index, *size).expect("reads").expect("is there");
            let root = checkpoint.checkpoint().root;
            verify_inclusion(&entrepot_chain_log::leaf_hash(&leaf(index).leaf().0), index, *size, &path, &root).expect("holds");
        }
        assert!(node.proof(*size, Some(*size)).expect("reads").is_none());
    }
    for from in &sizes {
        for to in sizes.iter().filter(|to| *to >= from) {
            let root = |size| node.checkpoint_at(size).expect("reads").expect("is there").checkpoint().root;
            let path = node.consistency(*from, *to).expect("reads").expect("is there");
            verify_consistency((*from, &root(*from)), (*to, &root(*to)), &path).expect("the log only grew");
        }
    }
    assert!(node.checkpoint_at(4).expect("reads").is_none(), "no block ended there");
    assert!(node.consistency(3, 19).expect("reads").is_none() && node.consistency(3, 2).expect("reads").is_none());
    shut(node).await;
}

fn cosign(checkpoint: &SignedCheckpoint, witness: &SigningKey) -> String {
    let signer = NoteSigner::cosigner(witness.did().as_str(), witness.clone()).expect("a name");
    checkpoint.cosign(&signer, 1_700_000_001).to_string()
}

#[tokio::test]
async fn cosignatures_are_checked_kept_and_shown_in_proofs() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    submitter(&node).submit(&leaves(0..2)).await.expect("submits");
    let checkpoint = node.checkpoint().expect("reads").expect("is there");
    let (one, two) = (key(51), key(52));
    let line = cosign(&checkpoint, &one);
    assert_eq!(node.add_cosignature(2, &one.did(), &line).await.expect("writes"), CosignatureAnswer::Kept);
    assert_eq!(node.add_cosignature(2, &one.did(), &line).await.expect("writes"), CosignatureAnswer::Kept, "again is no harm");
    assert_eq!(node.add_cosignature(2, &two.did(), &line).await.expect("reads"), CosignatureAnswer::Wrong);
    assert_eq!(node.add_cosignature(2, &two.did(), "— x\ny").await.expect("reads"), CosignatureAnswer::Wrong);
    assert_eq!(node.add_cosignature(1, &one.did(), &line).await.expect("reads"), CosignatureAnswer::NoSuchCheckpoint);
    submitter(&node).submit(&leaves(2..3)).await.expect("submits");
    let newer = node.checkpoint().expect("reads").expect("is there");
    assert_eq!(node.add_cosignature(3, &one.did(), &line).await.expect("reads"), CosignatureAnswer::Wrong, "of another checkpoint");
    shut(node).await;

    let node = open(folder.path());
    let proof = node.proof(0, None).expect("reads").expect("is there");
    assert_eq!(proof.checkpoint.checkpoint().size, 2, "the witnessed one is worth more than the newest");
    let key = entrepot_chain_log::cosignature_vkey(&one.did());
    assert_eq!(proof.checkpoint.cosigned_at(&key), Ok(Some(1_700_000_001)));
    let fresh = node.proof(2, None).expect("reads").expect("is there");
    assert_eq!(fresh.checkpoint.checkpoint().size, 3, "which does not cover the newest leaf");
    for witness in [&one, &two] {
        assert_eq!(node.add_cosignature(3, &witness.did(), &cosign(&newer, witness)).await.expect("writes"), CosignatureAnswer::Kept);
    }
    let proof = node.proof(0, None).expect("reads").expect("is there");
    assert_eq!((proof.checkpoint.checkpoint().size, proof.checkpoint.note().signatures().len()), (3, 4));
    shut(node).await;
}

#[tokio::test]
async fn tiles_hold_the_whole_tree() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    submitter(&node).submit(&leaves(0..600)).await.expect("submits");
    let tile = |path: &str| node.tile(&path.parse().expect("a tile")).expect("reads");
    let (first, rest) = (tile("entries/000").expect("full"), tile("entries/002.p/88").expect("the rest"));
    assert_eq!((first.len(), rest.len()), (256 * 34, 88 * 34));
    assert_eq!((&first[..2], &first[2..34]), (&[0, 32][..], &leaf(0).leaf().0[..]));
    assert_eq!(rest[87 * 34 + 2..], leaf(599).leaf().0);

    // The root again, from hashes alone: two full tiles give a hash each, which the row above repeats.
    let level = |hashes: Vec<u8>| hashes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect::<Vec<_>>();
    let mut tree = MerkleTree::new();
    for path in ["0/000", "0/001", "0/002.p/88"] {
        for hash in level(tile(path).expect("is there")) {
            tree.push_leaf_hash(hash);
        }
    }
    assert_eq!(tree.root(), node.head().log_root);
    let above = level(tile("1/000.p/2").expect("two full tiles below"));
    assert_eq!(above, [0, 1].map(|index| tree.node(NodeId { level: 8, index }).expect("infallible").expect("is full")));
    for beyond in ["0/002", "0/002.p/89", "1/000", "1/000.p/3", "entries/003.p/1", "2/000.p/1"] {
        assert_eq!(tile(beyond), None, "{beyond}");
    }
    assert_eq!(tile("0/002.p/5").map(|bytes| bytes.len()), Some(5 * 32), "for whoever holds an older checkpoint");
    shut(node).await;
}
