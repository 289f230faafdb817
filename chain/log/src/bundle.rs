//! What is handed over to be checked: a job's receipt bundle, and a dataset's certificate. Holds no keys to check it by.

use crate::consortium::{DecidedHeader, MemberHistory};
use entrepot_chain_statement::{Envelope, ids::JobId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Longest bundle or certificate that is read.
pub const BUNDLE_MAX_BYTES: usize = 16 << 20;
/// Most entries; a finished job has thirteen.
pub const BUNDLE_ENTRIES_MAX: usize = 16;

/// Why bytes are not a bundle or certificate.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Longer than [`BUNDLE_MAX_BYTES`].
    #[error("longer than {BUNDLE_MAX_BYTES} bytes")]
    TooLong,
    /// Not JSON of this shape.
    #[error("not JSON of the expected shape")]
    Json(#[source] serde_json::Error),
    /// More than [`BUNDLE_ENTRIES_MAX`] entries, or a name twice.
    #[error("more than {BUNDLE_ENTRIES_MAX} entries, or one name twice")]
    Entries,
    /// More than [`BUNDLE_ENTRIES_MAX`] decided blocks.
    #[error("more than {BUNDLE_ENTRIES_MAX} decided blocks")]
    Decisions,
}

/// One statement and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleEntry {
    /// Its part: `product`, `agreement`, `order`, `hold`, `grant-0` to `-2`, `rights-0` and `-1`, `receipt-0` to `-2`, `release`, `refund`.
    pub name: String,
    /// The statement.
    pub envelope: Envelope,
    /// A C2SP tlog-proof of its leaf; none while it is not logged.
    pub proof: Option<String>,
}

/// Shows somebody who trusts the channel's genesis that the blocks behind the checkpoints were decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    /// Who decides.
    pub history: MemberHistory,
    /// For each size among the checkpoints, a block after which the log had this size.
    pub headers: Vec<DecidedHeader>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum ReceiptFormat {
    #[serde(rename = "entrepot.receipt.v1")]
    V1,
}

/// All that is signed about one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptBundle {
    format: ReceiptFormat,
    /// The job.
    pub job_id: JobId,
    /// The statements, in any order.
    pub entries: Vec<BundleEntry>,
    /// That their checkpoints are of decided blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
}

impl ReceiptBundle {
    /// A bundle of these statements.
    pub fn new(job_id: JobId, entries: Vec<BundleEntry>) -> Self {
        Self { format: ReceiptFormat::V1, job_id, entries, decisions: None }
    }

    /// With what shows that the checkpoints are of decided blocks.
    pub fn with_decisions(self, decisions: Decisions) -> Self {
        Self { decisions: Some(decisions), ..self }
    }

    /// Reads the JSON; checks its form only.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        let bundle: Self = read(json)?;
        check(&bundle.entries, bundle.decisions.as_ref())?;
        Ok(bundle)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum CertificateFormat {
    #[serde(rename = "entrepot.certificate.v1")]
    V1,
}

/// A registered right and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    format: CertificateFormat,
    /// One entry, named `rights`.
    pub entries: Vec<BundleEntry>,
    /// That its checkpoint is of a decided block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decisions: Option<Decisions>,
}

impl Certificate {
    /// The certificate of a rights registration.
    pub fn new(rights: Envelope, proof: Option<String>) -> Self {
        let entry = BundleEntry { name: "rights".to_owned(), envelope: rights, proof };
        Self { format: CertificateFormat::V1, entries: vec![entry], decisions: None }
    }

    /// With what shows that the checkpoints are of decided blocks.
    pub fn with_decisions(self, decisions: Decisions) -> Self {
        Self { decisions: Some(decisions), ..self }
    }

    /// Reads the JSON; checks its form only.
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        let certificate: Self = read(json)?;
        check(&certificate.entries, certificate.decisions.as_ref())?;
        Ok(certificate)
    }
}

fn read<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T, BundleError> {
    if json.len() > BUNDLE_MAX_BYTES {
        return Err(BundleError::TooLong);
    }
    serde_json::from_slice(json).map_err(BundleError::Json)
}

fn check(entries: &[BundleEntry], decisions: Option<&Decisions>) -> Result<(), BundleError> {
    let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    if entries.len() > BUNDLE_ENTRIES_MAX || names.len() != entries.len() {
        return Err(BundleError::Entries);
    }
    if decisions.is_some_and(|decisions| decisions.headers.len() > BUNDLE_ENTRIES_MAX) { Err(BundleError::Decisions) } else { Ok(()) }
}
