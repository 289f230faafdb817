//! The processes that `entrepot dev` starts, and how they end with it.

use crate::exit::{ExitCode, Failure};
use serde_json::{Map, Value};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

/// How long a process may take to stop by itself: longer than `serve` gives to what is under way, and time to close besides.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a process may take to be ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Running children, each with a log file.
pub struct Processes {
    logs: PathBuf,
    children: Vec<(&'static str, Child)>,
}

impl Processes {
    /// None yet; logs go to `logs`.
    pub fn new(logs: PathBuf) -> Result<Self, Failure> {
        fs::create_dir_all(&logs).map_err(anyhow::Error::from)?;
        Ok(Self { logs, children: Vec::new() })
    }

    /// Starts this very binary with other arguments.
    pub fn start(&mut self, name: &'static str, arguments: &[&str]) -> Result<(), Failure> {
        let log = File::create(self.logs.join(format!("{name}.log"))).map_err(anyhow::Error::from)?;
        let errors = log.try_clone().map_err(anyhow::Error::from)?;
        let child = Command::new(std::env::current_exe().map_err(anyhow::Error::from)?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true)
            // Ctrl-C in the terminal must reach us alone: we stop the others in order.
            .process_group(0)
            .spawn()
            .map_err(anyhow::Error::from)?;
        self.children.push((name, child));
        Ok(())
    }

    /// Waits until a file is there, or says whose log to read.
    pub async fn wait_for_file(&mut self, name: &str, path: &Path) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + READY_TIMEOUT;
        while !path.exists() {
            let ended = self.children.iter_mut().any(|(n, child)| *n == name && matches!(child.try_wait(), Ok(Some(_))));
            if ended || tokio::time::Instant::now() > deadline {
                return Err(Failure::new(ExitCode::Failed, format!("{name} did not become ready:\n{}", self.last_lines(name))));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Process ids by name.
    pub fn ids(&self) -> Value {
        self.children.iter().filter_map(|(name, child)| Some(((*name).to_owned(), Value::from(child.id()?)))).collect::<Map<_, _>>().into()
    }

    /// Waits until one of them ends, and says which.
    pub async fn any_ended(&mut self) -> String {
        loop {
            for (name, child) in &mut self.children {
                if let Ok(Some(status)) = child.try_wait() {
                    let name = *name;
                    return format!("{name} ended ({status}):\n{}", self.last_lines(name));
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Stops all: workers before the exchange, politely, then not.
    pub async fn stop(&mut self) {
        for (_, child) in self.children.iter_mut().rev() {
            if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
                terminate(id);
            }
        }
        for (_, child) in self.children.iter_mut().rev() {
            if tokio::time::timeout(STOP_TIMEOUT, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
        }
    }

    fn last_lines(&self, name: &str) -> String {
        let text = fs::read_to_string(self.logs.join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

#[expect(unsafe_code, reason = "tokio can only kill; a graceful stop needs SIGTERM")]
fn terminate(id: i32) {
    // SAFETY: kill(2) takes plain integers and touches no memory of ours; the child is not yet reaped, so the id is its own.
    unsafe {
        libc::kill(id, libc::SIGTERM);
    }
}
