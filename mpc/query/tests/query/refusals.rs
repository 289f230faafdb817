//! Bad input, bad plans, lost peers, and what the compute party gets to see.

use crate::scenario::*;
use bytes::Bytes;
use entrepot_mpc_plan::Plan;
use entrepot_mpc_protocol::{Channel, ChannelError, Party, memory};
use entrepot_mpc_query::{Column, PartyInput, QueryError};
use std::sync::{Arc, Mutex};

fn question() -> Question {
    Question {
        states_in: vec![(1, vec!["CA", "NY"])],
        group_by: vec![(0, "state"), (0, "grade")],
        sums: vec![0],
        bound: 10,
        ..Default::default()
    }
}

fn table(count: usize) -> Vec<Row> {
    (0..count).map(|key| row(format!("secret {key}"), STATES[key % 3], 20, 10)).collect()
}

/// Runs with what party 0 gives after `change`; its error, having made sure that it sent nothing and that nobody hangs.
fn refused(plan: Plan, change: impl FnOnce(&mut PartyInput)) -> QueryError {
    let mut first = input(&table(12));
    change(&mut first);
    let inputs = [Some(first), Some(input(&table(12))), None];
    let [first, second, third] = block_on(run_over(honest(), 1, plan, inputs, Arc::new(())));
    assert_eq!(first.sent_bytes, 0, "nothing is sent");
    for other in [second, third] {
        let error = other.result.unwrap_err();
        assert_eq!((error.code(), error.is_transient()), ("peer_lost", true));
    }
    let error = first.result.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
    error
}

fn set(column: &'static str, values: Vec<i64>) -> impl FnOnce(&mut PartyInput) {
    move |input| drop(input.columns.insert(column.into(), Column::Number(values)))
}

#[test]
fn values_outside_bounds_or_domain_are_refused_before_anything_is_sent() {
    let plan = question().plan();
    let one_wrong = |right: i64, wrong: i64| [vec![right; 11], vec![wrong]].concat();
    for wrong in [11, -11, i64::MAX, i64::MIN] {
        let error = refused(plan.clone(), set("amount", one_wrong(10, wrong)));
        assert!(matches!(&error, QueryError::OutsideBounds { column } if column == "amount"), "{wrong}");
    }
    let error = refused(plan.clone(), set("grade", one_wrong(20, 21)));
    assert!(matches!(&error, QueryError::OutsideDomain { column } if column == "grade"));
    let states = |input: &mut PartyInput| {
        let states = Column::Text(["CA"; 11].into_iter().chain(["secret state"]).collect());
        input.columns.insert("state".into(), states);
    };
    let error = refused(plan, states);
    assert!(matches!(&error, QueryError::OutsideDomain { column } if column == "state"));
    assert_eq!(error.code(), "value_outside_domain");
}

#[test]
fn columns_that_are_missing_short_or_of_another_kind_are_refused() {
    let plan = question().plan();
    for column in ["amount", "grade", "state"] {
        let error = refused(plan.clone(), |input| drop(input.columns.remove(column)));
        assert!(matches!(&error, QueryError::MissingColumn { column: found } if found == column));
        let error = refused(plan.clone(), set(column, vec![10; 11]));
        assert!(matches!(&error, QueryError::WrongLength { column: found, expected: 12, found: 11 } if found == column));
        let other_kind = |input: &mut PartyInput| {
            let texts = Column::Text(["CA"; 12].into_iter().collect());
            let values = if column == "state" { Column::Number(vec![1; 12]) } else { texts };
            input.columns.insert(column.into(), values);
        };
        assert!(matches!(&refused(plan.clone(), other_kind), QueryError::WrongKind { column: found } if found == column));
    }
    // A filter's column as well.
    let filtered = Question { grade_is: vec![(0, 20)], amount_between: vec![(0, Some(1), None)], ..Default::default() }.plan();
    assert!(matches!(refused(filtered.clone(), |input| drop(input.columns.remove("grade"))), QueryError::MissingColumn { .. }));
    let texts = |input: &mut PartyInput| drop(input.columns.insert("amount".into(), Column::Text(["1"; 12].into_iter().collect())));
    assert!(matches!(refused(filtered, texts), QueryError::WrongKind { .. }));
}

