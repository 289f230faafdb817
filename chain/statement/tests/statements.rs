//! One statement of every type, its encoding pinned by hash: whoever changes an encoding sees it here.

use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Hash, Money, SealingKey, SealingSecret, SigningKey, Statement, Timestamp,
    canonical::{from_canonical_json, to_canonical_json},
    ids::{AgreementId, DatasetId, GrantId, JobId, OrderId, ProductId, QuoteId},
    statements::*,
};
use proptest::prelude::*;
use std::fmt::Debug;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn did(n: u8) -> Did {
    key(n).did()
}

fn eur(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "EUR".parse().unwrap() }
}

fn sealing_key() -> SealingKey {
    SealingSecret::from_bytes(&[1; 32]).public()
}

fn split() -> Vec<SplitShare> {
    [(1, 4500), (2, 4500), (3, 1000)]
        .map(|(n, points)| SplitShare { participant: did(n), share: BasisPoints::new(points).unwrap() })
        .to_vec()
}

fn parties() -> Vec<PartyPin> {
    [1, 2, 3].map(|n| PartyPin { participant: did(n), worker: did(n + 10), grant: Hash([n; 32]) }).to_vec()
}

/// The statement round-trips, opens for its signer, and hashes to `pinned`.
fn pin<S: Statement + PartialEq + Debug>(statement: S, pinned: &str) {
    let encoded = to_canonical_json(&statement).unwrap();
    assert_eq!(from_canonical_json::<S>(&encoded).unwrap(), statement);
    let envelope = Envelope::sign(&statement, &key(1), [0; 32]).unwrap();
    assert_eq!(envelope.open_signed_by::<S>([&did(1)]).unwrap(), statement);
    assert_eq!(envelope.statement_hash().to_string(), pinned, "{}: {}", S::PAYLOAD_TYPE, String::from_utf8_lossy(&encoded));
    // A field that no version knows is refused, whatever the type.
    let mut json: serde_json::Value = serde_json::from_slice(&encoded).unwrap();
    json["zzz"] = "1".into();
    assert!(serde_json::from_value::<S>(json).is_err(), "{} takes unknown fields", S::PAYLOAD_TYPE);
}

#[test]
fn participant_statements_are_pinned() {
    let roles = vec![Role::Provider, Role::Consumer, Role::Regulator, Role::Operator, Role::ComputeParty, Role::Validator];
    pin(
        ParticipantEnrolment { participant: did(1), name: "Bank Ünö".into(), roles, sealing_key: sealing_key(), issued_at: NOW },
        "8bb1b673eeb0746cee6522f78d9fb1b81161303eb8bd7f249e0bd122a363a357",
    );
    let grant = WorkerGrant {
        grant_id: GrantId::compose(NOW, [1; 10]),
        participant: did(1),
        worker: did(11),
        witness: did(21),
        role: WorkerRole::Data,
        not_before: NOW,
        expires_at: NOW.plus_ms(1000),
    };
    pin(grant, "e7429af015b5173f38a8c7ef637f39c7e78fe0184b6caf08ba6bbb153cbe1264");
}

#[test]
fn the_rights_registration_is_pinned() {
    let column = |name: &str, column, low: Option<&str>, high: Option<&str>| ColumnDescription {
        name: name.into(),
        column,
        profile: ColumnProfile { distinct: 50, low: low.map(Into::into), high: high.map(Into::into) },
    };
    let description = DatasetDescription {
        rows: 10_000,
        columns: vec![
            column("addr_state", ColumnKind::Text, None, None),
            column("loan_amnt", ColumnKind::Integer, Some("1000"), Some("30000")),
            column("int_rate", ColumnKind::Decimal { scale: 2 }, Some("6"), Some("20")),
        ],
        commitment: Hash([5; 32]),
    };
    let rights = RightsRegistration {
        dataset_id: DatasetId::compose(NOW, [2; 10]),
        name: "loans".into(),
        holder: did(1),
        right: Right::Hold,
        record: RightsRecord::Initial,
        worker: did(11),
        description,
        issued_at: NOW,
    };
    pin(rights, "7fdad19499c47c68da3c208e3167559188414b8e6284a0a8f58a7a388aae86f9");
}

