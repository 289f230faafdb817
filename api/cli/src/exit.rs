//! How the binary ends: stable exit codes, and one message that says what to do.

use std::fmt;

/// Stable exit codes. 0 is success and 2 is clap's for a wrong command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Something failed here: disk, network, a bug.
    Failed = 1,
    /// A file, a key or the configuration is not as it must be.
    BadInput = 3,
    /// Checked, and found untrue.
    NotVerified = 4,
    /// The exchange refused, and said why.
    Refused = 5,
    /// Nobody answered.
    Unreachable = 6,
}

/// The end of a command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    /// What the shell sees.
    pub code: ExitCode,
    /// What the person sees.
    pub message: String,
}

impl Failure {
    /// A failure with its message.
    pub fn new(code: ExitCode, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// A wrong file, key or setting.
    pub fn bad_input(message: impl fmt::Display) -> Self {
        Self::new(ExitCode::BadInput, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Errors of libraries end as `Failed`, with their causes in one line.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(ExitCode::Failed, format!("{error:#}"))
    }
}

/// What a command returns.
pub type Outcome = Result<(), Failure>;
