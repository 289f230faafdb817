//! `entrepot verify`: a receipt or certificate, offline, against keys known beforehand.

use crate::{
    exit::{ExitCode, Failure, Outcome},
    files,
    output::Output,
};
use clap::Args;
use entrepot_chain_log::{Status, TrustFile, VerificationReport, verify_certificate, verify_receipt};
use serde_json::Value;
use std::{fmt::Write, path::PathBuf};

#[derive(Args)]
pub struct Arguments {
    /// The receipt or certificate.
    file: PathBuf,
    /// The keys to trust, from somewhere else than the file and the exchange that sent it.
    #[arg(long, value_name = "FILE")]
    trust: PathBuf,
}

pub fn run(arguments: &Arguments, output: &Output) -> Outcome {
    let trust = files::read(&arguments.trust)?;
    let trust = TrustFile::from_json(&trust).map_err(|error| Failure::bad_input(format!("{}: {error}", arguments.trust.display())))?;
    let document = files::read(&arguments.file)?;
    let format = serde_json::from_slice::<Value>(&document).ok().and_then(|value| Some(value.get("format")?.as_str()?.to_owned()));
    let report = match format.as_deref() {
        Some("entrepot.certificate.v1") => verify_certificate(&document, &trust),
        _ => verify_receipt(&document, &trust),
    };
    let report = report.map_err(|error| Failure::bad_input(format!("{}: {:#}", arguments.file.display(), anyhow::Error::from(error))))?;
    output.result(&text(&report), &serde_json::to_value(&report).map_err(anyhow::Error::from)?);
    if report.is_valid() { Ok(()) } else { Err(Failure::new(ExitCode::NotVerified, "the file proves nothing: see the checks that failed")) }
}

fn text(report: &VerificationReport) -> String {
    let mut text = match &report.status {
        Status::Witnessed { k, n } => format!("valid, witnessed by {k} of {n}"),
        Status::Unwitnessed { k, n, quorum } => format!("valid, unwitnessed: {k} of {n} witnesses cosigned, {quorum} are needed"),
        Status::Pending { entries } => format!("valid, pending: not logged yet: {}", entries.join(", ")),
        Status::Invalid => "INVALID".to_owned(),
    };
    if let Some(decided) = &report.decided {
        // Writing to a String cannot fail.
        let _ = write!(text, "; validators {} of {}", decided.k, decided.n);
    }
    for check in &report.checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        let _ = write!(text, "\n  {mark} {}: {}", check.name, check.detail);
    }
    text
}
