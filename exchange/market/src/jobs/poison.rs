//! Jobs whose steps fail: each is tried again, ever more rarely, and keeps none of the others from moving on.

use entrepot_chain_statement::{Timestamp, ids::JobId};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Pause after a first failure; doubles.
const PAUSE_MS: i64 = 1_000;
/// The longest pause.
const PAUSE_MS_MAX: i64 = 60_000;
/// Failing jobs that are remembered; further ones are tried in every round.
const JOBS_MAX: usize = 10_000;

/// Which jobs failed last time.
#[derive(Default)]
pub(super) struct Poison {
    jobs: Mutex<HashMap<JobId, (u32, Timestamp)>>,
}

impl Poison {
    fn jobs(&self) -> MutexGuard<'_, HashMap<JobId, (u32, Timestamp)>> {
        // Single inserts and removals: a panic leaves nothing half done.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a job's pause is over, or it has none.
    pub fn may_try(&self, job_id: &JobId, now: Timestamp) -> bool {
        self.jobs().get(job_id).is_none_or(|(_, not_before)| now >= *not_before)
    }

    /// A job's step failed.
    pub fn failed(&self, job_id: &JobId, now: Timestamp) {
        let mut jobs = self.jobs();
        let failures = jobs.get(job_id).map_or(0, |(failures, _)| *failures);
        if failures > 0 || jobs.len() < JOBS_MAX {
            let pause = (PAUSE_MS << failures.min(16)).min(PAUSE_MS_MAX);
            jobs.insert(job_id.clone(), (failures.saturating_add(1), now.plus_ms(pause)));
        }
    }

    /// A job's step worked.
    pub fn worked(&self, job_id: &JobId) {
        self.jobs().remove(job_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute_and_end_with_the_first_success() {
        let (poison, job) = (Poison::default(), JobId::compose(Timestamp(0), [1; 10]));
        let mut now = Timestamp(0);
        for pause in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
            assert!(poison.may_try(&job, now));
            poison.failed(&job, now);
            assert!(!poison.may_try(&job, now.plus_ms(pause - 1)));
            now = now.plus_ms(pause);
        }
        poison.worked(&job);
        poison.failed(&job, now);
        assert!(poison.may_try(&job, now.plus_ms(1_000)));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let poison = Poison::default();
        for id in 0..=JOBS_MAX as u64 {
            let mut random = [0; 10];
            random[2..].copy_from_slice(&id.to_be_bytes());
            poison.failed(&JobId::compose(Timestamp(0), random), Timestamp(0));
        }
        assert_eq!(poison.jobs().len(), JOBS_MAX);
    }
}
