//! What commands print: text for people, or one JSON document.

use crate::exit::Failure;
use serde_json::{Value, json};
use std::io::Write;

/// How to print.
pub struct Output {
    /// One JSON document instead of text.
    pub json: bool,
}

impl Output {
    /// The result of a command, in both forms.
    pub fn result(&self, text: &str, document: &Value) {
        let line = if self.json { document.to_string() } else { text.to_owned() };
        // A closed pipe is no reason to fail: nobody reads any more.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    }

    /// A line on the way; only for people.
    pub fn step(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stdout().lock(), "{text}");
        }
    }

    /// The end of a command that did not succeed.
    pub fn failure(&self, failure: &Failure) {
        let line = if self.json {
            json!({"error": {"exit_code": failure.code as u8, "message": failure.message}}).to_string()
        } else {
            format!("entrepot: {failure}")
        };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}
