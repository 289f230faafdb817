//! Who holds which right.

use crate::support::{Node, consortium, key, leaf, member, organisation, signed_leaf};
use entrepot_chain_ledger::{
    Facts, Leaf, LeafTransaction, Outcome, Rejection, Right, RightAction, RightKind, RightRecord, RightStatus, RightTransaction,
    consortium::{MemberRole, VotingRule},
    state::entries,
    state_tree::{prove, state_value},
};
use entrepot_chain_statement::{Hash, SigningKey, Timestamp};

/// A channel with a regulator; key 1 may register a right.
struct Registry {
    node: Node,
    right: Hash,
}

/// The registration of key 1's right.
fn registration() -> Leaf {
    signed_leaf(1, Facts::RightsRegistration { right: RightKind::Process, holder: key(1).did() }, &[&key(1)])
}

impl Registry {
    fn new() -> Self {
        let members = vec![member(100, MemberRole::Member), member(101, MemberRole::Regulator)];
        let mut node = Node::founded(&consortium(VotingRule::Majority, members));
        node.one(LeafTransaction::sign(&node.state.genesis_digest(), leaf(2), 1, &key(9)));
        let right = RightRecord::id(&registration().leaf(), RightKind::Process, &key(1).did());
        Self { node, right }
    }

    fn record(&self, action: RightAction) -> RightRecord {
        let number = self.stored().map_or(0, |right| right.records);
        RightRecord { right: self.right, kind: RightKind::Process, number, action }
    }

    fn signed(&self, record: RightRecord, signers: &[&SigningKey]) -> RightTransaction {
        let submitter = key(9);
        let sequence = self.node.state.next_sequence(&submitter.did());
        RightTransaction::sign(&self.node.state.genesis_digest(), record, signers, sequence, &submitter)
    }

    fn act(&mut self, at: i64, action: RightAction, signers: &[&SigningKey]) -> Outcome {
        let transaction = self.signed(self.record(action), signers);
        self.node.submit(at, vec![transaction]).1.remove(0)
    }

    /// What the state says, which is what its root commits to.
    fn stored(&self) -> Option<Right> {
        let right = self.node.state.right(&self.node.stored, &self.right).expect("reads");
        let committed = self.node.committed(&entries::right_key(&self.right));
        assert_eq!(committed, right.as_ref().map(|right| state_value(&right.encode())));
        right
    }

    fn register(&mut self) -> Outcome {
        let sequence = self.node.state.next_sequence(&key(9).did());
        self.node.one(LeafTransaction::sign(&self.node.state.genesis_digest(), registration(), sequence, &key(9)))
    }
}

fn rejected(code: &str) -> impl Fn(&Outcome) -> bool + '_ {
    move |outcome| matches!(outcome, Outcome::Rejected(why) if why.code() == code && why.to_string().len() > 10)
}

#[test]
fn a_right_goes_from_hand_to_hand_and_the_state_says_since_when() {
    let mut registry = Registry::new();
    assert_eq!(registry.stored(), None);
    assert_eq!(registry.register(), Outcome::Accepted { index: 1 });
    let first = registry.stored().expect("registered");
    assert_eq!((first.holder, first.since, first.status), (key(1).did(), 2, RightStatus::Held));
    let (then, root) = (registry.node.stored.clone(), registry.node.state.state_root());
    assert_eq!(registry.act(5, RightAction::Transfer { to: key(2).did() }, &[&key(1), &key(2)]), Outcome::Right { records: 2 });
    let second = registry.stored().expect("registered");
    assert_eq!((second.holder, second.since), (key(2).did(), 3));
    assert_eq!(registry.act(5, RightAction::Change { leaf: leaf(2).leaf() }, &[&key(2)]), Outcome::Right { records: 3 });
    assert_eq!(registry.stored().map(|right| (right.leaf, right.since)), Some((leaf(2).leaf(), 3)));
    assert_eq!(registry.act(5, RightAction::Cancellation, &[&key(2)]), Outcome::Right { records: 4 });
    let after = registry.act(5, RightAction::Transfer { to: key(1).did() }, &[&key(1), &key(2)]);
    assert_eq!(after, Outcome::Rejected(Rejection::RightCancelled));
    // Who held it at height 2 is still known, and shown to an outsider.
    let at_two = entries::right(&root, &registry.node.stored, &registry.right).expect("reads").expect("registered");
    assert_eq!(at_two.holder, key(1).did());
    let spot = entries::right_key(&registry.right);
    let proof = prove(&root, &spot, &then).expect("reads");
    assert!(proof.verify(&root, &spot, Some(&state_value(&at_two.encode()))).is_ok());
    assert!(proof.verify(&root, &spot, None).is_err());
}

