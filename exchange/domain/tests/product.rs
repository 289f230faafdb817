//! What may be offered, and how a product's state moves.

use entrepot_chain_statement::{
    BasisPoints, Did, Hash, Money, SigningKey, Timestamp,
    ids::{DatasetId, ProductId},
    statements::{
        Bounds, ColumnDescription, ColumnKind, ColumnProfile, ColumnRule, ColumnUse, DataProduct, DatasetDescription, DatasetPolicy,
        ProductTable, SplitShare,
    },
};
use entrepot_exchange_domain::product::{
    PRODUCT_MS_MAX, ProductError, ProductState, RegisteredDataset, bound_participants, check_product, check_table,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn did(seed: u8) -> Did {
    SigningKey::from_seed(&[seed; 32]).did()
}

fn rule(uses: &[ColumnUse], domain: Option<&[&str]>, bounds: Option<(i64, i64)>) -> ColumnRule {
    ColumnRule {
        uses: uses.iter().copied().collect(),
        domain: domain.map(|values| values.iter().map(|value| (*value).to_owned()).collect()),
        bounds: bounds.map(|(minimum, maximum)| Bounds { minimum, maximum }),
    }
}

fn table(name: &str, seed: u8) -> ProductTable {
    ProductTable {
        table: name.to_owned(),
        dataset_id: DatasetId::compose(NOW, [seed; 10]),
        provider: did(seed),
        rights: Hash([seed; 32]),
        commitment: Hash([seed + 100; 32]),
        columns: vec![
            ("customer".to_owned(), ColumnKind::Text),
            ("state".to_owned(), ColumnKind::Text),
            ("rate".to_owned(), ColumnKind::Decimal { scale: 2 }),
        ],
        policy: DatasetPolicy {
            columns: BTreeMap::from([
                ("customer".to_owned(), rule(&[ColumnUse::Join], None, None)),
                ("state".to_owned(), rule(&[ColumnUse::Group, ColumnUse::Filter], Some(&["AL", "NY"]), None)),
                ("rate".to_owned(), rule(&[ColumnUse::Aggregate], None, Some((0, 4000)))),
            ]),
            minimum_group: 10,
            rows_max: 10_000,
            compute_parties: BTreeSet::from([did(3)]),
        },
    }
}

fn product() -> DataProduct {
    let share = |seed, points| SplitShare { participant: did(seed), share: BasisPoints::new(points).expect("at most the whole") };
    DataProduct {
        product_id: ProductId::compose(NOW, [0; 10]),
        title: "Default rates by state".to_owned(),
        tables: vec![table("lender.loans", 1), table("bureau.credit", 2)],
        compute_party: did(3),
        exchange: did(9),
        consumers: BTreeSet::new(),
        price_per_query: Money { amount_minor: 5000, currency: "EUR".parse().expect("a currency") },
        split: vec![share(1, 4500), share(2, 4500), share(3, 1000)],
        quota_queries: 10,
        issued_at: NOW,
        expires_at: NOW.plus_ms(1_000_000),
    }
}

fn check(change: impl Fn(&mut DataProduct)) -> Result<(), ProductError> {
    let mut changed = product();
    change(&mut changed);
    check_product(&changed, &did(9), NOW)
}

fn policy_rule(change: impl Fn(&mut DatasetPolicy)) -> Option<&'static str> {
    match check(|product| change(&mut product.tables[1].policy)) {
        Err(ProductError::Policy { table: 1, rule, .. }) => Some(rule),
        Ok(()) => None,
        other => panic!("expected a policy fault of table 1, got {other:?}"),
    }
}

#[test]
fn a_plain_product_may_be_offered() {
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(bound_participants(&product()), [&did(1), &did(2), &did(3)]);
}

