//! What a leaf stands for, as far as the ledger may know.

use std::{fmt, str::FromStr};

/// The kind of statement behind a leaf. The ledger never sees the statement; the leaf commits to its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LeafKind {
    /// A delegation to a worker's key.
    WorkerGrant = 1,
    /// A right to a dataset.
    RightsRegistration = 2,
    /// An offer.
    DataProduct = 3,
    /// A consumer's acceptance.
    Agreement = 4,
    /// One use.
    Order = 5,
    /// Money put into escrow.
    Hold = 6,
    /// A worker's account of a job.
    UsageReceipt = 7,
    /// Escrow paid out.
    Release = 8,
    /// Escrow given back.
    Refund = 9,
}

/// A code or word that names no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of statement that is logged")]
pub struct UnknownLeafKind;

impl LeafKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::WorkerGrant,
        Self::RightsRegistration,
        Self::DataProduct,
        Self::Agreement,
        Self::Order,
        Self::Hold,
        Self::UsageReceipt,
        Self::Release,
        Self::Refund,
    ];

    /// The kind of a payload type; none if statements of that type are not logged.
    pub fn of(payload_type: &str) -> Option<Self> {
        payload_type.strip_prefix("application/vnd.entrepot.")?.strip_suffix(".v1+json")?.parse().ok()
    }

    /// The code in encodings; never changes.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this code.
    pub fn from_code(code: u8) -> Result<Self, UnknownLeafKind> {
        Self::ALL.into_iter().find(|kind| kind.code() == code).ok_or(UnknownLeafKind)
    }

    /// The word: the name in the statement's payload type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WorkerGrant => "worker-grant",
            Self::RightsRegistration => "rights-registration",
            Self::DataProduct => "data-product",
            Self::Agreement => "agreement",
            Self::Order => "order",
            Self::Hold => "hold",
            Self::UsageReceipt => "usage-receipt",
            Self::Release => "release",
            Self::Refund => "refund",
        }
    }
}

impl FromStr for LeafKind {
    type Err = UnknownLeafKind;
    fn from_str(text: &str) -> Result<Self, UnknownLeafKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownLeafKind)
    }
}

impl fmt::Display for LeafKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
