use super::*;
use entrepot_chain_statement::{
    BasisPoints, Money, SealingKey, SigningKey,
    ids::{AgreementId, DatasetId, GrantId, ProductId},
    statements::{DatasetPolicy, PartyPin, ProductTable, Security, SplitShare},
};
use std::collections::{BTreeMap, BTreeSet};

const NOW: Timestamp = Timestamp(1_000_000);
const PRODUCT: Hash = Hash([42; 32]);

fn did(seed: u8) -> Did {
    SigningKey::from_seed(&[seed; 32]).did()
}

fn table(party: u8) -> ProductTable {
    ProductTable {
        table: format!("p{party}.t"),
        dataset_id: DatasetId::compose(NOW, [party; 10]),
        provider: did(party + 1),
        rights: Hash([party; 32]),
        commitment: Hash([party; 32]),
        columns: Vec::new(),
        policy: DatasetPolicy { columns: BTreeMap::new(), minimum_group: 2, rows_max: 10, compute_parties: BTreeSet::new() },
    }
}

fn product() -> DataProduct {
    DataProduct {
        product_id: ProductId::compose(NOW, [0; 10]),
        title: "t".to_owned(),
        tables: vec![table(0), table(1)],
        compute_party: did(3),
        exchange: did(9),
        consumers: BTreeSet::new(),
        price_per_query: Money { amount_minor: 500, currency: "EUR".parse().expect("a currency") },
        split: vec![SplitShare { participant: did(1), share: BasisPoints::new(10_000).expect("the whole") }],
        quota_queries: 5,
        issued_at: NOW,
        expires_at: NOW.plus_ms(1_000),
    }
}

fn grant(party: u8) -> PinnedGrant {
    PinnedGrant {
        hash: Hash([100 + party; 32]),
        grant: WorkerGrant {
            grant_id: GrantId::compose(NOW, [party; 10]),
            participant: did(party + 1),
            worker: did(party + 11),
            witness: did(party + 21),
            role: role_of_party(usize::from(party)),
            not_before: NOW,
            expires_at: NOW.plus_ms(1_000),
        },
        data_worker: (party < 2).then(|| did(party + 11)),
    }
}

fn agreement() -> Agreement {
    let product = product();
    Agreement {
        agreement_id: AgreementId::compose(NOW, [1; 10]),
        product: PRODUCT,
        consumer: did(4),
        sealing_key: SealingKey::from_bytes([9; 32]).expect("a usable key"),
        exchange: product.exchange,
        parties: (0..3u8)
            .map(|party| PartyPin { participant: did(party + 1), worker: did(party + 11), grant: Hash([100 + party; 32]) })
            .collect(),
        security: Security::SemiHonest,
        price_per_query: product.price_per_query,
        split: product.split,
        quota_queries: 5,
        issued_at: NOW,
        expires_at: NOW.plus_ms(1_000),
    }
}

struct Case {
    agreement: Agreement,
    product: DataProduct,
    grants: Vec<Option<PinnedGrant>>,
}

fn check(change: impl FnOnce(&mut Case)) -> Result<(), AgreementRefusal> {
    let mut case = Case { agreement: agreement(), product: product(), grants: (0..3).map(|party| Some(grant(party))).collect() };
    change(&mut case);
    check_agreement(&case.agreement, (&case.product, PRODUCT), &case.grants, &did(4), NOW)
}

fn pin(result: Result<(), AgreementRefusal>) -> Option<(usize, &'static str)> {
    match result {
        Err(AgreementRefusal::Pin { party, why }) => Some((party, why)),
        _ => None,
    }
}

#[test]
fn the_products_own_terms_are_agreed() {
    assert_eq!(check(|_| ()), Ok(()));
}

#[test]
fn no_term_may_differ() {
    assert_eq!(check(|c| c.agreement.product = Hash([1; 32])), Err(AgreementRefusal::Term("product")));
    assert_eq!(check(|c| c.agreement.price_per_query.amount_minor = 1), Err(AgreementRefusal::Term("price")));
    assert_eq!(check(|c| c.agreement.split[0].participant = did(4)), Err(AgreementRefusal::Term("split")));
    assert_eq!(check(|c| c.agreement.quota_queries = 6), Err(AgreementRefusal::Term("quota")));
    assert_eq!(check(|c| c.agreement.exchange = did(8)), Err(AgreementRefusal::Exchange));
    assert_eq!(check(|c| c.agreement.parties.truncate(2)), Err(AgreementRefusal::Term("number of parties")));
}

#[test]
fn only_the_consumer_who_signs_and_is_offered_it_agrees() {
    assert_eq!(check(|c| c.agreement.consumer = did(5)), Err(AgreementRefusal::Consumer { named: did(5) }));
    assert_eq!(check(|c| c.product.consumers = [did(5)].into()), Err(AgreementRefusal::NotOffered));
    assert_eq!(check(|c| c.product.consumers = [did(4)].into()), Ok(()));
}

#[test]
fn it_is_valid_from_now_to_the_products_end_at_most() {
    assert_eq!(check(|c| c.agreement.expires_at = NOW.plus_ms(1_001)), Err(AgreementRefusal::Time("expires_at")));
    assert_eq!(check(|c| c.agreement.issued_at = NOW.plus_ms(1_000)), Err(AgreementRefusal::Time("issued_at")));
    let past = |c: &mut Case| {
        c.agreement.issued_at = Timestamp(1);
        c.agreement.expires_at = NOW;
    };
    assert_eq!(check(past), Err(AgreementRefusal::Time("expires_at")));
}

#[test]
fn every_pin_is_a_known_valid_grant_of_the_right_party() {
    for party in 0..3usize {
        assert_eq!(pin(check(|c| c.grants[party] = None)).map(|p| p.0), Some(party));
        assert_eq!(pin(check(|c| c.agreement.parties[party].grant = Hash([1; 32]))).map(|p| p.0), Some(party));
        let set = |change: fn(&mut PinnedGrant)| pin(check(|c| change(c.grants[party].as_mut().expect("a grant"))));
        assert_eq!(set(|g| g.grant.participant = did(99)), Some((party, "it is another participant's")));
        assert_eq!(set(|g| g.grant.worker = did(99)), Some((party, "it is another worker's")));
        assert_eq!(set(|g| g.grant.expires_at = NOW), Some((party, "the grant is not valid now")));
        assert_eq!(set(|g| g.grant.not_before = NOW.plus_ms(1)), Some((party, "the grant is not valid now")));
        assert_eq!(set(|g| g.data_worker = Some(did(99))), Some((party, "the dataset is at another worker")));
    }
    let swapped = |c: &mut Case| c.grants[2].as_mut().expect("a grant").grant.role = WorkerRole::Data;
    assert_eq!(pin(check(swapped)), Some((2, "the worker's role is another one")));
}

#[test]
fn one_worker_is_one_party() {
    let twice = |c: &mut Case| {
        c.agreement.parties[2].worker = did(11);
        c.grants[2].as_mut().expect("a grant").grant.worker = did(11);
    };
    assert_eq!(pin(check(twice)), Some((2, "one worker would be two parties")));
}
