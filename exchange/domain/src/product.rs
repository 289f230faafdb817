//! A product's states, and what may be offered.

use crate::{
    Refusal, RefusalKind,
    dataset::{COLUMNS_MAX, ROWS_MAX},
    name::{TITLE_CHARS_MAX, is_display_text, is_table_name},
    participant::CLOCK_SKEW_MS,
};
use entrepot_chain_statement::{
    BasisPoints, Did, Hash, Timestamp,
    statements::{ColumnKind, ColumnRule, ColumnUse, DataProduct, DatasetDescription, DatasetPolicy, ProductTable},
};
use std::collections::BTreeSet;

/// Most receivers of a price.
pub const SPLIT_SHARES_MAX: usize = 16;
/// Most consumers that a product names.
pub const CONSUMERS_MAX: usize = 256;
/// Most compute parties that a policy accepts.
pub const COMPUTE_PARTIES_MAX: usize = 64;
/// Highest price of a query, in minor units.
pub const PRICE_MINOR_MAX: i64 = 1_000_000_000_000;
/// Most queries of one agreement.
pub const QUOTA_MAX: u32 = 1_000_000;
/// Longest life of a product.
pub const PRODUCT_MS_MAX: i64 = 5 * 366 * 24 * 60 * 60 * 1000;
/// Most values of a public domain.
pub const DOMAIN_VALUES_MAX: usize = 4096;
/// Longest value of a public domain.
pub const DOMAIN_VALUE_BYTES_MAX: usize = 256;
/// Smallest minimum group: a group of one is a row.
pub const MINIMUM_GROUP_MIN: u32 = 2;
/// No sum may reach this magnitude.
const SUM_MAGNITUDE: u128 = 1 << 62;

/// Where a product stands. *Expired* is not stored: it follows from the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductState {
    /// Somebody it binds has not signed.
    Proposed,
    /// Can be bought and used.
    Active,
    /// Cannot be bought or used for now.
    Paused,
    /// Cannot be bought or used any more. Final.
    Withdrawn,
    /// Its time is over. Final.
    Expired,
}

impl ProductState {
    /// The name in the database and in answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    /// The state of a name that is stored.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Proposed, Self::Active, Self::Paused, Self::Withdrawn].into_iter().find(|state| state.name() == name)
    }

    /// The state at `now` of a product that is over at `expires_at`.
    #[must_use]
    pub fn at(self, now: Timestamp, expires_at: Timestamp) -> Self {
        if self != Self::Withdrawn && expires_at <= now { Self::Expired } else { self }
    }

    fn refuse<T>(self, action: &'static str) -> Result<T, ProductStateError> {
        Err(ProductStateError { found: self, action })
    }

    /// Proposed → Active, once everybody has signed.
    pub fn activate(self) -> Result<Self, ProductStateError> {
        if self == Self::Proposed { Ok(Self::Active) } else { self.refuse("signed") }
    }

    /// Active → Paused.
    pub fn pause(self) -> Result<Self, ProductStateError> {
        if self == Self::Active { Ok(Self::Paused) } else { self.refuse("paused") }
    }

    /// Paused → Active.
    pub fn resume(self) -> Result<Self, ProductStateError> {
        if self == Self::Paused { Ok(Self::Active) } else { self.refuse("resumed") }
    }

    /// Proposed, Active or Paused → Withdrawn.
    pub fn withdraw(self) -> Result<Self, ProductStateError> {
        match self {
            Self::Proposed | Self::Active | Self::Paused => Ok(Self::Withdrawn),
            Self::Withdrawn | Self::Expired => self.refuse("withdrawn"),
        }
    }
}

/// The product's state does not allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a product that is {} cannot be {action}", .found.name())]
pub struct ProductStateError {
    /// Its state.
    pub found: ProductState,
    /// What was tried.
    pub action: &'static str,
}

impl Refusal for ProductStateError {
    fn code(&self) -> &'static str {
        "product_state"
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Conflict
    }
}

