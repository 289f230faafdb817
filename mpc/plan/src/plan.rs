//! The plan itself: plain records, encoded as canonical JSON.

use entrepot_chain_statement::{
    Hash, canonical,
    ids::DatasetId,
    statements::{Bounds, ColumnKind},
};
use serde::{Deserialize, Serialize};

/// What goes before the canonical JSON when a plan is hashed.
const HASH_CONTEXT: &[u8] = b"entrepot/plan/v1\n";

/// A number as it is computed on: value × 10^scale of its column. A decimal string in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scaled(#[serde(with = "entrepot_chain_statement::wide")] pub i64);

/// One of the two tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanTable {
    /// Name in SQL, as in `lender.loans`.
    pub table: String,
    /// The dataset behind it.
    pub dataset_id: DatasetId,
    /// The party that holds it: 0 or 1, its place in the product.
    pub party: u8,
}

/// The columns whose equality joins the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinKey {
    /// Column name at party 0 and at party 1.
    pub columns: [String; 2],
    /// What both columns hold.
    pub kind: ColumnKind,
}

/// What a row must satisfy. Never empty, never everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "test", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FilterTest {
    /// The text is one of these.
    TextIn {
        /// Sorted, unique, at least one.
        values: Vec<String>,
    },
    /// The number is one of these.
    NumberIn {
        /// Sorted, unique, at least one.
        values: Vec<Scaled>,
    },
    /// The number is in a range, ends included.
    NumberBetween {
        /// Smallest that passes.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        minimum: Option<Scaled>,
        /// Largest that passes.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        maximum: Option<Scaled>,
    },
}

impl FilterTest {
    /// Whether a text passes.
    pub fn passes_text(&self, text: &str) -> bool {
        matches!(self, Self::TextIn { values } if values.binary_search_by(|value| value.as_str().cmp(text)).is_ok())
    }

    /// Whether a number, scaled as its column, passes.
    pub fn passes_number(&self, number: i64) -> bool {
        match self {
            Self::TextIn { .. } => false,
            Self::NumberIn { values } => values.binary_search(&Scaled(number)).is_ok(),
            Self::NumberBetween { minimum, maximum } => minimum.is_none_or(|m| m.0 <= number) && maximum.is_none_or(|m| number <= m.0),
        }
    }
}

/// A condition on one column. A plan has at most one for each column; a row must satisfy all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The party that holds the column.
    pub party: u8,
    /// The column.
    pub column: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// What it must satisfy.
    pub test: FilterTest,
}

/// A column to group by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupColumn {
    /// The party that holds the column.
    pub party: u8,
    /// The column.
    pub column: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Its public domain, as in the policy: a group's index is the place of its value in here.
    pub domain: Vec<String>,
}

/// A column to sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SumColumn {
    /// The party that holds the column.
    pub party: u8,
    /// The column.
    pub column: String,
    /// Digits after the point; 0 for integers.
    pub scale: u8,
    /// Range of the column, scaled. The party refuses to enter a value outside of it.
    pub bounds: Bounds,
}

/// Where a column of the result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OutputValue {
    /// The value of a group column.
    Group {
        /// Place in [`Plan::groups`].
        index: u8,
    },
    /// The number of rows of the group.
    Count,
    /// A sum.
    Sum {
        /// Place in [`Plan::sums`].
        index: u8,
    },
    /// A sum divided by the number of rows, by the consumer.
    Avg {
        /// Place in [`Plan::sums`].
        index: u8,
    },
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name: the alias if one was given, else as in `addr_state`, `count`, `avg_int_rate`.
    pub name: String,
    /// Where it comes from.
    pub value: OutputValue,
}

/// A checked computation. What the parties open to the consumer is one vector of elements of Z_2^64, the *cells*:
/// `count[0..G]`, then `sum[0..G]` for each of `sums` in order, then one element: the number of withheld groups. `G` is
/// [`Plan::group_count`]; the group with value `i` of the first column and `j` of the second has index `i · |second domain| + j`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// 1.
    pub version: u8,
    /// The tables of parties 0 and 1.
    pub tables: [PlanTable; 2],
    /// How they are joined. Keys are unique in each table.
    pub join: JoinKey,
    /// What a joined row must satisfy, sorted by party and column.
    pub filters: Vec<Filter>,
    /// What to group by; none means one group of all rows.
    pub groups: Vec<GroupColumn>,
    /// Every cell of a group with fewer rows is zero: the stricter of both policies; at least 2.
    pub minimum_group: u32,
    /// Upper bound of the joined rows.
    pub rows_max: u32,
    /// The distinct columns that are summed. `rows_max` times the largest magnitude stays below 2^62.
    pub sums: Vec<SumColumn>,
    /// Columns of the result, in the order of the query.
    pub outputs: Vec<Output>,
}

impl Plan {
    /// The only version there is.
    pub const VERSION: u8 = 1;

    /// What everyone agrees on: SHA-256 of `entrepot/plan/v1\n` and the canonical JSON.
    pub fn hash(&self) -> Hash {
        let json = canonical::to_canonical_json(self)
            .expect("a plan has no floats and no integers beyond u32 outside strings, which is all that canonical JSON refuses");
        Hash::of(&[HASH_CONTEXT, &json])
    }

    /// Number of groups, `G`.
    pub fn group_count(&self) -> usize {
        self.groups.iter().map(|group| group.domain.len()).product()
    }

    /// Number of cells of the result vector.
    pub fn cell_count(&self) -> usize {
        self.group_count() * (1 + self.sums.len()) + 1
    }

    /// The table's name at a data party.
    pub(crate) fn table_of(&self, party: u8) -> &str {
        &self.tables[usize::from(party.min(1))].table
    }
}
