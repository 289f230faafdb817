//! How much of the workers' progress is kept: a twentieth of a step at a time and never backwards, so that no worker can fill the
//! database with it.

use entrepot_chain_statement::ids::JobId;
use entrepot_exchange_domain::job::{Progress, Step};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Parties of attempts that are remembered at once.
const REMEMBERED_MAX: usize = 4_096;
/// Parts of a step that are told apart.
const PARTS: u64 = 20;

/// Attempt, step, and part of the step.
type Reached = (u32, Step, u64);

/// How far each party of each job has come. Forgotten at a restart, which costs a few repeated notes.
#[derive(Debug, Default)]
pub(super) struct ProgressFilter(Mutex<BTreeMap<(JobId, u8), Reached>>);

impl ProgressFilter {
    /// Whether this is worth a note; if so the progress in a form that is safe to keep.
    pub(super) fn admit(&self, job_id: &JobId, (party, attempt): (u8, u32), step: &str, done: u64, total: u64) -> Option<Progress> {
        let step = Step::from_name(step)?;
        let done = done.min(total);
        let part = if total == 0 { 0 } else { u64::try_from(u128::from(done) * u128::from(PARTS) / u128::from(total)).unwrap_or(PARTS) };
        let reached = (attempt, step, part);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (job_id.clone(), party);
        if seen.get(&key).is_some_and(|earlier| *earlier >= reached) {
            return None;
        }
        if seen.len() >= REMEMBERED_MAX {
            seen.clear();
        }
        seen.insert(key, reached);
        // Counts beyond what JSON readers hold exactly say nothing more than their ratio.
        let (done, total) = if total > 1 << 53 { (part, PARTS) } else { (done, total) };
        Some(Progress { step, done, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::Timestamp;

    #[test]
    fn a_worker_that_repeats_itself_or_goes_back_and_forth_leaves_few_notes() {
        let filter = ProgressFilter::default();
        let job = JobId::compose(Timestamp(1), [1; 10]);
        let mut kept = 0;
        for round in 0..10u64 {
            for step in ["computing", "connecting", "sealing", "sharing"] {
                for done in 0..1_000u64 {
                    kept += usize::from(filter.admit(&job, (0, 1), step, (done * 7 + round) % 1_001, 1_000).is_some());
                }
            }
        }
        assert!(kept <= 5 * (PARTS as usize + 1), "{kept}");
    }

    #[test]
    fn odd_numbers_do_no_harm() {
        let filter = ProgressFilter::default();
        let job = JobId::compose(Timestamp(1), [1; 10]);
        assert_eq!(filter.admit(&job, (0, 1), "mining", 1, 2), None);
        assert_eq!(filter.admit(&job, (0, 1), "connecting", 5, 0), Some(Progress { step: Step::Connecting, done: 0, total: 0 }));
        let huge = filter.admit(&job, (0, 1), "sharing", u64::MAX, u64::MAX);
        assert_eq!(huge, Some(Progress { step: Step::Sharing, done: 20, total: 20 }));
    }
}
