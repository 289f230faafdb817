//! What may follow from an agreement, and what may not.

use crate::support::{Node, Stored, genesis, key, logged, signed_leaf};
use entrepot_chain_ledger::{
    Block, Facts, Leaf, Outcome, Rejection, Signatures, State,
    settlement::{Agreement, Hold, HoldStatus, Order},
    state::entries,
    state_tree::{prove, state_value},
};
use entrepot_chain_statement::{Hash, SigningKey};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const CONSUMER: u8 = 1;
const EXCHANGE: u8 = 2;
const STRANGER: u8 = 3;
const WORKERS: [u8; 3] = [11, 12, 13];
const USES_MAX: u32 = 2;

fn name(kind: u8, number: u8) -> Hash {
    Hash([kind, number].repeat(16).try_into().expect("32 bytes"))
}

fn agreement_name(number: u8) -> Hash {
    name(b'a', number)
}

fn order_name(number: u8) -> Hash {
    name(b'o', number)
}

fn hold_name(number: u8) -> Hash {
    name(b'h', number)
}

fn agreement(number: u8) -> Facts {
    Facts::Agreement {
        name: agreement_name(number),
        consumer: key(CONSUMER).did(),
        exchange: key(EXCHANGE).did(),
        workers: WORKERS.map(|seed| key(seed).did()),
        uses_max: USES_MAX,
        split: name(b's', number),
    }
}

fn order(number: u8, agreement: u8, sequence: u64) -> Facts {
    Facts::Order { name: order_name(number), agreement: agreement_name(agreement), sequence }
}

fn hold(number: u8, order: u8) -> Facts {
    Facts::Hold { name: hold_name(number), order: order_name(order), consumer: key(CONSUMER).did() }
}

fn receipt(order: u8, party: u8, attempt: u32) -> Facts {
    Facts::UsageReceipt { order: order_name(order), consumer: key(CONSUMER).did(), attempt, party }
}

fn release(hold: u8) -> Facts {
    Facts::Release { hold: hold_name(hold), split: name(b's', 1) }
}

fn refund(hold: u8) -> Facts {
    Facts::Refund { hold: hold_name(hold) }
}

/// A ledger to which leaves are submitted, each a block.
struct Market {
    node: Node,
    blocks: Vec<Block>,
    leaves: u64,
}

impl Market {
    fn new() -> Self {
        Self { node: Node::new(), blocks: Vec::new(), leaves: 0 }
    }

    /// With an agreement, its first order and the hold for it.
    fn held() -> Self {
        let mut market = Self::new();
        market.accept(agreement(1), CONSUMER);
        market.accept(order(1, 1, 1), CONSUMER);
        market.accept(hold(1, 1), EXCHANGE);
        market
    }

    fn with_receipts(mut self, attempt: u32) -> Self {
        for (party, worker) in (0..).zip(WORKERS) {
            self.accept(receipt(1, party, attempt), worker);
        }
        self
    }

    fn submit(&mut self, leaf: Leaf) -> Outcome {
        let sequence = self.node.state.next_sequence(&key(9).did());
        let (block, mut outcomes) = self.node.submit(1, vec![logged(leaf, sequence, &key(9))]);
        self.blocks.extend(block);
        outcomes.remove(0)
    }

    /// A leaf with these facts and a salt of its own.
    fn leaf(&mut self, facts: Facts, signers: &[u8]) -> Leaf {
        self.leaves += 1;
        let keys: Vec<SigningKey> = signers.iter().map(|seed| key(*seed)).collect();
        signed_leaf(self.leaves, facts, &keys.iter().collect::<Vec<_>>())
    }

    fn say(&mut self, facts: Facts, signers: &[u8]) -> Outcome {
        let leaf = self.leaf(facts, signers);
        self.submit(leaf)
    }

    fn accept(&mut self, facts: Facts, signer: u8) -> Hash {
        let leaf = self.leaf(facts, &[signer]);
        let (entry, index) = (leaf.leaf(), self.node.state.log_size());
        assert_eq!(self.submit(leaf), Outcome::Accepted { index });
        entry
    }

    /// The leaf is not logged, nothing but the number is used up, and the sentence says something.
    fn refuse(&mut self, facts: Facts, signers: &[u8], why: Rejection) {
        let (size, state) = (self.node.state.log_size(), self.entries());
        assert!(why.to_string().len() > 20, "{why}");
        assert_eq!(self.say(facts, signers), Outcome::Rejected(why));
        assert_eq!((self.node.state.log_size(), self.entries()), (size, state));
    }

    fn read<T>(&self, at: &Hash, decode: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let committed = self.node.committed(at)?;
        Some(decode(&self.node.stored.encoding(&committed).expect("stored")))
    }

