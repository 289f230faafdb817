//! Blocks that others propose and decide, and what becomes of our own transactions meanwhile.

use super::channel::*;
use entrepot_chain_consensus::Evidence;
use entrepot_chain_ledger::{Block, Outcome, Rejection, block::BLOCK_TRANSACTIONS_MAX};
use entrepot_chain_log::{KnownKeys, NoteSigner, SignedCheckpoint};
use entrepot_chain_node::{NodeError, PROPOSAL_BYTES_MAX, Submitter, Task};
use entrepot_chain_statement::{Hash, SigningKey, Timestamp};
use std::{path::Path, time::Duration};
use tempfile::TempDir;

fn pair() -> (TempDir, Directed, Directed) {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |number: u8| Directed::open(&folder.path().join(number.to_string()), number);
    let (one, two) = (open(0), open(1));
    (folder, one, two)
}

fn decoded(block: &[u8]) -> Block {
    Block::decode(block, &mut KnownKeys::default()).expect("a block")
}

/// Submits without waiting for the answer.
fn submit(
    at: &Directed,
    transactions: Vec<entrepot_chain_ledger::Transaction>,
) -> tokio::task::JoinHandle<Result<Vec<Outcome>, NodeError>> {
    let node = at.node.clone();
    tokio::spawn(async move { node.submit(transactions).await })
}

#[tokio::test]
async fn a_transaction_in_anothers_block_gets_its_own_verdict() {
    let (_folder, one, two) = pair();
    let genesis = genesis_of(ORIGIN, MEMBERS);
    let transactions: Vec<_> = (1..=3).map(|n| unsigned_leaf(&genesis, 7, n).into()).collect();
    let expected = vec![Outcome::Rejected(Rejection::Unbound { key: key(1).did() }); 3];
    let here = submit(&one, transactions.clone());
    let there = submit(&two, transactions.clone());
    let twice = submit(&two, transactions.clone());
    one.wait_until(|told| told.offers > 0).await;
    two.wait_until(|told| told.offers > 0).await;
    let block = one.draft(1).await;
    assert_eq!(two.check(&block).await, Some(header(&block).hash()));
    assert!(!there.is_finished(), "nothing is durable");
    let committed = two.commit(&block).await;
    assert_eq!((committed.height, committed.block), (1, header(&block).hash()));
    assert_eq!(one.commit(&block).await, committed);
    for answer in [here, there, twice] {
        assert_eq!(answer.await.expect("runs").expect("is answered"), expected);
    }
    assert_eq!(two.node.submit(transactions).await.expect("submits"), expected, "asked again it is the same");
    for node in [one.node, two.node] {
        node.verify_all().expect("is whole");
        shut(node).await;
    }
}

#[tokio::test]
async fn a_block_of_another_member_goes_first_and_ours_is_proposed_again() {
    let (_folder, one, two) = pair();
    let submit = |at: &Directed, who: u8, seeds| {
        let submitter = Submitter::new(at.node.clone(), key(who));
        tokio::spawn(async move { submitter.submit(&leaves(seeds)).await })
    };
    let ours = submit(&one, 9, 0..2);
    let theirs = submit(&two, 33, 50..53);
    one.wait_until(|told| told.offers > 0).await;
    two.wait_until(|told| told.offers > 0).await;
    let (mine, other) = (one.draft(1).await, two.draft(1).await);
    // Ours was drafted and is not decided.
    assert_ne!(mine, other);
    let committed = one.commit(&other).await;
    two.commit(&other).await;
    assert_eq!(indices(&theirs.await.expect("runs").expect("is answered")), [0, 1, 2]);
    assert!(!ours.is_finished());
    assert!(committed.waiting, "what still waits is told");
    let next = one.draft(2).await;
    for node in [&two, &one] {
        assert!(node.check(&next).await.is_some());
        node.commit(&next).await;
    }
    assert_eq!(indices(&ours.await.expect("runs").expect("is answered")), [3, 4]);
    for node in [one.node, two.node] {
        assert_eq!(node.head().log_size, 5);
        node.verify_all().expect("is whole");
        shut(node).await;
    }
}

#[tokio::test]
async fn what_changes_nothing_is_answered_without_a_block() {
    let (_folder, one, _two) = pair();
    let genesis = genesis_of(ORIGIN, MEMBERS);
    let early = one.node.submit(vec![unsigned_leaf(&genesis, 7, 2)]).await.expect("submits");
    assert_eq!(early, [Outcome::Rejected(Rejection::SequenceGap { expected: 1 })]);
    let elsewhere = one.node.submit(vec![unsigned_leaf(&genesis_of("entrepot/other", MEMBERS), 7, 1)]).await.expect("submits");
    assert_eq!(elsewhere, [Outcome::Rejected(Rejection::BadSubmitterSignature)]);
    assert_eq!(one.offers(), 0);
    assert!(one.node.failure().is_none());
}