/// Why a product is refused. Texts name the field; nothing in them is longer than the limits above allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// For another exchange.
    #[error("`exchange` is not this exchange")]
    Exchange,
    /// The title cannot be shown.
    #[error("`title` must have 1 to {TITLE_CHARS_MAX} characters, no control characters and no space at its ends")]
    Title,
    /// Not two tables of two providers with two names.
    #[error("`tables` must be two, of different providers, with different names of the form schema.table")]
    Tables,
    /// The third party is one of the first two.
    #[error("`compute_party` must be somebody else than the providers")]
    ComputeParty,
    /// A table does not say what was registered.
    #[error("`{field}` of table {table} is not what was registered")]
    NotRegistered {
        /// Index of the table.
        table: usize,
        /// The field.
        field: &'static str,
    },
    /// Price out of range.
    #[error("`price_per_query` must be from 1 to {PRICE_MINOR_MAX} minor units")]
    Price,
    /// The split is not one.
    #[error("`split` must name 1 to {SPLIT_SHARES_MAX} different participants, each with a share, that sum to 10000 basis points")]
    Split,
    /// Quota out of range.
    #[error("`quota_queries` must be from 1 to {QUOTA_MAX}")]
    Quota,
    /// Too many consumers.
    #[error("`consumers` names more than {CONSUMERS_MAX}")]
    Consumers,
    /// Signed in the future, over already, or too long.
    #[error("`issued_at` must not be in the future, and `expires_at` after now and within five years")]
    Period,
    /// A policy rule is broken.
    #[error("the policy of table {table} breaks the rule {rule}: {detail}")]
    Policy {
        /// Index of the table.
        table: usize,
        /// Name of the rule.
        rule: &'static str,
        /// What is wrong.
        detail: String,
    },
}

impl Refusal for ProductError {
    fn code(&self) -> &'static str {
        match self {
            Self::Exchange => "product_exchange",
            Self::Title => "product_title",
            Self::Tables => "product_tables",
            Self::ComputeParty => "product_compute_party",
            Self::NotRegistered { .. } => "product_not_registered",
            Self::Price => "product_price",
            Self::Split => "product_split",
            Self::Quota => "product_quota",
            Self::Consumers => "product_consumers",
            Self::Period => "product_period",
            Self::Policy { .. } => "product_policy",
        }
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unprocessable
    }
    fn hint(&self) -> Option<String> {
        Some("correct it, and let everyone whom it binds sign the corrected product".to_owned())
    }
}

/// What was registered of the dataset behind a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredDataset {
    /// Its provider.
    pub provider: Did,
    /// Statement hash of the rights registration.
    pub rights: Hash,
    /// The registered description.
    pub description: DatasetDescription,
}

/// Everyone whom a product binds, by party index. Call it on a product with two tables.
pub fn bound_participants(product: &DataProduct) -> Vec<&Did> {
    product.tables.iter().map(|table| &table.provider).chain([&product.compute_party]).collect()
}

/// Holds a product against the rules, all but those that need to know what was registered: [`check_table`] does that.
pub fn check_product(product: &DataProduct, exchange: &Did, now: Timestamp) -> Result<(), ProductError> {
    if product.exchange != *exchange {
        return Err(ProductError::Exchange);
    }
    if !is_display_text(&product.title, TITLE_CHARS_MAX) {
        return Err(ProductError::Title);
    }
    let [first, second] = product.tables.as_slice() else { return Err(ProductError::Tables) };
    let different = first.provider != second.provider && first.table != second.table && first.dataset_id != second.dataset_id;
    if !different || !is_table_name(&first.table) || !is_table_name(&second.table) {
        return Err(ProductError::Tables);
    }
    if [&first.provider, &second.provider].contains(&&product.compute_party) {
        return Err(ProductError::ComputeParty);
    }
    if !(1..=PRICE_MINOR_MAX).contains(&product.price_per_query.amount_minor) {
        return Err(ProductError::Price);
    }
    check_split(product)?;
    if !(1..=QUOTA_MAX).contains(&product.quota_queries) {
        return Err(ProductError::Quota);
    }
    if product.consumers.len() > CONSUMERS_MAX {
        return Err(ProductError::Consumers);
    }
    let in_time = product.issued_at <= now.plus_ms(CLOCK_SKEW_MS) && product.expires_at > now;
    if !in_time || product.expires_at > now.plus_ms(PRODUCT_MS_MAX) {
        return Err(ProductError::Period);
    }
    for (index, table) in product.tables.iter().enumerate() {
        check_policy(table, &product.compute_party).map_err(|(rule, detail)| ProductError::Policy { table: index, rule, detail })?;
    }
    Ok(())
}

fn check_split(product: &DataProduct) -> Result<(), ProductError> {
    let receivers: BTreeSet<_> = product.split.iter().map(|share| &share.participant).collect();
    let sum: u32 = product.split.iter().map(|share| u32::from(share.share.get())).sum();
    let paid = product.split.iter().all(|share| share.share.get() > 0);
    let bounded = (1..=SPLIT_SHARES_MAX).contains(&product.split.len());
    if bounded && paid && receivers.len() == product.split.len() && sum == u32::from(BasisPoints::WHOLE) {
        Ok(())
    } else {
        Err(ProductError::Split)
    }
}

