//! What happens to a job, and what is to be done about it.

use super::state::{Job, RefundReason};
use entrepot_chain_statement::{Hash, Timestamp, statements::UsageReceipt};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest code taken from a worker, in bytes.
pub const CODE_BYTES_MAX: usize = 64;
/// Longest explanation taken from a worker, in characters.
pub const DETAIL_CHARS_MAX: usize = 500;

/// A worker's own words about a failure or refusal, cut to what is safe to keep and show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// Stable code.
    pub code: String,
    /// For people.
    pub detail: String,
}

impl Complaint {
    /// Takes a worker's words: a code that is no code becomes `unspecified`, and the detail is cut and loses its control characters.
    pub fn from_worker(code: &str, detail: &str) -> Self {
        let is_code = !code.is_empty()
            && code.len() <= CODE_BYTES_MAX
            && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let code = if is_code { code } else { "unspecified" };
        let detail = detail.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS_MAX).collect();
        Self { code: code.to_owned(), detail }
    }

    pub(super) fn ours(code: &str, detail: impl ToString) -> Self {
        Self { code: code.to_owned(), detail: detail.to_string() }
    }
}

/// What a party of the job says.
#[derive(Clone, Debug, PartialEq)]
pub enum Saying {
    /// It takes part.
    Accepted,
    /// It will never run this order.
    Refused(Complaint),
    /// It computes.
    Progress(Progress),
    /// This attempt is over for it.
    Failed(Complaint),
    /// It computed. The receipt's signature was checked; what it says was not. With it the receipt's statement hash.
    Finished(Box<UsageReceipt>, Hash),
}

/// The steps of a computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// To the other parties.
    Connecting,
    /// Finding the common keys.
    Intersecting,
    /// Sharing the columns.
    Sharing,
    /// On shares.
    Computing,
    /// The result, to the consumer.
    Sealing,
}

impl Step {
    /// The step of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "connecting" => Some(Self::Connecting),
            "intersecting" => Some(Self::Intersecting),
            "sharing" => Some(Self::Sharing),
            "computing" => Some(Self::Computing),
            "sealing" => Some(Self::Sealing),
            _ => None,
        }
    }
}

/// How far a party is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The step of the protocol.
    pub step: Step,
    /// Of `total`.
    pub done: u64,
    /// The whole of the step.
    pub total: u64,
}

/// What happens to a job.
#[derive(Clone, Debug, PartialEq)]
pub enum JobEvent {
    /// It is the job's turn and every worker is connected.
    Dispatch,
    /// A party spoke about an attempt.
    Said {
        /// Its index.
        party: u8,
        /// The try it speaks of.
        attempt: u32,
        /// What it said.
        saying: Saying,
    },
    /// Ciphertexts came, of which only the digests matter here.
    HandedOver {
        /// Share number and SHA-256 of the ciphertext.
        shares: Vec<(u8, Hash)>,
    },
    /// Time passed; the caller need not know whether enough of it.
    Tick,
    /// The consumer cancels.
    Cancel,
    /// The product was withdrawn.
    Withdrawn,
}

/// What is to be done about a transition.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// In the transaction: pay the escrow out and sign the release.
    PayOut,
    /// In the transaction: give the escrow back and sign the refund.
    GiveBack(RefundReason),
    /// In the transaction: keep this party's receipt.
    KeepReceipt {
        /// The party.
        party: u8,
    },
    /// In the transaction: keep the ciphertext of this share.
    KeepShare {
        /// The share.
        share: u8,
    },
    /// In the transaction: append to what subscribers of the job see.
    Note(Note),
    /// Afterwards: send what [`outstanding`](super::outstanding) names to this party.
    Send {
        /// The party.
        party: u8,
    },
    /// Afterwards: tell the party to stop an attempt.
    Abort {
        /// The party.
        party: u8,
        /// The try.
        attempt: u32,
        /// Why; a stable code.
        code: &'static str,
    },
}

/// What subscribers of a job see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Note {
    /// The job waits.
    Queued {
        /// The try that comes next.
        attempt: u32,
        /// Not dispatched before.
        not_before: Timestamp,
    },
    /// The work orders are out.
    Dispatched {
        /// Which try.
        attempt: u32,
    },
    /// A worker accepted.
    Accepted {
        /// Which try.
        attempt: u32,
        /// Its index.
        party: u8,
    },
    /// The workers compute.
    Running {
        /// Which try.
        attempt: u32,
    },
    /// A worker is somewhere in its part.
    Progress {
        /// Which try.
        attempt: u32,
        /// Its index.
        party: u8,
        /// Where.
        #[serde(flatten)]
        progress: Progress,
    },
    /// A worker computed.
    Finished {
        /// Which try.
        attempt: u32,
        /// Its index.
        party: u8,
    },
    /// The attempt failed.
    AttemptFailed {
        /// Which try.
        attempt: u32,
        /// Who said so; none if the exchange found it.
        party: Option<u8>,
        /// Why.
        #[serde(flatten)]
        complaint: Complaint,
    },
    /// A worker will never run this order.
    Refused {
        /// Which try.
        attempt: u32,
        /// Its index.
        party: u8,
        /// Why.
        #[serde(flatten)]
        complaint: Complaint,
    },
    /// Paid out.
    Released {
        /// The try that counted.
        attempt: u32,
    },
    /// The sealed shares were not handed over in time.
    HandOverOverdue,
    /// No worker keeps the sealed shares any more.
    Undelivered,
    /// A sealed share is here.
    ShareDelivered {
        /// Which.
        share: u8,
    },
    /// All of them are here.
    Delivered,
    /// The price went back.
    Refunded {
        /// Why.
        reason: RefundReason,
    },
}

/// The outcome of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The job afterwards.
    pub job: Job,
    /// What is to be done.
    pub effects: Vec<Effect>,
}

/// Why an event that somebody asked for cannot happen. Events of workers never fail: they are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JobError {
    /// It is paid out or given back.
    #[error("the job is {0} and can no longer be cancelled")]
    Over(&'static str),
    /// Dispatching needs a queued job whose pause is over.
    #[error("the job is {0} and not ready to be dispatched")]
    NotReady(&'static str),
}
