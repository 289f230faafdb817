//! Dividing a price, by the rule that exchange, workers and verifiers share.

use crate::errors::{refusal, refusal_text};
use entrepot_chain_statement::{
    Hash, Money,
    split::{rule_digest, split as divide},
    statements::SplitShare,
};
use pyo3::prelude::*;

/// Who gets what of a price by these shares, to the last minor unit; money and shares as JSON, and so the parts.
#[pyfunction]
pub fn split(price: &str, shares: &str) -> PyResult<String> {
    let price: Money = serde_json::from_str(price).map_err(|error| refusal("statement", &error))?;
    let shares: Vec<SplitShare> = serde_json::from_str(shares).map_err(|error| refusal("statement", &error))?;
    let parts = divide(&price, &shares).map_err(|error| refusal("split", &error))?;
    serde_json::to_string(&parts).map_err(|error| refusal("split", &error))
}

/// Digest of an agreement's split rule, as a release names it; the agreement by its statement hash, the shares as JSON.
#[pyfunction]
pub fn split_rule(agreement: &str, shares: &str) -> PyResult<String> {
    let agreement: Hash = agreement.parse().map_err(|why: &str| refusal_text("hash", why))?;
    let shares: Vec<SplitShare> = serde_json::from_str(shares).map_err(|error| refusal("statement", &error))?;
    Ok(rule_digest(&agreement, &shares).to_string())
}
