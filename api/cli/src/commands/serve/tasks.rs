//! What an exchange does side by side. The first part that fails stops the others, and its failure is how the process ends.

use crate::exit::{ExitCode, Failure, Outcome};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long what is under way may take to end after the stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The running parts.
pub struct Tasks {
    tracker: TaskTracker,
    failure: Arc<OnceLock<Failure>>,
    /// Cancelled from outside, or by the first failure.
    pub stop: CancellationToken,
}

impl Tasks {
    /// None yet.
    pub fn new(stop: CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), failure: Arc::default(), stop }
    }

    /// Runs a part that sees the stop by itself.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = Result<(), anyhow::Error>> + Send + 'static) {
        let (failure, stop) = (self.failure.clone(), self.stop.clone());
        let work = tokio::spawn(work);
        self.tracker.spawn(async move {
            let why = match work.await {
                Ok(Ok(())) if stop.is_cancelled() => return,
                Ok(Ok(())) => "it ended".to_owned(),
                Ok(Err(error)) => format!("{error:#}"),
                Err(error) => error.to_string(),
            };
            tracing::error!(why, "{name} failed: the exchange stops");
            // Only the first one counts: the others may follow from it.
            let _ = failure.set(Failure::new(ExitCode::Failed, format!("{name} failed: {why}")));
            stop.cancel();
        });
    }

    /// Runs a part that would go on for ever, until the stop.
    pub fn spawn_until_stop(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
            Ok(())
        });
    }

    /// Waits for all parts to end, once they are told to; the first failure.
    pub async fn end(self) -> Outcome {
        self.tracker.close();
        if tokio::time::timeout(STOP_TIMEOUT, self.tracker.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        // A task that has not ended holds the failure, too.
        match self.failure.get() {
            None => Ok(()),
            Some(failure) => Err(Failure::new(failure.code, &failure.message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_failure_stops_the_others_and_is_told() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn_until_stop("the endless one", std::future::pending());
        tasks.spawn("the broken one", async { anyhow::bail!("the disk is full") });
        tasks.stop.cancelled().await;
        assert_eq!(tasks.end().await.map_err(|failure| failure.message), Err("the broken one failed: the disk is full".to_owned()));
    }

    #[tokio::test]
    async fn a_part_that_panics_or_ends_unasked_is_a_failure_too() {
        for work in [true, false] {
            let tasks = Tasks::new(CancellationToken::new());
            tasks.spawn_until_stop("a part", async move { assert!(work, "broken") });
            tasks.stop.cancelled().await;
            assert!(tasks.end().await.is_err());
        }
    }

    #[tokio::test]
    async fn a_stop_that_was_asked_for_is_no_failure() {
        let tasks = Tasks::new(CancellationToken::new());
        tasks.spawn_until_stop("a part", std::future::pending());
        tasks.stop.cancel();
        assert!(tasks.end().await.is_ok());
    }
}
