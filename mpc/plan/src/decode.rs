//! The opened cells of a result as a table.
//!
//! The cells come from three parties of which none is trusted alone, so everything that a plan promises about them is checked: what
//! does not fit is an error, never a strange table.

use crate::{GroupColumn, OutputValue, Plan, decimal, filter::scale_of};
use entrepot_chain_statement::statements::ColumnKind;
use serde::Serialize;

/// What a column of a result holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// A signed 64-bit integer.
    Integer,
    /// An exact decimal.
    Decimal {
        /// Digits after the point.
        scale: u8,
    },
    /// A double.
    Float,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub column_type: ColumnType,
}

/// One value of a result.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Text, or an exact decimal as text.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A double.
    Float(f64),
}

/// A result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResultTable {
    /// The columns, in the order of the query.
    pub columns: Vec<ResultColumn>,
    /// The groups that were not withheld, in the order of the domains.
    pub rows: Vec<Vec<Cell>>,
    /// Groups of fewer rows than the policy's minimum, the empty ones included.
    pub withheld_groups: u64,
    /// All groups: the rows and the withheld ones.
    pub groups: u64,
}

/// Why cells are no result of a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not as many cells as the plan has.
    #[error("a result of this plan has {expected} cells, not {found}")]
    CellCount {
        /// As the plan wants it.
        expected: usize,
        /// As it is.
        found: usize,
    },
    /// A count that no honest run opens.
    #[error("group {group} has an impossible count")]
    Count {
        /// The group's index.
        group: usize,
    },
    /// More rows than the plan allows over all groups.
    #[error("the counts add up to more rows than the plan allows")]
    Rows,
    /// A sum that its bounds and count exclude.
    #[error("group {group} has a sum of {column} that the declared bounds exclude")]
    Sum {
        /// The group's index.
        group: usize,
        /// The summed column.
        column: String,
    },
    /// The number of withheld groups is not that of the zeroed ones.
    #[error("{stated} groups are said to be withheld but {found} are")]
    Withheld {
        /// As the last cell says.
        stated: u64,
        /// As the cells show.
        found: u64,
    },
    /// The plan itself is not one that the planner makes.
    #[error("the plan refers to a column that it does not have")]
    Plan,
}

/// Makes a table of the opened cells, in the order described at [`Plan`].
pub fn decode(plan: &Plan, cells: &[u64]) -> Result<ResultTable, DecodeError> {
    let groups = plan.group_count();
    if cells.len() != plan.cell_count() || groups == 0 {
        return Err(DecodeError::CellCount { expected: plan.cell_count(), found: cells.len() });
    }
    let (counts, rest) = cells.split_at(groups);
    let (sums, stated) = rest.split_at(groups * plan.sums.len());
    let stated = stated[0];
    check(plan, counts, sums)?;
    let rows = (0..groups)
        .filter(|&group| counts[group] != 0)
        .map(|group| plan.outputs.iter().map(|output| cell(plan, counts, sums, group, output.value)).collect())
        .collect::<Result<Vec<Vec<Cell>>, _>>()?;
    let found = (groups - rows.len()) as u64;
    if stated != found {
        return Err(DecodeError::Withheld { stated, found });
    }
    let columns = plan
        .outputs
        .iter()
        .map(|output| Ok(ResultColumn { name: output.name.clone(), column_type: column_type(plan, output.value)? }))
        .collect::<Result<_, _>>()?;
    Ok(ResultTable { columns, rows, withheld_groups: found, groups: groups as u64 })
}

fn check(plan: &Plan, counts: &[u64], sums: &[u64]) -> Result<(), DecodeError> {
    let (minimum, maximum) = (u64::from(plan.minimum_group), u64::from(plan.rows_max));
    for (group, &count) in counts.iter().enumerate() {
        if count != 0 && !(minimum..=maximum).contains(&count) {
            return Err(DecodeError::Count { group });
        }
        for (place, column) in plan.sums.iter().enumerate() {
            let sum = i128::from(sums[place * counts.len() + group].cast_signed());
            let (low, high) = (i128::from(column.bounds.minimum), i128::from(column.bounds.maximum));
            if !(low * i128::from(count)..=high * i128::from(count)).contains(&sum) {
                return Err(DecodeError::Sum { group, column: column.column.clone() });
            }
        }
    }
    // At most 4,096 counts of at most ten million each: no overflow.
    if counts.iter().sum::<u64>() > maximum { Err(DecodeError::Rows) } else { Ok(()) }
}

fn column_type(plan: &Plan, value: OutputValue) -> Result<ColumnType, DecodeError> {
    let of_scale = |scale: u8| if scale == 0 { ColumnType::Integer } else { ColumnType::Decimal { scale } };
    Ok(match value {
        OutputValue::Group { index } => match plan.groups.get(usize::from(index)).ok_or(DecodeError::Plan)?.kind {
            ColumnKind::Text => ColumnType::Text,
            ColumnKind::Integer => ColumnType::Integer,
            ColumnKind::Decimal { scale } => of_scale(scale),
        },
        OutputValue::Count => ColumnType::Integer,
        OutputValue::Sum { index } => of_scale(plan.sums.get(usize::from(index)).ok_or(DecodeError::Plan)?.scale),
        OutputValue::Avg { .. } => ColumnType::Float,
    })
}

fn cell(plan: &Plan, counts: &[u64], sums: &[u64], group: usize, value: OutputValue) -> Result<Cell, DecodeError> {
    let sum = |index: u8| {
        let place = usize::from(index);
        let column = plan.sums.get(place).ok_or(DecodeError::Plan)?;
        Ok((sums[place * counts.len() + group].cast_signed(), column.scale))
    };
    match value {
        OutputValue::Group { index } => group_cell(plan, group, usize::from(index)),
        OutputValue::Count => Ok(Cell::Integer(counts[group].cast_signed())),
        OutputValue::Sum { index } => {
            let (sum, scale) = sum(index)?;
            Ok(number_cell(sum, scale))
        }
        OutputValue::Avg { index } => {
            let (sum, scale) = sum(index)?;
            // One rounding of the sum (below 2^62) and one of the quotient; the divisor is exact up to 2^53.
            Ok(Cell::Float(sum as f64 / (counts[group] as f64 * 10f64.powi(i32::from(scale)))))
        }
    }
}

fn number_cell(scaled: i64, scale: u8) -> Cell {
    if scale == 0 { Cell::Integer(scaled) } else { Cell::Text(decimal::format(scaled, scale)) }
}

fn group_cell(plan: &Plan, group: usize, index: usize) -> Result<Cell, DecodeError> {
    let column: &GroupColumn = plan.groups.get(index).ok_or(DecodeError::Plan)?;
    let later: usize = plan.groups[index + 1..].iter().map(|column| column.domain.len()).product();
    let value = &column.domain[group / later % column.domain.len()];
    match scale_of(column.kind) {
        None => Ok(Cell::Text(value.clone())),
        Some(scale) => decimal::parse(value, scale).map(|scaled| number_cell(scaled, scale)).map_err(|_| DecodeError::Plan),
    }
}
