//! A small market's data, whose every key and cell is unmistakable, and what an honest computation on it must give.

use entrepot_chain_statement::statements::{Bounds, ColumnRule, ColumnUse, DatasetPolicy};
use std::collections::{BTreeMap, BTreeSet};

/// The query most tests ask.
pub const SQL: &str = "SELECT l.region, COUNT(*), AVG(l.rate), SUM(b.income) FROM lender.loans l \
    JOIN bureau.credit b ON l.customer = b.customer WHERE l.term = 'long-term-loan' GROUP BY l.region";
/// Values of the group column. Nobody lives in the last.
pub const REGIONS: [&str; 5] = ["region-east", "region-north", "region-south", "region-west", "region-zero"];
/// Groups below this are withheld.
pub const MINIMUM_GROUP: u64 = 5;
const ROWS: u64 = 240;
const TERMS: [&str; 2] = ["long-term-loan", "short-term-loan"];

/// One customer.
pub struct Customer {
    /// The key.
    pub key: String,
    /// What the lender knows: region, term, rate in hundredths.
    pub loan: Option<(&'static str, &'static str, i64)>,
    /// What the bureau knows: income, a number of twelve digits.
    pub income: Option<i64>,
}

/// A group of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Rows.
    pub count: u64,
    /// Sum of the rates, in hundredths.
    pub rate_sum: i64,
    /// Sum of the incomes.
    pub income_sum: i64,
}

/// Mixes a number into 64 bits; nothing secret hangs on it.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The customers; always the same.
pub fn customers() -> Vec<Customer> {
    (0..ROWS)
        .map(|n| {
            let (a, b) = (mix(n), mix(n ^ 0xffff));
            // The fourth region is rare, so that its group is withheld.
            let region = if n % 40 == 7 { 3 } else { (a % 3) as usize };
            let rate = 200 + (a >> 8) as i64 % 2_600;
            let income = 100_000_000_000 + (b % 800_000_000_000) as i64;
            Customer {
                key: format!("customer-{b:016x}"),
                loan: (n % 11 != 3).then(|| (REGIONS[region], TERMS[(a >> 20) as usize % 2], rate)),
                income: (n % 13 != 5).then_some(income),
            }
        })
        .collect()
}

/// The lender's file.
pub fn lender_csv() -> String {
    let rows = customers().into_iter().filter_map(|c| c.loan.map(|loan| (c.key, loan)));
    let lines = rows.map(|(key, (region, term, rate))| format!("{key},{region},{term},{}.{:02}\n", rate / 100, rate % 100));
    format!("customer,region,term,rate\n{}", lines.collect::<String>())
}

/// The bureau's file, in another order.
pub fn bureau_csv() -> String {
    let lines = customers().into_iter().rev().filter_map(|c| c.income.map(|income| format!("{},{income},{}\n", c.key, income % 9)));
    format!("customer,income,delinquencies\n{}", lines.collect::<String>())
}

/// What [`SQL`] must give: every group, withheld or not.
pub fn expected() -> BTreeMap<&'static str, Group> {
    let mut groups: BTreeMap<_, Group> = REGIONS.into_iter().map(|region| (region, Group::default())).collect();
    for customer in customers() {
        if let (Some((region, term, rate)), Some(income)) = (customer.loan, customer.income)
            && term == TERMS[0]
        {
            let group = groups.entry(region).or_default();
            group.count += 1;
            group.rate_sum += rate;
            group.income_sum += income;
        }
    }
    groups
}

fn rule(uses: &[ColumnUse], domain: Option<&[&str]>, bounds: Option<(i64, i64)>) -> ColumnRule {
    ColumnRule {
        uses: uses.iter().copied().collect(),
        domain: domain.map(|values| values.iter().map(|&value| value.to_owned()).collect()),
        bounds: bounds.map(|(minimum, maximum)| Bounds { minimum, maximum }),
    }
}

fn policy(columns: Vec<(&str, ColumnRule)>) -> DatasetPolicy {
    DatasetPolicy {
        columns: columns.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect(),
        minimum_group: MINIMUM_GROUP as u32,
        rows_max: 1_000,
        compute_parties: BTreeSet::new(),
    }
}

/// The lender's policy, without compute parties.
pub fn lender_policy() -> DatasetPolicy {
    policy(vec![
        ("customer", rule(&[ColumnUse::Join], None, None)),
        ("region", rule(&[ColumnUse::Group], Some(&REGIONS), None)),
        ("term", rule(&[ColumnUse::Filter], None, None)),
        ("rate", rule(&[ColumnUse::Aggregate], None, Some((0, 10_000)))),
    ])
}

/// The bureau's policy, without compute parties; `delinquencies` may not be used at all.
pub fn bureau_policy() -> DatasetPolicy {
    policy(vec![
        ("customer", rule(&[ColumnUse::Join], None, None)),
        ("income", rule(&[ColumnUse::Aggregate], None, Some((0, 1_000_000_000_000)))),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_has_a_withheld_group_an_empty_one_and_large_ones() {
        let counts: Vec<u64> = expected().values().map(|group| group.count).collect();
        assert!(counts[..3].iter().all(|count| *count > MINIMUM_GROUP), "{counts:?}");
        assert!((1..MINIMUM_GROUP).contains(&counts[3]), "{counts:?}");
        assert_eq!(counts[4], 0);
    }

    #[test]
    fn each_side_has_customers_that_the_other_does_not_know() {
        let customers = customers();
        assert!(customers.iter().any(|c| c.loan.is_some() && c.income.is_none()));
        assert!(customers.iter().any(|c| c.loan.is_none() && c.income.is_some()));
    }
}
