//! Each forbidden thing by its rule; hostile text and hostile products.

mod product;

use entrepot_chain_statement::statements::{Bounds, DataProduct};
use entrepot_mpc_plan::{PlanError, Rule, SQL_BYTES_MAX, plan};
use product::{MAIN_QUERY, product};
use proptest::prelude::*;

const FROM: &str = "FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer";

#[track_caller]
fn refused(sql: &str) -> PlanError {
    let error = plan(sql, &product()).expect_err(sql);
    assert!(!error.detail.is_empty() && !error.hint.is_empty(), "{sql}: {error:?}");
    error
}

/// `$` stands for the join of both tables.
#[test]
fn each_forbidden_thing_is_refused_by_its_rule() {
    let mut wrong = Vec::new();
    for (sql, rule) in [
        ("", "single_select"),
        (";", "single_select"),
        ("DROP TABLE x", "single_select"),
        ("VALUES (1)", "single_select"),
        ("EXPLAIN SELECT 1", "single_select"),
        ("SELECT COUNT(*) $; SELECT COUNT(*) $", "single_select"),
        ("SELECT COUNT(*) $; DELETE FROM lender.loans", "single_select"),
        ("SELECT COUNT(* $", "sql_syntax"),
        ("SELECT COUNT(*) $ WHERE l.term = 'open", "sql_syntax"),
        ("SELECT COUNT(*) $ WHERE l.term = '\u{0}'", "sql_syntax"),
        ("WITH x AS (SELECT 1) SELECT COUNT(*) FROM x", "no_subquery"),
        ("SELECT COUNT(*) FROM (SELECT * FROM lender.loans) l JOIN bureau.credit b ON l.customer = b.customer", "no_subquery"),
        ("SELECT COUNT(*) $ WHERE l.term IN (SELECT 'x')", "no_subquery"),
        ("SELECT COUNT(*) $ WHERE l.term = (SELECT 'x')", "no_subquery"),
        ("SELECT COUNT(*) $ WHERE EXISTS (SELECT 1)", "no_subquery"),
        ("SELECT (SELECT 1) $", "no_subquery"),
        ("SELECT COUNT(*) $ UNION SELECT COUNT(*) $", "no_set_operation"),
        ("SELECT DISTINCT l.addr_state $ GROUP BY l.addr_state", "no_distinct"),
        ("SELECT SUM(DISTINCT l.funded_amnt) $", "no_distinct"),
        ("SELECT COUNT(*) $ HAVING COUNT(*) > 5", "no_having"),
        ("SELECT l.addr_state, COUNT(*) $ GROUP BY l.addr_state ORDER BY 2", "no_order_by"),
        ("SELECT COUNT(*) $ LIMIT 1", "no_limit"),
        ("SELECT COUNT(*) $ OFFSET 1", "no_limit"),
        ("SELECT COUNT(*) $ FETCH FIRST 1 ROW ONLY", "no_limit"),
        ("SELECT COUNT(*) OVER () $", "no_window"),
        ("SELECT COUNT(*) $ FOR UPDATE", "no_other_clause"),
        ("SELECT COUNT(*) INTO t $", "no_other_clause"),
        ("SELECT l.addr_state, COUNT(*) $ GROUP BY ROLLUP (l.addr_state)", "plain_column"),
        ("SELECT COUNT(*) $ GROUP BY 1", "plain_column"),
        ("SELECT * $", "no_wildcard"),
        ("SELECT l.* $", "no_wildcard"),
        ("SELECT MAX(l.int_rate) $", "known_function"),
        ("SELECT COUNT(l.int_rate) $", "known_function"),
        ("SELECT AVG(*) $", "known_function"),
        ("SELECT AVG(l.int_rate, b.annual_inc) $", "known_function"),
        ("SELECT pg_catalog.count(*) $", "known_function"),
        ("SELECT COUNT(*) FILTER (WHERE l.term = 'term_36') $", "known_function"),
        ("SELECT SUM(l.int_rate + 1) $", "plain_column"),
        ("SELECT AVG(l.int_rate) * 2 $", "plain_column"),
        ("SELECT 1 $", "plain_column"),
        ("SELECT COUNT(*) FROM lender.loans", "one_inner_join"),
        ("SELECT COUNT(*)", "one_inner_join"),
        ("SELECT COUNT(*) FROM lender.loans l, bureau.credit b WHERE l.customer = b.customer", "one_inner_join"),
        ("SELECT COUNT(*) FROM lender.loans l LEFT JOIN bureau.credit b ON l.customer = b.customer", "one_inner_join"),
        ("SELECT COUNT(*) FROM lender.loans l CROSS JOIN bureau.credit b", "one_inner_join"),
        ("SELECT COUNT(*) $ JOIN bureau.credit c ON c.customer = l.customer", "one_inner_join"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN lender.loans b ON l.customer = b.customer", "one_inner_join"),
        ("SELECT COUNT(*) FROM lender.loans l NATURAL JOIN bureau.credit b", "join_on_equality"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b USING (customer)", "join_on_equality"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer < b.customer", "join_on_equality"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = 'x'", "join_on_equality"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = l.customer", "join_on_equality"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.number_key", "join_on_equality"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer AND l.term = 'x'", "join_on_equality"),
        ("SELECT COUNT(*) FROM lender.loan l JOIN bureau.credit b ON l.customer = b.customer", "tables_of_product"),
        ("SELECT COUNT(*) FROM loans l JOIN bureau.credit b ON l.customer = b.customer", "tables_of_product"),
        ("SELECT COUNT(*) FROM \"LENDER\".loans l JOIN bureau.credit b ON l.customer = b.customer", "tables_of_product"),
        ("SELECT COUNT(*) FROM lender.loans x JOIN bureau.credit x ON x.customer = x.customer", "known_column"),
        ("SELECT AVG(l.nothing) $", "known_column"),
        ("SELECT AVG(z.int_rate) $", "known_column"),
        ("SELECT AVG(loans.int_rate) $", "known_column"),
        ("SELECT AVG(\"INT_RATE\") $", "known_column"),
        ("SELECT COUNT(*) $ WHERE shared = 1", "known_column"),
        ("SELECT COUNT(*) $ WHERE l.term = 'term_36' OR l.term = 'term_60'", "where_conjunction"),
        ("SELECT COUNT(*) $ WHERE NOT l.term = 'term_36'", "where_conjunction"),
        ("SELECT COUNT(*) $ WHERE l.term <> 'term_36'", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.term NOT IN ('term_36')", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.int_rate NOT BETWEEN 1 AND 2", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.term LIKE 'term%'", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.term IS NULL", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.term > 'term_36'", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.int_rate = b.annual_inc", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.int_rate + 1 = 2", "filter_form"),
        ("SELECT COUNT(*) $ WHERE true", "filter_form"),
        ("SELECT COUNT(*) $ WHERE 1 = 1", "filter_form"),
        ("SELECT COUNT(*) $ WHERE upper(l.term) = 'X'", "filter_form"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > 'x'", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > 1.234", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > 1e3", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > 99999999999999999999", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > NULL", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > 1 + 1", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > $1", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.funded_amnt = 1.5", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.term = 36", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.term = E'term_36'", "literal_kind"),
        ("SELECT COUNT(*) $ WHERE l.term = 'term_48'", "literal_domain"),
        ("SELECT COUNT(*) $ WHERE b.delinq_2yrs IN (1, 3)", "literal_domain"),
        ("SELECT COUNT(*) $ WHERE l.int_rate > 5 AND l.int_rate < 4", "filter_satisfiable"),
        ("SELECT COUNT(*) $ WHERE l.term = 'term_36' AND l.term = 'term_60'", "filter_satisfiable"),
        ("SELECT COUNT(*) $ WHERE l.funded_amnt > 9223372036854775807", "filter_satisfiable"),
        ("SELECT l.addr_state $ GROUP BY l.addr_state, l.term, b.delinq_2yrs", "group_columns"),
        ("SELECT l.addr_state $ GROUP BY l.addr_state, addr_state", "group_columns"),
        ("SELECT l.term, COUNT(*) $ GROUP BY l.addr_state", "selected_is_grouped"),
        ("SELECT l.customer $", "selected_is_grouped"),
        ("SELECT AVG(l.int_rate), AVG(l.int_rate) $", "output_names"),
        ("SELECT COUNT(*) AS \"\" $", "output_names"),
        ("SELECT SUM(b.label) $", "aggregate_number"),
        ("SELECT COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.term = b.customer", "column_use_join"),
        ("SELECT COUNT(*) $ WHERE l.secret = 1", "column_use_filter"),
        ("SELECT COUNT(*) $ WHERE l.customer = 'c1'", "column_use_filter"),
        ("SELECT COUNT(*) $ WHERE b.annual_inc > 1", "column_use_filter"),
        ("SELECT COUNT(*) $ GROUP BY l.sub_grade", "column_use_group"),
        ("SELECT AVG(l.secret) $", "column_use_aggregate"),
        ("SELECT AVG(b.delinq_2yrs) $", "column_use_aggregate"),
        ("SELECT COUNT(*) $ GROUP BY l.class", "group_domain"),
        ("SELECT SUM(b.unbounded) $", "aggregate_bounds"),
        ("SELECT SUM(b.huge) $", "sum_overflow"),
    ] {
        let sql = sql.replace(" $;", &format!(" {FROM};")).replace(" $ ", &format!(" {FROM} "));
        let sql = sql.strip_suffix(" $").map_or(sql.clone(), |start| format!("{start} {FROM}"));
        let error = refused(&sql);
        if error.rule() != rule {
            wrong.push(format!("{sql}: expected {rule}, found {error}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_rule_has_one_name_and_a_known_code() {
    let names: std::collections::BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    assert!(Rule::ALL.iter().all(|rule| ["sql_invalid", "sql_unsupported", "policy_forbids", "product_unusable"].contains(&rule.code())));
}

#[test]
fn a_forbidden_column_is_refused_in_words_that_help() {
    let error = refused(&format!("SELECT COUNT(*) {FROM} WHERE l.customer = 'c1'"));
    assert_eq!(error.code(), "policy_forbids");
    assert_eq!(
        error.to_string(),
        "the policy of lender.loans does not allow filtering by customer (rule column_use_filter); \
         columns of this table that allow it: addr_state, funded_amnt, int_rate, shared, sub_grade, term"
    );
}

#[test]
fn sums_are_allowed_up_to_the_limit_and_not_beyond() {
    let mut product = product();
    let limit = (1i64 << 62) / 10_000;
    let mut planned = |minimum, maximum| {
        product.tables[0].policy.columns.get_mut("int_rate").expect("a rule").bounds = Some(Bounds { minimum, maximum });
        plan(MAIN_QUERY, &product).map_err(|error| error.rule())
    };
    assert!(planned(-limit, limit).is_ok());
    assert_eq!(planned(0, limit + 1).expect_err("overflow"), "sum_overflow");
    assert_eq!(planned(i64::MIN, 0).expect_err("overflow"), "sum_overflow");
    assert_eq!(planned(1, 0).expect_err("reversed"), "product_shape");
}

#[test]
fn a_malformed_product_is_refused() {
    fn domain(product: &mut DataProduct, values: &[&str]) {
        let rule = product.tables[0].policy.columns.get_mut("addr_state").expect("a rule");
        rule.domain = Some(values.iter().map(|v| (*v).to_owned()).collect());
    }
    let changes: [fn(&mut DataProduct); 7] = [
        |p| drop(p.tables.pop()),
        |p| p.tables[0].policy.minimum_group = 1,
        |p| p.tables[1].policy.rows_max = 0,
        |p| p.tables[1].policy.rows_max = 10_000_001,
        |p| domain(p, &[]),
        |p| domain(p, &["B", "A"]),
        |p| domain(p, &["A", "A"]),
    ];
    for change in changes {
        let mut changed = product();
        change(&mut changed);
        assert_eq!(plan(MAIN_QUERY, &changed).expect_err("refused").rule(), "product_shape");
    }
    let mut product = product();
    product.tables[1].policy.columns.get_mut("delinq_2yrs").expect("a rule").domain = Some(vec!["0".into(), "00".into()]);
    let sql = format!("SELECT COUNT(*) {FROM} GROUP BY b.delinq_2yrs");
    assert_eq!(plan(&sql, &product).expect_err("one value twice").rule(), "product_shape");
    let many: Vec<String> = (10_000..11_000).map(|n| n.to_string()).collect();
    product.tables[1].policy.columns.get_mut("delinq_2yrs").expect("a rule").domain = Some(many);
    let sql = format!("SELECT COUNT(*) {FROM} GROUP BY b.delinq_2yrs, l.addr_state");
    assert_eq!(plan(&sql, &product).expect_err("5,000 groups").rule(), "group_domain");
}

/// Runs on a stack smaller than any worker's thread: deep text must not be answered by deep recursion.
fn on_a_small_stack(check: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(1 << 20).spawn(check).expect("a thread").join().expect("no panic");
}

#[test]
fn long_and_deep_text_is_refused_without_deep_recursion() {
    on_a_small_stack(|| {
        assert_eq!(refused(&" ".repeat(SQL_BYTES_MAX + 1)).rule(), "sql_length");
        let select = |condition: &str| format!("SELECT COUNT(*) {FROM} WHERE {condition}");
        assert_eq!(refused(&select(&format!("{}1{}", "(".repeat(4000), ")".repeat(4000)))).rule(), "sql_complexity");
        assert_eq!(refused(&select(&"1,".repeat(4000))).rule(), "sql_complexity");
        for (repeated, times) in [
            ("a AND ", 900),
            ("NOT ", 1900),
            ("- ", 1900),
            ("1-", 900),
            ("a::int", 1),
            ("CASE WHEN ", 900),
            ("a = ", 900),
            ("EXISTS ", 1500),
            ("x IN ", 900),
            ("a BETWEEN ", 900),
            ("INTERVAL ", 1500),
            ("f(", 1500),
            ("[", 1900),
            ("ARRAY[", 900),
            ("a.", 900),
            ("'x' ", 1800),
            ("~ ", 1800),
        ] {
            refused(&select(&format!("{}1", repeated.repeat(times))));
        }
        refused(&select(&format!("a{}", "::int".repeat(600))));
        refused(&format!("SELECT COUNT(*) FROM {}", "lender.loans JOIN ".repeat(450)));
        refused(&format!("SELECT COUNT(*) {FROM} {}", "UNION SELECT 1 ".repeat(500)));
        refused(&format!("SELECT {}", "SELECT ".repeat(1200)));
        refused(&"SELECT ".repeat(1200));
        let error = refused(&select("l.term = 'term_36' AND ".repeat(40).trim_end_matches(" AND ")));
        assert_eq!(error.rule(), "sql_complexity");
    });
}

/// Text that is nearly a query: pieces of the language in any order.
fn nearly_sql() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "SELECT",
        "COUNT(*)",
        "FROM",
        "lender.loans",
        "l",
        "JOIN",
        "bureau.credit",
        "b",
        "ON",
        "l.customer = b.customer",
        "WHERE",
        "AND",
        "OR",
        "NOT",
        "GROUP BY",
        "l.addr_state",
        "b.delinq_2yrs",
        "=",
        "<",
        ">=",
        "IN (",
        "(",
        ")",
        ",",
        "BETWEEN",
        "'term_36'",
        "''",
        "'",
        "\"",
        "1",
        "-1",
        "1.5",
        "1e9",
        "99999999999999999999",
        "AVG(",
        "SUM(l.int_rate)",
        "AS",
        "n",
        ".",
        "*",
        ";",
        "--",
        "/*",
        "*/",
        "$1",
        "$$",
        "::",
        "[",
        "]",
        "{",
        "}",
        "NULL",
        "CASE",
        "WHEN",
        "INTERVAL",
        "ARRAY",
        "LATERAL",
        "UNION",
        "VALUES",
        "E'\\",
        "U&'\\00",
        "\u{feff}",
        "é",
        "😀",
        "\n",
    ];
    proptest::collection::vec(proptest::sample::select(PIECES), 0..60).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = plan(&text, &product());
        let _ = plan(&format!("SELECT {text}"), &product());
        let _ = plan(&format!("SELECT COUNT(*) {FROM} WHERE {text}"), &product());
    }

    #[test]
    fn nearly_sql_never_panics(text in nearly_sql()) {
        let _ = plan(&text, &product());
        let _ = plan(&format!("SELECT COUNT(*) {FROM} {text}"), &product());
        let _ = plan(&format!("SELECT COUNT(*) {FROM} WHERE {text}"), &product());
    }

    #[test]
    fn a_mangled_query_never_panics(at in 0usize..200, remove in 0usize..20, insert in ".{0,8}") {
        let mut chars: Vec<char> = MAIN_QUERY.chars().collect();
        let at = at.min(chars.len());
        let end = (at + remove).min(chars.len());
        chars.splice(at..end, insert.chars());
        let _ = plan(&chars.into_iter().collect::<String>(), &product());
    }
}