fn product() -> DataProduct {
    let rule =
        |uses: &[ColumnUse], domain: Option<Vec<String>>, bounds| ColumnRule { uses: uses.iter().copied().collect(), domain, bounds };
    let policy = DatasetPolicy {
        columns: [
            ("addr_state".to_owned(), rule(&[ColumnUse::Group, ColumnUse::Filter], Some(vec!["CA".into(), "NY".into()]), None)),
            ("int_rate".to_owned(), rule(&[ColumnUse::Aggregate], None, Some(Bounds { minimum: -5, maximum: i64::MAX }))),
            ("member_id".to_owned(), rule(&[ColumnUse::Join], None, None)),
        ]
        .into(),
        minimum_group: 10,
        rows_max: 100_000,
        compute_parties: [did(3)].into(),
    };
    let table = |n: u8, name: &str| ProductTable {
        table: name.into(),
        dataset_id: DatasetId::compose(NOW, [n; 10]),
        provider: did(n),
        rights: Hash([n; 32]),
        commitment: Hash([n + 100; 32]),
        columns: vec![("addr_state".into(), ColumnKind::Text), ("int_rate".into(), ColumnKind::Decimal { scale: 2 })],
        policy: policy.clone(),
    };
    DataProduct {
        product_id: ProductId::compose(NOW, [3; 10]),
        title: "Default rate by state".into(),
        tables: vec![table(1, "lender.loans"), table(2, "bureau.scores")],
        compute_party: did(3),
        exchange: did(9),
        consumers: [did(4)].into(),
        price_per_query: eur(1250),
        split: split(),
        quota_queries: 100,
        issued_at: NOW,
        expires_at: NOW.plus_ms(86_400_000),
    }
}

#[test]
fn the_product_is_pinned() {
    pin(product(), "985cd6b8231e992e2ac129c52849fbfc6f010d6cb626b003fbd9ecefebe3eea6");
}

#[test]
fn contract_statements_are_pinned() {
    let quote = Quote {
        quote_id: QuoteId::compose(NOW, [4; 10]),
        product_id: ProductId::compose(NOW, [3; 10]),
        product: Hash([1; 32]),
        consumer: did(4),
        sql: "SELECT COUNT(*) FROM lender.loans".into(),
        plan: Hash([2; 32]),
        parties: parties(),
        security: Security::SemiHonest,
        leakage: vec!["Both data parties learn how many keys match.".into()],
        price: eur(1250),
        issued_at: NOW,
        expires_at: NOW.plus_ms(600_000),
    };
    pin(quote, "d137dad9a11c54ad6d95fc2f9f158a7b4c923bc05811bb0880194bd7670d1e36");
    let agreement = Agreement {
        agreement_id: AgreementId::compose(NOW, [5; 10]),
        product: Hash([1; 32]),
        consumer: did(4),
        sealing_key: sealing_key(),
        exchange: did(9),
        parties: parties(),
        security: Security::SemiHonest,
        price_per_query: eur(1250),
        split: split(),
        quota_queries: 100,
        issued_at: NOW,
        expires_at: NOW.plus_ms(1000),
    };
    pin(agreement, "37ae03a84812347b53eb522a65581f077e58e55f732fcc7d09c943de3eed29b5");
    let order = Order {
        order_id: OrderId::compose(NOW, [6; 10]),
        agreement: Hash([1; 32]),
        sql: "SELECT COUNT(*) FROM lender.loans".into(),
        plan: Hash([2; 32]),
        sequence: u64::MAX,
        price: eur(1250),
        issued_at: NOW,
        expires_at: NOW.plus_ms(1000),
    };
    pin(order, "c497a573c0c4f165e30ab1e14cc8e50fe5a62edcaebd12e72cdd1f20ec461d8a");
}

