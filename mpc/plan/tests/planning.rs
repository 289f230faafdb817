//! What becomes a plan, what it is, and when two queries are one.

mod product;

use entrepot_chain_statement::statements::{ColumnKind, DataProduct};
use entrepot_mpc_plan::{FilterTest, OutputValue, Plan, Scaled, plan};
use product::{MAIN_QUERY, product};

/// A query with this condition, on both tables' unqualified columns.
fn filtered(condition: &str) -> Plan {
    let sql = format!("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer WHERE {condition}");
    plan(&sql, &product()).unwrap_or_else(|error| panic!("{condition}: {error}"))
}

fn hash(sql: &str) -> String {
    plan(sql, &product()).unwrap_or_else(|error| panic!("{sql}: {error}")).hash().to_string()
}

#[test]
fn the_main_query_becomes_the_plan_that_the_parties_expect() {
    let plan = plan(MAIN_QUERY, &product()).expect("a plan");
    assert_eq!([&plan.tables[0].table, &plan.tables[1].table], ["lender.loans", "bureau.credit"]);
    assert_eq!([plan.tables[0].party, plan.tables[1].party], [0, 1]);
    assert_eq!(plan.join.columns, ["customer", "customer"]);
    assert_eq!(plan.filters.len(), 1);
    assert_eq!(plan.filters[0].test, FilterTest::TextIn { values: vec!["term_36".into()] });
    assert_eq!((plan.groups.len(), plan.group_count(), plan.cell_count()), (1, 5, 16));
    assert_eq!((plan.minimum_group, plan.rows_max), (12, 10_000), "the stricter of both policies");
    assert_eq!((plan.sums[0].column.as_str(), plan.sums[0].party, plan.sums[0].scale), ("int_rate", 0, 2));
    assert_eq!((plan.sums[1].column.as_str(), plan.sums[1].party, plan.sums[1].scale), ("annual_inc", 1, 2));
    let names: Vec<_> = plan.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(names, ["addr_state", "count", "avg_int_rate", "avg_annual_inc"]);
    assert_eq!(plan.outputs[3].value, OutputValue::Avg { index: 1 });
}

#[test]
fn the_plan_of_the_main_query_keeps_its_hash() {
    // Pinned: workers of different versions must derive one plan. A change here needs a new `Plan::VERSION`.
    assert_eq!(hash(MAIN_QUERY), PINNED);
}

const PINNED: &str = "aa3920ad4af2b6e1625f9d4f9dc58928de130a424cd4f8be803767e8d54ab982";

#[test]
fn names_case_layout_and_order_of_conditions_do_not_change_the_plan() {
    for same in [
        "select X.ADDR_STATE, count(*), avg(X.int_rate), Avg(y.Annual_Inc) from LENDER.loans as X inner join bureau.CREDIT y \
         on (y.customer = X.customer) where (('term_36' = X.term)) group by X.addr_state;",
        "SELECT addr_state, COUNT(*), AVG(int_rate), AVG(annual_inc) FROM lender.loans JOIN bureau.credit \
         ON lender.loans.customer = credit.customer WHERE term IN ('term_36', 'term_36') GROUP BY loans.addr_state",
        "SELECT l.addr_state, COUNT(*), AVG(l.int_rate), AVG(b.annual_inc) FROM bureau.credit b -- the other way round\n\
         JOIN lender.loans l ON l.customer = b.customer WHERE l.term = 'term_36' AND l.term IN ('term_60', 'term_36') GROUP BY l.addr_state",
        "SELECT \"l\".\"addr_state\", COUNT(*) AS count, AVG(l.int_rate) avg_int_rate, AVG(b.annual_inc) FROM lender.loans l \
         JOIN bureau.credit b ON l.customer = b.customer WHERE l.term = 'term_36' GROUP BY l.addr_state",
    ] {
        assert_eq!(hash(same), hash(MAIN_QUERY), "{same}");
    }
    for different in [
        MAIN_QUERY.replace("term_36", "term_60"),
        MAIN_QUERY.replace("COUNT(*), ", ""),
        MAIN_QUERY.replace("AVG(b", "SUM(b"),
        MAIN_QUERY.replace("COUNT(*)", "COUNT(*) AS n"),
        MAIN_QUERY.replace(" WHERE l.term = 'term_36'", ""),
    ] {
        assert_ne!(hash(&different), hash(MAIN_QUERY), "{different}");
    }
}

#[test]
fn whatever_the_policies_decide_changes_the_plan() {
    let changes: [fn(&mut DataProduct); 5] = [
        |p| p.tables[0].policy.minimum_group = 50,
        |p| p.tables[1].policy.rows_max = 5_000,
        |p| drop(p.tables[0].policy.columns.get_mut("addr_state").and_then(|r| r.domain.as_mut()).map(|d| d.pop())),
        |p| p.tables[0].policy.columns.get_mut("int_rate").and_then(|r| r.bounds.as_mut()).expect("bounds").maximum = 5_000,
        |p| p.tables[0].dataset_id = format!("dataset_{}", "7".repeat(26)).parse().expect("an id"),
    ];
    for change in changes {
        let mut changed = product();
        change(&mut changed);
        assert_ne!(plan(MAIN_QUERY, &changed).expect("a plan").hash().to_string(), hash(MAIN_QUERY));
    }
}