#[test]
fn duplicate_keys_are_refused_without_saying_which() {
    let error = refused(question().plan(), |input| {
        input.keys = ["secret 1"; 2].into_iter().chain(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]).collect();
    });
    assert_eq!(error.code(), "duplicate_key");
}

#[test]
fn an_intersection_over_the_plans_rows_is_refused() {
    let mut plan = question().plan();
    plan.rows_max = 11;
    let inputs = [Some(input(&table(12))), Some(input(&table(12))), None];
    let outcomes = block_on(run_over(honest(), 1, plan, inputs, Arc::new(())));
    let codes = outcomes.map(|outcome| outcome.result.unwrap_err().code());
    assert_eq!(codes, ["too_many_rows", "too_many_rows", "peer_lost"]);
}

#[test]
fn input_is_for_data_parties_and_for_them_alone() {
    let run = |inputs: [Option<PartyInput>; 3]| {
        block_on(run_over(honest(), 1, question().plan(), inputs, Arc::new(()))).map(|outcome| outcome.result.unwrap_err().code())
    };
    let one = || Some(input(&table(3)));
    assert_eq!(run([None, one(), None]), ["wrong_role", "peer_lost", "peer_lost"]);
    assert_eq!(run([one(), one(), one()])[2], "wrong_role");
}

#[test]
fn plans_that_the_planner_would_not_make_are_refused() {
    let bad = |change: &dyn Fn(&mut Plan)| {
        let mut plan = question().plan();
        change(&mut plan);
        assert!(matches!(refused_everywhere(plan), [QueryError::BadPlan { .. }, QueryError::BadPlan { .. }, QueryError::BadPlan { .. }]));
    };
    bad(&|plan| plan.version = 2);
    bad(&|plan| plan.tables.reverse());
    bad(&|plan| plan.tables[1].party = 2);
    bad(&|plan| plan.filters[0].party = 2);
    bad(&|plan| plan.groups[0].party = 2);
    bad(&|plan| plan.sums[0].party = 2);
    bad(&|plan| plan.groups[0].domain.clear());
    bad(&|plan| plan.groups[0].domain = vec!["x".into(); 4097]);
    bad(&|plan| plan.groups.iter_mut().for_each(|group| group.domain = vec!["x".into(); 65]));
    bad(&|plan| plan.sums = vec![plan.sums[0].clone(); 17]);
    bad(&|plan| plan.minimum_group = 1);
    bad(&|plan| plan.sums[0].bounds.minimum = -(1 << 62) / 10_000 - 1);
    bad(&|plan| plan.sums[0].bounds.maximum = i64::MAX);
}

fn refused_everywhere(plan: Plan) -> [QueryError; 3] {
    let inputs = [Some(input(&table(3))), Some(input(&table(3))), None];
    block_on(run_over(honest(), 1, plan, inputs, Arc::new(()))).map(|outcome| {
        assert_eq!(outcome.sent_bytes, 0);
        outcome.result.unwrap_err()
    })
}

/// Frames with their senders, as they came.
type View = Arc<Mutex<Vec<(Party, Bytes)>>>;

struct Spy {
    inner: memory::MemoryChannel,
    received: View,
    /// Frames that may still be sent.
    left: Mutex<u32>,
}

#[async_trait::async_trait]
impl Channel for Spy {
    async fn send(&self, to: Party, frame: Bytes) -> Result<(), ChannelError> {
        {
            let mut left = self.left.lock().unwrap();
            *left = left.checked_sub(1).ok_or(ChannelError::Closed { peer: to })?;
        }
        self.inner.send(to, frame).await
    }
    async fn receive(&self, from: Party) -> Result<Bytes, ChannelError> {
        let frame = self.inner.receive(from).await?;
        self.received.lock().unwrap().push((from, frame.clone()));
        Ok(frame)
    }
}

