//! What a ledger may know of a statement: derived from it, pinned, and nothing more.

use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, EnvelopeError, Facts, Hash, LeafKind, Money, SealingSecret, SigningKey, Statement, Timestamp,
    facts::{self, FACTS_BYTES_MAX, public_name},
    ids::{AgreementId, GrantId, JobId, OrderId},
    split::rule_digest,
    statements::{Agreement, Hold, Order, PartyPin, Quote, Refund, Release, Security, SplitShare, UsageReceipt, WorkerGrant, WorkerRole},
};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn did(seed: u8) -> Did {
    SigningKey::from_seed(&[seed; 32]).did()
}

fn money() -> Money {
    Money { amount_minor: 1250, currency: "EUR".parse().unwrap() }
}

fn shares() -> Vec<SplitShare> {
    [(1, 6_000), (2, 4_000)].map(|(seed, share)| SplitShare { participant: did(seed), share: BasisPoints::new(share).unwrap() }).to_vec()
}

fn agreement() -> Agreement {
    Agreement {
        agreement_id: AgreementId::compose(NOW, [1; 10]),
        product: Hash([1; 32]),
        consumer: did(5),
        sealing_key: SealingSecret::from_bytes(&[6; 32]).public(),
        exchange: did(7),
        parties: [1, 2, 3].map(|seed| PartyPin { participant: did(seed), worker: did(seed + 10), grant: Hash([seed; 32]) }).to_vec(),
        security: Security::SemiHonest,
        price_per_query: money(),
        split: shares(),
        quota_queries: 4,
        issued_at: NOW,
        expires_at: NOW.plus_ms(1),
    }
}

fn facts_of(statement: &impl Statement) -> (Facts, Hash) {
    let envelope = Envelope::sign(statement, &SigningKey::from_seed(&[5; 32]), [9; 32]).unwrap();
    (envelope.facts().clone(), envelope.statement_hash())
}

/// A statement of each kind that the ledger has rules for, but for a registration.
fn settled() -> [Facts; 6] {
    let job_id = JobId::compose(NOW, [2; 10]);
    let (agreement, agreed) = facts_of(&agreement());
    let (order, ordered) = facts_of(&Order {
        order_id: OrderId::compose(NOW, [3; 10]),
        agreement: agreed,
        sql: "SELECT 1".to_owned(),
        plan: Hash([4; 32]),
        sequence: 7,
        price: money(),
        issued_at: NOW,
        expires_at: NOW.plus_ms(1),
    });
    let hold = Hold { job_id: job_id.clone(), order: ordered, agreement: agreed, consumer: did(5), amount: money(), held_at: NOW };
    let (hold, held) = facts_of(&hold);
    let (receipt, _) = facts_of(&UsageReceipt {
        job_id: job_id.clone(),
        attempt: 2,
        agreement: agreed,
        order: ordered,
        consumer: did(5),
        plan: Hash([4; 32]),
        party: 1,
        participant: did(2),
        worker: did(12),
        security: Security::SemiHonest,
        input_commitment: None,
        rows_input: 0,
        shares: Vec::new(),
        transcript: Hash([8; 32]),
        finished_at: NOW,
    });
    let (release, _) = facts_of(&Release {
        job_id: job_id.clone(),
        order: ordered,
        hold: held,
        receipts: Vec::new(),
        amount: money(),
        split: Vec::new(),
        split_rule: rule_digest(&agreed, &shares()),
        released_at: NOW,
    });
    let reason = "cancelled".to_owned();
    let (refund, _) = facts_of(&Refund { job_id, order: ordered, hold: held, amount: money(), reason, refunded_at: NOW });
    [agreement, order, hold, receipt, release, refund]
}

