//! Native core of the Python SDK, `entrepot._native`: keys, envelopes, plans, results and proofs, from the crates that the exchange and
//! the workers use themselves.
//!
//! Everything crosses as JSON text, bytes or plain integers, so that the Python side holds no second definition of a statement: what it
//! builds is parsed into the typed statement here before it is signed. Secrets stay inside `key::Key`.

mod envelope;
mod errors;
mod key;
mod log;
mod money;
mod plan;
mod verify;

use pyo3::prelude::*;

/// `entrepot._native`.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::{
        envelope::{envelope_hash, envelope_open, envelope_peek, envelope_signers, sha256},
        errors::{NativeError, PlanError},
        key::{Key, keygen, new_id, random_token},
        log::{checkpoint_extends, checkpoint_size},
        money::{split, split_rule},
        plan::{Plan, plan},
        verify::verify,
    };
}