/// Channels in which `party` is listened to and fails after so many frames.
fn spied(party: Party, frames: u32) -> ([Arc<dyn Channel>; 3], View) {
    let (received, mut parties) = (View::default(), Party::ALL.into_iter());
    let channels = memory::network().map(|inner| {
        if parties.next() == Some(party) {
            Arc::new(Spy { inner, received: Arc::clone(&received), left: Mutex::new(frames) }) as Arc<dyn Channel>
        } else {
            Arc::new(inner)
        }
    });
    (channels, received)
}

/// Two worlds with the same randomness and n but other keys: the compute party's view is the same to the bit. The cells are equal in all rows,
/// since the order of rows follows the blinded keys.
#[test]
fn the_compute_partys_view_depends_on_the_keys_by_their_number_alone() {
    let view = |name: &str, common: usize| {
        let side = |rest: &str| -> Vec<Row> {
            let key = |at: usize| if at < common { format!("{name} {at}") } else { format!("{name} {rest} {at}") };
            (0..30).map(|at| row(key(at), "CA", 20, 9)).collect()
        };
        let (channels, received) = spied(Party::TWO, u32::MAX);
        let inputs = [Some(input(&side("first"))), Some(input(&side("second"))), None];
        reconstruct(block_on(run_over(channels, 8, question().plan(), inputs, Arc::new(()))));
        std::mem::take(&mut *received.lock().unwrap())
    };
    let first = view("ada", 20);
    assert!(first.len() > 5);
    assert_eq!(first, view("bob", 20));
    assert_ne!(first, view("bob", 21));
}

/// Cutting a party off after any number of frames ends the run everywhere, with an error or with the whole result.
#[test]
fn a_party_lost_at_any_point_is_an_error_and_not_a_hang() {
    let tables = [table(12), table(12)];
    let whole = question().oracle(&tables);
    for party in Party::ALL {
        let mut finished = false;
        // The first frame opens the session.
        for frames in 1..60 {
            let inputs = [Some(input(&tables[0])), Some(input(&tables[1])), None];
            let (channels, _) = spied(party, frames);
            let outcomes = block_on(run_over(channels, 8, question().plan(), inputs, Arc::new(())));
            if outcomes.iter().all(|outcome| outcome.result.is_ok()) {
                assert_eq!(reconstruct(outcomes), whole);
                finished = true;
                break;
            }
            for outcome in outcomes {
                assert!(outcome.result.err().is_none_or(|error| error.code() == "peer_lost"));
            }
        }
        assert!(finished, "party {party} sends fewer than 60 frames");
    }
}

/// What leaves the parties, to the byte, for G = 6 groups and one sum over n = 12 joined rows.
#[test]
fn communication_is_as_documented() {
    let tables = [table(12), table(12)];
    let sent = block_on(run(9, &question(), &tables)).map(|outcome| outcome.sent_bytes);
    let (intersection, rows, groups) = (32 * 24 + 48, 12, 6);
    // Selections and selected amounts of 6 groups from party 0; selections of 1 group from party 1; 12 inner products a party;
    // comparison 12 (+1), injection 1 (+1), the last product of 13 cells.
    let cells = 12 + 13 * groups + 13;
    assert_eq!(sent, [intersection + 8 * (12 * rows + cells + 2 * groups), intersection + 8 * (rows + cells), 8 * cells]);
}

#[test]
fn nothing_printable_holds_a_share_or_a_cell() {
    let tables = [table(12), table(12)];
    let [first, ..] = block_on(run(9, &question(), &tables));
    assert_eq!(format!("{:?}", first.result.unwrap()), "SharedResult(shares 0 and 1, 13 cells)");
    assert_eq!(format!("{:?}", input(&table(2))), r#"PartyInput(2 rows, columns ["amount", "grade", "state"])"#);
    assert_eq!(format!("{:?}", Column::Number(vec![5])), "Column(1 rows)");
}
