//! Two tables, plans over them, an oracle that knows nothing of shares, and three parties in memory.

use entrepot_chain_statement::statements::{Bounds, ColumnKind};
use entrepot_mpc_plan::{Filter, FilterTest, GroupColumn, JoinKey, Output, OutputValue, Plan, PlanTable, Scaled, SumColumn};
use entrepot_mpc_protocol::{Channel, Context, Party, memory};
use entrepot_mpc_query::{Column, PartyInput, Progress, QueryError, SharedResult, key_of_text};
use std::{collections::BTreeMap, sync::Arc};

/// A row of either table: a key, a text, a small number to group by, a decimal to sum.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: String,
    pub state: String,
    pub grade: i64,
    pub amount: i64,
}

pub fn row(key: impl std::fmt::Display, state: &str, grade: i64, amount: i64) -> Row {
    Row { key: key.to_string(), state: state.to_owned(), grade, amount }
}

pub type Tables = [Vec<Row>; 2];

pub const STATES: [&str; 3] = ["CA", "NY", "TX"];
pub const GRADES: [&str; 2] = ["-1.5", "2.0"];

/// What a test asks for; `party` is 0 or 1 throughout.
#[derive(Clone, Debug, Default)]
pub struct Question {
    pub states_in: Vec<(u8, Vec<&'static str>)>,
    pub grade_is: Vec<(u8, i64)>,
    pub amount_between: Vec<(u8, Option<i64>, Option<i64>)>,
    pub group_by: Vec<(u8, &'static str)>,
    pub sums: Vec<u8>,
    pub bound: i64,
    pub minimum_group: u32,
}

impl Question {
    pub fn plan(&self) -> Plan {
        let dataset = |digit: &str| format!("dataset_{}", digit.repeat(26)).parse().unwrap();
        let grade = ColumnKind::Decimal { scale: 1 };
        let mut filters = Vec::new();
        let filter = |party: u8, column: &str, kind, test| Filter { party, column: column.into(), kind, test };
        for (party, values) in &self.states_in {
            let values = values.iter().map(|value| value.to_string()).collect();
            filters.push(filter(*party, "state", ColumnKind::Text, FilterTest::TextIn { values }));
        }
        for (party, value) in &self.grade_is {
            filters.push(filter(*party, "grade", grade, FilterTest::NumberIn { values: vec![Scaled(*value)] }));
        }
        for (party, minimum, maximum) in &self.amount_between {
            let test = FilterTest::NumberBetween { minimum: minimum.map(Scaled), maximum: maximum.map(Scaled) };
            filters.push(filter(*party, "amount", ColumnKind::Integer, test));
        }
        let groups = self.group_by.iter().map(|(party, column)| {
            let (kind, domain): (_, &[&str]) = if *column == "state" { (ColumnKind::Text, &STATES) } else { (grade, &GRADES) };
            let domain = domain.iter().map(|value| value.to_string()).collect();
            GroupColumn { party: *party, column: column.to_string(), kind, domain }
        });
        let bounds = Bounds { minimum: -self.bound, maximum: self.bound };
        Plan {
            version: Plan::VERSION,
            tables: [
                PlanTable { table: "lender.loans".into(), dataset_id: dataset("0"), party: 0 },
                PlanTable { table: "bureau.credit".into(), dataset_id: dataset("1"), party: 1 },
            ],
            join: JoinKey { columns: ["customer".into(), "customer".into()], kind: ColumnKind::Text },
            filters,
            groups: groups.collect(),
            minimum_group: self.minimum_group.max(2),
            rows_max: 10_000,
            sums: self.sums.iter().map(|party| SumColumn { party: *party, column: "amount".into(), scale: 0, bounds }).collect(),
            outputs: self.outputs(),
        }
    }

    fn outputs(&self) -> Vec<Output> {
        let groups = (0..self.group_by.len() as u8).map(|index| OutputValue::Group { index });
        let sums = (0..self.sums.len() as u8).flat_map(|index| [OutputValue::Sum { index }, OutputValue::Avg { index }]);
        let values = groups.chain([OutputValue::Count]).chain(sums);
        values.enumerate().map(|(at, value)| Output { name: format!("column_{at}"), value }).collect()
    }

    /// The cells, computed as anyone would on the tables themselves.
    pub fn oracle(&self, tables: &Tables) -> Vec<u64> {
        let minimum = i128::from(self.minimum_group.max(2));
        let mut cells: BTreeMap<Vec<usize>, Vec<i128>> = BTreeMap::new();
        let all = self.group_by.iter().fold(vec![vec![]], |all: Vec<Vec<usize>>, (_, column)| {
            let size = if *column == "state" { STATES.len() } else { GRADES.len() };
            all.iter().flat_map(|group| (0..size).map(move |value| [group.clone(), vec![value]].concat())).collect()
        });
        all.into_iter().for_each(|group| drop(cells.insert(group, vec![0; 1 + self.sums.len()])));
        for first in &tables[0] {
            for second in tables[1].iter().filter(|second| second.key == first.key) {
                let pair = [first, second];
                if self.passes(pair) {
                    let group = self.group_by.iter().map(|(party, column)| place(pair[usize::from(*party)], column)).collect::<Vec<_>>();
                    let cell = cells.get_mut(&group).unwrap();
                    cell[0] += 1;
                    self.sums.iter().zip(&mut cell[1..]).for_each(|(party, sum)| *sum += i128::from(pair[usize::from(*party)].amount));
                }
            }
        }
        let small = cells.values().filter(|cell| cell[0] < minimum).count() as u64;
        cells.values_mut().filter(|cell| cell[0] < minimum).for_each(|cell| cell.fill(0));
        let columns = (0..=self.sums.len()).flat_map(|column| cells.values().map(move |cell| cell[column]));
        columns.map(|cell| i64::try_from(cell).unwrap().cast_unsigned()).chain([small]).collect()
    }

    fn passes(&self, pair: [&Row; 2]) -> bool {
        self.states_in.iter().all(|(party, values)| values.contains(&pair[usize::from(*party)].state.as_str()))
            && self.grade_is.iter().all(|(party, value)| pair[usize::from(*party)].grade == *value)
            && self.amount_between.iter().all(|(party, minimum, maximum)| {
                let amount = pair[usize::from(*party)].amount;
                minimum.is_none_or(|minimum| minimum <= amount) && maximum.is_none_or(|maximum| amount <= maximum)
            })
    }
}

fn place(row: &Row, column: &str) -> usize {
    match column {
        "state" => STATES.iter().position(|state| *state == row.state).unwrap(),
        _ => [-15, 20].iter().position(|grade| *grade == row.grade).unwrap(),
    }
}

pub fn input(table: &[Row]) -> PartyInput {
    PartyInput {
        keys: table.iter().map(|row| key_of_text(&row.key)).collect(),
        columns: BTreeMap::from([
            ("state".to_owned(), Column::Text(table.iter().map(|row| row.state.as_str()).collect())),
            ("grade".to_owned(), Column::Number(table.iter().map(|row| row.grade).collect())),
            ("amount".to_owned(), Column::Number(table.iter().map(|row| row.amount).collect())),
        ]),
    }
}

/// What a party has in the end.
pub struct Outcome {
    pub result: Result<SharedResult, QueryError>,
    /// Payload bytes sent after the session was open.
    pub sent_bytes: u64,
}

pub fn honest() -> [Arc<dyn Channel>; 3] {
    memory::network().map(|end| Arc::new(end) as Arc<dyn Channel>)
}

/// Runs a plan with these inputs over these channels.
pub async fn run_over(
    channels: [Arc<dyn Channel>; 3],
    seed: u64,
    plan: Plan,
    inputs: [Option<PartyInput>; 3],
    progress: Arc<dyn Progress>,
) -> [Outcome; 3] {
    memory::run_over(channels, seed, move |mut ctx: Context| {
        let (plan, input, progress) = (plan.clone(), inputs[usize::from(ctx.party().index())].clone(), Arc::clone(&progress));
        async move {
            let result = entrepot_mpc_query::run(&plan, &mut ctx, input, &*progress).await;
            Outcome { result, sent_bytes: ctx.traffic().sent_bytes }
        }
    })
    .await
}

pub async fn run(seed: u64, question: &Question, tables: &Tables) -> [Outcome; 3] {
    let inputs = [Some(input(&tables[0])), Some(input(&tables[1])), None];
    run_over(honest(), seed, question.plan(), inputs, Arc::new(())).await
}

/// The cells, from any two parties' shares; all choices must agree.
pub fn reconstruct(outcomes: [Outcome; 3]) -> Vec<u64> {
    let results = outcomes.map(|outcome| outcome.result.unwrap());
    let mut shares: BTreeMap<u8, Vec<u64>> = BTreeMap::new();
    for (party, result) in Party::ALL.into_iter().zip(&results) {
        assert_eq!([result.shares[0].0, result.shares[1].0], [party.index(), party.next().index()]);
        assert_eq!(result.rows_joined, results[0].rows_joined);
        for (number, share) in &result.shares {
            let first = shares.entry(*number).or_insert_with(|| share.to_vec());
            assert_eq!(first, &**share, "both holders have the same share {number}");
        }
    }
    (0..shares[&0].len()).map(|at| shares.values().fold(0_u64, |sum, share| sum.wrapping_add(share[at]))).collect()
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}
