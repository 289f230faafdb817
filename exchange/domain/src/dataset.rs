//! A dataset's way from being asked for to being registered, and what a description may say.

use crate::{Refusal, RefusalKind, name::is_identifier, participant::CLOCK_SKEW_MS};
use entrepot_chain_statement::{
    Did, Timestamp,
    ids::DatasetId,
    statements::{ColumnDescription, ColumnKind, ColumnProfile, DatasetDescription, Right, RightsRegistration},
};
use std::collections::BTreeSet;

/// Most columns of a dataset.
pub const COLUMNS_MAX: usize = 256;
/// Most rows of a dataset.
pub const ROWS_MAX: u64 = 10_000_000;
/// Most digits after the point.
pub const SCALE_MAX: u8 = 6;
/// Longest text of a percentile.
const PERCENTILE_BYTES_MAX: usize = 32;

/// Where a dataset stands. *Certified* is not stored: it is registered, and the log has the registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetState {
    /// The worker was asked.
    Describing,
    /// The worker answered; the provider has not signed.
    Described,
    /// The provider signed.
    Registered,
    /// The worker refused. Final.
    Refused,
}

impl DatasetState {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Describing => "describing",
            Self::Described => "described",
            Self::Registered => "registered",
            Self::Refused => "refused",
        }
    }

    /// The state of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Describing, Self::Described, Self::Registered, Self::Refused].into_iter().find(|state| state.name() == name)
    }
}

/// Why a description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// Too few or too many rows.
    #[error("a dataset has 1 to {ROWS_MAX} rows")]
    Rows,
    /// Too few or too many columns.
    #[error("a dataset has 1 to {COLUMNS_MAX} columns")]
    Columns,
    /// A name that SQL would have to quote, or one used twice.
    #[error("column {index} has a name that is not of the form [a-z_][a-z0-9_]{{0,62}} or that another column has")]
    ColumnName {
        /// From 0.
        index: usize,
    },
    /// Too many digits after the point.
    #[error("column {index} has a scale outside of 1 to {SCALE_MAX}")]
    Scale {
        /// From 0.
        index: usize,
    },
    /// A fact that is more exact than agreed, which could give a row away.
    #[error("the profile says more of column {index} than rounded facts")]
    Exact {
        /// From 0.
        index: usize,
    },
    /// The number of rows is more exact than agreed.
    #[error("the number of rows is not rounded to two significant digits")]
    ExactRows,
}

impl DescriptionError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rows => "description_rows",
            Self::Columns => "description_columns",
            Self::ColumnName { .. } => "description_column_name",
            Self::Scale { .. } => "description_scale",
            Self::Exact { .. } | Self::ExactRows => "description_too_exact",
        }
    }
}

/// Holds what a worker says against the rules: it is hostile input, and it must not say more than was agreed.
pub fn check_description(description: &DatasetDescription) -> Result<(), DescriptionError> {
    if !(1..=ROWS_MAX).contains(&description.rows) {
        return Err(DescriptionError::Rows);
    }
    if !is_rounded(description.rows, 2) {
        return Err(DescriptionError::ExactRows);
    }
    if !(1..=COLUMNS_MAX).contains(&description.columns.len()) {
        return Err(DescriptionError::Columns);
    }
    let mut names = BTreeSet::new();
    for (index, ColumnDescription { name, column, profile }) in description.columns.iter().enumerate() {
        if !is_identifier(name) || !names.insert(name) {
            return Err(DescriptionError::ColumnName { index });
        }
        if let ColumnKind::Decimal { scale } = column
            && !(1..=SCALE_MAX).contains(scale)
        {
            return Err(DescriptionError::Scale { index });
        }
        if !profile_is_rounded(*column, profile) {
            return Err(DescriptionError::Exact { index });
        }
    }
    Ok(())
}

fn profile_is_rounded(column: ColumnKind, profile: &ColumnProfile) -> bool {
    let percentiles = [&profile.low, &profile.high];
    let fits = match column {
        ColumnKind::Text => percentiles.iter().all(|percentile| percentile.is_none()),
        ColumnKind::Integer | ColumnKind::Decimal { .. } => {
            percentiles.iter().all(|percentile| percentile.as_deref().is_none_or(is_one_digit_decimal))
        }
    };
    fits && is_rounded(profile.distinct, 1)
}

/// Whether only the first `digits` digits are not zero.
fn is_rounded(mut number: u64, digits: u32) -> bool {
    while number != 0 && number.is_multiple_of(10) {
        number /= 10;
    }
    number < 10u64.pow(digits)
}

/// Whether a decimal's text has at most one digit that is not zero.
fn is_one_digit_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.len() <= PERCENTILE_BYTES_MAX
        && numeric(whole)
        && numeric(fraction)
        && digits.bytes().filter(|b| (b'1'..=b'9').contains(b)).count() <= 1
}

