//! What explorers find, also after old blocks are gone.

use super::channel::*;
use entrepot_chain_ledger::{
    Facts, Leaf, MembersAction, MembersChange, MembersTransaction, Outcome, RightAction, RightKind, RightRecord, RightTransaction,
    Transaction, state::entries::right_key,
};
use entrepot_chain_log::{consortium::MemberKeyring, state_tree::state_value};
use entrepot_chain_node::{Node, NodeError, NodeHead, Place, Submitter, TransactionVerdict};
use entrepot_chain_statement::Timestamp;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

/// A chain of five blocks, a second apart, with 1 to 5 leaves each, and a sixth with a rejected one.
async fn chain(path: &Path) -> Node {
    let clock = Arc::new(AtomicI64::new(NOW.0));
    let time = clock.clone();
    let config = entrepot_chain_node::NodeConfig { clock: Arc::new(move || Timestamp(time.load(Ordering::Relaxed))), ..config(path) };
    let node = Node::open(config, keys(), sole()).expect("opens");
    for block in 1..=5_u64 {
        let who = Submitter::new(node.clone(), key(block as u8 % 2));
        who.submit(&leaves(block * 10..block * 11)).await.expect("submits");
        clock.fetch_add(1000, Ordering::Relaxed);
    }
    let unbound = Leaf { binds: [key(1).did(), key(66).did()].into(), ..leaf(99) };
    submitter(&node).submit(&[unbound]).await.expect("submits");
    node
}

#[tokio::test]
async fn blocks_are_found_by_height_hash_and_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = chain(folder.path()).await;
    assert_eq!(*node.heights().borrow(), 6);
    let newest = node.blocks(None, 4).expect("reads");
    assert_eq!(newest.iter().map(|block| block.header.height).collect::<Vec<_>>(), [6, 5, 4, 3]);
    assert_eq!(newest.iter().map(|block| block.transactions).collect::<Vec<_>>(), [1, 5, 4, 3]);
    let rest = node.blocks(Some(3), 4).expect("reads");
    assert_eq!(rest.iter().map(|block| block.header.height).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(node.blocks(Some(1), 4).expect("reads"), []);
    for block in newest.iter().chain(&rest) {
        assert_eq!(node.block_height(&block.hash).expect("reads"), Some(block.header.height));
        assert_eq!(node.block_summary(block.header.height).expect("reads").as_ref(), Some(block));
        let certificate = node.certificate(block.header.height).expect("reads").expect("is there");
        assert_eq!(certificate.block, block.hash);
        let members = node.members_at(block.header.height).expect("reads").expect("known");
        certificate.verify(&node.genesis_digest(), &members).expect("the member signed");
    }
    assert_eq!(node.block_summary(7).expect("reads"), None);
    let at = |millis: i64| node.height_at(Timestamp(NOW.0 + millis)).expect("reads");
    assert_eq!(
        [at(-5), at(0), at(1), at(1000), at(4001), at(5000), at(5001)],
        [Some(1), Some(1), Some(2), Some(2), Some(6), Some(6), None]
    );
    shut(node).await;
}