#[test]
fn a_record_needs_the_signatures_of_all_whom_it_binds_and_no_other() {
    let mut registry = Registry::new();
    registry.register();
    let transfer = || RightAction::Transfer { to: key(2).did() };
    let regulator = organisation(101);
    let cases: Vec<(RightAction, Vec<SigningKey>, &str)> = vec![
        (transfer(), vec![key(1)], "unbound"),
        (transfer(), vec![key(2)], "unbound"),
        (transfer(), vec![key(1), key(2), key(3)], "not_bound"),
        (RightAction::Change { leaf: leaf(2).leaf() }, vec![key(2)], "unbound"),
        (RightAction::Renewal { expires: None }, vec![], "unbound"),
        (RightAction::Cancellation, vec![regulator.clone()], "unbound"),
        (RightAction::Dispute { claimant: None }, vec![key(1)], "no_regulator"),
        (RightAction::Dispute { claimant: None }, vec![organisation(100)], "no_regulator"),
        (RightAction::Dispute { claimant: Some(key(3).did()) }, vec![regulator], "unbound"),
    ];
    let before = registry.stored();
    for (action, signers, code) in cases {
        let outcome = registry.act(5, action.clone(), &signers.iter().collect::<Vec<_>>());
        assert!(rejected(code)(&outcome), "{action:?}: {outcome:?}, not {code}");
    }
    let mut forged = registry.signed(registry.record(transfer()), &[&key(1), &key(2)]);
    let other = registry.signed(registry.record(RightAction::Cancellation), &[&key(1), &key(2)]);
    forged = RightTransaction::submit(&registry.node.state.genesis_digest(), forged.record, other.signatures, forged.sequence, &key(9));
    assert!(rejected("bad_signature")(&registry.node.one(forged)));
    assert_eq!(registry.stored(), before);
}

#[test]
fn signatures_under_a_record_are_good_for_it_once() {
    let mut registry = Registry::new();
    registry.register();
    let there = registry.record(RightAction::Transfer { to: key(2).did() });
    let there = registry.signed(there, &[&key(1), &key(2)]);
    registry.node.one(there.clone());
    registry.act(5, RightAction::Transfer { to: key(1).did() }, &[&key(1), &key(2)]);
    let again = registry.signed(there.record, &[&key(1), &key(2)]);
    assert_eq!(registry.node.one(again), Outcome::Rejected(Rejection::RecordNumber { expected: 3 }));
    assert_eq!(registry.stored().map(|right| right.holder), Some(key(1).did()));
}