/// What the exchange knows of a dataset that is to be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedDataset {
    /// The dataset.
    pub dataset_id: DatasetId,
    /// Its name at the provider.
    pub name: String,
    /// Who registers it.
    pub provider: Did,
    /// The worker that described it.
    pub worker: Did,
    /// What that worker said.
    pub description: DatasetDescription,
}

/// Why a rights registration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// It is about something else.
    #[error("the registration's {0} is not the dataset's")]
    Mismatch(&'static str),
    /// Not the right that a provider needs first.
    #[error("the first registration is of the right to hold")]
    Right,
    /// Signed in the future.
    #[error("the registration is signed in the future")]
    Future,
}

impl Refusal for RightsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Mismatch(_) => "rights_mismatch",
            Self::Right => "rights_kind",
            Self::Future => "issued_in_the_future",
        }
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unprocessable
    }
    fn hint(&self) -> Option<String> {
        matches!(self, Self::Mismatch(_)).then(|| "read the dataset again and sign exactly what it says".to_owned())
    }
}

/// Holds a registration against the dataset that it is about. Whether the holder signed it is for the caller to check.
pub fn check_rights(rights: &RightsRegistration, dataset: &DescribedDataset, now: Timestamp) -> Result<(), RightsError> {
    let same = [
        ("dataset_id", rights.dataset_id == dataset.dataset_id),
        ("name", rights.name == dataset.name),
        ("holder", rights.holder == dataset.provider),
        ("worker", rights.worker == dataset.worker),
        ("description", rights.description == dataset.description),
    ];
    if let Some((field, _)) = same.iter().find(|(_, same)| !same) {
        return Err(RightsError::Mismatch(field));
    }
    if rights.right != Right::Hold {
        return Err(RightsError::Right);
    }
    if rights.issued_at > now.plus_ms(CLOCK_SKEW_MS) {
        return Err(RightsError::Future);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::Hash;
    use proptest::prelude::*;

    fn description() -> DatasetDescription {
        let column = |name: &str, column, low: Option<&str>| ColumnDescription {
            name: name.to_owned(),
            column,
            profile: ColumnProfile { distinct: 300, low: low.map(str::to_owned), high: None },
        };
        DatasetDescription {
            rows: 9800,
            columns: vec![
                column("customer", ColumnKind::Text, None),
                column("int_rate", ColumnKind::Decimal { scale: 2 }, Some("0.05")),
                column("income", ColumnKind::Integer, Some("-20000")),
            ],
            commitment: Hash([7; 32]),
        }
    }

    #[test]
    fn rounded_facts_pass_and_exact_ones_do_not() {
        assert_eq!(check_description(&description()), Ok(()));
        let with = |change: fn(&mut DatasetDescription)| {
            let mut changed = description();
            change(&mut changed);
            check_description(&changed)
        };
        assert_eq!(with(|d| d.rows = 9857), Err(DescriptionError::ExactRows));
        assert_eq!(with(|d| d.rows = 0), Err(DescriptionError::Rows));
        assert_eq!(with(|d| d.columns[2].profile.low = Some("21000".to_owned())), Err(DescriptionError::Exact { index: 2 }));
        assert_eq!(with(|d| d.columns[2].profile.low = Some("secret".to_owned())), Err(DescriptionError::Exact { index: 2 }));
        assert_eq!(with(|d| d.columns[0].profile.low = Some("1".to_owned())), Err(DescriptionError::Exact { index: 0 }));
        assert_eq!(with(|d| d.columns[0].profile.distinct = 321), Err(DescriptionError::Exact { index: 0 }));
    }

    #[test]
    fn columns_are_named_once_and_without_quotes() {
        let with = |change: fn(&mut DatasetDescription)| {
            let mut changed = description();
            change(&mut changed);
            check_description(&changed)
        };
        assert_eq!(with(|d| d.columns[1].name = "customer".to_owned()), Err(DescriptionError::ColumnName { index: 1 }));
        assert_eq!(with(|d| d.columns[1].name = "int\"rate".to_owned()), Err(DescriptionError::ColumnName { index: 1 }));
        assert_eq!(with(|d| d.columns.clear()), Err(DescriptionError::Columns));
        assert_eq!(with(|d| d.columns[1].column = ColumnKind::Decimal { scale: 7 }), Err(DescriptionError::Scale { index: 1 }));
    }

    proptest! {
        #[test]
        fn a_number_is_rounded_if_rounding_does_not_change_it(number in 0u64..1_000_000, digits in 1u32..4) {
            let text = number.to_string();
            let kept = text.len().min(digits as usize);
            let rounded = text[kept..].bytes().all(|b| b == b'0');
            prop_assert_eq!(is_rounded(number, digits), rounded);
        }
    }
}
