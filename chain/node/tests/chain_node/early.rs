//! Transactions whose submitter's earlier ones are not here yet.

use super::channel::*;
use entrepot_chain_ledger::{LeafTransaction, Outcome, Rejection, Transaction};
use entrepot_chain_node::{EARLY_OF_SUBMITTER_MAX, NodeError, Submitter, Task};
use std::time::Duration;
use tokio::task::JoinHandle;

fn transaction(submitter: u8, sequence: u64) -> LeafTransaction {
    unsigned_leaf(&genesis_of(ORIGIN, MEMBERS), submitter, sequence)
}

/// As over REST.
fn hand_in(at: &Directed, transaction: LeafTransaction) -> JoinHandle<Result<Vec<Outcome>, NodeError>> {
    let node = at.node.clone();
    tokio::spawn(async move { node.submit_in_turn(vec![transaction]).await })
}

fn gap(expected: u64) -> Vec<Outcome> {
    vec![Outcome::Rejected(Rejection::SequenceGap { expected })]
}

fn used_up() -> Vec<Outcome> {
    vec![Outcome::Rejected(Rejection::Unbound { key: key(1).did() })]
}

#[tokio::test]
async fn what_a_lagging_node_cannot_place_waits_and_is_told_to_those_who_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let (behind, ahead) = (Directed::open(&folder.path().join("0"), 0), Directed::open(&folder.path().join("1"), 1));
    let first = tokio::spawn({
        let node = ahead.node.clone();
        async move { node.submit(vec![transaction(7, 1), transaction(7, 2)]).await }
    });
    ahead.wait_until(|told| told.offers > 0).await;
    let earlier = ahead.draft(1).await;
    ahead.commit(&earlier).await;
    assert_eq!(first.await.expect("runs").expect("is answered").len(), 2);
    // It has not heard of the two before.
    let answer = hand_in(&behind, transaction(7, 3));
    behind.wait_until(|told| told.told.len() == 1).await;
    assert_eq!((behind.offers(), answer.is_finished()), (0, false), "there is nothing to order, nor to tell");
    let told = behind.told.lock().expect("unpoisoned").told.clone();
    assert_eq!(told, [Transaction::from(transaction(7, 3)).encode()]);
    ahead.tell(Task::Submitted { transactions: told });
    ahead.wait_until(|told| told.offers > 1).await;
    let block = ahead.draft(2).await;
    ahead.commit(&block).await;
    assert!(behind.commit(&earlier).await.waiting, "now it is in turn");
    behind.commit(&block).await;
    assert_eq!(answer.await.expect("runs").expect("is answered"), used_up());
}

#[tokio::test]
async fn it_goes_into_a_block_once_the_ones_before_it_are_handed_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = Directed::open(folder.path(), 0);
    let (third, second) = (hand_in(&one, transaction(7, 3)), hand_in(&one, transaction(7, 2)));
    one.wait_until(|told| told.told.len() == 2).await;
    let twice = hand_in(&one, transaction(7, 3));
    let first = hand_in(&one, transaction(7, 1));
    one.wait_until(|told| told.offers > 0).await;
    let block = one.draft(1).await;
    one.commit(&block).await;
    for answer in [first, second, third, twice] {
        assert_eq!(answer.await.expect("runs").expect("is answered"), used_up());
    }
    assert_eq!(one.node.head().height, 1);
}

#[tokio::test]
async fn nobody_keeps_more_waiting_than_a_named_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = Directed::open(folder.path(), 0);
    let count = EARLY_OF_SUBMITTER_MAX as u64;
    let kept: Vec<_> = (2..2 + count).map(|sequence| hand_in(&one, transaction(7, sequence))).collect();
    one.wait_until(|told| told.told.len() == EARLY_OF_SUBMITTER_MAX).await;
    assert_eq!(hand_in(&one, transaction(7, 2 + count)).await.expect("runs").expect("is answered"), gap(1));
    assert!(kept.iter().all(|answer| !answer.is_finished()));
    // Another's are counted apart, and other members' are kept within the same bounds.
    let others: Vec<_> = (2..4 + count).map(|sequence| Transaction::from(transaction(8, sequence)).encode()).collect();
    one.tell(Task::Submitted { transactions: others });
    // Their signatures are checked aside.
    tokio::time::sleep(Duration::from_secs(1)).await;
    one.tell(Task::Submitted { transactions: vec![Transaction::from(transaction(8, 1)).encode()] });
    one.wait_until(|told| told.offers > 0).await;
    let block = one.draft(1).await;
    let block = entrepot_chain_ledger::Block::decode(&block, &mut entrepot_chain_log::KnownKeys::default()).expect("a block");
    assert_eq!(block.transactions.len(), EARLY_OF_SUBMITTER_MAX + 1);
    // Whoever waits when the node closes is told, and that it is not final.
    tokio::time::timeout(Duration::from_secs(4), one.node.close()).await.expect("nothing is decided that it waits for");
    for answer in kept {
        let outcome = answer.await.expect("runs").expect("is answered");
        assert_eq!(outcome, gap(1));
        assert!(!outcome[0].is_final());
    }
}

#[tokio::test]
async fn whoever_numbers_anew_and_the_only_member_are_told_of_a_gap_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = Directed::open(&folder.path().join("0"), 0);
    assert_eq!(one.node.submit(vec![transaction(7, 2)]).await.expect("submits"), gap(1));
    assert_eq!(one.offers(), 0);
    let alone = open(&folder.path().join("alone"));
    let early = unsigned_leaf(&genesis(), 7, 2);
    assert_eq!(alone.submit_in_turn(vec![early.clone()]).await.expect("submits"), gap(1));
    // One that can never be in a block leaves a gap behind it, which whoever numbers closes.
    let mut too_long = leaf(1);
    too_long.signatures = (0..=255).map(|seed| (key(seed).did(), [0; 64])).collect();
    let outcomes = Submitter::new(alone, key(9)).submit(&[too_long, leaf(2)]).await.expect("submits");
    assert_eq!(outcomes, [Outcome::Rejected(Rejection::TooLong), Outcome::Accepted { index: 0 }]);
}

#[tokio::test]
async fn a_leaf_that_is_logged_is_answered_whatever_number_it_comes_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = Directed::open(folder.path(), 0);
    let genesis = genesis_of(ORIGIN, MEMBERS);
    let sign = |sequence| LeafTransaction::sign(&genesis.digest(), leaf(1), sequence, &key(7));
    let first = hand_in(&one, sign(1));
    one.wait_until(|told| told.offers > 0).await;
    let block = one.draft(1).await;
    one.commit(&block).await;
    assert_eq!(indices(&first.await.expect("runs").expect("is answered")), [0]);
    assert_eq!(indices(&hand_in(&one, sign(9)).await.expect("runs").expect("is answered")), [0]);
}