    fn agreement(&self, number: u8) -> Option<Agreement> {
        let key = entries::agreement_key(&key(CONSUMER).did(), &agreement_name(number));
        self.read(&key, |bytes| Agreement::decode(bytes).expect("an agreement"))
    }

    fn order(&self, number: u8) -> Option<Order> {
        let key = entries::order_key(&key(CONSUMER).did(), &order_name(number));
        self.read(&key, |bytes| Order::decode(bytes).expect("an order"))
    }

    fn hold(&self, number: u8) -> Option<Hold> {
        let key = entries::hold_key(&key(EXCHANGE).did(), &hold_name(number));
        self.read(&key, |bytes| Hold::decode(bytes).expect("a hold"))
    }

    /// Everything the contract knows of what these tests speak of.
    fn entries(&self) -> Vec<(Option<Agreement>, Option<Order>, Option<Hold>)> {
        (1..=4).map(|number| (self.agreement(number), self.order(number), self.hold(number))).collect()
    }
}

#[test]
fn an_order_is_held_computed_and_paid_and_the_state_says_so() {
    let mut market = Market::held().with_receipts(1);
    assert_eq!(market.hold(1).map(|hold| hold.status), Some(HoldStatus::Open));
    let (then, root) = (market.node.stored.clone(), market.node.state.state_root());
    let leaf = market.accept(release(1), EXCHANGE);
    let height = market.node.state.height();
    let status = HoldStatus::Released { leaf, height };
    assert_eq!(market.hold(1).map(|hold| hold.status), Some(status));
    assert_eq!(market.agreement(1).map(|agreement| (agreement.orders, agreement.uses)), Some((1, 1)));
    let order = market.order(1).expect("an order");
    assert_eq!((order.hold, order.receipts.map(|receipt| receipt.map(|receipt| receipt.attempt))), (Some(hold_name(1)), [Some(1); 3]));
    // That it was not released one block before, and that there was no second hold, is shown to an outsider.
    let (open, none) = (entries::hold_key(&key(EXCHANGE).did(), &hold_name(1)), entries::hold_key(&key(EXCHANGE).did(), &hold_name(2)));
    let before = Hold { status: HoldStatus::Open, ..market.hold(1).expect("a hold") };
    assert!(prove(&root, &open, &then).expect("reads").verify(&root, &open, Some(&state_value(&before.encode()))).is_ok());
    assert!(prove(&root, &none, &then).expect("reads").verify(&root, &none, None).is_ok());
}

#[test]
fn an_agreement_is_its_consumers_and_its_name_is_used_once() {
    let mut market = Market::new();
    market.refuse(agreement(1), &[EXCHANGE], Rejection::Unbound { key: key(CONSUMER).did() });
    market.accept(agreement(1), CONSUMER);
    market.refuse(agreement(1), &[CONSUMER], Rejection::AgreementExists);
}

#[test]
fn nobody_takes_anothers_name_by_being_faster() {
    let mut market = Market::new();
    let stranger = key(STRANGER).did();
    // Names, as a pending transaction shows them, under the stranger's own key.
    let Facts::Agreement { name, exchange, workers, uses_max, split, .. } = agreement(1) else { unreachable!() };
    market.accept(Facts::Agreement { name, consumer: stranger.clone(), exchange, workers, uses_max, split }, STRANGER);
    market.accept(order(1, 1, 1), STRANGER);
    let Facts::Hold { name, order: ordered, .. } = hold(1, 1) else { unreachable!() };
    market.refuse(Facts::Hold { name, order: ordered, consumer: stranger }, &[STRANGER], Rejection::Unbound { key: key(EXCHANGE).did() });
    market.accept(agreement(1), CONSUMER);
    market.accept(order(1, 1, 1), CONSUMER);
    market.accept(hold(1, 1), EXCHANGE);
}

#[test]
fn a_leaf_says_by_which_facts_it_was_judged() {
    let mut market = Market::held();
    // The very statement, logged as something without rules: another leaf, which no receipt bundle proves.
    let honest = market.leaf(release(1), &[EXCHANGE]);
    let disguised = Leaf { facts: Facts::WorkerGrant, ..honest.clone() };
    assert_ne!(disguised.leaf(), honest.leaf());
    assert_eq!(market.submit(disguised), Outcome::Rejected(Rejection::BadSignature { key: key(EXCHANGE).did() }));
    assert_eq!(market.submit(honest), Outcome::Rejected(Rejection::ReceiptMissing { party: 0 }));
}

