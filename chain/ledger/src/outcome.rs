//! What the ledger answers.

use entrepot_chain_statement::Did;
use std::fmt;

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log, now or since earlier.
    Accepted {
        /// Its place, from 0.
        index: u64,
    },
    /// It is not, and this transaction will never bring it there.
    Rejected(Rejection),
}

/// Why a transaction was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The submitter did not sign it for this log.
    BadSubmitterSignature,
    /// The submitter's number was used before.
    StaleSequence {
        /// The number to use.
        expected: u64,
    },
    /// A number of the submitter was left out.
    SequenceGap {
        /// The number to use.
        expected: u64,
    },
    /// The leaf binds nobody, so nobody could be asked whether it is theirs.
    BindsNobody,
    /// A key that the leaf binds has not signed it.
    Unbound {
        /// Whose signature is missing.
        key: Did,
    },
    /// A key signed that the leaf does not bind.
    NotBound {
        /// Whose signature is too much.
        key: Did,
    },
    /// A signature over the leaf is wrong.
    BadSignature {
        /// Whose.
        key: Did,
    },
    /// More keys or signatures than an encoding holds.
    TooManySignatures,
    /// The log knows as many submitters as it may.
    TooManySubmitters,
}

impl Rejection {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSubmitterSignature => "bad_submitter_signature",
            Self::StaleSequence { .. } => "stale_sequence",
            Self::SequenceGap { .. } => "sequence_gap",
            Self::BindsNobody => "binds_nobody",
            Self::Unbound { .. } => "unbound",
            Self::NotBound { .. } => "not_bound",
            Self::BadSignature { .. } => "bad_signature",
            Self::TooManySignatures => "too_many_signatures",
            Self::TooManySubmitters => "too_many_submitters",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSubmitterSignature => write!(f, "the submitter did not sign this transaction for this log"),
            Self::StaleSequence { expected } => write!(f, "the submitter's sequence number was used before; the next is {expected}"),
            Self::SequenceGap { expected } => write!(f, "a sequence number of the submitter was left out; the next is {expected}"),
            Self::BindsNobody => write!(f, "the leaf binds nobody"),
            Self::Unbound { key } => write!(f, "{key} is bound by the leaf and has not signed it"),
            Self::NotBound { key } => write!(f, "{key} signed the leaf without being bound by it"),
            Self::BadSignature { key } => write!(f, "the signature of {key} over the leaf is wrong"),
            Self::TooManySignatures => write!(f, "the leaf has too many keys or signatures"),
            Self::TooManySubmitters => write!(f, "the log takes no further submitter"),
        }
    }
}
