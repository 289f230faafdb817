//! The driver: a round looks at everything that time or a connected worker could move.

use super::{
    load::{Places, WorkerLimits},
    messages::{send_all, send_outstanding},
    poison::Poison,
    progress::ProgressFilter,
    step::{Payload, Step, StepError, step},
};
use crate::Market;
use entrepot_chain_statement::ids::JobId;
use entrepot_exchange_domain::{
    job::{Effect, JobError, JobEvent, JobState},
    product::ProductState,
};
use entrepot_exchange_store::{
    StoreError, agreement, idempotency,
    job::{self, JobRow},
    product, share,
};
use futures::stream::{self, StreamExt};
use std::{sync::Arc, time::Duration};

/// Pause between two rounds that nobody asked for.
pub const TICK: Duration = Duration::from_millis(200);
/// Steps of different jobs that are taken at once, so that they share a commit.
const STEPS_AT_ONCE: usize = 64;
/// A request that comes again under its key is answered as before for so long: a week.
pub const ANSWERS_KEPT_MS: i64 = 7 * 24 * 3_600_000;
/// Rounds between two looks at sealed shares and answers whose time is over: about a quarter of an hour.
const ROUNDS_TO_FORGET: u32 = 4_500;

/// Why a job's turn has come in a round.
#[derive(Clone, Copy)]
enum Due<'a> {
    /// Its deadline has passed.
    Overdue,
    /// It waits, and these are the places left at the workers.
    Queued(&'a Places<'a>),
}

/// Moves jobs on. One per exchange.
pub struct JobDriver {
    pub(super) market: Arc<Market>,
    pub(super) progress: ProgressFilter,
    pub(super) limits: WorkerLimits,
    poison: Poison,
}

impl JobDriver {
    /// For this market.
    pub fn new(market: Arc<Market>) -> Self {
        Self { market, progress: ProgressFilter::default(), limits: WorkerLimits::default(), poison: Poison::default() }
    }

    /// Drives for as long as it is polled. May be dropped at any moment.
    pub async fn run(&self) {
        let mut bell = self.market.bell.listen();
        for round in 0u32.. {
            if let Err(error) = self.round().await {
                tracing::error!(error = &error as &dyn std::error::Error, "jobs could not be driven");
                tokio::time::sleep(TICK).await;
            }
            if round % ROUNDS_TO_FORGET == 0 {
                self.forget().await;
            }
            let _ = tokio::time::timeout(TICK, bell.changed()).await;
        }
    }

    /// Everything that can be done now. A job whose step fails is logged, and tried again later; the others go on.
    pub async fn round(&self) -> Result<(), StoreError> {
        let now = self.market.now();
        let mut after = None;
        loop {
            let overdue = job::overdue(&mut *self.market.store.reader().await?, now, after.as_ref()).await?;
            let Some(last) = overdue.last().cloned() else { break };
            self.each(overdue, Due::Overdue).await;
            after = Some(last);
        }
        let (mut after, mut places) = (None, None);
        loop {
            let mut reader = self.market.store.reader().await?;
            let ready = job::next_in_turn(&mut reader, after.as_ref()).await?;
            let Some(last) = ready.last().cloned() else { return Ok(()) };
            if places.is_none() {
                let taken = job::worker_load(&mut reader).await?;
                places = Some(Places::new(&self.limits, taken, self.market.job_limits.worker_jobs_max, now));
            }
            drop(reader);
            if let Some(places) = &places {
                self.each(ready, Due::Queued(places)).await;
            }
            after = Some(last);
        }
    }

    /// Takes one step of each job, many at once.
    async fn each(&self, jobs: Vec<JobId>, due: Due<'_>) {
        let now = self.market.now();
        let steps = jobs.into_iter().filter(|job_id| self.poison.may_try(job_id, now)).map(|job_id| async move {
            let result = match due {
                Due::Overdue => self.advance(&job_id, JobEvent::Tick, Payload::None).await.map(drop),
                Due::Queued(places) => self.try_dispatch(&job_id, places).await,
            };
            match result {
                Ok(()) => self.poison.worked(&job_id),
                Err(error) => {
                    tracing::error!(job = %job_id, error = &error as &dyn std::error::Error, "a job could not be driven");
                    self.poison.failed(&job_id, now);
                }
            }
        });
        stream::iter(steps).buffer_unordered(STEPS_AT_ONCE).collect::<()>().await;
    }