#[test]
fn a_product_joins_two_tables_of_two_providers_and_a_third_party() {
    assert_eq!(check(|p| p.tables[1].provider = did(1)), Err(ProductError::Tables));
    assert_eq!(check(|p| p.tables[1].table = "lender.loans".to_owned()), Err(ProductError::Tables));
    assert_eq!(check(|p| p.tables[1].dataset_id = p.tables[0].dataset_id.clone()), Err(ProductError::Tables));
    assert_eq!(check(|p| p.tables[1].table = "Bureau.credit".to_owned()), Err(ProductError::Tables));
    assert_eq!(check(|p| p.tables.truncate(1)), Err(ProductError::Tables));
    assert_eq!(check(|p| p.tables.push(table("third.table", 5))), Err(ProductError::Tables));
    assert_eq!(check(|p| p.compute_party = did(2)), Err(ProductError::ComputeParty));
}

#[test]
fn a_product_is_for_this_exchange_and_a_bounded_time() {
    assert_eq!(check(|p| p.exchange = did(8)), Err(ProductError::Exchange));
    assert_eq!(check(|p| p.expires_at = NOW), Err(ProductError::Period));
    assert_eq!(check(|p| p.expires_at = NOW.plus_ms(PRODUCT_MS_MAX + 1)), Err(ProductError::Period));
    assert_eq!(check(|p| p.issued_at = NOW.plus_ms(3_600_000)), Err(ProductError::Period));
    assert_eq!(check(|p| p.title = " ".to_owned()), Err(ProductError::Title));
}

#[test]
fn price_and_quota_are_positive_and_bounded() {
    for amount in [0, -1, i64::MIN, i64::MAX] {
        assert_eq!(check(|p| p.price_per_query.amount_minor = amount), Err(ProductError::Price), "{amount}");
    }
    for quota in [0, u32::MAX] {
        assert_eq!(check(|p| p.quota_queries = quota), Err(ProductError::Quota), "{quota}");
    }
}

#[test]
fn a_split_gives_the_whole_to_different_participants() {
    let points = |points| BasisPoints::new(points).expect("at most the whole");
    assert_eq!(check(|p| p.split[0].share = points(4499)), Err(ProductError::Split));
    assert_eq!(check(|p| p.split[0].share = points(4501)), Err(ProductError::Split));
    assert_eq!(check(|p| p.split[1].participant = did(1)), Err(ProductError::Split));
    assert_eq!(check(|p| p.split.clear()), Err(ProductError::Split));
    let idle = |p: &mut DataProduct| p.split.push(SplitShare { participant: did(4), share: points(0) });
    assert_eq!(check(idle), Err(ProductError::Split));
}

#[test]
fn a_policy_names_the_rule_that_it_breaks() {
    fn column<'a>(policy: &'a mut DatasetPolicy, name: &str) -> &'a mut ColumnRule {
        policy.columns.get_mut(name).expect("a rule")
    }
    let domain = |values: &[&str]| Some(values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>());
    assert_eq!(policy_rule(|p| p.minimum_group = 1), Some("minimum_group"));
    assert_eq!(policy_rule(|p| p.minimum_group = 10_001), Some("minimum_group"));
    assert_eq!(policy_rule(|p| p.rows_max = 0), Some("rows_max"));
    assert_eq!(policy_rule(|p| p.rows_max = 10_000_001), Some("rows_max"));
    assert_eq!(policy_rule(|p| p.compute_parties = BTreeSet::from([did(4)])), Some("compute_parties"));
    assert_eq!(policy_rule(|p| drop(p.columns.remove("customer"))), Some("join"));
    assert_eq!(policy_rule(|p| drop(p.columns.insert("ghost".to_owned(), rule(&[ColumnUse::Join], None, None)))), Some("columns"));
    assert_eq!(policy_rule(|p| column(p, "state").uses.clear()), Some("uses"));
    assert_eq!(policy_rule(|p| column(p, "state").domain = None), Some("domain"));
    assert_eq!(policy_rule(|p| column(p, "state").domain = domain(&[])), Some("domain"));
    assert_eq!(policy_rule(|p| column(p, "state").domain = domain(&["NY", "AL"])), Some("domain"));
    assert_eq!(policy_rule(|p| column(p, "state").domain = domain(&["AL", "AL"])), Some("domain"));
    assert_eq!(policy_rule(|p| column(p, "rate").domain = domain(&["0.123"])), Some("domain"));
    assert_eq!(policy_rule(|p| column(p, "rate").domain = domain(&["-0.12", "7"])), None);
    assert_eq!(policy_rule(|p| column(p, "rate").bounds = None), Some("bounds"));
    assert_eq!(policy_rule(|p| column(p, "rate").bounds = Some(Bounds { minimum: 1, maximum: 0 })), Some("bounds"));
    assert_eq!(policy_rule(|p| column(p, "rate").bounds = Some(Bounds { minimum: i64::MIN, maximum: 0 })), Some("bounds"));
    let widest = (1i64 << 62) / 10_000;
    assert_eq!(policy_rule(|p| column(p, "rate").bounds = Some(Bounds { minimum: -widest, maximum: 0 })), None);
    assert_eq!(policy_rule(|p| column(p, "rate").bounds = Some(Bounds { minimum: -widest - 1, maximum: 0 })), Some("bounds"));
    assert_eq!(policy_rule(|p| column(p, "state").uses = BTreeSet::from([ColumnUse::Aggregate])), Some("bounds"));
}