#[test]
fn comparisons_become_inclusive_ranges_of_scaled_integers() {
    let between = |minimum: Option<i64>, maximum: Option<i64>| FilterTest::NumberBetween {
        minimum: minimum.map(Scaled),
        maximum: maximum.map(Scaled),
    };
    for (condition, expected) in [
        ("int_rate > 10", between(Some(1001), None)),
        ("int_rate >= 10.5", between(Some(1050), None)),
        ("int_rate < 10.50", between(None, Some(1049))),
        ("10.50 >= int_rate", between(None, Some(1050))),
        ("-1 < int_rate", between(Some(-99), None)),
        ("int_rate BETWEEN 5 AND 7.25", between(Some(500), Some(725))),
        ("int_rate >= 5 AND int_rate <= 7.25 AND int_rate < 100", between(Some(500), Some(725))),
        ("funded_amnt > +5", between(Some(6), None)),
        ("int_rate BETWEEN 5 AND 5", FilterTest::NumberIn { values: vec![Scaled(500)] }),
        ("funded_amnt IN (7, 3, 7, 900) AND funded_amnt < 100", FilterTest::NumberIn { values: vec![Scaled(3), Scaled(7)] }),
        ("sub_grade IN ('B2', 'A1')", FilterTest::TextIn { values: vec!["A1".into(), "B2".into()] }),
        ("sub_grade = 'it''s not in a domain'", FilterTest::TextIn { values: vec!["it's not in a domain".into()] }),
    ] {
        assert_eq!(filtered(condition).filters[0].test, expected, "{condition}");
    }
    let plan = filtered("delinq_2yrs = 1 AND term = 'term_60' AND int_rate > 3");
    let places: Vec<_> = plan.filters.iter().map(|filter| (filter.party, filter.column.as_str())).collect();
    assert_eq!(places, [(0, "int_rate"), (0, "term"), (1, "delinq_2yrs")], "sorted by party and column");
    assert_eq!(plan.filters[0].kind, ColumnKind::Decimal { scale: 2 });
}

#[test]
fn a_filter_passes_what_its_words_say() {
    let numbers = &filtered("int_rate > 5 AND int_rate <= 7").filters[0].test;
    assert_eq!([500, 501, 700, 701].map(|n| numbers.passes_number(n)), [false, true, true, false]);
    assert!(!numbers.passes_text("6"));
    let texts = &filtered("sub_grade IN ('B2', 'A1', 'C3')").filters[0].test;
    assert_eq!(["A1", "B2", "C3", "B1", ""].map(|t| texts.passes_text(t)), [true, true, true, false, false]);
    assert!(!texts.passes_number(1));
}

#[test]
fn a_column_summed_and_averaged_is_one_sum() {
    let sql = "SELECT SUM(balance), AVG(balance), AVG(int_rate), delinq_2yrs FROM lender.loans l JOIN bureau.credit b \
               ON l.customer = b.customer GROUP BY addr_state, delinq_2yrs";
    let plan = plan(sql, &product()).expect("a plan");
    assert_eq!(plan.sums.len(), 2);
    assert_eq!((plan.group_count(), plan.cell_count()), (15, 46));
    assert_eq!(plan.outputs[3].value, OutputValue::Group { index: 1 });
}

#[test]
fn a_plan_reads_back_from_its_json_and_nothing_else_does() {
    let plan = plan(MAIN_QUERY, &product()).expect("a plan");
    let json = serde_json::to_value(&plan).expect("JSON");
    assert_eq!(serde_json::from_value::<Plan>(json.clone()).expect("a plan"), plan);
    let mut extra = json;
    extra["sql"] = "SELECT".into();
    assert!(serde_json::from_value::<Plan>(extra).is_err());
}

#[test]
fn explanation_and_leakage_name_what_matters() {
    let plan = plan(MAIN_QUERY, &product()).expect("a plan");
    let explained = plan.explain().join("\n");
    for part in [
        "lender.loans.customer = bureau.credit.customer",
        "term is 'term_36'",
        "5 groups",
        "fewer than 12 rows",
        "avg_annual_inc = AVG(bureau.credit.annual_inc)",
    ] {
        assert!(explained.contains(part), "{part} in\n{explained}");
    }
    let leaks = plan.leakage().join("\n");
    for part in [
        "which values of customer their tables have in common",
        "how many keys",
        "quota",
        "semi-honest",
        "no row, no key and no result",
        "bureau.credit.annual_inc",
    ] {
        assert!(leaks.contains(part), "{part} in\n{leaks}");
    }
}
