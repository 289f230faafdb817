//! What a data party computes in the clear, from its own columns alone.

use crate::{
    Column, PartyInput, QueryError,
    layout::{Layout, PartyLayout},
};
use entrepot_chain_statement::statements::ColumnKind;
use entrepot_mpc_plan::{Filter, GroupColumn, Plan, SumColumn, decimal};
use entrepot_mpc_protocol::{Party, psi::Keys};
use std::collections::{BTreeMap, HashMap};

/// A party's rows as the plan sees them. Row numbers are those of the input until [`LocalTable::align`].
pub(crate) struct LocalTable {
    rows: usize,
    /// The group of each row among this party's, or none if the row does not pass this party's filters.
    group: Vec<Option<u16>>,
    /// Values of each column this party sums.
    values: Vec<Vec<i64>>,
}

impl LocalTable {
    /// Checks the whole input, joined or not, so that it is refused before anything is sent.
    pub fn prepare(plan: &Plan, layout: &Layout, party: Party, input: PartyInput) -> Result<(Keys, Self), QueryError> {
        let PartyInput { keys, mut columns } = input;
        let (rows, index) = (keys.len(), party.index());
        let mut group = vec![Some(0_u16); rows];
        for column in plan.groups.iter().filter(|column| column.party == index) {
            let places = places(column, find(&columns, &column.column, rows)?)?;
            let size = column.domain.len() as u16;
            group.iter_mut().zip(places).for_each(|(group, place)| *group = group.map(|group| group * size + place));
        }
        for filter in plan.filters.iter().filter(|filter| filter.party == index) {
            let passes = passes(filter, find(&columns, &filter.column, rows)?)?;
            group.iter_mut().zip(passes).for_each(|(group, passes)| *group = group.filter(|_| passes));
        }
        let mut values = Vec::new();
        for at in &layout.parties[usize::from(index)].sums {
            let sum = &plan.sums[*at];
            find(&columns, &sum.column, rows)?;
            values.push(checked_values(sum, columns.remove(&sum.column))?);
        }
        Ok((keys, Self { rows, group, values }))
    }

    /// Keeps the joined rows, in the common order.
    pub fn align(&mut self, order: Vec<u32>) {
        self.rows = order.len();
        self.group = order.iter().map(|row| self.group[*row as usize]).collect();
        for values in &mut self.values {
            *values = order.iter().map(|row| values[*row as usize]).collect();
        }
    }

    /// The vectors that are shared of these rows, one after the other: selections by group, then selected values by sum and group.
    pub fn vectors(&self, layout: &PartyLayout, rows: std::ops::Range<usize>) -> Vec<u64> {
        let (start, count) = (rows.start, rows.len());
        let mut vectors = vec![0; layout.vectors() * count];
        for row in rows {
            let Some(group) = self.group[row] else { continue };
            let (group, at) = (usize::from(group), row - start);
            if layout.shares_selection {
                vectors[group * count + at] = 1;
            }
            if layout.shares_values {
                for (k, values) in self.values.iter().enumerate() {
                    vectors[(layout.values_vector(k) + group) * count + at] = values[row].cast_unsigned();
                }
            }
        }
        vectors
    }

    /// The totals that are shared: counts by group if this party decides them alone, then sums by group likewise.
    pub fn totals(&self, layout: &PartyLayout) -> Vec<u64> {
        let mut totals = vec![0_u64; layout.totals()];
        for (row, group) in self.group.iter().enumerate() {
            let Some(group) = group.map(usize::from) else { continue };
            if layout.totals_counts {
                totals[group] += 1;
            }
            if !layout.shares_values {
                for (k, values) in self.values.iter().enumerate() {
                    let total = &mut totals[layout.values_total(k) + group];
                    *total = total.wrapping_add(values[row].cast_unsigned());
                }
            }
        }
        totals
    }
}

fn find<'a>(columns: &'a BTreeMap<String, Column>, name: &str, rows: usize) -> Result<&'a Column, QueryError> {
    let column = columns.get(name).ok_or_else(|| QueryError::MissingColumn { column: name.to_owned() })?;
    if column.len() != rows {
        return Err(QueryError::WrongLength { column: name.to_owned(), expected: rows, found: column.len() });
    }
    Ok(column)
}

/// The place of each row's value in the domain.
fn places(group: &GroupColumn, column: &Column) -> Result<Vec<u16>, QueryError> {
    let outside = || QueryError::OutsideDomain { column: group.column.clone() };
    let wrong_kind = || QueryError::WrongKind { column: group.column.clone() };
    match (group.kind, column) {
        (ColumnKind::Text, Column::Text(column)) => {
            let places: HashMap<&str, u16> = group.domain.iter().map(String::as_str).zip(0..).collect();
            let of_code: Vec<u16> =
                column.distinct().iter().map(|text| places.get(text.as_str()).copied().ok_or_else(outside)).collect::<Result<_, _>>()?;
            Ok(column.codes().iter().map(|code| of_code[*code as usize]).collect())
        }
        (ColumnKind::Integer | ColumnKind::Decimal { .. }, Column::Number(values)) => {
            let scale = if let ColumnKind::Decimal { scale } = group.kind { scale } else { 0 };
            let numbers: Vec<i64> = group
                .domain
                .iter()
                .map(|text| decimal::parse(text, scale))
                .collect::<Result<_, _>>()
                .map_err(|_| QueryError::BadPlan { reason: "a number's domain holds something else" })?;
            let places: HashMap<i64, u16> = numbers.into_iter().zip(0..).collect();
            values.iter().map(|value| places.get(value).copied().ok_or_else(outside)).collect()
        }
        _ => Err(wrong_kind()),
    }
}

/// Whether each row passes.
fn passes(filter: &Filter, column: &Column) -> Result<Vec<bool>, QueryError> {
    match (filter.kind, column) {
        (ColumnKind::Text, Column::Text(column)) => {
            let of_code: Vec<bool> = column.distinct().iter().map(|text| filter.test.passes_text(text)).collect();
            Ok(column.codes().iter().map(|code| of_code[*code as usize]).collect())
        }
        (ColumnKind::Integer | ColumnKind::Decimal { .. }, Column::Number(values)) => {
            Ok(values.iter().map(|value| filter.test.passes_number(*value)).collect())
        }
        _ => Err(QueryError::WrongKind { column: filter.column.clone() }),
    }
}

fn checked_values(sum: &SumColumn, column: Option<Column>) -> Result<Vec<i64>, QueryError> {
    let Some(Column::Number(values)) = column else {
        return Err(QueryError::WrongKind { column: sum.column.clone() });
    };
    if values.iter().any(|value| !(sum.bounds.minimum..=sum.bounds.maximum).contains(value)) {
        return Err(QueryError::OutsideBounds { column: sum.column.clone() });
    }
    Ok(values)
}