#[test]
fn orders_are_numbered_and_are_the_consumers_under_its_own_agreement() {
    let mut market = Market::new();
    market.refuse(order(1, 1, 1), &[CONSUMER], Rejection::NoSuchAgreement);
    market.accept(agreement(1), CONSUMER);
    market.refuse(order(1, 1, 1), &[STRANGER], Rejection::NoSuchAgreement);
    market.refuse(order(1, 1, 1), &[CONSUMER, STRANGER], Rejection::BindsSeveral);
    market.refuse(order(1, 1, 2), &[CONSUMER], Rejection::OrderSequence { expected: 1 });
    market.accept(order(1, 1, 1), CONSUMER);
    market.refuse(order(1, 1, 2), &[CONSUMER], Rejection::OrderExists);
    market.refuse(order(2, 1, 1), &[CONSUMER], Rejection::OrderSequence { expected: 2 });
    market.accept(order(2, 1, 2), CONSUMER);
}

#[test]
fn an_order_is_held_once_by_the_agreed_exchange() {
    let mut market = Market::new();
    market.accept(agreement(1), CONSUMER);
    market.refuse(hold(1, 1), &[EXCHANGE], Rejection::NoSuchOrder);
    market.accept(order(1, 1, 1), CONSUMER);
    market.accept(order(2, 1, 2), CONSUMER);
    market.refuse(hold(1, 1), &[STRANGER], Rejection::Unbound { key: key(EXCHANGE).did() });
    market.accept(hold(1, 1), EXCHANGE);
    market.refuse(hold(2, 1), &[EXCHANGE], Rejection::HoldExists);
    market.refuse(hold(1, 2), &[EXCHANGE], Rejection::HoldExists);
}

#[test]
fn a_receipt_is_the_pinned_workers_and_a_later_attempt_replaces_an_earlier_one() {
    let mut market = Market::new();
    market.accept(agreement(1), CONSUMER);
    market.refuse(receipt(1, 0, 1), &[WORKERS[0]], Rejection::NoSuchOrder);
    market.accept(order(1, 1, 1), CONSUMER);
    market.refuse(receipt(1, 0, 1), &[WORKERS[0]], Rejection::NotHeld);
    market.accept(hold(1, 1), EXCHANGE);
    market.refuse(receipt(1, 0, 1), &[WORKERS[1]], Rejection::Unbound { key: key(WORKERS[0]).did() });
    market.refuse(receipt(1, 0, 1), &[WORKERS[0], WORKERS[1]], Rejection::BindsSeveral);
    market.refuse(receipt(1, 3, 1), &[WORKERS[0]], Rejection::NoSuchParty);
    market.accept(receipt(1, 0, 2), WORKERS[0]);
    market.refuse(receipt(1, 0, 2), &[WORKERS[0]], Rejection::AttemptOver { last: 2 });
    market.refuse(receipt(1, 0, 1), &[WORKERS[0]], Rejection::AttemptOver { last: 2 });
    let leaf = market.accept(receipt(1, 0, 3), WORKERS[0]);
    assert_eq!(market.order(1).and_then(|order| order.receipts[0]).map(|receipt| (receipt.attempt, receipt.leaf)), Some((3, leaf)));
}

#[test]
fn nothing_is_released_without_the_receipts_of_one_attempt() {
    let mut market = Market::held();
    market.refuse(release(1), &[EXCHANGE], Rejection::ReceiptMissing { party: 0 });
    for (party, worker) in [(0, 11), (1, 12)] {
        market.accept(receipt(1, party, 1), worker);
    }
    market.refuse(release(1), &[EXCHANGE], Rejection::ReceiptMissing { party: 2 });
    market.accept(receipt(1, 2, 2), WORKERS[2]);
    market.refuse(release(1), &[EXCHANGE], Rejection::AttemptsDiffer);
    for (party, worker) in [(0, 11), (1, 12)] {
        market.accept(receipt(1, party, 2), worker);
    }
    market.refuse(release(1), &[CONSUMER], Rejection::NoSuchHold);
    market.refuse(release(2), &[EXCHANGE], Rejection::NoSuchHold);
    market.accept(release(1), EXCHANGE);
}

#[test]
fn a_release_names_the_agreed_split() {
    let mut market = Market::held().with_receipts(1);
    market.refuse(Facts::Release { hold: hold_name(1), split: name(b's', 2) }, &[EXCHANGE], Rejection::SplitDiffers);
    market.accept(release(1), EXCHANGE);
}

