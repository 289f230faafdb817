//! What survives, and what is found to be damaged.

use super::*;
use entrepot_chain_statement::{
    Envelope, Money, SealingSecret, SigningKey,
    ids::AgreementId,
    statements::{Hold, Security, SplitAmount},
};

const AGREEMENT: Hash = Hash([1; 32]);
const ORDER: Hash = Hash([2; 32]);

fn job() -> JobId {
    JobId::compose(Timestamp(1_700_000_000_000), [7; 10])
}

fn order(attempt: u32) -> OrderRecord {
    OrderRecord { order: ORDER, sequence: 3, job_id: job(), attempt, state: OrderState::Accepted }
}

fn price() -> Money {
    Money { amount_minor: 100, currency: "EUR".parse().expect("three letters") }
}

fn terms() -> Agreement {
    let did = |seed| SigningKey::from_seed(&[seed; 32]).did();
    Agreement {
        agreement_id: AgreementId::compose(Timestamp(1), [1; 10]),
        product: Hash([4; 32]),
        consumer: did(5),
        sealing_key: SealingSecret::from_bytes(&[6; 32]).public(),
        exchange: did(7),
        parties: Vec::new(),
        security: Security::SemiHonest,
        price_per_query: price(),
        split: Vec::new(),
        quota_queries: 2,
        issued_at: Timestamp(1),
        expires_at: Timestamp(2),
    }
}

fn finished(attempt: u32, finished_at: Timestamp) -> FinishedAttempt {
    let consumer = SigningKey::from_seed(&[5; 32]).did();
    let hold = Hold { job_id: job(), order: ORDER, agreement: AGREEMENT, consumer, amount: price(), held_at: Timestamp(1) };
    let receipt = Envelope::sign(&hold, &SigningKey::from_seed(&[9; 32]), [0; 32]).expect("any statement will do here");
    FinishedAttempt {
        job_id: job(),
        attempt,
        party: 0,
        agreement: AGREEMENT,
        order: ORDER,
        hold: Hash([3; 32]),
        price: price(),
        split: vec![SplitAmount { participant: SigningKey::from_seed(&[9; 32]).did(), amount: price() }],
        split_rule: Hash([4; 32]),
        receipt,
        shares: vec![StoredShare { share: 0, ciphertext: vec![1, 2, 3] }],
        finished_at,
    }
}

#[test]
fn what_was_accepted_or_finished_is_known_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path()).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(1)).expect("it is written");
    store.finish(&finished(1, Timestamp(5))).expect("it is written");
    drop(store);
    let store = Store::open(folder.path()).expect("it is whole");
    let record = store.agreements().get(&AGREEMENT).expect("it was accepted");
    assert_eq!((record.highest_sequence, record.queries_used()), (3, 1));
    assert_eq!((record.product, &record.consumer), (terms().product, &terms().consumer));
    assert_eq!(record.order(&ORDER).expect("it was accepted").state, OrderState::Finished);
    assert_eq!(store.finished(&job(), 1).expect("it is whole"), Some(finished(1, Timestamp(5))));
    assert_eq!(store.finished(&job(), 2).expect("there is none"), None);
}

#[test]
fn an_attempt_that_a_crash_interrupted_has_failed_and_its_number_stays_passed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path()).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(2)).expect("it is written");
    drop(store);
    let store = Store::open(folder.path()).expect("it is whole");
    let record = store.agreements().get(&AGREEMENT).expect("it was accepted");
    assert_eq!((record.highest_sequence, record.queries_used()), (3, 0));
    assert_eq!(record.order(&ORDER), Some(&OrderRecord { state: OrderState::Failed, ..order(2) }));
}

#[test]
fn a_late_end_of_a_replaced_attempt_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path()).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(1)).expect("it is written");
    store.accept((AGREEMENT, &terms()), order(2)).expect("it is written");
    store.set_order_state(&AGREEMENT, &ORDER, 1, OrderState::Failed).expect("it is ignored");
    assert_eq!(store.agreements().get(&AGREEMENT).and_then(|record| record.order(&ORDER)), Some(&order(2)));
}

#[test]
fn a_file_cut_or_changed_anywhere_stops_the_worker() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path()).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(1)).expect("it is written");
    drop(store);
    let path = agreement_path(folder.path(), &AGREEMENT);
    let whole = std::fs::read(&path).expect("it is there");
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).expect("it is ours");
        assert!(matches!(Store::open(folder.path()), Err(StateError::Torn { .. })), "cut at {length}");
    }
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        std::fs::write(&path, &changed).expect("it is ours");
        assert!(matches!(Store::open(folder.path()), Err(StateError::Torn { .. })), "changed at {place}");
    }
    std::fs::write(&path, &whole).expect("it is ours");
    assert!(Store::open(folder.path()).is_ok());
}

#[test]
fn a_file_that_was_being_written_does_not_replace_the_one_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path()).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(1)).expect("it is written");
    drop(store);
    let unfinished = agreement_path(folder.path(), &AGREEMENT).with_extension(file::UNFINISHED);
    std::fs::write(&unfinished, b"entrepot.state.v1 0").expect("it is ours");
    let store = Store::open(folder.path()).expect("the whole file counts");
    assert_eq!(store.agreements().get(&AGREEMENT).map(|record| record.highest_sequence), Some(3));
    assert!(!unfinished.exists());
}

#[test]
fn two_workers_cannot_share_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = Store::open(folder.path()).expect("it is new");
    assert!(matches!(Store::open(folder.path()), Err(StateError::InUse { .. })));
    drop(first);
    assert!(Store::open(folder.path()).is_ok());
}

#[test]
fn shares_are_deleted_after_thirty_days_and_the_receipt_stays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path()).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(1)).expect("it is written");
    let end = Timestamp(1_000);
    store.finish(&finished(1, end)).expect("it is written");
    assert_eq!(store.remove_expired_shares(end.plus_ms(SHARES_KEPT_MS - 1)).expect("it is whole"), 0);
    assert_eq!(store.remove_expired_shares(end.plus_ms(SHARES_KEPT_MS)).expect("it is whole"), 1);
    let left = store.finished(&job(), 1).expect("it is whole").expect("the record stays");
    assert!(left.shares.is_empty());
    assert_eq!(left.receipt, finished(1, end).receipt);
}

#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(&folder.path().join("data")).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(1)).expect("it is written");
    let path = agreement_path(&folder.path().join("data"), &AGREEMENT);
    assert_eq!(std::fs::metadata(path).expect("it is there").mode() & 0o777, 0o600);
}

#[test]
fn a_receipt_that_was_stored_before_the_crash_counts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut store = Store::open(folder.path()).expect("it is new");
    store.accept((AGREEMENT, &terms()), order(1)).expect("it is written");
    file::write(&store.job_path(&job(), 1), &finished(1, Timestamp(5))).expect("it is written");
    drop(store);
    let store = Store::open(folder.path()).expect("it is whole");
    assert_eq!(store.finished_orders().count(), 1);
}
