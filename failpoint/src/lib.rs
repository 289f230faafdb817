//! Named points at which a test may kill the process, as `kill -9` would: nothing is flushed, nothing unwinds.
//!
//! `ENTREPOT_FAILPOINT=<name>` kills at the first reach of the point, `ENTREPOT_FAILPOINT=<name>@<k>` at the k-th. In a build without
//! debug assertions [`reach`] is nothing at all.

/// Every point there is, so that a test can go through all of them.
pub const NAMES: [&str; 29] = [
    "exchange.order.before_commit",
    "exchange.order.after_commit",
    "exchange.dispatch.before_send",
    "exchange.dispatch.after_send",
    "exchange.receipt.before_commit",
    "exchange.receipt.after_commit",
    "exchange.release.before_commit",
    "exchange.release.after_commit",
    "exchange.share.before_commit",
    "exchange.share.after_commit",
    "exchange.refund.before_commit",
    "exchange.anchor.before_submit",
    "exchange.anchor.after_submit",
    "consensus.before_sync",
    "consensus.after_sync",
    "chain.before_commit",
    "chain.after_commit",
    "worker.order.before_accept",
    "worker.order.after_accept",
    "worker.after_connect",
    "worker.after_intersection",
    "worker.after_sharing",
    "worker.before_receipt",
    "worker.after_receipt",
    "worker.before_hand_over",
    "worker.after_hand_over",
    "worker.before_cosign",
    "witness.before_head",
    "witness.after_head",
];

/// Kills this process with SIGKILL if the environment asks for it at this point. A name that is not in [`NAMES`] is a defect of the
/// caller and panics, so that no point can be forgotten by the tests that go through the list.
#[inline]
pub fn reach(name: &str) {
    #[cfg(debug_assertions)]
    armed::reach(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    };

    /// The point that kills, and at which reach.
    struct Armed {
        name: String,
        countdown: AtomicU32,
    }

    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

    fn from_environment() -> Option<Armed> {
        let asked = std::env::var("ENTREPOT_FAILPOINT").ok()?;
        let (name, reaches) = parse(&asked);
        assert!(super::NAMES.contains(&name), "ENTREPOT_FAILPOINT names no fail point: {name}");
        Some(Armed { name: name.to_owned(), countdown: AtomicU32::new(reaches) })
    }

    pub(super) fn parse(asked: &str) -> (&str, u32) {
        match asked.split_once('@') {
            Some((name, reaches)) => (name, reaches.parse().unwrap_or(1).max(1)),
            None => (asked, 1),
        }
    }

    pub(super) fn reach(name: &str) {
        assert!(super::NAMES.contains(&name), "not a listed fail point: {name}");
        let Some(armed) = ARMED.get_or_init(from_environment) else { return };
        if armed.name == name && armed.countdown.fetch_sub(1, Ordering::SeqCst) == 1 {
            die();
        }
    }

    #[expect(unsafe_code, reason = "no safe call of the standard library sends SIGKILL to oneself; abort() would leave a core file")]
    fn die() -> ! {
        // SAFETY: both calls take and return plain integers.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
        // The signal is delivered before kill() returns to this thread or very soon after.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use std::process::Command;

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = super::NAMES.iter().collect();
        assert_eq!(names.len(), super::NAMES.len());
    }

    #[test]
    fn the_count_is_optional() {
        assert_eq!(super::armed::parse("chain.before_commit"), ("chain.before_commit", 1));
        assert_eq!(super::armed::parse("chain.before_commit@3"), ("chain.before_commit", 3));
    }

    /// Runs as itself in a child: does nothing unless armed.
    #[test]
    fn three_reaches() {
        for _ in 0..3 {
            super::reach("chain.before_commit");
        }
    }

    fn child(failpoint: &str) -> std::process::ExitStatus {
        let this = std::env::current_exe().expect("the test binary has a path");
        Command::new(this)
            .args(["--exact", "tests::three_reaches"])
            .env("ENTREPOT_FAILPOINT", failpoint)
            .output()
            .expect("the test binary starts")
            .status
    }

    #[test]
    fn a_process_dies_by_sigkill_at_the_reach_it_was_armed_for() {
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child("chain.before_commit").signal(), Some(libc::SIGKILL));
        assert_eq!(child("chain.before_commit@3").signal(), Some(libc::SIGKILL));
        assert!(child("chain.before_commit@4").success());
        assert!(child("chain.after_commit").success());
    }
}
