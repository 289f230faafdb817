//! What of a frame enters a computation: the join key and the columns the plan names, nothing else.

use crate::frames::{Cells, Frame};
use entrepot_mpc_plan::Plan;
use entrepot_mpc_query::{Column, PartyInput, QueryError, key_of_number};
use std::collections::BTreeMap;

/// Takes party 0's or 1's part of the plan out of its frame.
pub(crate) fn of(plan: &Plan, party: u8, frame: &Frame) -> Result<PartyInput, QueryError> {
    let cells =
        |name: &str| frame.column(name).map(|column| &column.cells).ok_or_else(|| QueryError::MissingColumn { column: name.to_owned() });
    let key = plan.join.columns.get(usize::from(party)).ok_or(QueryError::UnexpectedInput)?;
    let keys = match cells(key)? {
        Cells::Text(texts) => texts.iter().collect(),
        Cells::Integer(values) | Cells::Decimal { values, .. } => values.iter().map(|value| key_of_number(*value)).collect(),
    };
    let filters = plan.filters.iter().map(|filter| (filter.party, &filter.column));
    let groups = plan.groups.iter().map(|group| (group.party, &group.column));
    let sums = plan.sums.iter().map(|sum| (sum.party, &sum.column));
    let mut columns = BTreeMap::new();
    for (_, name) in filters.chain(groups).chain(sums).filter(|(holder, _)| *holder == party) {
        let column = match cells(name)? {
            Cells::Text(texts) => Column::Text(texts.iter().collect()),
            Cells::Integer(values) | Cells::Decimal { values, .. } => Column::Number(values.clone()),
        };
        columns.insert(name.clone(), column);
    }
    Ok(PartyInput { keys, columns })
}
