//! The rig is real: carried honestly, an order gives the plain count, and nothing but receipts until it is paid.

use super::rig::{Goods, Rig, digests};
use entrepot_chain_statement::statements::{DatasetPolicy, UsageReceipt};
use entrepot_mpc_plan::Cell;
use entrepot_tests::{repository, sample, worker::DatasetFiles};
use std::collections::{BTreeMap, HashMap};

/// Largest relative difference of two averages that were rounded differently.
const AVERAGE_TOLERANCE: f64 = 1e-9;
const REAL_SQL: &str = "SELECT l.addr_state, COUNT(*), AVG(l.int_rate), AVG(b.annual_inc) FROM lender.loans l \
    JOIN bureau.credit b ON l.customer = b.customer WHERE l.term = 'term_36' GROUP BY l.addr_state";

#[tokio::test]
async fn an_order_that_is_carried_honestly_gives_the_plain_count() {
    let rig = Rig::start().await;
    let receipts = rig.run(&rig.trade).await;
    check_receipts(&rig, &receipts);
    let release = rig.release(&rig.trade, &receipts);
    let mut handed = Vec::new();
    for party in 0..3 {
        handed.extend(rig.shares(party, &rig.trade, &release).await.expect("it was paid for"));
    }
    let table = rig.open(&rig.trade, &receipts, &handed);

    let all = sample::expected();
    let shown = all.iter().filter(|(_, group)| group.count >= sample::MINIMUM_GROUP);
    let expected: Vec<Vec<Cell>> = shown
        .map(|(region, group)| {
            let average = group.rate_sum as f64 / (group.count as f64 * 100.0);
            vec![
                Cell::Text((*region).to_owned()),
                Cell::Integer(group.count.cast_signed()),
                Cell::Float(average),
                Cell::Integer(group.income_sum),
            ]
        })
        .collect();
    assert_eq!(table.rows, expected);
    assert_eq!(table.withheld_groups as usize, all.len() - expected.len());
}

/// Each receipt is signed by its worker, says what ran on what, and agrees with its neighbours on the shares they hold together.
fn check_receipts(rig: &Rig, receipts: &[entrepot_chain_statement::Envelope]) {
    for (party, (envelope, worker)) in receipts.iter().zip(&rig.dids).enumerate() {
        let receipt: UsageReceipt = envelope.open_signed_by([worker]).expect("signed by its worker");
        let table = rig.product().tables.get(party).map(|table| table.commitment);
        assert_eq!(receipt.job_id, rig.trade.job_id);
        assert_eq!(receipt.order, rig.trade.order.statement_hash());
        assert_eq!(receipt.agreement, rig.trade.agreement.statement_hash());
        assert_eq!((receipt.plan, receipt.input_commitment), (rig.plan().hash(), table));
        let mut held: Vec<usize> = receipt.shares.iter().map(|share| usize::from(share.share)).collect();
        held.sort_unstable();
        let mut expected = [party, (party + 1) % 3];
        expected.sort_unstable();
        assert_eq!(held, expected);
    }
    let mut named: BTreeMap<u8, Vec<_>> = BTreeMap::new();
    digests(receipts).into_iter().for_each(|(share, digest)| named.entry(share).or_default().push(digest));
    for (share, digests) in named {
        assert!(matches!(digests[..], [a, b] if a == b), "share {share}: {digests:?}");
    }
}

#[tokio::test]
async fn on_the_real_data_too() {
    let read = |path: &str| std::fs::read_to_string(repository().join("data").join(path)).expect("the sample data");
    let policy = |path| serde_json::from_str::<DatasetPolicy>(&read(path)).expect("a policy");
    let (loans, credit) = (read("lender.csv"), read("bureau.csv"));
    let groups = recount(&loans, &credit);
    let files = [
        DatasetFiles { name: "loans", csv: loans, policy: policy("policies/lender.json") },
        DatasetFiles { name: "credit", csv: credit, policy: policy("policies/bureau.json") },
    ];
    let minimum = files.iter().map(|file| file.policy.minimum_group).max().expect("two files");
    let domain = files[0].policy.columns["addr_state"].domain.clone().expect("a public domain");
    let rig = Rig::start_with(Goods { files, sql: REAL_SQL, quota: 1 }).await;
    let receipts = rig.run(&rig.trade).await;
    let release = rig.release(&rig.trade, &receipts);
    let mut handed = rig.shares(0, &rig.trade, &release).await.expect("it was paid for");
    handed.extend(rig.shares(1, &rig.trade, &release).await.expect("it was paid for"));
    let table = rig.open(&rig.trade, &receipts, &handed);

    let shown: Vec<&String> = domain.iter().filter(|state| groups.get(*state).is_some_and(|g| g.count >= u64::from(minimum))).collect();
    assert!(shown.len() > 20, "the data has many states");
    assert_eq!(table.rows.len(), shown.len());
    assert_eq!(table.withheld_groups as usize, domain.len() - shown.len());
    for (row, state) in table.rows.iter().zip(shown) {
        let group = &groups[state];
        assert_eq!(row[0], Cell::Text(state.clone()));
        assert_eq!(row[1], Cell::Integer(group.count.cast_signed()));
        for (cell, sum) in row[2..].iter().zip([group.rate, group.income]) {
            let (Cell::Float(found), plain) = (cell, sum / group.count as f64) else { panic!("{cell:?} is not an average") };
            assert!((found - plain).abs() <= plain.abs() * AVERAGE_TOLERANCE, "{state}: {found}, not {plain}");
        }
    }
}

#[derive(Default)]
struct Plain {
    count: u64,
    rate: f64,
    income: f64,
}

/// What [`REAL_SQL`] gives on the two files, reckoned without any of our code.
fn recount(loans: &str, credit: &str) -> HashMap<String, Plain> {
    let column = |text: &str, name: &str| text.lines().next().expect("a header").split(',').position(|n| n == name).expect("a column");
    let rows = |text: &str| -> Vec<Vec<String>> { text.lines().skip(1).map(|l| l.split(',').map(str::to_owned).collect()).collect() };
    let (key, income) = (column(credit, "customer"), column(credit, "annual_inc"));
    let incomes: HashMap<String, f64> = rows(credit).iter().map(|r| (r[key].clone(), r[income].parse().expect("a number"))).collect();
    let [key, term, rate, state] = ["customer", "term", "int_rate", "addr_state"].map(|name| column(loans, name));
    let mut groups: HashMap<String, Plain> = HashMap::new();
    for row in rows(loans) {
        if let Some(income) = incomes.get(&row[key])
            && row[term] == "term_36"
        {
            let group = groups.entry(row[state].clone()).or_default();
            group.count += 1;
            group.rate += row[rate].parse::<f64>().expect("a number");
            group.income += income;
        }
    }
    groups
}
