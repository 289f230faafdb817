//! What the exchange signs about money.

use crate::{Did, Hash, Money, Timestamp, ids::JobId};
use serde::{Deserialize, Serialize};

/// The price of an order is set aside. Signed by the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// The job the order became.
    pub job_id: JobId,
    /// Statement hash of the order.
    pub order: Hash,
    /// Statement hash of the agreement.
    pub agreement: Hash,
    /// Whose order it is, and whose money.
    pub consumer: Did,
    /// What is held.
    pub amount: Money,
    /// When.
    pub held_at: Timestamp,
}
statement!(Hold, "hold");

/// What one participant got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitAmount {
    /// Who.
    pub participant: Did,
    /// How much.
    pub amount: Money,
}

/// The held amount is paid out. Signed by the exchange; workers hand ciphertexts over against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The job.
    pub job_id: JobId,
    /// Statement hash of the order.
    pub order: Hash,
    /// Statement hash of the hold.
    pub hold: Hash,
    /// Statement hashes of the three usage receipts, by party index.
    pub receipts: Vec<Hash>,
    /// What was held.
    pub amount: Money,
    /// Who got what; sums to `amount`.
    pub split: Vec<SplitAmount>,
    /// [`rule_digest`](crate::split::rule_digest) of the agreement's split: the ledger holds it against what was agreed, and sees no amount.
    pub split_rule: Hash,
    /// When.
    pub released_at: Timestamp,
}
statement!(Release, "release");

/// The held amount goes back to the consumer. Signed by the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// The job.
    pub job_id: JobId,
    /// Statement hash of the order.
    pub order: Hash,
    /// Statement hash of the hold.
    pub hold: Hash,
    /// What was held.
    pub amount: Money,
    /// Stable code of the reason, as in `worker_refused`.
    pub reason: String,
    /// When.
    pub refunded_at: Timestamp,
}
statement!(Refund, "refund");
