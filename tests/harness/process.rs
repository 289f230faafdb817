//! Processes of the binary under test: started with a log file, killed for real, gone when dropped.

use std::{
    fs::{File, OpenOptions},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

/// How long a process may take to be ready, to stop or to die.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test: `ENTREPOT_BIN`, or the one that was built beside this test.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ENTREPOT_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    // target/debug/deps/<test>
    let path = test.ancestors().nth(2).expect("two folders up").join("entrepot");
    assert!(path.exists(), "{} is not there: run `cargo build --workspace` or ./dev build", path.display());
    path
}

/// Runs a command of the binary to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(binary()).args(arguments).stdin(Stdio::null()).output().expect("the binary starts")
}

/// Runs a command that must succeed; its standard output.
pub fn succeed(arguments: &[&str]) -> String {
    let output = run(arguments);
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "entrepot {}: {}\n{out}{errors}", arguments.join(" "), output.status);
    out.into_owned()
}

/// A running process of the binary.
pub struct Process {
    name: String,
    arguments: Vec<String>,
    log: PathBuf,
    file_bytes_max: Option<u64>,
    child: Child,
}

impl Process {
    /// Starts the binary; both its outputs go to `log`, after what is there. With a fail point it will kill itself there.
    pub fn start(name: &str, arguments: &[&str], log: &Path, failpoint: Option<&str>) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let child = spawn(&arguments, log, failpoint, None);
        Self { name: name.to_owned(), arguments, log: log.to_owned(), file_bytes_max: None, child }
    }

    /// From the next start on no file of it may grow past this size: writing more fails, as on a full disk.
    pub fn limit_files(&mut self, file_bytes_max: Option<u64>) {
        self.file_bytes_max = file_bytes_max;
    }

    /// From the next start on it has these arguments.
    pub fn set_arguments(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of it, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("the child is ours")
    }

    /// SIGKILL, as a power cut would be to it.
    pub fn kill(&mut self) {
        self.child.kill().expect("the child is ours");
        self.child.wait().expect("the child is ours");
    }

    /// Sends a signal by its name, as in `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().expect("kill");
        assert!(status.success(), "{} is not there to be sent SIG{name}", self.name);
    }

    /// SIGTERM; waits for the end.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not stop:\n{}", self.name, self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts it again with the same arguments, killing it first if it runs.
    pub fn restart(&mut self, failpoint: Option<&str>) {
        if self.ended().is_none() {
            self.kill();
        }
        self.child = spawn(&self.arguments, &self.log, failpoint, self.file_bytes_max);
    }

    /// Whether it died by SIGKILL.
    pub fn was_killed(&mut self) -> bool {
        self.ended().is_some_and(|status| status.signal() == Some(9))
    }

    /// Waits until the file is there.
    pub async fn wait_for_file(&mut self, path: &Path) {
        let deadline = Instant::now() + PATIENCE;
        while !path.exists() {
            let ended = self.ended();
            assert!(ended.is_none(), "{} ended ({ended:?}):\n{}", self.name, self.log());
            assert!(Instant::now() < deadline, "{} made no {}:\n{}", self.name, path.display(), self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            // Reads say nothing about what went wrong.
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("method=GET")).collect();
            eprintln!("--- {} ---\n{}", self.name, lines[lines.len().saturating_sub(25)..].join("\n"));
        }
    }
}

fn spawn(arguments: &[String], log: &Path, failpoint: Option<&str>, file_bytes_max: Option<u64>) -> Child {
    let log: File = OpenOptions::new().create(true).append(true).open(log).expect("log file");
    let errors = log.try_clone().expect("log file");
    let mut command = match file_bytes_max {
        None => Command::new(binary()),
        Some(bytes) => limited(bytes),
    };
    command.args(arguments).stdin(Stdio::null()).stdout(log).stderr(errors).env_remove("ENTREPOT_FAILPOINT");
    if let Some(name) = failpoint {
        command.env("ENTREPOT_FAILPOINT", name);
    }
    command.spawn().expect("the binary starts")
}

/// The binary under RLIMIT_FSIZE, by a shell that becomes it. The signal that says so is ignored: what is left is the error.
fn limited(file_bytes_max: u64) -> Command {
    let blocks = file_bytes_max / 512;
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")]).arg(binary());
    command
}
