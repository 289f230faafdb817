//! How many jobs a worker is sent at once: what is beyond waits here, where it costs no attempt.

use entrepot_chain_statement::{Did, Timestamp};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How long a worker that said that it is busy is sent no more jobs at once than it ran then.
const BUSY_MS: i64 = 600_000;

/// What workers have shown of their limits.
#[derive(Default)]
pub(super) struct WorkerLimits {
    learned: Mutex<HashMap<Did, (usize, Timestamp)>>,
}

impl WorkerLimits {
    fn learned(&self) -> MutexGuard<'_, HashMap<Did, (usize, Timestamp)>> {
        // Single inserts and removals: a panic leaves nothing half done.
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker refused a job because of the `running` others that it has.
    pub fn busy(&self, worker: &Did, running: usize, now: Timestamp) {
        let mut learned = self.learned();
        learned.retain(|_, (_, until)| now < *until);
        learned.insert(worker.clone(), (running.max(1), now.plus_ms(BUSY_MS)));
    }

    fn of(&self, worker: &Did, otherwise: usize, now: Timestamp) -> usize {
        match self.learned().get(worker) {
            Some((limit, until)) if now < *until => otherwise.min(*limit),
            _ => otherwise,
        }
    }
}

/// The places that are left in one round.
pub(super) struct Places<'a> {
    limits: &'a WorkerLimits,
    taken: Mutex<HashMap<Did, usize>>,
    worker_jobs_max: usize,
    now: Timestamp,
}

impl<'a> Places<'a> {
    /// With what each worker has been sent already.
    pub fn new(limits: &'a WorkerLimits, taken: Vec<(Did, usize)>, worker_jobs_max: usize, now: Timestamp) -> Self {
        Self { limits, taken: Mutex::new(taken.into_iter().collect()), worker_jobs_max, now }
    }

    /// Takes a place at each worker; false, and none taken, if one of them has none.
    pub fn take<'w>(&self, workers: impl Iterator<Item = &'w Did> + Clone) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has_place = |worker: &Did| taken.get(worker).copied().unwrap_or(0) < self.limits.of(worker, self.worker_jobs_max, self.now);
        let fits = workers.clone().all(has_place);
        if fits {
            workers.for_each(|worker| *taken.entry(worker.clone()).or_default() += 1);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::SigningKey;

    fn did(seed: u8) -> Did {
        SigningKey::from_seed(&[seed; 32]).did()
    }

    #[test]
    fn a_job_takes_a_place_at_every_worker_or_at_none() {
        let limits = WorkerLimits::default();
        let places = Places::new(&limits, vec![(did(1), 1)], 2, Timestamp(0));
        let (first, second) = ([did(1), did(2)], [did(2), did(3)]);
        assert!(places.take(first.iter()));
        assert!(!places.take(first.iter()), "the first worker is full");
        assert!(places.take(second.iter()), "the second has its last place still");
        assert!(!places.take(second.iter()));
    }

    #[test]
    fn a_busy_worker_is_sent_less_for_a_while_and_never_nothing() {
        let limits = WorkerLimits::default();
        limits.busy(&did(1), 0, Timestamp(0));
        let at = |now| Places::new(&limits, Vec::new(), 2, Timestamp(now));
        let worker = [did(1)];
        let soon = at(BUSY_MS - 1);
        assert_eq!([soon.take(worker.iter()), soon.take(worker.iter())], [true, false]);
        let later = at(BUSY_MS);
        assert_eq!([later.take(worker.iter()), later.take(worker.iter())], [true, true]);
    }
}