#[test]
fn a_right_in_dispute_goes_nowhere_until_a_regulator_resolves_it() {
    let mut registry = Registry::new();
    registry.register();
    let regulator = organisation(101);
    let resolve = || RightAction::Resolve { holder: key(3).did() };
    assert_eq!(registry.act(5, resolve(), &[&regulator]), Outcome::Rejected(Rejection::RightNotDisputed));
    let dispute = RightAction::Dispute { claimant: Some(key(3).did()) };
    assert_eq!(registry.act(5, dispute, &[&regulator, &key(3)]), Outcome::Right { records: 2 });
    assert!(!registry.stored().expect("registered").is_valid(Timestamp(5)));
    let holders = [
        (RightAction::Transfer { to: key(2).did() }, vec![key(1), key(2)]),
        (RightAction::Change { leaf: leaf(2).leaf() }, vec![key(1)]),
        (RightAction::Renewal { expires: None }, vec![key(1)]),
        (RightAction::Cancellation, vec![key(1)]),
        (RightAction::Dispute { claimant: None }, vec![regulator.clone()]),
    ];
    for (action, signers) in holders {
        let outcome = registry.act(5, action, &signers.iter().collect::<Vec<_>>());
        assert_eq!(outcome, Outcome::Rejected(Rejection::RightDisputed));
    }
    assert!(rejected("no_regulator")(&registry.act(5, resolve(), &[&key(3)])));
    let plain = organisation(100);
    assert_eq!(registry.act(5, resolve(), &[&regulator]), Outcome::Rejected(Rejection::NoSecondMember), "four eyes");
    assert_eq!(registry.act(5, resolve(), &[&regulator, &key(3)]), Outcome::Rejected(Rejection::NoSecondMember));
    assert!(rejected("no_regulator")(&registry.act(5, resolve(), &[&plain])));
    assert_eq!(registry.act(5, resolve(), &[&regulator, &plain]), Outcome::Right { records: 3 });
    let right = registry.stored().expect("registered");
    assert_eq!((right.holder.clone(), right.is_valid(Timestamp(5))), (key(3).did(), true));
}

#[test]
fn a_lone_regulator_resolves_alone() {
    let mut registry =
        Registry { node: Node::founded(&consortium(VotingRule::Majority, vec![member(101, MemberRole::Regulator)])), ..Registry::new() };
    registry.register();
    let regulator = organisation(101);
    registry.act(5, RightAction::Dispute { claimant: None }, &[&regulator]);
    assert_eq!(registry.act(5, RightAction::Resolve { holder: key(3).did() }, &[&regulator]), Outcome::Right { records: 3 });
}

#[test]
fn a_right_expires_and_is_renewed() {
    let mut registry = Registry::new();
    registry.register();
    let renewal = |until| RightAction::Renewal { expires: Some(Timestamp(until)) };
    assert_eq!(registry.act(5, renewal(5), &[&key(1)]), Outcome::Rejected(Rejection::ExpiryPast));
    assert_eq!(registry.act(5, renewal(50), &[&key(1)]), Outcome::Right { records: 2 });
    let right = registry.stored().expect("registered");
    assert!(right.is_valid(Timestamp(49)) && !right.is_valid(Timestamp(50)));
    let transfer = || RightAction::Transfer { to: key(2).did() };
    assert_eq!(registry.act(50, transfer(), &[&key(1), &key(2)]), Outcome::Rejected(Rejection::RightExpired));
    assert_eq!(registry.act(50, renewal(50), &[&key(1)]), Outcome::Rejected(Rejection::ExpiryPast));
    assert_eq!(registry.act(50, renewal(90), &[&key(1)]), Outcome::Right { records: 3 });
    assert_eq!(registry.act(51, transfer(), &[&key(1), &key(2)]), Outcome::Right { records: 4 });
}

#[test]
fn a_right_begins_with_its_registration_which_its_holder_signed() {
    let mut registry = Registry::new();
    assert!(rejected("no_such_right")(&registry.act(5, RightAction::Cancellation, &[&key(1)])));
    let genesis = registry.node.state.genesis_digest();
    let by_another = signed_leaf(1, registration().facts, &[&key(2)]);
    let sequence = registry.node.state.next_sequence(&key(9).did());
    let outcome = registry.node.one(LeafTransaction::sign(&genesis, by_another, sequence, &key(9)));
    assert_eq!(outcome, Outcome::Rejected(Rejection::Unbound { key: key(1).did() }));
    assert_eq!(registry.stored(), None);
    assert_eq!(registry.register(), Outcome::Accepted { index: 1 });
    let first = registry.stored();
    assert_eq!(registry.register(), Outcome::Accepted { index: 1 }, "sent again");
    assert_eq!(registry.stored(), first);
    assert!(rejected("leaf_not_logged")(&registry.act(5, RightAction::Change { leaf: leaf(77).leaf() }, &[&key(1)])));
    let mut other_kind = registry.record(RightAction::Cancellation);
    other_kind.kind = RightKind::Operate;
    let other_kind = registry.signed(other_kind, &[&key(1)]);
    assert!(rejected("right_kind")(&registry.node.one(other_kind)));
}