#[test]
fn a_table_says_exactly_what_was_registered() {
    let described = |(name, column): &(String, ColumnKind)| ColumnDescription {
        name: name.clone(),
        column: *column,
        profile: ColumnProfile { distinct: 10, low: None, high: None },
    };
    let table = table("lender.loans", 1);
    let registered = RegisteredDataset {
        provider: table.provider.clone(),
        rights: table.rights,
        description: DatasetDescription {
            rows: 9900,
            columns: table.columns.iter().map(described).collect(),
            commitment: table.commitment,
        },
    };
    let check = |change: fn(&mut ProductTable)| {
        let mut changed = table.clone();
        change(&mut changed);
        check_table(0, &changed, &registered)
    };
    let differs = |field| Err(ProductError::NotRegistered { table: 0, field });
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|t| t.provider = did(2)), differs("provider"));
    assert_eq!(check(|t| t.rights = Hash([0; 32])), differs("rights"));
    assert_eq!(check(|t| t.commitment = Hash([0; 32])), differs("commitment"));
    assert_eq!(check(|t| t.columns.swap(0, 1)), differs("columns"));
    assert_eq!(check(|t| drop(t.columns.pop())), differs("columns"));
    assert_eq!(check(|t| t.policy.rows_max = 9000), differs("policy.rows_max"));
}

#[test]
fn a_withdrawn_product_stays_withdrawn_and_an_expired_one_expired() {
    let end = NOW.plus_ms(1);
    assert_eq!(ProductState::Active.at(NOW, end), ProductState::Active);
    assert_eq!(ProductState::Active.at(end, end), ProductState::Expired);
    assert_eq!(ProductState::Withdrawn.at(end, end), ProductState::Withdrawn);
    for state in [ProductState::Withdrawn, ProductState::Expired] {
        assert!(state.activate().is_err() && state.pause().is_err() && state.resume().is_err() && state.withdraw().is_err());
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Activate,
    Pause,
    Resume,
    Withdraw,
}

proptest! {
    #[test]
    fn only_a_product_that_everyone_signed_is_ever_active(
        steps in proptest::collection::vec(prop_oneof![
            Just(Step::Activate), Just(Step::Pause), Just(Step::Resume), Just(Step::Withdraw)
        ], 0..12)
    ) {
        let (mut state, mut signed, mut withdrawn) = (ProductState::Proposed, false, false);
        for step in steps {
            let next = match step {
                Step::Activate => state.activate(),
                Step::Pause => state.pause(),
                Step::Resume => state.resume(),
                Step::Withdraw => state.withdraw(),
            };
            if let Ok(next) = next {
                signed |= matches!(step, Step::Activate);
                withdrawn |= matches!(step, Step::Withdraw);
                state = next;
            }
            prop_assert!(state != ProductState::Active || (signed && !withdrawn));
            prop_assert_eq!(state == ProductState::Withdrawn, withdrawn);
        }
    }
}