#[test]
fn settlement_statements_are_pinned() {
    let job_id = JobId::compose(NOW, [7; 10]);
    pin(
        Hold { job_id: job_id.clone(), order: Hash([1; 32]), agreement: Hash([2; 32]), consumer: did(5), amount: eur(1250), held_at: NOW },
        "2357be4ffd4203a9da7b09639241f5c324266befa0d13f6a162cc5615d8fc310",
    );
    let release = Release {
        job_id: job_id.clone(),
        order: Hash([1; 32]),
        hold: Hash([3; 32]),
        receipts: vec![Hash([4; 32]), Hash([5; 32]), Hash([6; 32])],
        amount: eur(1250),
        split: vec![SplitAmount { participant: did(1), amount: eur(1250) }],
        split_rule: Hash([7; 32]),
        released_at: NOW,
    };
    pin(release, "b6a82a607c9e16053546a56e8ec23f39fa5f3b6798355993269d5c7ea7265b62");
    let reason = "worker_refused".into();
    pin(
        Refund { job_id, order: Hash([1; 32]), hold: Hash([3; 32]), amount: eur(1250), reason, refunded_at: NOW },
        "446295ca5c4c38dc2ea4dcb9308c81653561200246921e692c5b4ac525912fe4",
    );
}

#[test]
fn the_usage_receipt_is_pinned() {
    let receipt = UsageReceipt {
        job_id: JobId::compose(NOW, [7; 10]),
        attempt: 1,
        agreement: Hash([1; 32]),
        order: Hash([2; 32]),
        consumer: did(5),
        plan: Hash([3; 32]),
        party: 0,
        participant: did(1),
        worker: did(11),
        security: Security::SemiHonest,
        input_commitment: Some(Hash([4; 32])),
        rows_input: 10_000,
        shares: vec![SealedShareDigest { share: 0, ciphertext: Hash([5; 32]) }, SealedShareDigest { share: 1, ciphertext: Hash([6; 32]) }],
        transcript: Hash([7; 32]),
        finished_at: NOW,
    };
    pin(receipt, "e20d784a655e7b869e9a9da73fa5765bb0c320f49509ef00d87c5fa3ece86d02");
}

#[test]
fn one_value_has_one_encoding() {
    let encoded = to_canonical_json(&product()).unwrap();
    let variant = |from: &str, to: &str| {
        let text = String::from_utf8(encoded.clone()).unwrap();
        assert!(text.contains(from), "{from}");
        from_canonical_json::<DataProduct>(text.replacen(from, to, 1).as_bytes()).is_err()
    };
    assert!(variant(r#""amount_minor":"1250""#, r#""amount_minor":"01250""#), "leading zero");
    assert!(variant(r#""amount_minor":"1250""#, r#""amount_minor":"+1250""#), "plus sign");
    assert!(variant(r#""amount_minor":"1250""#, r#""amount_minor":1250"#), "number for string");
    assert!(variant(r#"["group","filter"]"#, r#"["filter","group"]"#), "a set in another order");
    assert!(variant(r#"{"uses":["join"]}"#, r#"{"bounds":null,"uses":["join"]}"#), "an absent field spelled out");
    assert!(variant(r#""share":4500"#, r#""share":10001"#), "more than the whole");
    assert!(variant(r#""currency":"EUR""#, r#""currency":"eur""#));
}

#[test]
fn ids_are_of_their_kind() {
    let id = JobId::compose(NOW, [255; 10]);
    assert_eq!(id.as_str().parse::<JobId>().unwrap(), id);
    assert!(id.as_str().parse::<OrderId>().is_err());
    for wrong in ["job_", "job_0", "job_01hf7yat00zzzzzzzzzzzzzzzU", "job_01hf7yat00zzzzzzzzzzzzzzzz0"] {
        assert!(wrong.parse::<JobId>().is_err(), "{wrong}");
    }
    assert!(JobId::compose(NOW.plus_ms(1), [0; 10]) > id, "ids sort by time");
}

proptest! {
    #[test]
    fn hashes_and_wide_integers_round_trip(bytes in any::<[u8; 32]>(), moment in any::<i64>()) {
        let hash = Hash(bytes);
        prop_assert_eq!(hash.to_string().parse::<Hash>().unwrap(), hash);
        prop_assert_eq!(hash.to_string(), hex::encode(bytes));
        let encoded = to_canonical_json(&Timestamp(moment)).unwrap();
        prop_assert_eq!(from_canonical_json::<Timestamp>(&encoded).unwrap(), Timestamp(moment));
    }
}
