//! What a benchmark prints: one line of JSON, a figure beside the limit measured in the same run.

use std::{num::NonZeroUsize, time::Instant};

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

#[expect(clippy::print_stdout, reason = "the line is the benchmark's result")]
pub fn print(name: &str, value: f64, unit: &str, reference: f64, conditions: &str) {
    let ratio = value / reference;
    println!(
        r#"{{"name":"{name}","value":{value:.0},"unit":"{unit}","reference":{reference:.0},"ratio":{ratio:.4},"conditions":"{conditions}"}}"#
    );
}
