//! What benchmarks measure beside, and how they print it: a figure is worth something only next to a limit measured in the same run.
//!
//! The benchmarks themselves are in the crates that they measure, as `benches/<name>.rs`; `./dev bench` runs them all.

use entrepot_chain_statement::SigningKey;
use serde_json::json;
use std::{
    fs::File,
    hint::black_box,
    io::{Seek, SeekFrom, Write},
    num::NonZeroUsize,
    time::{Duration, Instant},
};

/// How long a limit of the machine is measured.
const LIMIT_TIME: Duration = Duration::from_millis(500);
/// A database's page.
const PAGE: [u8; 4096] = [7; 4096];

/// A figure beside its reference.
#[derive(Clone, Debug)]
pub struct Figure<'a> {
    /// Name, as in `psi.ecdh`.
    pub name: &'a str,
    /// What was measured.
    pub value: f64,
    /// Its unit, as in `items/s`.
    pub unit: &'a str,
    /// What the machine could do at best, measured in the same run, in the same unit.
    pub reference: f64,
    /// Sizes, and what the reference is.
    pub conditions: &'a str,
}

impl Figure<'_> {
    /// Prints the figure as a line of JSON, with the machine's rates of today in its conditions.
    #[expect(clippy::print_stdout, reason = "the line is the benchmark's result")]
    pub fn print(&self) {
        let Machine { ed25519_verifications, fsyncs } = Machine::measure();
        let conditions = format!(
            "{}; this machine: {} cores, {ed25519_verifications:.0} Ed25519 verifications/s on one, {fsyncs:.0} fsyncs/s of one page",
            self.conditions,
            cores()
        );
        let rounded = |number: f64| if number.abs() >= 100.0 { number.round() } else { (number * 10_000.0).round() / 10_000.0 };
        let line = json!({
            "name": self.name, "value": rounded(self.value), "unit": self.unit, "reference": rounded(self.reference),
            "ratio": (self.value / self.reference * 10_000.0).round() / 10_000.0, "conditions": conditions,
        });
        println!("{line}");
    }
}

/// What this machine does at best, now.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Ed25519 verifications a second, one by one, on one core.
    pub ed25519_verifications: f64,
    /// Pages written and synced to a file a second, one after the other, where temporary files are.
    pub fsyncs: f64,
}

impl Machine {
    /// Measures for about a second.
    pub fn measure() -> Self {
        let key = SigningKey::from_seed(&[1; 32]);
        let (did, signature) = (key.did(), key.sign(&PAGE[..100]));
        let ed25519_verifications = rate(|| assert!(did.verify(black_box(&PAGE[..100]), &signature)));
        let mut file: File = tempfile::tempfile().expect("a temporary file");
        let fsyncs = rate(|| {
            file.seek(SeekFrom::Start(0))
                .and_then(|_| file.write_all(&PAGE))
                .and_then(|()| file.sync_data())
                .expect("the disk takes a page");
        });
        Self { ed25519_verifications, fsyncs }
    }
}

/// How often `work` runs in a second.
fn rate(mut work: impl FnMut()) -> f64 {
    work();
    let (start, mut runs) = (Instant::now(), 0u32);
    while start.elapsed() < LIMIT_TIME {
        work();
        runs += 1;
    }
    f64::from(runs) / start.elapsed().as_secs_f64()
}

/// Cores of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Seconds of the fastest of some runs: other work on the machine can only slow one down.
pub fn fastest(runs: usize, mut run: impl FnMut()) -> f64 {
    let seconds = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..runs).map(seconds).fold(f64::INFINITY, f64::min)
}

/// Runs `work` on every core at once.
pub fn on_every_core(work: impl Fn() + Sync) {
    std::thread::scope(|scope| (0..cores()).for_each(|_| drop(scope.spawn(&work))));
}
