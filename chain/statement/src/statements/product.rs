//! What is offered on datasets, and under which policy.

use crate::{
    BasisPoints, Did, Hash, Money, Timestamp,
    ids::{DatasetId, ProductId},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a query may do with a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnUse {
    /// `JOIN … ON`
    Join,
    /// `SUM` and `AVG`
    Aggregate,
    /// `GROUP BY`
    Group,
    /// `WHERE`
    Filter,
}

/// Declared range of a numeric column, inclusive, in scaled integers (value × 10^scale): what keeps sums from overflowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Smallest value.
    #[serde(with = "crate::wide")]
    pub minimum: i64,
    /// Largest value.
    #[serde(with = "crate::wide")]
    pub maximum: i64,
}

/// What is allowed with one column. A column without a rule may not be used at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRule {
    /// The uses that are allowed.
    pub uses: BTreeSet<ColumnUse>,
    /// Public domain: needed to group by the column; each of its values, sorted, unique. Text of the value (decimals as in the file).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub domain: Option<Vec<String>>,
    /// Needed to aggregate the column.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bounds: Option<Bounds>,
}

/// A provider's policy for one of its datasets. The provider's worker keeps its own copy and obeys that one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetPolicy {
    /// Rules by column name.
    pub columns: BTreeMap<String, ColumnRule>,
    /// Cells of a group with fewer rows are zeroed before anything is opened; at least 2.
    pub minimum_group: u32,
    /// Upper bound of the dataset's rows; at most 10,000,000.
    pub rows_max: u32,
    /// The workers' owners this provider accepts as the third party.
    pub compute_parties: BTreeSet<Did>,
}

/// One table of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductTable {
    /// Name in SQL, `<schema>.<table>`, as in `lender.loans`.
    pub table: String,
    /// The dataset behind it.
    pub dataset_id: DatasetId,
    /// The dataset's provider.
    pub provider: Did,
    /// Statement hash of the dataset's rights registration.
    pub rights: Hash,
    /// The dataset's commitment, as registered.
    pub commitment: Hash,
    /// Column names and kinds, as registered, in file order.
    pub columns: Vec<(String, super::ColumnKind)>,
    /// The provider's policy.
    pub policy: DatasetPolicy,
}

/// One receiver's part of a price.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitShare {
    /// Who receives it.
    pub participant: Did,
    /// How much of the price.
    pub share: BasisPoints,
}

/// An offer on two datasets. Signed by every provider and by the compute party: their standing consent to agreements on exactly these terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataProduct {
    /// Id chosen by the first signer.
    pub product_id: ProductId,
    /// Title shown to people; 1 to 200 characters.
    pub title: String,
    /// The tables; two, of different providers.
    pub tables: Vec<ProductTable>,
    /// The owner of the third worker.
    pub compute_party: Did,
    /// The exchange that may sell it.
    pub exchange: Did,
    /// Consumers who may buy it; empty means any that each worker's own configuration trusts.
    pub consumers: BTreeSet<Did>,
    /// Price of one query.
    pub price_per_query: Money,
    /// Who gets what of it; sums to 10,000 basis points.
    pub split: Vec<SplitShare>,
    /// Queries one agreement allows.
    pub quota_queries: u32,
    /// When it was signed first.
    pub issued_at: Timestamp,
    /// No order is valid from then on.
    pub expires_at: Timestamp,
}
statement!(DataProduct, "data-product");
