//! The list of checks, and why one fails.

use crate::{CheckpointError, consortium::HistoryError, merkle::ProofError, proof::TlogProofError};
use entrepot_chain_statement::{Did, EnvelopeError, Hash};
use serde::{Deserialize, Serialize};

/// One check of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was checked: a stable name, as in `signature:release`.
    pub name: String,
    /// Whether it passed.
    pub ok: bool,
    /// Why not; empty if it passed.
    pub detail: String,
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The statement does not open, or is not signed by whom it binds.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// An entry has a name that the format lacks.
    #[error("the format has no entry named {name:?}")]
    UnknownEntry {
        /// The name.
        name: String,
    },
    /// An entry is not there.
    #[error("the entry {name} is missing")]
    MissingEntry {
        /// Its name.
        name: String,
    },
    /// Somebody is not in the trust file.
    #[error("{what}, {did}, is not in the trust file")]
    Untrusted {
        /// In which part.
        what: &'static str,
        /// Who.
        did: Did,
    },
    /// A statement refers to another than the one beside it.
    #[error("{what} is {found}, expected {expected}")]
    Reference {
        /// What refers.
        what: &'static str,
        /// The hash it has.
        found: Hash,
        /// The hash of what is there.
        expected: Hash,
    },
    /// Something breaks a rule.
    #[error("{0}")]
    Rule(&'static str),
    /// The proof is not one.
    #[error(transparent)]
    Proof(#[from] TlogProofError),
    /// The proof does not lead from the statement's leaf to the checkpoint.
    #[error(transparent)]
    Path(#[from] ProofError),
    /// The checkpoint is not to be believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A block is not shown to be decided.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// Two checkpoints of one size have two roots.
    #[error("the log forked: two roots for {size} entries")]
    Fork {
        /// The size.
        size: u64,
    },
}

/// Fails with this rule unless it holds.
pub(super) fn rule(holds: bool, broken: &'static str) -> Result<(), CheckError> {
    if holds { Ok(()) } else { Err(CheckError::Rule(broken)) }
}

/// Fails unless the reference is to what is there.
pub(super) fn refers(what: &'static str, found: &Hash, expected: &Hash) -> Result<(), CheckError> {
    if found == expected { Ok(()) } else { Err(CheckError::Reference { what, found: *found, expected: *expected }) }
}

/// The checks so far.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<Check>);

impl Checks {
    /// Runs a check.
    pub(super) fn run(&mut self, name: impl Into<String>, check: impl FnOnce() -> Result<(), CheckError>) {
        self.value(name, check);
    }

    /// Runs a check that yields something to go on with.
    pub(super) fn value<T>(&mut self, name: impl Into<String>, check: impl FnOnce() -> Result<T, CheckError>) -> Option<T> {
        let result = check();
        let detail = result.as_ref().err().map(describe).unwrap_or_default();
        self.0.push(Check { name: name.into(), ok: result.is_ok(), detail });
        result.ok()
    }

    /// Notes a failure.
    pub(super) fn fail(&mut self, name: impl Into<String>, error: CheckError) {
        self.run(name, || Err(error));
    }

    /// Whether all passed, and there were some.
    pub(super) fn all_ok(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|check| check.ok)
    }

    pub(super) fn into_list(self) -> Vec<Check> {
        self.0
    }
}

/// The error and what caused it.
fn describe(error: &CheckError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
