//! Shared computation against the oracle on random tables and random plans.

use crate::scenario::*;
use entrepot_mpc_query::{Column, Progress, Stage};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

/// 2^62 / rows_max, the largest bound the planner lets through.
const BOUND_MAX: i64 = ((1_i64 << 62) - 1) / 10_000;

fn table() -> impl Strategy<Value = Vec<Row>> {
    let cells =
        (0..3_usize, prop_oneof![Just(-15_i64), Just(20)], prop_oneof![4 => -100..=100_i64, 1 => Just(BOUND_MAX), 1 => Just(-BOUND_MAX)]);
    prop::collection::btree_map(0..40_u32, cells, 0..40).prop_map(|rows| {
        rows.into_iter().map(|(key, (state, grade, amount))| row(format!("customer {key}"), STATES[state], grade, amount)).collect()
    })
}

fn question() -> impl Strategy<Value = Question> {
    let party = || 0..2_u8;
    let column = prop_oneof![Just("state"), Just("grade")];
    let states = prop::sample::subsequence(STATES.to_vec(), 1..=3);
    let limits = prop_oneof![Just((None, Some(10))), Just((Some(0), None)), Just((Some(-50), Some(50)))];
    (
        prop::collection::vec((party(), states), 0..2),
        prop::collection::vec((party(), prop_oneof![Just(-15_i64), Just(20)]), 0..2),
        prop::collection::vec((party(), limits), 0..2),
        prop::collection::vec((party(), column), 0..3),
        prop::collection::btree_set(party(), 0..3),
        2..6_u32,
    )
        .prop_map(|(states_in, grade_is, amount_between, mut group_by, sums, minimum_group)| {
            group_by.dedup();
            Question {
                states_in,
                grade_is,
                amount_between: amount_between.into_iter().map(|(party, (minimum, maximum))| (party, minimum, maximum)).collect(),
                group_by,
                sums: sums.into_iter().rev().collect(),
                bound: BOUND_MAX,
                minimum_group,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn shares_add_up_to_what_the_oracle_says(seed: u64, question in question(), tables in (table(), table())) {
        let tables = [tables.0, tables.1];
        let cells = reconstruct(block_on(run(seed, &question, &tables)));
        prop_assert_eq!(&cells, &question.oracle(&tables));
        // What the consumer makes of them.
        let plan = question.plan();
        let (counts, withheld) = (&cells[..plan.group_count()], *cells.last().unwrap());
        let table = entrepot_mpc_plan::decode(&plan, &cells).unwrap();
        prop_assert_eq!(table.withheld_groups, withheld);
        prop_assert_eq!(table.rows.len(), counts.iter().filter(|count| **count > 0).count());
    }
}

fn customers(count: u32, amount: impl Fn(u32) -> i64) -> Vec<Row> {
    (0..count).map(|key| row(key, STATES[key as usize % 3], if key % 2 == 0 { -15 } else { 20 }, amount(key))).collect()
}

#[test]
fn an_empty_intersection_withholds_every_group() {
    let question = Question { group_by: vec![(0, "state"), (1, "grade")], sums: vec![0, 1], bound: 5, ..Default::default() };
    let tables = [customers(9, |_| 5), customers(9, |_| -5).into_iter().map(|r| Row { key: format!("other {}", r.key), ..r }).collect()];
    let cells = reconstruct(block_on(run(1, &question, &tables)));
    assert_eq!(cells, [vec![0; 18], vec![6]].concat());
}

#[test]
fn a_group_is_withheld_below_the_minimum_and_not_at_it() {
    // Keys 0 to 10: four in CA, four in NY, three in TX.
    let tables = [customers(11, |_| 7), customers(11, |_| 1)];
    let ask = |minimum_group| Question { group_by: vec![(0, "state")], sums: vec![0], bound: 7, minimum_group, ..Default::default() };
    assert_eq!(reconstruct(block_on(run(2, &ask(3), &tables))), [4, 4, 3, 28, 28, 21, 0]);
    assert_eq!(reconstruct(block_on(run(2, &ask(4), &tables))), [4, 4, 0, 28, 28, 0, 1]);
    assert_eq!(reconstruct(block_on(run(2, &ask(5), &tables))), [0, 0, 0, 0, 0, 0, 3]);
    assert_eq!(reconstruct(block_on(run(2, &ask(u32::MAX), &tables))), [0, 0, 0, 0, 0, 0, 3]);
}

#[test]
fn sums_are_exact_at_both_bounds() {
    for amount in [BOUND_MAX, -BOUND_MAX] {
        let question = Question { grade_is: vec![(1, 20)], sums: vec![0, 1], bound: BOUND_MAX, ..Default::default() };
        let tables = [customers(60, |_| amount), customers(60, |_| -amount)];
        let cells = reconstruct(block_on(run(3, &question, &tables)));
        assert_eq!(cells, [30, (30 * amount).cast_unsigned(), (-30 * amount).cast_unsigned(), 0]);
    }
}

/// With 4,096 groups a chunk has 128 rows here, so every vector is cut in several places.
#[test]
fn rows_may_come_in_many_chunks() {
    let mut plan = Question { group_by: vec![(0, "state")], states_in: vec![(1, vec!["CA", "TX"])], bound: 9, ..Default::default() }.plan();
    plan.groups[0].domain = (0..4096).map(|number| format!("state {number:04}")).collect();
    plan.sums = vec![plan_sum(0), plan_sum(1)];
    let states: Vec<String> = (0..400).map(|key| format!("state {:04}", key % 2 * 4095)).collect();
    let tables = [customers(400, |key| i64::from(key % 10)), customers(400, |_| 3)];
    let mut first = input(&tables[0]);
    first.columns.insert("state".into(), Column::Text(states.iter().map(String::as_str).collect()));
    let recorder = Arc::new(Recorder::default());
    let inputs = [Some(first), Some(input(&tables[1])), None];
    let outcomes = block_on(run_over(honest(), 4, plan, inputs, recorder.clone()));

    let cells = reconstruct(outcomes);
    let expected = |parity: u32| {
        let keys: Vec<u32> = (0..400).filter(|key| key % 2 == parity && key % 3 != 1).collect();
        (keys.len() as u64, keys.iter().map(|key| u64::from(key % 10)).sum::<u64>(), 3 * keys.len() as u64)
    };
    for (group, parity) in [(0, 0), (4095, 1)] {
        assert_eq!((cells[group], cells[4096 + group], cells[8192 + group]), expected(parity));
    }
    assert_eq!(cells[12_288], 4094);
    assert_eq!(cells.iter().filter(|cell| **cell != 0).count(), 7);
    let chunks = recorder.reports.lock().unwrap().iter().filter(|(stage, ..)| *stage == Stage::Sharing).count();
    assert_eq!(chunks, 3 * 4, "each party reports four chunks");
}

fn plan_sum(party: u8) -> entrepot_mpc_plan::SumColumn {
    Question { sums: vec![party], bound: 9, ..Default::default() }.plan().sums.remove(0)
}

#[derive(Default)]
struct Recorder {
    reports: Mutex<Vec<(Stage, u64, u64)>>,
}

impl Progress for Recorder {
    fn report(&self, stage: Stage, done: u64, total: u64) {
        self.reports.lock().unwrap().push((stage, done, total));
    }
}

#[test]
fn every_stage_is_reported_to_its_end() {
    let recorder = Arc::new(Recorder::default());
    let question = Question { grade_is: vec![(0, 20)], states_in: vec![(1, vec!["CA"])], ..Default::default() };
    let tables = [customers(9, |_| 5), customers(9, |_| 5)];
    let inputs = [Some(input(&tables[0])), Some(input(&tables[1])), None];
    reconstruct(block_on(run_over(honest(), 5, question.plan(), inputs, recorder.clone())));
    let reports = recorder.reports.lock().unwrap();
    for (stage, total, reporting) in [(Stage::Intersecting, 18, 2), (Stage::Sharing, 9, 3), (Stage::Computing, 1, 3)] {
        let ends = reports.iter().filter(|report| **report == (stage, total, total)).count();
        assert_eq!(ends, reporting, "{}", stage.as_str());
    }
}