#[tokio::test]
async fn transactions_are_found_by_block_hash_and_subject() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = chain(folder.path()).await;
    let mut all = Vec::new();
    for height in 1..=6 {
        let found = node.block_transactions(height).expect("reads").expect("is there");
        for (place, transaction) in (0..).zip(&found) {
            assert_eq!(transaction.place, Place { height, place });
            assert_eq!(node.transaction(&transaction.hash).expect("reads").as_ref(), Some(transaction));
            assert_eq!(transaction.transaction.as_ref().map(Transaction::hash), Some(transaction.hash));
        }
        all.extend(found);
    }
    assert_eq!(node.block_transactions(7).expect("reads"), None);
    let verdicts: Vec<_> = all[..15].iter().map(|transaction| transaction.verdict.clone()).collect();
    assert_eq!(verdicts, (0..15).map(|index| TransactionVerdict::Logged { index }).collect::<Vec<_>>());
    let TransactionVerdict::Rejected { code, reason } = &all[15].verdict else { panic!("{:?}", all[15]) };
    assert_eq!(code, "unbound");
    assert!(reason.contains(key(66).did().as_str()), "{reason}");

    let pages = |subject: u8| {
        let subject = key(subject).did();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = node.transactions_of(&subject, cursor, 2).expect("reads");
            let Some(last) = page.last() else { break found };
            cursor = Some(last.place);
            found.extend(page);
        }
    };
    // Key 1 is bound by every leaf and submits every other block; key 0 submits the others; key 66 is bound by the rejected leaf.
    let newest_first: Vec<_> = all.iter().rev().cloned().collect();
    assert_eq!(pages(1), newest_first);
    let of_zero: Vec<_> = newest_first.iter().filter(|transaction| [2, 4].contains(&transaction.place.height)).cloned().collect();
    assert_eq!(pages(0), of_zero);
    assert_eq!(pages(66), newest_first[..1]);
    assert_eq!(pages(67), []);
    shut(node).await;
}

#[tokio::test]
async fn a_pruned_node_goes_on_and_still_proves_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = chain(folder.path()).await;
    assert_eq!(node.prune(6).expect("nothing is older"), 1);
    assert_eq!(node.verify_all().map(|verified| (verified.first, verified.last)).expect("is whole"), (1, 6));
    let head: NodeHead = node.head();
    let old = node.block_transactions(2).expect("reads").expect("is there").remove(0);
    assert_eq!(node.prune(2).expect("prunes"), 5);
    assert_eq!(node.first_height(), 5);
    shut(node).await;

    let node = open(folder.path());
    assert_eq!((node.head(), node.first_height()), (head, 5));
    assert_eq!(node.verify_all().map(|verified| (verified.first, verified.last)).expect("is whole"), (5, 6));
    assert_eq!(node.block(4).expect("reads"), None);
    assert!(node.block(5).expect("reads").is_some());
    for index in 0..15 {
        let proof = node.proof(index, None).expect("reads").expect("is there");
        let entry = node.leaf(index).expect("reads").expect("is there");
        proof.verify_entry(&entry.leaf.0).expect("leads to the root");
    }
    assert_eq!(node.blocks(None, 10).expect("reads").len(), 6, "headers stay");
    let found = node.transaction(&old.hash).expect("reads").expect("is known");
    assert_eq!((found.place, found.verdict, found.transaction), (old.place, old.verdict, None));
    assert_eq!((node.certificate(4).expect("reads"), node.certificate(5).expect("reads").is_some()), (None, true));
    let again = Submitter::new(node.clone(), key(55)).submit(&leaves(10..11)).await.expect("submits");
    assert_eq!(indices(&again), [0], "what was logged before is known");
    assert_eq!(node.prune(0).expect("prunes"), 8);
    assert_eq!(node.verify_all().map(|verified| (verified.first, verified.last)).expect("is whole"), (8, 7));
    let backup = folder.path().with_extension("backup");
    node.backup(&backup).expect("backs up");
    shut(node).await;
    shut(open(folder.path())).await;
    let target = folder.path().with_extension("restored");
    let restored = entrepot_chain_node::restore(&backup, config(&target), &keys()).await.expect("restores");
    assert_eq!(restored.first, 8);
    for folder in [backup, target] {
        std::fs::remove_dir_all(folder).expect("removes");
    }
}

