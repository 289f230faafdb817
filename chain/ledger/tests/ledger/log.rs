//! What is appended, what is rejected and why, and that shuffled, doubled and lost submissions end in one log.

use crate::support::{Node, ORIGIN, consortium, genesis, key, leaf, logged, member, transaction};
use entrepot_chain_ledger::{
    DraftError, Leaf, LeafKind, LeafTransaction, Outcome, Rejection, Signatures, Submission,
    consortium::{Genesis, MemberRole, VotingRule},
};
use entrepot_chain_statement::{Hash, Timestamp};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn a_leaf_that_was_logged_gets_its_index_again() {
    let mut node = Node::new();
    assert_eq!(node.one(transaction(1, 1)), Outcome::Accepted { index: 0 });
    assert_eq!(node.one(transaction(2, 2)), Outcome::Accepted { index: 1 });
    let (block, outcomes) = node.submit(1, vec![transaction(1, 1)]);
    assert_eq!((block, outcomes), (None, vec![Outcome::Accepted { index: 0 }]), "sent again as it was: no block");
    let (block, outcomes) = node.submit(1, vec![transaction(1, 3), transaction(3, 4)]);
    assert_eq!(outcomes, vec![Outcome::Accepted { index: 0 }, Outcome::Accepted { index: 2 }], "under a new number");
    assert_eq!(block.map(|block| block.transactions.len()), Some(2));
    assert_eq!(node.state.log_size(), 3);
}

#[test]
fn one_leaf_twice_in_one_block_is_appended_once() {
    let mut node = Node::new();
    let (_, outcomes) = node.submit(1, vec![transaction(1, 1), transaction(1, 2)]);
    assert_eq!(outcomes, vec![Outcome::Accepted { index: 0 }; 2]);
    assert_eq!(node.state.log_size(), 1);
}

#[test]
fn numbers_are_used_once_and_without_gaps() {
    let mut node = Node::new();
    assert_eq!(node.one(transaction(1, 2)), Outcome::Rejected(Rejection::SequenceGap { expected: 1 }));
    assert_eq!(node.one(transaction(1, 0)), Outcome::Rejected(Rejection::StaleSequence { expected: 1 }));
    assert_eq!(node.one(transaction(1, 1)), Outcome::Accepted { index: 0 });
    assert_eq!(node.one(transaction(2, 1)), Outcome::Rejected(Rejection::StaleSequence { expected: 2 }));
    assert_eq!(node.one(transaction(2, 2)), Outcome::Accepted { index: 1 });
    assert_eq!(node.state.height(), 2, "what was not in turn made no block");
}

#[test]
fn a_transaction_is_good_for_one_channel_and_one_submitter() {
    let mut node = Node::new();
    let foundings = [
        Genesis::sole("entrepot/other", member(100, MemberRole::Member)).expect("another name"),
        Genesis::sole(ORIGIN, member(101, MemberRole::Member)).expect("another member"),
        consortium(VotingRule::Unanimous, vec![member(100, MemberRole::Member)]),
    ];
    for other in foundings {
        let elsewhere = LeafTransaction::sign(&other.digest(), leaf(1), 1, &key(9));
        assert_eq!(node.one(elsewhere.clone()), Outcome::Rejected(Rejection::BadSubmitterSignature));
        // What was checked for the other channel is right there and is not let in here.
        let checked = Submission::check(&other.digest(), vec![elsewhere.into()]);
        let refused = node.state.draft(&node.stored, Timestamp(1), checked);
        assert!(matches!(refused, Err(DraftError::OtherChannel { ours, found }) if ours == genesis().digest() && found == other.digest()));
    }
    let mut anothers = transaction(1, 1);
    anothers.submitter = key(8).did();
    assert_eq!(node.one(anothers), Outcome::Rejected(Rejection::BadSubmitterSignature));
}

#[test]
fn every_key_that_a_leaf_binds_must_sign_it_and_no_other() {
    let mut node = Node::new();
    let did = |seed| key(seed).did();
    let cases: [(Leaf, Rejection); 4] = [
        (Leaf { binds: BTreeSet::new(), signatures: BTreeMap::new(), ..leaf(1) }, Rejection::BindsNobody),
        (Leaf { binds: [did(1), did(2), did(3)].into(), ..leaf(1) }, Rejection::Unbound { key: did(3) }),
        (Leaf { binds: [did(1)].into(), ..leaf(1) }, Rejection::NotBound { key: did(2) }),
        (
            Leaf { signatures: leaf(2).signatures, ..leaf(1) },
            Rejection::BadSignature { key: leaf(1).binds.first().expect("a key").clone() },
        ),
    ];
    for (sequence, (bad, why)) in (1..).zip(cases) {
        let (block, outcomes) = node.submit(1, vec![logged(bad, sequence, &key(9))]);
        assert_eq!(outcomes, vec![Outcome::Rejected(why)]);
        assert!(block.is_some(), "a rejection in turn is on the chain");
    }
    assert_eq!(node.state.log_size(), 0);
    assert_eq!(node.state.next_sequence(&did(9)), 5);
}