#[tokio::test]
async fn an_empty_block_ends_a_height_and_leaves_the_log_as_it_is() {
    let (folder, one, two) = pair();
    let answer = submit(&one, vec![unsigned_leaf(&genesis_of(ORIGIN, MEMBERS), 7, 1).into()]);
    one.wait_until(|told| told.offers > 0).await;
    let empty = two.draft(1).await;
    assert!(decoded(&empty).transactions.is_empty());
    assert!(one.check(&empty).await.is_some());
    one.commit(&empty).await;
    two.commit(&empty).await;
    assert_eq!((one.node.head().height, one.node.head().log_size), (1, 0));
    assert_eq!(one.node.checkpoint().expect("reads"), None);
    let block = one.draft(2).await;
    one.commit(&block).await;
    two.commit(&block).await;
    assert_eq!(answer.await.expect("runs").expect("is answered").len(), 1);
    assert_eq!(two.node.head(), one.node.head());
    shut(two.node).await;
    let again = Directed::open(&folder.path().join("1"), 1);
    let (head, archive) = again.told.lock().expect("unpoisoned").began.take().expect("begun");
    assert_eq!((head.height, head.block), (2, header(&block).hash()));
    assert_eq!(archive.certified(2).expect("reads"), Some((block.clone(), certificate(&block))));
    assert_eq!(archive.certified(3).expect("reads"), None);
    again.node.verify_all().expect("is whole");
    shut(again.node).await;
    assert!(archive.certified(2).is_err(), "the archive does not hold the folder open");
}

#[tokio::test]
async fn a_proposal_that_does_not_follow_is_refused() {
    let (folder, one, two) = pair();
    let _waits = submit(&one, vec![unsigned_leaf(&genesis_of(ORIGIN, MEMBERS), 7, 1).into()]);
    one.wait_until(|told| told.offers > 0).await;
    let good = one.draft(1).await;
    let mut forged = decoded(&good);
    forged.header.log_root = Hash([7; 32]);
    assert_eq!(two.check(&forged.encode()).await, None);
    let mut without = decoded(&good);
    without.transactions.clear();
    assert_eq!(two.check(&without.encode()).await, None, "not the transactions of its header");
    assert_eq!(two.check(&good[..good.len() - 1]).await, None);
    assert_eq!(two.check(b"no block").await, None);
    assert_eq!(two.check(&vec![1; PROPOSAL_BYTES_MAX + 1]).await, None);
    let later = Directed::open_at(&folder.path().join("later"), 2, Timestamp(NOW.0 + 10_001));
    let ahead = later.draft(1).await;
    assert_eq!(two.check(&ahead).await, None, "the proposer's clock is too far ahead");
    assert!(later.check(&good).await.is_some(), "behind it may be");
    assert!(two.check(&good).await.is_some());
    two.commit(&good).await;
    assert_eq!(two.check(&good).await, None, "that height is over");
}

#[tokio::test]
async fn a_decided_block_that_does_not_follow_stops_the_node_with_the_reason() {
    let (_folder, one, two) = pair();
    let answer = tokio::spawn({
        let submitter = submitter(&one.node);
        async move { submitter.submit(&leaves(0..1)).await }
    });
    one.wait_until(|told| told.offers > 0).await;
    let mut forged = decoded(&one.draft(1).await);
    forged.header.log_root = Hash([7; 32]);
    assert!(one.try_commit(&forged.encode()).await.is_none());
    let refused = answer.await.expect("runs");
    assert!(matches!(&refused, Err(NodeError::Stopped { why }) if why.contains("another log")), "{refused:?}");
    assert!(one.node.failure().is_some());
    assert_eq!(one.node.head().height, 0, "nothing of it was stored");
    assert!(two.try_commit(&forged.encode()[..300]).await.is_none(), "nor what is no block");
    assert!(two.failure().await.contains("is no block"));
}

#[tokio::test]
async fn a_decision_without_enough_members_stops_the_node() {
    let (folder, one, two) = pair();
    let block = one.draft(1).await;
    let mut few = certificate(&block);
    few.signatures.pop_last();
    let mut another = certificate(&block);
    another.block = Hash([7; 32]);
    let three = Directed::open(&folder.path().join("three"), 2);
    for (node, certificate) in [(&two, few), (&three, another)] {
        let (reply, committed) = tokio::sync::oneshot::channel();
        node.tell(Task::Commit { block: block.clone(), certificate, reply });
        assert!(committed.await.is_err());
        assert!(node.failure().await.contains("the members' decision"));
        assert_eq!(node.node.head().height, 0);
    }
}

