//! What a worker says about a computation it took part in.

use super::Security;
use crate::{Did, Hash, Timestamp, ids::JobId};
use serde::{Deserialize, Serialize};

/// The digest of one sealed share of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedShareDigest {
    /// Which of the three additive shares, 0 to 2. Parties `share` and `share − 1 mod 3` hold it.
    pub share: u8,
    /// SHA-256 of the ciphertext, which both holders make byte by byte alike.
    pub ciphertext: Hash,
}

/// A worker's account of its part in a job. Signed by the worker's key under its grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageReceipt {
    /// The job.
    pub job_id: JobId,
    /// Which try, 1, 2, 3 …
    pub attempt: u32,
    /// Statement hash of the agreement.
    pub agreement: Hash,
    /// Statement hash of the order.
    pub order: Hash,
    /// Whose order it is.
    pub consumer: Did,
    /// Hash of the plan that ran.
    pub plan: Hash,
    /// Party index, 0 to 2.
    pub party: u8,
    /// On whose behalf.
    pub participant: Did,
    /// The key that signs.
    pub worker: Did,
    /// What the protocol withstands.
    pub security: Security,
    /// Commitment of the dataset that went in; none for the compute party.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub input_commitment: Option<Hash>,
    /// Rows of the dataset that went in, rounded to two significant digits; 0 for the compute party.
    #[serde(with = "crate::wide")]
    pub rows_input: u64,
    /// The two shares this party holds, by share number.
    pub shares: Vec<SealedShareDigest>,
    /// Hash over every protocol message this party sent and received, in its own order.
    pub transcript: Hash,
    /// When the computation ended here.
    pub finished_at: Timestamp,
}
statement!(UsageReceipt, "usage-receipt");
