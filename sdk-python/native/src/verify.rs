//! Offline verification, by the code that `entrepot verify` runs.

use crate::errors::{refusal, refusal_text};
use entrepot_chain_log::{
    trust::TrustFile,
    verify::{VerificationReport, VerifyError, verify_certificate, verify_receipt},
};
use pyo3::prelude::*;

/// Verifies a receipt bundle or a certificate, whichever the bytes are, by the keys of a trust file; the report as JSON.
#[pyfunction]
pub fn verify(bundle: &[u8], trust: &str) -> PyResult<String> {
    let trust = TrustFile::from_json(trust.as_bytes()).map_err(|error| refusal("trust_file", &error))?;
    // Only to pick the format: each verifier reads the bytes again, strictly.
    let format = serde_json::from_slice::<serde_json::Value>(bundle).ok().and_then(|value| Some(value.get("format")?.as_str()?.to_owned()));
    let report: Result<VerificationReport, VerifyError> = match format.as_deref() {
        Some("entrepot.receipt.v1") => verify_receipt(bundle, &trust),
        Some("entrepot.certificate.v1") => verify_certificate(bundle, &trust),
        _ => return Err(refusal_text("receipt_format", "neither a receipt bundle nor a certificate")),
    };
    let report = report.map_err(|error| refusal("receipt_format", &error))?;
    serde_json::to_string(&report).map_err(|error| refusal("report", &error))
}
