//! A plan in words: what is computed, and what each party learns by it.

use crate::{FilterTest, Output, OutputValue, Plan, Scaled, decimal, filter::scale_of};

/// Values shown of a list before it is cut.
const VALUES_SHOWN: usize = 8;

impl Plan {
    /// What is computed, a line a step.
    pub fn explain(&self) -> Vec<String> {
        let [first, second] = [&self.tables[0].table, &self.tables[1].table];
        let [left, right] = &self.join.columns;
        let mut lines = vec![format!(
            "Join {first} and {second} where {first}.{left} = {second}.{right}, by private set intersection (at most {} rows).",
            self.rows_max
        )];
        for filter in &self.filters {
            let test = test_in_words(&filter.test, scale_of(filter.kind).unwrap_or(0));
            let table = self.table_of(filter.party);
            lines.push(format!(
                "Keep rows whose {table}.{} {test}; the answer for each row enters as secret shares, after the join.",
                filter.column
            ));
        }
        let columns: Vec<_> = self.groups.iter().map(|group| format!("{}.{}", self.table_of(group.party), group.column)).collect();
        lines.push(match columns.len() {
            0 => "Take all rows as one group.".into(),
            _ => format!("Group by {}: {} groups, one for each value of the public domain.", columns.join(" and "), self.group_count()),
        });
        for sum in &self.sums {
            lines.push(format!(
                "Sum {}.{}, whose values are within {} and {}, on secret shares.",
                self.table_of(sum.party),
                sum.column,
                decimal::format(sum.bounds.minimum, sum.scale),
                decimal::format(sum.bounds.maximum, sum.scale)
            ));
        }
        lines.push(format!("Withhold every group of fewer than {} rows, and say how many were withheld.", self.minimum_group));
        let outputs: Vec<_> = self.outputs.iter().map(|output| self.output_in_words(output)).collect();
        lines.push(format!("Open to the consumer alone: {}.", outputs.join(", ")));
        lines
    }

    /// What each party learns, a sentence each.
    pub fn leakage(&self) -> Vec<String> {
        let [first, second] = [&self.tables[0].table, &self.tables[1].table];
        let summed: Vec<_> = self.sums.iter().map(|sum| format!("{}.{}", self.table_of(sum.party), sum.column)).collect();
        let sums = if summed.is_empty() { String::new() } else { format!(" and the sum of {}", summed.join(", ")) };
        let group = if self.groups.is_empty() { "of all matching rows, if they are" } else { "of each group of" };
        vec![
            format!(
                "The workers of {first} and {second} each learn which values of {} their tables have in common, and how many rows the other table has.",
                key_in_words(&self.join.columns)
            ),
            format!(
                "Neither worker learns which rows of the other pass a filter, fall into which group or hold which value; the compute party learns how many keys {first} and {second} have in common, and nothing else about the data."
            ),
            format!(
                "The consumer learns, {group} at least {} rows, the number of rows{sums}; of smaller groups it learns only how many there are and, by their absence, which.",
                self.minimum_group
            ),
            "The exchange learns the query, the price, who takes part and when; it sees no row, no key and no result.".into(),
            "Differencing: two queries that differ by few rows can reveal those rows; nothing but the product's quota of queries for each consumer limits this.".into(),
            "Security is semi-honest: it holds if every party follows the protocol and no two of the three workers' owners pool what they see. Two together could read every value that this query uses of the rows in common; one that deviates could change the result unnoticed.".into(),
        ]
    }

    fn output_in_words(&self, output: &Output) -> String {
        let group = |index: u8| self.groups.get(usize::from(index)).map(|g| format!("{}.{}", self.table_of(g.party), g.column));
        let sum = |index: u8| self.sums.get(usize::from(index)).map(|s| format!("{}.{}", self.table_of(s.party), s.column));
        let value = match output.value {
            OutputValue::Group { index } => group(index).unwrap_or_default(),
            OutputValue::Count => "COUNT(*)".into(),
            OutputValue::Sum { index } => format!("SUM({})", sum(index).unwrap_or_default()),
            OutputValue::Avg { index } => format!("AVG({})", sum(index).unwrap_or_default()),
        };
        format!("{} = {value}", output.name)
    }
}

fn key_in_words([left, right]: &[String; 2]) -> String {
    if left == right { left.clone() } else { format!("{left} and {right}") }
}

fn test_in_words(test: &FilterTest, scale: u8) -> String {
    let number = |n: &Scaled| decimal::format(n.0, scale);
    match test {
        FilterTest::TextIn { values } => one_of(values.iter().map(|value| format!("'{value}'")), values.len()),
        FilterTest::NumberIn { values } => one_of(values.iter().map(number), values.len()),
        FilterTest::NumberBetween { minimum: Some(low), maximum: Some(high) } => format!("is from {} to {}", number(low), number(high)),
        FilterTest::NumberBetween { minimum: Some(low), maximum: None } => format!("is at least {}", number(low)),
        FilterTest::NumberBetween { minimum: None, maximum: Some(high) } => format!("is at most {}", number(high)),
        FilterTest::NumberBetween { minimum: None, maximum: None } => "is anything".into(),
    }
}

fn one_of(values: impl Iterator<Item = String>, count: usize) -> String {
    let shown: Vec<_> = values.take(VALUES_SHOWN).collect();
    match count {
        1 => format!("is {}", shown.concat()),
        _ if count > VALUES_SHOWN => format!("is one of {} and {} more", shown.join(", "), count - VALUES_SHOWN),
        _ => format!("is one of {}", shown.join(", ")),
    }
}
