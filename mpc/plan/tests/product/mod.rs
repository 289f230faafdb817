//! The product of the demonstration, small: loans of a lender, credit files of a bureau.

use entrepot_chain_statement::{
    BasisPoints, Hash, Money, SigningKey, Timestamp,
    statements::{Bounds, ColumnKind, ColumnRule, ColumnUse, DataProduct, DatasetPolicy, ProductTable, SplitShare},
};

pub const MAIN_QUERY: &str = "SELECT l.addr_state, COUNT(*), AVG(l.int_rate), AVG(b.annual_inc) FROM lender.loans l \
     JOIN bureau.credit b ON l.customer = b.customer WHERE l.term = 'term_36' GROUP BY l.addr_state";

fn did(seed: u8) -> entrepot_chain_statement::Did {
    SigningKey::from_seed(&[seed; 32]).did()
}

fn rule(uses: &[ColumnUse], domain: Option<&[&str]>, bounds: Option<(i64, i64)>) -> ColumnRule {
    ColumnRule {
        uses: uses.iter().copied().collect(),
        domain: domain.map(|values| values.iter().map(|v| (*v).to_owned()).collect()),
        bounds: bounds.map(|(minimum, maximum)| Bounds { minimum, maximum }),
    }
}

fn table(name: &str, provider: u8, columns: Vec<(&str, ColumnKind, Option<ColumnRule>)>) -> ProductTable {
    let digits = format!("dataset_{}", provider.to_string().repeat(26));
    ProductTable {
        table: name.to_owned(),
        dataset_id: digits.parse().expect("an id"),
        provider: did(provider),
        rights: Hash([provider; 32]),
        commitment: Hash([provider + 100; 32]),
        columns: columns.iter().map(|(name, kind, _)| ((*name).to_owned(), *kind)).collect(),
        policy: DatasetPolicy {
            columns: columns.into_iter().filter_map(|(name, _, rule)| Some((name.to_owned(), rule?))).collect(),
            minimum_group: 10 + u32::from(provider),
            rows_max: 10_000 * u32::from(provider),
            compute_parties: [did(3)].into(),
        },
    }
}

/// Everything that the tests need, some columns without rules among it.
pub fn product() -> DataProduct {
    use ColumnKind::{Decimal, Integer, Text};
    use ColumnUse::{Aggregate, Filter, Group, Join};
    let loans = table(
        "lender.loans",
        1,
        vec![
            ("customer", Text, Some(rule(&[Join], None, None))),
            ("funded_amnt", Integer, Some(rule(&[Aggregate, Filter], None, Some((0, 100_000))))),
            ("term", Text, Some(rule(&[Filter, Group], Some(&["term_36", "term_60"]), None))),
            ("int_rate", Decimal { scale: 2 }, Some(rule(&[Aggregate, Filter], None, Some((0, 10_000))))),
            ("sub_grade", Text, Some(rule(&[Filter], None, None))),
            ("addr_state", Text, Some(rule(&[Filter, Group], Some(&["AK", "AL", "CA", "NY", "TX"]), None))),
            ("class", Text, Some(rule(&[Group], None, None))),
            ("secret", Integer, None),
            ("shared", Integer, Some(rule(&[Filter], None, None))),
        ],
    );
    let credit = table(
        "bureau.credit",
        2,
        vec![
            ("customer", Text, Some(rule(&[Join], None, None))),
            ("annual_inc", Decimal { scale: 2 }, Some(rule(&[Aggregate], None, Some((0, 1_000_000_000))))),
            ("delinq_2yrs", Integer, Some(rule(&[Filter, Group], Some(&["0", "1", "2"]), None))),
            ("balance", Integer, Some(rule(&[Aggregate], None, Some((-5_000_000, 5_000_000))))),
            ("huge", Integer, Some(rule(&[Aggregate], None, Some((0, i64::MAX))))),
            ("unbounded", Integer, Some(rule(&[Aggregate], None, None))),
            ("number_key", Integer, Some(rule(&[Join], None, None))),
            ("shared", Integer, Some(rule(&[Filter], None, None))),
            ("label", Text, Some(rule(&[Aggregate], None, None))),
        ],
    );
    DataProduct {
        product_id: format!("product_{}", "0".repeat(26)).parse().expect("an id"),
        title: "Loans with credit files".into(),
        tables: vec![loans, credit],
        compute_party: did(3),
        exchange: did(4),
        consumers: [].into(),
        price_per_query: Money { amount_minor: 500, currency: "EUR".parse().expect("a currency") },
        split: vec![SplitShare { participant: did(1), share: BasisPoints::new(10_000).expect("the whole") }],
        quota_queries: 10,
        issued_at: Timestamp(1_700_000_000_000),
        expires_at: Timestamp(1_800_000_000_000),
    }
}
