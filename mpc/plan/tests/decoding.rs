//! Opened cells as a table; cells that no honest run opens are refused.

mod product;

use entrepot_mpc_plan::{Cell, ColumnType, DecodeError, Plan, decode, plan};
use product::{MAIN_QUERY, product};
use proptest::prelude::*;

const SUMS: &str = "SELECT l.addr_state, b.delinq_2yrs, SUM(b.balance), AVG(b.balance), SUM(l.int_rate), COUNT(*) FROM lender.loans l \
     JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.addr_state, b.delinq_2yrs";

fn main_plan() -> Plan {
    plan(MAIN_QUERY, &product()).expect("a plan")
}

/// Two groups of five survive: AL with 20 rows and NY with 12.
fn main_cells() -> Vec<u64> {
    let mut cells = vec![0, 20, 0, 12, 0];
    cells.extend([0, 20 * 1_350, 0, 12 * 1_000 + 1, 0]);
    cells.extend([0, 20 * 5_000_000, 0, 7, 0]);
    cells.push(3);
    cells
}

#[test]
fn averages_are_sums_over_counts_and_withheld_groups_are_counted() {
    let table = decode(&main_plan(), &main_cells()).expect("a table");
    assert_eq!((table.withheld_groups, table.groups), (3, 5));
    assert_eq!(table.rows[0], [Cell::Text("AL".into()), Cell::Integer(20), Cell::Float(13.5), Cell::Float(50_000.0)]);
    assert_eq!(table.rows[1], [Cell::Text("NY".into()), Cell::Integer(12), Cell::Float(12_001.0 / 1_200.0), Cell::Float(7.0 / 1_200.0)]);
    assert_eq!(table.rows.len(), 2);
    assert_eq!(table.columns[2].column_type, ColumnType::Float);
    let json = serde_json::to_value(&table.columns).expect("JSON");
    assert_eq!(json[0], serde_json::json!({"name": "addr_state", "type": "text"}));
}

#[test]
fn sums_are_exact_and_signed_and_groups_of_two_columns_are_in_order() {
    let plan = plan(SUMS, &product()).expect("a plan");
    let mut cells = vec![0u64; plan.cell_count()];
    // The second state with the third number of delinquencies.
    let group = 3 + 2;
    cells[group] = 15;
    cells[15 + group] = (-30_000_001i64).cast_unsigned();
    cells[30 + group] = 12_345;
    cells[45] = 14;
    let table = decode(&plan, &cells).expect("a table");
    assert_eq!(
        table.rows,
        [[
            Cell::Text("AL".into()),
            Cell::Integer(2),
            Cell::Integer(-30_000_001),
            Cell::Float(-30_000_001.0 / 15.0),
            Cell::Text("123.45".into()),
            Cell::Integer(15)
        ]]
    );
    assert_eq!(table.columns[4].column_type, ColumnType::Decimal { scale: 2 });
}

#[test]
fn impossible_cells_are_refused() {
    let plan = main_plan();
    let changed = |at: usize, value: u64| {
        let mut cells = main_cells();
        cells[at] = value;
        decode(&plan, &cells).expect_err("impossible")
    };
    assert_eq!(changed(0, 11), DecodeError::Count { group: 0 }, "below the minimum");
    assert_eq!(changed(0, 10_001), DecodeError::Count { group: 0 }, "beyond the rows");
    assert_eq!(changed(1, 9_999), DecodeError::Rows);
    assert_eq!(changed(5, 1), DecodeError::Sum { group: 0, column: "int_rate".into() }, "a sum of nothing");
    assert_eq!(changed(6, 20 * 10_000 + 1), DecodeError::Sum { group: 1, column: "int_rate".into() });
    assert_eq!(changed(6, u64::MAX), DecodeError::Sum { group: 1, column: "int_rate".into() }, "negative");
    assert_eq!(changed(15, 2), DecodeError::Withheld { stated: 2, found: 3 });
    assert_eq!(decode(&plan, &main_cells()[1..]).expect_err("short"), DecodeError::CellCount { expected: 16, found: 15 });
}

#[test]
fn a_plan_that_refers_to_nothing_is_refused() {
    let mut json = serde_json::to_value(main_plan()).expect("JSON");
    json["outputs"][0]["value"]["index"] = 7.into();
    let plan: Plan = serde_json::from_value(json).expect("a plan by its shape");
    assert_eq!(decode(&plan, &main_cells()).expect_err("no such group"), DecodeError::Plan);
}

proptest! {
    #[test]
    fn random_cells_are_never_a_table(cells in proptest::collection::vec(any::<u64>(), 16)) {
        prop_assert!(decode(&main_plan(), &cells).is_err());
    }
}
