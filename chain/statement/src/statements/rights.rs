//! What a dataset is, and who holds which right to it.

use crate::{Did, Hash, Timestamp, ids::DatasetId};
use serde::{Deserialize, Serialize};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ColumnKind {
    /// UTF-8 text.
    Text,
    /// A signed 64-bit integer.
    Integer,
    /// A decimal with `scale` digits after the point, computed on as value × 10^scale.
    Decimal {
        /// Digits after the point, 1 to 6.
        scale: u8,
    },
}

/// One column of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnDescription {
    /// Name: `[a-z_][a-z0-9_]{0,62}`.
    pub name: String,
    /// What it holds. A dataset has no missing cells.
    pub column: ColumnKind,
    /// Rounded facts that the provider approves before anyone sees them.
    pub profile: ColumnProfile,
}

/// Rounded facts about a column: extremes are rows too, so nothing here is exact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnProfile {
    /// Distinct values, rounded to one significant digit.
    #[serde(with = "crate::wide")]
    pub distinct: u64,
    /// 5th percentile of a number, one significant digit, as decimal text; absent for text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub low: Option<String>,
    /// 95th percentile of a number, one significant digit, as decimal text; absent for text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub high: Option<String>,
}

/// What a worker says of a dataset. Approved and signed by the provider inside [`RightsRegistration`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetDescription {
    /// Rows, rounded to two significant digits.
    #[serde(with = "crate::wide")]
    pub rows: u64,
    /// Columns in file order.
    pub columns: Vec<ColumnDescription>,
    /// Root of the RFC 6962 tree over salted rows; the salts stay at the worker.
    pub commitment: Hash,
}

/// The three rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// To hold the data.
    Hold,
    /// To process it.
    Process,
    /// To operate products on it.
    Operate,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 3] = [Self::Hold, Self::Process, Self::Operate];

    /// The code in encodings; never changes.
    pub fn code(self) -> u8 {
        match self {
            Self::Hold => 1,
            Self::Process => 2,
            Self::Operate => 3,
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Process => "process",
            Self::Operate => "operate",
        }
    }
}

/// What happens to a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RightsRecord {
    /// First registration.
    Initial,
}

/// A provider registers a right to a dataset. Signed by the holder; with its log proof it is the certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RightsRegistration {
    /// The dataset.
    pub dataset_id: DatasetId,
    /// The dataset's name at its provider: `[a-z_][a-z0-9_]{0,62}`.
    pub name: String,
    /// Who holds the right; the key that signs.
    pub holder: Did,
    /// Which right.
    pub right: Right,
    /// What happens to it.
    pub record: RightsRecord,
    /// The worker that holds the data.
    pub worker: Did,
    /// The approved description.
    pub description: DatasetDescription,
    /// When it was signed.
    pub issued_at: Timestamp,
}
statement!(RightsRegistration, "rights-registration");
