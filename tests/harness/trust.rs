//! The trust file of a market: keys known beforehand, because the test made them.

use crate::{market::Market, process};
use entrepot_chain_log::cosignature_vkey;
use serde_json::{Value, json};
use std::{path::Path, process::Output};

impl Market {
    /// Everybody's keys; the three workers are witnesses and two of them suffice.
    pub fn trust(&self) -> Value {
        let witnesses: Vec<Value> = self
            .homes()
            .into_iter()
            .map(|home| json!({"vkey": cosignature_vkey(&home.key.witness.did()).to_string(), "participant": home.participant}))
            .collect();
        let info = &self.exchange.info;
        json!({
            "format": "entrepot.trust.v1",
            "log": {"origin": info.origin, "key": info.log_key},
            "validators": [info.validator],
            "witnesses": witnesses,
            "quorum": 2,
            "exchange": info.did,
            "participants": self.cast.trusted(),
        })
    }

    /// `entrepot verify` on a bundle, with a trust file.
    pub fn verify(&self, bundle: &Value, trust: &Value) -> Verified {
        let folder = tempfile::tempdir_in(self.folder()).expect("a folder");
        let write = |name: &str, document: &Value| {
            let path = folder.path().join(name);
            std::fs::write(&path, document.to_string()).expect("a file");
            path
        };
        verify_files(&write("bundle.json", bundle), &write("trust.json", trust))
    }
}

/// What `entrepot verify` said.
pub struct Verified {
    /// Exit code: 0, or 4 for what is not true, or 3 for what cannot be read.
    pub code: i32,
    /// Its report.
    pub report: Value,
}

impl Verified {
    /// The report's one word.
    pub fn state(&self) -> &str {
        self.report["status"]["state"].as_str().unwrap_or_default()
    }
}

fn verify_files(bundle: &Path, trust: &Path) -> Verified {
    let (bundle, trust) = (bundle.display().to_string(), trust.display().to_string());
    let Output { status, stdout, .. } = process::run(&["--json", "verify", &bundle, "--trust", &trust]);
    Verified { code: status.code().unwrap_or(-1), report: serde_json::from_slice(&stdout).unwrap_or_default() }
}
