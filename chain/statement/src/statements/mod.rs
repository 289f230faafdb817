//! Every statement that anyone signs. Field order does not matter (canonical JSON sorts); unknown fields are refused; 64-bit integers
//! are strings; a statement refers to another by its statement hash.

macro_rules! statement {
    ($type:ty, $name:literal) => {
        impl crate::statements::Statement for $type {
            const PAYLOAD_TYPE: &'static str = concat!("application/vnd.entrepot.", $name, ".v1+json");
        }
    };
}

mod agreement;
mod participant;
mod product;
mod rights;
mod settlement;
mod usage;

pub use agreement::{Agreement, Order, PartyPin, Quote, Security};
pub use participant::{ParticipantEnrolment, Role, WorkerGrant, WorkerRole};
pub use product::{Bounds, ColumnRule, ColumnUse, DataProduct, DatasetPolicy, ProductTable, SplitShare};
pub use rights::{ColumnDescription, ColumnKind, ColumnProfile, DatasetDescription, Right, RightsRecord, RightsRegistration};
pub use settlement::{Hold, Refund, Release, SplitAmount};
pub use usage::{SealedShareDigest, UsageReceipt};

use serde::{Serialize, de::DeserializeOwned};

/// A document of a fixed type that can be signed.
pub trait Statement: Serialize + DeserializeOwned {
    /// DSSE payload type, `application/vnd.entrepot.<name>.v1+json`.
    const PAYLOAD_TYPE: &'static str;
}