    /// Dispatches a queued job if its pause is over, its workers are connected, and each of them has a place for it.
    async fn try_dispatch(&self, job_id: &JobId, places: &Places<'_>) -> Result<(), StoreError> {
        let mut reader = self.market.store.reader().await?;
        let Some(row) = job::find(&mut reader, job_id).await? else { return Ok(()) };
        let JobState::Queued { not_before, .. } = row.job.state else { return Ok(()) };
        if is_withdrawn(&mut reader, &row).await? {
            drop(reader);
            self.advance(job_id, JobEvent::Withdrawn, Payload::None).await?;
            return Ok(());
        }
        drop(reader);
        let workers = row.job.terms.parties.iter().map(|party| &party.worker);
        let connected = workers.clone().all(|worker| self.market.workforce.find(worker).is_some());
        if connected && self.market.now() >= not_before && places.take(workers) {
            self.advance(job_id, JobEvent::Dispatch, Payload::None).await?;
        }
        Ok(())
    }

    /// One event of one job, durably, and then the messages that follow from it. None if nothing happened.
    pub(super) async fn advance(&self, job_id: &JobId, event: JobEvent, payload: Payload) -> Result<Option<Step>, StoreError> {
        let market = &*self.market;
        let (event, payload) = (&event, &payload);
        let result: Result<_, StepError> = market
            .store
            .run_tx("jobs.step", move |tx| Box::pin(async move { step(tx, market, job_id, event.clone(), payload).await }))
            .await;
        let done = match result {
            Ok(Some(done)) => done,
            Ok(None) | Err(StepError::Job(JobError::NotReady(_) | JobError::Over(_))) => return Ok(None),
            Err(StepError::Store(error)) => return Err(error),
        };
        after_commit(event, &done);
        if done.changed {
            market.bell.ring();
        }
        let dispatches = matches!(event, JobEvent::Dispatch);
        if dispatches {
            entrepot_failpoint::reach("exchange.dispatch.before_send");
        }
        send_all(market, job_id, &done.messages).await?;
        if dispatches {
            entrepot_failpoint::reach("exchange.dispatch.after_send");
        }
        Ok(Some(done))
    }

    /// Sends one party what is outstanding.
    pub(super) async fn resend(&self, job_id: &JobId, party: u8) -> Result<(), StoreError> {
        send_outstanding(&self.market, job_id, party).await
    }

    /// Forgets sealed shares and answers whose time is over.
    pub async fn forget(&self) {
        let now = self.market.now();
        let forgotten = self.market.store.run_tx("shares.forget", move |tx| Box::pin(async move { share::forget(tx, now).await })).await;
        match forgotten {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "sealed shares whose time was over are forgotten"),
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "sealed shares could not be forgotten"),
        }
        let before = now.plus_ms(-ANSWERS_KEPT_MS);
        let forgotten =
            self.market.store.run_tx("answers.forget", move |tx| Box::pin(async move { idempotency::forget(tx, before).await })).await;
        if let Err(error) = forgotten {
            tracing::error!(error = &error as &dyn std::error::Error, "old answers could not be forgotten");
        }
    }
}

/// Where a test may kill the process once a step is durable.
fn after_commit(event: &JobEvent, done: &Step) {
    if !done.changed {
        return;
    }
    if matches!(event, JobEvent::Said { saying: entrepot_exchange_domain::job::Saying::Finished(..), .. }) {
        entrepot_failpoint::reach("exchange.receipt.after_commit");
        if matches!(done.job.state, JobState::Released { .. }) && done.messages.iter().any(|m| matches!(m, Effect::Send { .. })) {
            entrepot_failpoint::reach("exchange.release.after_commit");
        }
    }
    if matches!(event, JobEvent::HandedOver { .. }) {
        entrepot_failpoint::reach("exchange.share.after_commit");
    }
}

/// Whether the product of a job was withdrawn.
async fn is_withdrawn(db: &mut entrepot_exchange_store::Connection, row: &JobRow) -> Result<bool, StoreError> {
    let Some(agreement) = agreement::find(db, &row.agreement_id).await? else { return Ok(false) };
    let product = product::find(db, &agreement.product_id).await?;
    Ok(product.is_some_and(|product| product.state == ProductState::Withdrawn))
}
