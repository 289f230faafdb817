//! Checkpoints: whether the trusted log signed them, and whether it only grew from one to the next.

use crate::errors::{refusal, refusal_text};
use entrepot_chain_log::{SignedCheckpoint, merkle::verify_consistency, trust::TrustFile};
use entrepot_chain_statement::Hash;
use pyo3::prelude::*;

fn signed(note: &str, trust: &TrustFile) -> PyResult<SignedCheckpoint> {
    let found: SignedCheckpoint = note.parse().map_err(|error| refusal("checkpoint", &error))?;
    found.verify_log(&trust.log.origin, &trust.log.key).map_err(|error| refusal("checkpoint", &error))?;
    Ok(found)
}

fn trusted(trust: &str) -> PyResult<TrustFile> {
    TrustFile::from_json(trust.as_bytes()).map_err(|error| refusal("trust_file", &error))
}

/// The number of entries that a checkpoint covers, if the log of the trust file signed it.
#[pyfunction]
pub fn checkpoint_size(note: &str, trust: &str) -> PyResult<u64> {
    Ok(signed(note, &trusted(trust)?)?.checkpoint().size)
}

/// Raises unless the log of the second checkpoint begins with that of the first, by a proof of hashes in hexadecimal.
#[pyfunction]
pub fn checkpoint_extends(first: &str, second: &str, proof: Vec<String>, trust: &str) -> PyResult<()> {
    let trust = trusted(trust)?;
    let (first, second) = (signed(first, &trust)?, signed(second, &trust)?);
    let proof: Vec<Hash> = proof.iter().map(|hash| hash.parse().map_err(|why: &str| refusal_text("hash", why))).collect::<PyResult<_>>()?;
    let (old, new) = (first.checkpoint(), second.checkpoint());
    verify_consistency((old.size, &old.root), (new.size, &new.root), &proof).map_err(|error| refusal("log_forked", &error))
}