#[tokio::test]
async fn changes_of_the_members_are_found_with_what_proves_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let genesis = genesis().digest();
    submitter(&node).submit(&leaves(0..1)).await.expect("submits");
    let new = keys_of(1);
    let keyring = MemberKeyring { consensus: &new.consensus, cosigning: &new.cosigning, transport: &new.transport };
    let shown = Some(keyring.possession(&organisation(1).did()));
    let join = MembersTransaction::sign(&genesis, MembersAction::Propose(MembersChange::Join(member(1))), shown, 1, &organisation(0));
    let outcome = node.submit(vec![join]).await.expect("submits").remove(0);
    assert!(matches!(outcome, Outcome::Members(_)), "{outcome:?}");
    let found = node.transactions_of(&organisation(1).did(), None, 9).expect("reads");
    assert_eq!(found.iter().map(|found| found.verdict.clone()).collect::<Vec<_>>(), [TransactionVerdict::Accepted]);
    assert_eq!(node.members().count(), 1, "active two blocks later");
    // Alone it still decides on the next block, and no more after that.
    submitter(&node).submit(&leaves(1..2)).await.expect("submits");
    let refused = submitter(&node).submit(&leaves(2..3)).await;
    assert!(matches!(&refused, Err(NodeError::Stopped { why }) if why.contains("2 members from block 4 on")), "{refused:?}");
    assert_eq!(node.members().count(), 2);
    let steps = node.members_steps(0, 10).expect("reads");
    let [step] = &steps[..] else { panic!("{steps:?}") };
    assert_eq!((step.header.height, step.header.next_members), (3, step.members.digest()));
    assert_eq!((step.header.hash(), &step.members), (step.certificate.block, &node.members()));
    step.certificate.verify(&genesis, &node.members_at(3).expect("reads").expect("known")).expect("who decided before signed");
    let counts = (1..=5).map(|height| node.members_at(height).expect("reads").map(|members| members.count()));
    assert_eq!(counts.collect::<Vec<_>>(), [Some(1), Some(1), Some(1), Some(2), None]);
    assert_eq!(node.members_steps(3, 10).expect("reads"), []);
    node.prune(0).expect("prunes");
    assert_eq!(node.members_steps(0, 10).expect("reads"), steps, "pruning leaves them");
}

#[tokio::test]
async fn who_held_a_right_is_proved_for_every_height() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let genesis = genesis().digest();
    submitter(&node).submit(&leaves(0..1)).await.expect("submits");
    let (first, second) = (key(41), key(42));
    let registration = signed_leaf(1, Facts::RightsRegistration { right: RightKind::Hold, holder: first.did() }, &first);
    let right = RightRecord::id(&registration.leaf(), RightKind::Hold, &first.did());
    submitter(&node).submit(&[registration]).await.expect("submits");
    let transfer = RightAction::Transfer { to: second.did() };
    let record = RightRecord { right, kind: RightKind::Hold, number: 1, action: transfer };
    let transaction = RightTransaction::sign(&genesis, record, &[&first, &second], 1, &first);
    assert_eq!(node.submit(vec![transaction]).await.expect("submits"), [Outcome::Right { records: 2 }]);
    assert_eq!(node.transactions_of(&second.did(), None, 9).expect("reads").len(), 1);
    node.prune(0).expect("prunes");
    shut(node).await;
    let node = open(folder.path());
    let held = |height| node.right_at(height, &right).expect("reads").map(|right| right.holder);
    assert_eq!([held(1), held(2), held(3), held(4)], [None, Some(first.did()), Some(second.did()), None]);
    for height in 1..=3 {
        let entry = node.state_entry(height, &right_key(&right)).expect("reads").expect("there is such a block");
        assert_eq!(entry.value, entry.encoding.as_deref().map(state_value));
        assert_eq!(entry.encoding.is_some(), height > 1);
        entry.proof.verify(&entry.header.state_root, &right_key(&right), entry.value.as_ref()).expect("leads to the root");
        let other = state_value(b"another");
        assert!(entry.proof.verify(&entry.header.state_root, &right_key(&right), Some(&other)).is_err());
    }
    assert_eq!(node.state_entry(4, &right_key(&right)).expect("reads"), None);
    shut(node).await;
}