#[test]
fn a_hold_is_released_or_refunded_and_then_nothing_follows() {
    let mut released = Market::held().with_receipts(1);
    released.accept(release(1), EXCHANGE);
    released.refuse(refund(1), &[EXCHANGE], Rejection::HoldReleased);
    released.refuse(release(1), &[EXCHANGE], Rejection::HoldReleased);
    released.refuse(receipt(1, 0, 2), &[WORKERS[0]], Rejection::HoldReleased);
    let mut refunded = Market::held().with_receipts(1);
    refunded.refuse(refund(1), &[CONSUMER], Rejection::NoSuchHold);
    refunded.accept(refund(1), EXCHANGE);
    refunded.refuse(release(1), &[EXCHANGE], Rejection::HoldRefunded);
    refunded.refuse(refund(1), &[EXCHANGE], Rejection::HoldRefunded);
    refunded.refuse(receipt(1, 0, 2), &[WORKERS[0]], Rejection::HoldRefunded);
}

#[test]
fn no_more_uses_are_paid_than_were_agreed() {
    let mut market = Market::held().with_receipts(1);
    market.accept(release(1), EXCHANGE);
    for number in 2..=3 {
        market.accept(order(number, 1, u64::from(number)), CONSUMER);
        market.accept(hold(number, number), EXCHANGE);
        for (party, worker) in (0..).zip(WORKERS) {
            market.accept(receipt(number, party, 1), worker);
        }
    }
    market.accept(release(2), EXCHANGE);
    market.refuse(release(3), &[EXCHANGE], Rejection::UsesSpent { uses_max: USES_MAX });
    market.accept(refund(3), EXCHANGE);
}

#[test]
fn a_leaf_that_was_refused_and_comes_again_with_right_signatures_is_replayed_as_it_was() {
    let mut market = Market::held();
    let good = market.leaf(order(2, 1, 2), &[CONSUMER]);
    let mut bad = good.clone();
    bad.signatures.values_mut().for_each(|signature| signature[0] ^= 1);
    assert!(matches!(market.submit(bad), Outcome::Rejected(Rejection::BadSignature { .. })));
    assert!(matches!(market.submit(good), Outcome::Accepted { .. }));
    assert_eq!(replayed(&market), market.node.state);
}

/// What a node arrives at that opens its own blocks.
fn replayed(market: &Market) -> State {
    let mut state = State::genesis(&genesis()).expect("a genesis");
    for block in &market.blocks {
        state = state.apply(&market.node.stored, block, Signatures::CheckedWhenStored).expect("follows").state;
    }
    let mut follower = Node { stored: Stored::default(), ..Node::new() };
    for block in &market.blocks {
        let applied = follower.state.apply(&follower.stored, block, Signatures::Check).expect("follows");
        follower.keep(applied);
    }
    assert_eq!(follower.state, state);
    state
}

fn any_statement() -> impl Strategy<Value = (Facts, u8)> {
    let signer = prop_oneof![8 => Just(EXCHANGE), 1 => Just(CONSUMER), 1 => Just(STRANGER)];
    let number = 1..=4u8;
    prop_oneof![
        1 => (1..=2u8).prop_map(|number| (agreement(number), CONSUMER)),
        3 => (number.clone(), 1..=5u64).prop_map(|(number, sequence)| (order(number, 1, sequence), CONSUMER)),
        4 => (number.clone(), number.clone()).prop_map(|(at, ordered)| (hold(at, ordered), EXCHANGE)),
        12 => (number.clone(), 0..3u8, 1..=2u32).prop_map(|(at, party, attempt)| (receipt(at, party, attempt), WORKERS[usize::from(party)])),
        4 => (number.clone(), signer.clone()).prop_map(|(number, signer)| (release(number), signer)),
        2 => (number, signer).prop_map(|(number, signer)| (refund(number), signer)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_said_no_hold_ends_twice_and_no_use_is_too_many(said in proptest::collection::vec(any_statement(), 40..160)) {
        let mut market = Market::held();
        let (mut ends, mut releases) = (BTreeMap::<Hash, u32>::new(), 0_u32);
        for (facts, signer) in said {
            let accepted = matches!(market.say(facts.clone(), &[signer]), Outcome::Accepted { .. });
            if let (true, Facts::Release { hold, .. } | Facts::Refund { hold }) = (accepted, &facts) {
                *ends.entry(*hold).or_default() += 1;
                releases += u32::from(matches!(facts, Facts::Release { .. }));
            }
        }
        prop_assert!(ends.values().all(|ends| *ends == 1), "{ends:?}");
        let uses = market.agreement(1).expect("it was made").uses;
        prop_assert!(uses == releases && uses <= USES_MAX);
        let closed = |number| market.hold(number).is_some_and(|hold| hold.status != HoldStatus::Open);
        let closed: BTreeSet<Hash> = (1..=4).filter(|number| closed(*number)).map(hold_name).collect();
        prop_assert_eq!(closed, ends.keys().copied().collect::<BTreeSet<_>>());
        prop_assert_eq!(replayed(&market), market.node.state);
    }
}
