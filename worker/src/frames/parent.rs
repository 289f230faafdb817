//! The parent's side: starts the child, feeds it the request, believes nothing it says.

use super::{ChildProgram, Frame, FrameError, FrameLimits, FrameRequest, child::THREADS, wire};
use std::{
    io::Read as _,
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, process::Command};

/// What of the child's standard error is looked at.
const STDERR_BYTES_MAX: u64 = 16 * 1024;
/// After standard output closed, so long until the child must have ended.
const EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Loads a CSV file through a child process.
pub async fn load(program: &ChildProgram, request: &FrameRequest) -> Result<Frame, FrameError> {
    match tokio::time::timeout(request.limits.timeout, run(program, request)).await {
        Ok(result) => result,
        // The child was dropped with the future, which kills it.
        Err(_) => Err(FrameError::TimeLimit),
    }
}

async fn run(program: &ChildProgram, request: &FrameRequest) -> Result<Frame, FrameError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        tracing::error!(%error, "cannot {what} the process that reads CSV files");
        FrameError::ChildFailed
    };
    let mut child = Command::new(&program.program)
        .args(&program.arguments)
        .env_clear()
        .env("POLARS_MAX_THREADS", THREADS.to_string())
        // Few arenas: each reserves address space, which is what is limited.
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("start", &error))?;
    let input = serde_json::to_vec(request).map_err(|error| failed("instruct", &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that died early is found out below, by what it did not say.
        let _ = stdin.write_all(&input).await;
    }
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else { return Err(FrameError::ChildFailed) };
    let stdout = stdout.into_owned_fd().map_err(|error| failed("read from", &error))?;
    let stderr = stderr.into_owned_fd().map_err(|error| failed("read from", &error))?;
    let FrameLimits { memory_bytes_max, rows_max, .. } = request.limits;
    // Blocking readers on their own threads: when the child is killed its ends of the pipes close, and they return.
    let frame = tokio::task::spawn_blocking(move || {
        let mut reader = std::io::BufReader::with_capacity(1 << 20, std::fs::File::from(stdout));
        wire::read_frame(&mut reader, memory_bytes_max, rows_max)
    });
    let stderr = tokio::task::spawn_blocking(move || {
        let mut text = Vec::new();
        let mut pipe = std::fs::File::from(stderr);
        let _ = pipe.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut text);
        // Drained, so that a talkative child does not block on a full pipe.
        let _ = std::io::copy(&mut pipe, &mut std::io::sink());
        text
    });
    let frame = frame.await.map_err(|error| failed("read from", &error))?;
    if frame.is_none() {
        let _ = child.start_kill();
    }
    let status = match tokio::time::timeout(EXIT_TIMEOUT, child.wait()).await {
        Ok(status) => status.map_err(|error| failed("wait for", &error))?,
        Err(_) => return Err(FrameError::TimeLimit),
    };
    let stderr = stderr.await.map_err(|error| failed("read from", &error))?;
    match frame {
        Some(result) if status.success() => result,
        _ => Err(cause_of_death(status, &stderr)),
    }
}

/// What the child died of. Its standard error is not logged: a panic message of a parser may quote a cell.
fn cause_of_death(status: ExitStatus, stderr: &[u8]) -> FrameError {
    let said = |words: &str| stderr.windows(words.len()).any(|window| window == words.as_bytes());
    if said("memory allocation of") || said("Cannot allocate memory") || said("capacity overflow") || said("OutOfMemory") {
        return FrameError::MemoryLimit;
    }
    match status.signal() {
        Some(libc::SIGXCPU) => FrameError::TimeLimit,
        signal => {
            tracing::error!(?signal, code = ?status.code(), "the process that reads CSV files ended without an answer");
            FrameError::ChildFailed
        }
    }
}
