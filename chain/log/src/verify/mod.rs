//! Offline verification: is what a receipt bundle or certificate says signed by whom it binds, consistent, logged and witnessed?
//!
//! Every key comes from the trust file; the verified file brings statements and proofs only. All checks run, so that a report names every
//! fault and not just the first. A report whose status is [`Status::Invalid`] proves nothing.
//!
//! Witnesses and members answer different questions. Members decide what the log says; that they did is shown from the genesis, by
//! [`Decisions`](crate::bundle::Decisions). Witnesses see to it that everybody is shown the same log, even by members who conspire.

mod checks;
mod decided;
mod logged;
mod money;
mod run;
mod statements;
mod terms;

pub use checks::{Check, CheckError};

use crate::{
    bundle::{BundleEntry, BundleError, Certificate, ReceiptBundle},
    trust::{TrustError, TrustFile},
};
use checks::Checks;
use entrepot_chain_statement::{
    Did, Money,
    ids::{DatasetId, JobId},
    statements::{RightsRegistration, Security, SplitAmount},
};
use serde::{Deserialize, Serialize};
use statements::{Opened, Statements};

/// Why nothing could be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The trust file makes no sense.
    #[error("the trust file cannot be used")]
    Trust(#[from] TrustError),
    /// The file to verify is not in its format.
    #[error("the file to verify cannot be read")]
    Bundle(#[from] BundleError),
}

/// What verification found, in one word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Status {
    /// Every statement is valid, logged, and under checkpoints that at least a quorum of independent witnesses cosigned.
    Witnessed {
        /// Independent witnesses of the least witnessed entry.
        k: u32,
        /// Independent witnesses in the trust file.
        n: u32,
    },
    /// Valid and logged, but the log could show others another history: fewer than a quorum cosigned.
    Unwitnessed {
        /// Independent witnesses of the least witnessed entry.
        k: u32,
        /// Independent witnesses in the trust file.
        n: u32,
        /// How many would have been enough.
        quorum: u32,
    },
    /// Valid, but some statements are not logged yet.
    Pending {
        /// Which entries.
        entries: Vec<String>,
    },
    /// Some check failed: it proves nothing.
    Invalid,
}

/// Where the money of a job went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// Paid out.
    Released {
        /// What was held.
        amount: Money,
        /// Who got what.
        split: Vec<SplitAmount>,
    },
    /// Back to the consumer.
    Refunded {
        /// What was held.
        amount: Money,
        /// To whom.
        consumer: Did,
        /// Why: a stable code.
        reason: String,
    },
}

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// A job's receipts.
    Receipt {
        /// The job.
        job_id: JobId,
    },
    /// A dataset's certificate.
    Certificate {
        /// The dataset; none if the statement could not be read.
        dataset_id: Option<DatasetId>,
        /// Who holds the right.
        holder: Option<Did>,
    },
}

/// By how many members the block behind a checkpoint is shown to be decided: by more than two thirds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Members that signed the decision, or cosigned the checkpoint.
    pub k: u32,
    /// Members at that height.
    pub n: u32,
}

/// What verification found.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationReport {
    /// In one word.
    pub status: Status,
    /// What was verified.
    pub subject: Subject,
    /// Every check, passed or not.
    pub checks: Vec<Check>,
    /// What the computation withstood; none for a certificate or an invalid bundle.
    pub security: Option<Security>,
    /// Where the money went; none for a certificate or an invalid bundle.
    pub outcome: Option<Outcome>,
    /// Validators of the trust file that cosigned, at the entry where they are fewest.
    pub validators: u32,
    /// By how many members every entry's checkpoint is shown to be decided, at the entry where they are fewest. None if the trust file names
    /// no channel, if something is pending, or if the file does not show it for each checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Decided>,
}

impl VerificationReport {
    /// Whether every check passed. Says nothing about being logged or witnessed: see the status.
    pub fn is_valid(&self) -> bool {
        self.status != Status::Invalid
    }
}

/// Verifies a job's receipt bundle.
pub fn verify_receipt(json: &[u8], trust: &TrustFile) -> Result<VerificationReport, VerifyError> {
    trust.check()?;
    let bundle = ReceiptBundle::from_json(json)?;
    let mut checks = Checks::default();
    let statements = Statements::open(&bundle.entries, &mut checks);
    if let Some(statements) = &statements {
        terms::check(statements, trust, &mut checks);
        run::check(statements, &bundle.job_id, &mut checks);
        money::check(statements, trust, &mut checks);
    }
    let logged = logged::check(&bundle.entries, bundle.decisions.as_ref(), trust, &mut checks);
    let (status, checks) = (logged.status(trust, &checks), checks.into_list());
    let believed = statements.filter(|_| status != Status::Invalid);
    Ok(VerificationReport {
        security: believed.as_ref().map(|statements| statements.agreement.statement.security),
        outcome: believed.as_ref().map(money::outcome),
        subject: Subject::Receipt { job_id: bundle.job_id },
        validators: if status == Status::Invalid { 0 } else { logged.validators },
        decided: logged.decided.filter(|_| status != Status::Invalid),
        status,
        checks,
    })
}

/// Verifies a dataset's certificate.
pub fn verify_certificate(json: &[u8], trust: &TrustFile) -> Result<VerificationReport, VerifyError> {
    trust.check()?;
    let certificate = Certificate::from_json(json)?;
    let mut checks = Checks::default();
    let rights = open_certificate(&certificate.entries, &mut checks);
    if let Some(rights) = &rights {
        let holder = &rights.statement.holder;
        checks.run("participants", || statements::trusted(trust, "the holder", holder));
        checks.run("signature:rights", || rights.signed_by([holder]));
    }
    let logged = logged::check(&certificate.entries, certificate.decisions.as_ref(), trust, &mut checks);
    let (status, checks) = (logged.status(trust, &checks), checks.into_list());
    let (dataset_id, holder) = rights.map(|rights| (rights.statement.dataset_id, rights.statement.holder)).unzip();
    Ok(VerificationReport {
        security: None,
        outcome: None,
        subject: Subject::Certificate { dataset_id, holder },
        validators: if status == Status::Invalid { 0 } else { logged.validators },
        decided: logged.decided.filter(|_| status != Status::Invalid),
        status,
        checks,
    })
}

fn open_certificate(entries: &[BundleEntry], checks: &mut Checks) -> Option<Opened<RightsRegistration>> {
    let [entry] = entries else {
        checks.fail("entries", CheckError::Rule("a certificate has one entry, named rights"));
        return None;
    };
    if entry.name != "rights" {
        checks.fail("entries", CheckError::UnknownEntry { name: entry.name.clone() });
        return None;
    }
    checks.value("statement:rights", || Opened::open(entry))
}