#[test]
fn statements_that_follow_from_each_other_name_each_other() {
    let [
        Facts::Agreement { name: agreed, split, uses_max, workers, .. },
        Facts::Order { name: ordered, agreement, sequence },
        Facts::Hold { name: held, order, consumer },
        Facts::UsageReceipt { order: computed, attempt, party, .. },
        Facts::Release { hold: released, split: paid },
        Facts::Refund { hold: refunded },
    ] = settled()
    else {
        panic!("six kinds")
    };
    assert_eq!((agreement, order, computed, released, refunded), (agreed, ordered, ordered, held, held));
    assert_eq!((split, uses_max, workers), (paid, 4, [did(11), did(12), did(13)]));
    assert_eq!((sequence, attempt, party, consumer), (7, 2, 1, did(5)));
}

#[test]
fn encodings_never_change() {
    let pinned: Vec<String> = settled().iter().map(|facts| Hash::of(&[&facts.encode()]).to_string()).collect();
    let expected = [
        "c3c73c5efbc76ca96cb61ecd5a093ff63b21aa0bfb050201127e74d7e3476664",
        "a475fee48ae99a6ec645103ec4776bd114242dbaa0d68145533601d2dfc7f5b2",
        "b004abb2690b2f5ced0962d1b63a9d84e252cf15294c5ff6866cf853781b42ff",
        "3c7b5c604b1c3d8a5ed8126cb36ca6d09f2e8c81012806815fa8754e1861fea0",
        "c4a7af6617e6f27848a0002f7e263f08e40cc4bc8c583a0ffd696587547cebdc",
        "7c21b5383c6fb0a525a70525fdff4ab70613eeb9c23b0e693ff33012cf8878cb",
    ];
    assert_eq!(pinned, expected);
    assert_eq!(settled()[0].encode().len(), FACTS_BYTES_MAX);
    assert_eq!(Facts::WorkerGrant.encode(), [1, 1]);
    assert_eq!(Facts::DataProduct.encode(), [1, 3]);
    assert_eq!(Facts::Unlogged.encode(), [1, 0]);
}

#[test]
fn names_and_split_rules_do_not_show_what_they_stand_for() {
    assert_ne!(public_name(&Hash([1; 32])), Hash([1; 32]));
    // Equal rules of two agreements do not look alike.
    assert_ne!(rule_digest(&Hash([1; 32]), &shares()), rule_digest(&Hash([2; 32]), &shares()));
    let mut turned = shares();
    turned.reverse();
    assert_ne!(rule_digest(&Hash([1; 32]), &shares()), rule_digest(&Hash([1; 32]), &turned));
}

#[test]
fn a_leaf_commits_to_its_facts() {
    let salted = Hash([1; 32]);
    let refund = Facts::Refund { hold: Hash([2; 32]) };
    let all = [Facts::Unlogged, Facts::WorkerGrant, Facts::DataProduct, refund, Facts::Refund { hold: Hash([3; 32]) }];
    let leaves: std::collections::BTreeSet<Hash> = all.iter().map(|facts| facts::leaf(&salted, facts)).collect();
    assert_eq!(leaves.len(), all.len());
}

#[test]
fn a_statement_with_rules_must_be_one_of_its_type() {
    let two = Agreement { parties: agreement().parties[..2].to_vec(), ..agreement() };
    let signed = Envelope::sign(&two, &SigningKey::from_seed(&[5; 32]), [9; 32]);
    assert!(matches!(signed, Err(EnvelopeError::Form(_))));
    assert!(matches!(Facts::of(Order::PAYLOAD_TYPE, b"{}"), Err(EnvelopeError::Payload(_))));
    let grant = WorkerGrant {
        grant_id: GrantId::compose(NOW, [1; 10]),
        participant: did(1),
        worker: did(2),
        witness: did(3),
        role: WorkerRole::Data,
        not_before: NOW,
        expires_at: NOW,
    };
    assert_eq!(facts_of(&grant).0.kind(), Some(LeafKind::WorkerGrant));
    assert_eq!(Facts::of(Quote::PAYLOAD_TYPE, b"{}").unwrap().kind(), None, "quotes are not logged");
}