/// Holds a table against what was registered of its dataset.
pub fn check_table(index: usize, table: &ProductTable, registered: &RegisteredDataset) -> Result<(), ProductError> {
    let columns = registered.description.columns.iter().map(|column| (&column.name, column.column));
    let same = [
        ("provider", table.provider == registered.provider),
        ("rights", table.rights == registered.rights),
        ("commitment", table.commitment == registered.description.commitment),
        ("columns", table.columns.iter().map(|(name, kind)| (name, *kind)).eq(columns)),
        // The registered number is rounded: half a unit of its second digit may be missing.
        ("policy.rows_max", u64::from(table.policy.rows_max) >= registered.description.rows - registered.description.rows / 20),
    ];
    match same.iter().find(|(_, same)| !same) {
        Some((field, _)) => Err(ProductError::NotRegistered { table: index, field }),
        None => Ok(()),
    }
}

type PolicyFault = (&'static str, String);

fn check_policy(table: &ProductTable, compute_party: &Did) -> Result<(), PolicyFault> {
    let policy = &table.policy;
    let fault = |rule, detail: &str| Err((rule, detail.to_owned()));
    if policy.minimum_group < MINIMUM_GROUP_MIN {
        return fault("minimum_group", "a group of fewer than 2 rows would show a row");
    }
    if policy.rows_max == 0 || u64::from(policy.rows_max) > ROWS_MAX {
        return fault("rows_max", "it must be from 1 to 10,000,000");
    }
    if policy.minimum_group > policy.rows_max {
        return fault("minimum_group", "no group can be larger than rows_max");
    }
    if policy.compute_parties.len() > COMPUTE_PARTIES_MAX {
        return fault("compute_parties", "it names more than 64");
    }
    if !policy.compute_parties.contains(compute_party) {
        return fault("compute_parties", "it does not accept the product's compute party");
    }
    if table.columns.len() > COLUMNS_MAX || policy.columns.len() > COLUMNS_MAX {
        return fault("columns", "there are more than 256");
    }
    if !policy.columns.values().any(|rule| rule.uses.contains(&ColumnUse::Join)) {
        return fault("join", "no column may be joined on, so no query could be answered");
    }
    for (name, rule) in &policy.columns {
        let Some((_, kind)) = table.columns.iter().find(|(column, _)| column == name) else {
            return fault("columns", "it has a rule for a column that the table does not have");
        };
        check_column(name, rule, *kind, policy)?;
    }
    Ok(())
}

fn check_column(name: &str, rule: &ColumnRule, kind: ColumnKind, policy: &DatasetPolicy) -> Result<(), PolicyFault> {
    let fault = |rule_name, detail: &str| Err((rule_name, format!("column {name} {detail}")));
    if rule.uses.is_empty() {
        return fault("uses", "has a rule without a use: leave the rule out");
    }
    if rule.uses.contains(&ColumnUse::Group) && rule.domain.is_none() {
        return fault("domain", "may be grouped by and has no public domain");
    }
    if let Some(domain) = &rule.domain {
        let bounded = (1..=DOMAIN_VALUES_MAX).contains(&domain.len());
        if !bounded || !domain.iter().all(|value| (1..=DOMAIN_VALUE_BYTES_MAX).contains(&value.len())) {
            return fault("domain", "has a domain of no or too many values, or with an empty or too long one");
        }
        if !domain.is_sorted_by(|a, b| a < b) {
            return fault("domain", "has a domain that is not sorted and unique");
        }
        if !domain.iter().all(|value| is_value_of(value, kind)) {
            return fault("domain", "has a domain with a value that is not of the column's kind");
        }
    }
    if rule.uses.contains(&ColumnUse::Aggregate) && (rule.bounds.is_none() || kind == ColumnKind::Text) {
        return fault("bounds", "may be aggregated and is no number or has no bounds");
    }
    if let Some(bounds) = &rule.bounds {
        let magnitude = bounds.minimum.unsigned_abs().max(bounds.maximum.unsigned_abs());
        if bounds.minimum > bounds.maximum {
            return fault("bounds", "has bounds whose minimum is above their maximum");
        }
        if u128::from(policy.rows_max) * u128::from(magnitude) >= SUM_MAGNITUDE {
            return fault("bounds", "has bounds so wide that a sum over rows_max rows could overflow");
        }
    }
    Ok(())
}

/// Whether the text of a cell is of the kind.
fn is_value_of(value: &str, kind: ColumnKind) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    match kind {
        ColumnKind::Text => !value.chars().any(char::is_control),
        ColumnKind::Integer => value.parse::<i64>().is_ok() && digits(unsigned),
        ColumnKind::Decimal { scale } => match unsigned.split_once('.') {
            None => digits(unsigned),
            Some((whole, fraction)) => digits(whole) && digits(fraction) && fraction.len() <= usize::from(scale),
        },
    }
}