#[tokio::test]
async fn what_is_submitted_here_may_be_proposed_by_another() {
    let (_folder, one, two) = pair();
    let genesis = genesis_of(ORIGIN, MEMBERS);
    let answer = submit(&one, (1..=2).map(|n| unsigned_leaf(&genesis, 7, n).into()).collect());
    one.wait_until(|told| told.offers > 0).await;
    let mut fresh = std::mem::take(&mut one.told.lock().expect("unpoisoned").told);
    assert_eq!(fresh.len(), 2);
    // The second comes first; the first with one that was not signed for this channel, and with garbage.
    let first = fresh.remove(0);
    two.tell(Task::Submitted { transactions: fresh });
    let stranger: entrepot_chain_ledger::Transaction = unsigned_leaf(&genesis_of("entrepot/other", MEMBERS), 8, 1).into();
    two.tell(Task::Submitted { transactions: vec![vec![1, 2], stranger.encode(), first] });
    two.wait_until(|told| told.offers > 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(two.offers(), 1, "what is out of turn is nothing to offer");
    let block = two.draft(1).await;
    assert_eq!(decoded(&block).transactions.len(), 2, "the second is in turn behind the first");
    assert!(one.check(&block).await.is_some());
    one.commit(&block).await;
    assert_eq!(answer.await.expect("runs").expect("is answered").len(), 2);
    two.commit(&block).await;
    assert_eq!(two.offers(), 1, "nothing waits any more");
}

#[tokio::test]
async fn what_another_block_overtakes_is_answered_with_what_is_durable() {
    let (_folder, one, two) = pair();
    let genesis = genesis_of(ORIGIN, MEMBERS);
    // Two different transactions under one number.
    let loses = submit(&one, vec![unsigned_leaf_of(&genesis, 7, 1, [key(2).did()].into()).into()]);
    let wins = submit(&two, vec![unsigned_leaf(&genesis, 7, 1).into()]);
    two.wait_until(|told| told.offers > 0).await;
    one.wait_until(|told| told.offers > 0).await;
    let block = two.draft(1).await;
    one.commit(&block).await;
    two.commit(&block).await;
    assert_eq!(loses.await.expect("runs").expect("is answered"), [Outcome::Rejected(Rejection::StaleSequence { expected: 2 })]);
    assert_eq!(wins.await.expect("runs").expect("is answered"), [Outcome::Rejected(Rejection::Unbound { key: key(1).did() })]);
    assert_eq!(one.offers(), 1);
}

fn cosign(checkpoint: &SignedCheckpoint, key: &SigningKey) -> String {
    let signer = NoteSigner::cosigner(key.did().as_str(), key.clone()).expect("a name");
    checkpoint.cosign(&signer, 1_700_000_001).to_string()
}

#[tokio::test]
async fn members_cosign_each_others_checkpoints_even_early() {
    let (_folder, one, two) = pair();
    let answer = tokio::spawn({
        let submitter = submitter(&one.node);
        async move { submitter.submit(&leaves(0..2)).await }
    });
    one.wait_until(|told| told.offers > 0).await;
    let block = one.draft(1).await;
    two.commit(&block).await;
    two.wait_until(|told| told.cosigned.len() == 1).await;
    let (size, line) = two.told.lock().expect("unpoisoned").cosigned[0].clone();
    assert_eq!(size, 2);
    // Before the block is here.
    one.tell(Task::Cosignature { size, key: keys_of(1).cosigning.did(), line: line.clone() });
    one.commit(&block).await;
    answer.await.expect("runs").expect("is answered");
    let lines = || one.node.checkpoint().expect("reads").expect("is there").note().signatures().len();
    assert_eq!(lines(), 3, "the log, this member, the other one");
    let checkpoint = one.node.checkpoint().expect("reads").expect("is there");
    assert_eq!(checkpoint.cosigned_at(two.node.validator_vkey()), Ok(Some(1_700_000_000)));
    let stranger = key(77);
    one.tell(Task::Cosignature { size, key: stranger.did(), line: cosign(&checkpoint, &stranger) });
    let third = keys_of(2).cosigning;
    one.tell(Task::Cosignature { size, key: third.did(), line });
    one.tell(Task::Cosignature { size, key: third.did(), line: cosign(&checkpoint, &third) });
    // Tasks are done in order.
    one.check(b"").await;
    assert_eq!(lines(), 4, "neither a stranger's nor a wrong one");
}

/// As a member's node would report it; whether it convicts anybody is not for the ledger to say.
fn two_votes(height: u64) -> Evidence {
    let vote = [&[1][..], &height.to_be_bytes(), &0_i64.to_be_bytes(), &[0], &[7; 32], &[8; 64]].concat();
    Evidence::decode(&[&[1, 1][..], &vote, &vote].concat()).expect("two votes")
}

#[tokio::test]
async fn evidence_is_kept_once_and_across_restarts() {
    let (folder, one, _two) = pair();
    for height in [4, 4, 2] {
        one.tell(Task::Evidence { height, evidence: two_votes(height) });
    }
    one.check(b"").await;
    shut(one.node).await;
    let again = Directed::open(&folder.path().join("0"), 0);
    let found = again.node.evidence().expect("reads");
    let found: Vec<_> = found.into_iter().map(|evidence| (evidence.number, evidence.height, evidence.bytes)).collect();
    assert_eq!(found, [(1, 4, two_votes(4).encode()), (2, 2, two_votes(2).encode())]);
}

#[tokio::test]
async fn a_full_pool_makes_submitters_wait() {
    let (_folder, one, _two) = pair();
    let genesis = genesis_of(ORIGIN, MEMBERS);
    let batch = |who: u8| (1..=BLOCK_TRANSACTIONS_MAX as u64).map(|n| unsigned_leaf(&genesis, who, n).into()).collect::<Vec<_>>();
    let answers: Vec<_> = (0..5).map(|who| submit(&one, batch(who))).collect();
    // Some of them more than once: what waits for long is told again.
    let distinct = |told: &Told| told.told.iter().collect::<std::collections::BTreeSet<_>>().len();
    one.wait_until(|told| told.told.len() >= 4 * BLOCK_TRANSACTIONS_MAX && distinct(told) == 4 * BLOCK_TRANSACTIONS_MAX).await;
    one.tell(Task::Submitted { transactions: vec![entrepot_chain_ledger::Transaction::from(unsigned_leaf(&genesis, 9, 1)).encode()] });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(distinct(&one.told.lock().expect("unpoisoned")), 4 * BLOCK_TRANSACTIONS_MAX);
    let mut height = 0;
    while !answers.iter().all(tokio::task::JoinHandle::is_finished) {
        height += 1;
        let block = one.draft(height).await;
        assert!(decoded(&block).transactions.len() <= BLOCK_TRANSACTIONS_MAX);
        one.commit(&block).await;
        tokio::task::yield_now().await;
    }
    assert!((5..=7).contains(&height), "{height}");
    for answer in answers {
        assert_eq!(answer.await.expect("runs").expect("is answered").len(), BLOCK_TRANSACTIONS_MAX);
    }
}

#[tokio::test]
async fn a_block_stays_short_enough_to_reach_everybody() {
    let (_folder, one, two) = pair();
    let genesis = genesis_of(ORIGIN, MEMBERS);
    let binds: std::collections::BTreeSet<_> = (0..16).map(|n| key(200 + n).did()).collect();
    let crowd = (1..=2_100).map(|n| {
        let mut transaction = unsigned_leaf_of(&genesis, 7, n, binds.clone());
        transaction.leaf.signatures = binds.iter().map(|did| (did.clone(), [0; 64])).collect();
        entrepot_chain_ledger::LeafTransaction::sign(&genesis.digest(), transaction.leaf, n, &key(7)).into()
    });
    let answer = submit(&one, crowd.collect());
    one.wait_until(|told| told.offers > 0).await;
    let mut blocks = 0;
    while !answer.is_finished() {
        let block = one.draft(one.node.head().height + 1).await;
        assert!(block.len() <= PROPOSAL_BYTES_MAX, "{}", block.len());
        assert!(two.check(&block).await.is_some());
        one.commit(&block).await;
        two.commit(&block).await;
        blocks += 1;
        tokio::task::yield_now().await;
    }
    assert!((2..=3).contains(&blocks), "{blocks}");
    assert_eq!(answer.await.expect("runs").expect("is answered").len(), 2_100);
}

#[tokio::test]
async fn a_node_that_cannot_reach_the_others_closes_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = Directed::open(folder.path(), 0);
    let answer = submit(&one, vec![unsigned_leaf(&genesis_of(ORIGIN, MEMBERS), 7, 1).into()]);
    one.wait_until(|told| told.offers > 0).await;
    tokio::time::timeout(Duration::from_secs(30), one.node.close()).await.expect("closes");
    assert!(matches!(answer.await.expect("runs"), Err(NodeError::Stopped { .. })));
    drop(one);
    assert!(Path::new(folder.path()).exists());
    Directed::open(folder.path(), 0);
}