/// What a careful submitter does over an unreliable line: in order, again until answered. `line` says for each try whether the
/// submission is lost, the answer is lost, or the submission arrives twice; blocks are cut at random.
fn drive(submitters: usize, leaves: usize, line: &[u8]) -> Result<(), TestCaseError> {
    let mut node = Node::new();
    let mut follower = Node::new();
    let mut luck = line.iter().copied().cycle();
    let mut luck = move || luck.next().unwrap_or(0);
    let mut sent = vec![0usize; submitters];
    let mut acknowledged: BTreeMap<Hash, u64> = BTreeMap::new();
    let id = |who: usize, n: usize| (who * 1000 + n) as u64;
    let made: Vec<Vec<Leaf>> = (0..submitters).map(|who| (0..leaves).map(|n| leaf(id(who, n))).collect()).collect();
    let mut rounds = 0;
    while sent.iter().any(|sent| *sent < leaves) {
        rounds += 1;
        prop_assert!(rounds < 10_000, "no progress");
        let mut arriving: Vec<(usize, LeafTransaction)> = Vec::new();
        for who in 0..submitters {
            let sequence = node.state.next_sequence(&key(20 + who as u8).did());
            let ahead = usize::from(luck() % 4).min(leaves - sent[who]);
            for step in 0..ahead {
                let next = logged(made[who][sent[who] + step].clone(), sequence + step as u64, &key(20 + who as u8));
                match luck() % 5 {
                    0 => {}
                    1 => arriving.extend([(who, next.clone()), (who, next)]),
                    _ => arriving.push((who, next)),
                }
            }
        }
        // A shuffle that the line decides.
        for at in (1..arriving.len()).rev() {
            arriving.swap(at, usize::from(luck()) % (at + 1));
        }
        let submissions = arriving.iter().map(|(_, transaction)| transaction.clone()).collect();
        let (block, outcomes) = node.submit(rounds, submissions);
        if let Some(block) = block {
            let applied = follower.state.apply(&follower.stored, &block, Signatures::Check);
            follower.keep(applied.map_err(|error| TestCaseError::fail(error.to_string()))?);
        }
        for ((_, transaction), outcome) in arriving.iter().zip(outcomes) {
            match outcome {
                Outcome::Accepted { index } => {
                    let before = acknowledged.insert(transaction.leaf.leaf(), index);
                    prop_assert!(before.is_none_or(|before| before == index), "one leaf, two indices");
                }
                Outcome::Rejected(Rejection::SequenceGap { .. } | Rejection::StaleSequence { .. }) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
        for who in 0..submitters {
            // Half of the answers get lost; what was acknowledged is not sent again only if the submitter knows.
            while sent[who] < leaves && acknowledged.contains_key(&made[who][sent[who]].leaf()) && luck() % 2 == 0 {
                sent[who] += 1;
            }
        }
    }
    prop_assert_eq!(node.state.log_size(), (submitters * leaves) as u64);
    let indices: BTreeSet<u64> = acknowledged.values().copied().collect();
    prop_assert_eq!(indices.len(), submitters * leaves);
    for own in &made {
        let places: Vec<u64> = own.iter().map(|leaf| acknowledged[&leaf.leaf()]).collect();
        prop_assert!(places.is_sorted(), "a submitter's order is kept");
    }
    prop_assert_eq!(&node.state, &follower.state);
    prop_assert_eq!(node.state.log_root(), node.tree.root());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn lost_doubled_and_shuffled_submissions_end_in_one_log(
        submitters in 1usize..4,
        leaves in 1usize..6,
        line in proptest::collection::vec(any::<u8>(), 97),
    ) {
        // A line on which nothing ever arrives or is ever answered would not end.
        prop_assume!(line.iter().collect::<BTreeSet<_>>().len() > 20);
        drive(submitters, leaves, &line)?;
    }
}

#[test]
fn kinds_keep_their_codes_and_words() {
    let codes: Vec<(u8, &str)> = LeafKind::ALL.iter().map(|kind| (kind.code(), kind.as_str())).collect();
    let expected = [
        (1, "worker-grant"),
        (2, "rights-registration"),
        (3, "data-product"),
        (4, "agreement"),
        (5, "order"),
        (6, "hold"),
        (7, "usage-receipt"),
        (8, "release"),
        (9, "refund"),
    ];
    assert_eq!(codes, expected);
    for kind in LeafKind::ALL {
        assert_eq!(LeafKind::from_code(kind.code()), Ok(kind));
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!(LeafKind::from_code(0).is_err() && LeafKind::from_code(10).is_err() && "quote".parse::<LeafKind>().is_err());
}
