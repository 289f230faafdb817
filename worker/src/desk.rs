//! What the worker answers to each message of the exchange.
//!
//! Every message may come again, in any order, after any crash on either side; the answer is always what the durable state says. Nothing is
//! told before it is durable.

use crate::{
    answers::{accepted_message, failed, finished_message},
    clock,
    config::Settings,
    describe,
    gate::{self, Admitted, Offer, Own},
    peers::PeerNode,
    release::{self, ReleaseRefusal},
    runner::{self, Resources, RunError},
    state::{AgreementRecord, FinishedAttempt, OrderRecord, OrderState, StateError, Store},
    witness::{self, CosignError},
};
use entrepot_api_wire::v1::{self, from_worker::Message as Say, to_worker::Message as Hear};
use entrepot_chain_log::Witness;
use entrepot_chain_statement::{
    Envelope,
    ids::{DatasetId, JobId},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Messages of the exchange that are worked on at the same time.
const HANDLERS_MAX: usize = 32;
/// Datasets that wait to be described, as many as an exchange asks for at once; one is described at a time.
const DESCRIBING_MAX: usize = 64;
/// Datasets that are remembered; each description keeps a secret seed.
const DATASETS_MAX: usize = 1000;
/// A worker that stops waits for its tasks so long.
const FINISH_TIMEOUT: Duration = Duration::from_secs(5);
/// Answers that wait for a connection.
pub(crate) const OUTBOX_MAX: usize = 256;
/// Receipts that are told again after a reconnect.
const REMINDERS_MAX: usize = 64;
/// How long a party that lost another waits before it says so: the other knows why and shall speak first.
const PEER_LOST_PAUSE: Duration = Duration::from_millis(500);

/// An attempt that runs.
struct Running {
    attempt: u32,
    stop: CancellationToken,
}

/// The worker behind the stream.
pub(crate) struct Desk {
    settings: Settings,
    store: Mutex<Store>,
    peers: Arc<PeerNode>,
    witness: Witness,
    running: Mutex<HashMap<JobId, Running>>,
    handlers: Arc<Semaphore>,
    describing: Semaphore,
    describer: tokio::sync::Mutex<()>,
    outbox: mpsc::Sender<Say>,
    tasks: TaskTracker,
    /// Told when the state can no longer be trusted to be durable.
    broken: CancellationToken,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Memory changes only after the disk did, in single steps; a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is decided about a work order.
enum Decision {
    Answer(Say),
    Run(Box<Admitted>, CancellationToken),
}

impl Desk {
    pub fn new(settings: Settings, store: Store, peers: Arc<PeerNode>, witness: Witness, outbox: mpsc::Sender<Say>) -> Arc<Self> {
        Arc::new(Self {
            settings,
            store: Mutex::new(store),
            peers,
            witness,
            running: Mutex::default(),
            handlers: Arc::new(Semaphore::new(HANDLERS_MAX)),
            describing: Semaphore::new(DESCRIBING_MAX),
            describer: tokio::sync::Mutex::default(),
            outbox,
            tasks: TaskTracker::new(),
            broken: CancellationToken::new(),
        })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where other parties reach this worker.
    pub fn peer_address(&self) -> String {
        self.settings.config.peer_address.clone().unwrap_or_else(|| self.peers.local_address().to_string())
    }

    /// Size of the checkpoint that was cosigned last.
    pub fn checkpoint_size(&self) -> u64 {
        lock(&self.store).tree_head().map_or(0, |head| head.size)
    }

    /// Cancelled once the state cannot be written any more: then the worker must stop rather than forget.
    pub fn broken(&self) -> &CancellationToken {
        &self.broken
    }

    /// Room to work on one more message.
    pub async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.handlers).acquire_owned().await.ok()
    }

    /// Takes a message; the answer goes to the outbox.
    pub fn take(self: &Arc<Self>, slot: Option<OwnedSemaphorePermit>, message: Hear) {
        let desk = Arc::clone(self);
        // Reading files takes long, and has a limit of its own: others must not wait for a place among the handlers meanwhile.
        let slot = slot.filter(|_| !matches!(message, Hear::DescribeDataset(_)));
        self.tasks.spawn(async move {
            desk.handle(message).await;
            drop(slot);
        });
    }

    async fn handle(self: &Arc<Self>, message: Hear) {
        match message {
            Hear::DescribeDataset(message) => self.describe(message).await,
            Hear::WorkOrder(message) => self.work(message).await,
            Hear::AbortWork(message) => self.abort(&message),
            Hear::HandOverShares(message) => self.hand_over(message).await,
            Hear::CosignCheckpoint(message) => self.cosign(message).await,
            // The stream itself deals with these.
            Hear::Challenge(_) | Hear::Welcome(_) | Hear::HeartbeatEcho(_) => {}
        }
    }

    async fn say(&self, message: Say) {
        let _ = self.outbox.send(message).await;
    }

    /// Runs something that reads or writes the state, away from the tasks that must stay quick.
    async fn with_store<T: Send + 'static>(self: &Arc<Self>, act: impl FnOnce(&Self, &mut Store) -> T + Send + 'static) -> Option<T> {
        let desk = Arc::clone(self);
        tokio::task::spawn_blocking(move || act(&desk, &mut lock(&desk.store))).await.ok()
    }

    /// A state that cannot be written ends the worker: what it would forget guards against running an order twice.
    fn state_failed(&self, error: &StateError) {
        tracing::error!(%error, "the worker's state cannot be used; stopping");
        self.broken.cancel();
    }

    async fn describe(self: &Arc<Self>, message: v1::DescribeDataset) {
        let v1::DescribeDataset { dataset_id, name } = message;
        let answer = match self.described(&dataset_id, &name).await {
            Ok(Some(description)) => Say::DatasetDescribed(v1::DatasetDescribed { dataset_id, description }),
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(dataset_id, code = error.code(), %error, "a dataset was not described");
                Say::DatasetRefused(v1::DatasetRefused { dataset_id, code: error.code().to_owned(), detail: error.to_string() })
            }
        };
        self.say(answer).await;
    }

    async fn described(self: &Arc<Self>, dataset_id: &str, name: &str) -> Result<Option<Vec<u8>>, describe::DescribeError> {
        let id: DatasetId = dataset_id.parse().map_err(|_| describe::DescribeError::BadId)?;
        let _waiting = self.describing.try_acquire().map_err(|_| describe::DescribeError::Busy)?;
        let _describer = self.describer.lock().await;
        let known = lock(&self.store).dataset(&id).cloned();
        let record = match known {
            Some(record) if record.name != name => return Err(describe::DescribeError::OtherName),
            Some(record) => record,
            None if lock(&self.store).datasets().count() >= DATASETS_MAX => return Err(describe::DescribeError::TooMany),
            None => {
                let record = describe::describe(&self.settings, id, name).await?;
                let stored = record.clone();
                match self.with_store(move |_, store| store.put_dataset(stored)).await {
                    Some(Ok(())) => tracing::info!(dataset_id, name, rows = record.description.rows, "a dataset was described"),
                    Some(Err(error)) => {
                        self.state_failed(&error);
                        return Ok(None);
                    }
                    None => return Ok(None),
                }
                record
            }
        };
        Ok(serde_json::to_vec(&record.description).ok())
    }

    async fn work(self: &Arc<Self>, message: v1::WorkOrder) {
        let (job_id, attempt) = (message.job_id.clone(), message.attempt);
        let decision = self.with_store(move |desk, store| desk.decide(&message, store)).await;
        match decision {
            Some(Ok(Decision::Answer(answer))) => self.say(answer).await,
            Some(Ok(Decision::Run(admitted, stop))) => self.start(*admitted, stop).await,
            Some(Err(error)) => self.state_failed(&error),
            None => tracing::error!(job_id, attempt, "a work order made this worker panic"),
        }
    }

    /// What to do about a work order. One at a time: the state is locked from the check to the durable acceptance.
    fn decide(&self, message: &v1::WorkOrder, store: &mut Store) -> Result<Decision, StateError> {
        let (job_id, attempt) = (message.job_id.clone(), message.attempt);
        let refuse = |refusal: gate::Refusal| {
            tracing::warn!(job_id, attempt, code = refusal.code(), %refusal, "a work order was refused");
            let (code, detail) = (refusal.code().to_owned(), refusal.to_string());
            Decision::Answer(Say::WorkRefused(v1::WorkRefused { job_id: job_id.clone(), attempt, code, detail }))
        };
        let offer = match Offer::read(message) {
            Ok(offer) => offer,
            Err(refusal) => return Ok(refuse(refusal)),
        };
        let record = store.agreements().get(&offer.agreement.statement_hash());
        if let Some(answer) = self.known(&offer, record, store)? {
            return Ok(Decision::Answer(answer));
        }
        let datasets = store.datasets().map(|record| (record.dataset_id.clone(), runner::own_dataset(&self.settings, record)));
        let datasets: BTreeMap<_, _> = datasets.collect();
        let config = &self.settings.config;
        let own = Own {
            exchange: &config.exchange_did,
            participant: &config.participant,
            worker: &self.settings.keys.signing.did(),
            trust: &self.settings.trust,
            datasets: &datasets,
        };
        let admitted = match gate::check(&offer, own, store.agreements(), clock::now()) {
            Ok(admitted) => admitted,
            Err(refusal) => return Ok(refuse(refusal)),
        };
        let others = lock(&self.running).keys().filter(|running| **running != admitted.job_id).count();
        if others >= self.settings.jobs_max as usize {
            return Ok(Decision::Answer(failed(&admitted.job_id, attempt, "busy", "this worker runs as many jobs as it may")));
        }
        entrepot_failpoint::reach("worker.order.before_accept");
        let accepted = OrderRecord {
            order: admitted.order_hash,
            sequence: admitted.order.sequence,
            job_id: admitted.job_id.clone(),
            attempt: admitted.attempt,
            state: OrderState::Accepted,
        };
        store.accept((admitted.agreement_hash, &admitted.agreement), accepted)?;
        entrepot_failpoint::reach("worker.order.after_accept");
        let stop = CancellationToken::new();
        lock(&self.running).insert(admitted.job_id.clone(), Running { attempt, stop: stop.clone() });
        Ok(Decision::Run(Box::new(admitted), stop))
    }

    /// The answer if this attempt, or a later one, was seen before. A later attempt ends the one that runs.
    fn known(&self, offer: &Offer, record: Option<&AgreementRecord>, store: &Store) -> Result<Option<Say>, StateError> {
        let Some(known) = record.and_then(|record| record.order(&offer.order.statement_hash())) else { return Ok(None) };
        if known.job_id != offer.job_id {
            return Ok(None);
        }
        if offer.attempt > known.attempt {
            self.stop_job(&offer.job_id, known.attempt);
            return Ok(None);
        }
        if let Some(finished) = store.finished(&offer.job_id, offer.attempt)? {
            return Ok(Some(finished_message(&finished)));
        }
        let runs = lock(&self.running).get(&offer.job_id).is_some_and(|running| running.attempt == offer.attempt);
        Ok(Some(if runs {
            accepted_message(&offer.job_id, offer.attempt)
        } else {
            failed(&offer.job_id, offer.attempt, "attempt_lost", "this attempt ended without a result; another may work")
        }))
    }

    async fn start(self: &Arc<Self>, admitted: Admitted, stop: CancellationToken) {
        let (job_id, attempt) = (admitted.job_id.clone(), admitted.attempt);
        tracing::info!(%job_id, attempt, party = admitted.party, "a work order was accepted");
        self.say(accepted_message(&job_id, attempt)).await;
        let desk = Arc::clone(self);
        self.tasks.spawn(async move {
            let end = desk.run(admitted, stop).await;
            desk.free(&job_id, attempt);
            // The exchange may send the next job at once: its place must be free before this one's end is told.
            if let Some(end) = end {
                desk.say(end).await;
            }
        });
    }

    fn free(&self, job_id: &JobId, attempt: u32) {
        let mut running = lock(&self.running);
        if running.get(job_id).is_some_and(|running| running.attempt == attempt) {
            running.remove(job_id);
        }
    }

    /// Runs an attempt; what to tell of its end.
    async fn run(self: &Arc<Self>, admitted: Admitted, stop: CancellationToken) -> Option<Say> {
        let desk = Arc::clone(self);
        let runtime = tokio::runtime::Handle::current();
        // A computation keeps its thread busy for long; the heartbeat must not wait for it.
        let computing = tokio::task::spawn_blocking(move || {
            let result = runtime.block_on(desk.compute(&admitted, stop));
            (admitted, result)
        });
        let Ok((admitted, result)) = computing.await else {
            tracing::error!("a computation made this worker panic; stopping");
            self.broken.cancel();
            return None;
        };
        let (job_id, attempt) = (admitted.job_id.clone(), admitted.attempt);
        match result {
            Ok(finished) => {
                entrepot_failpoint::reach("worker.before_receipt");
                let stored = self.with_store(move |_, store| store.finish(&finished).map(|()| finished)).await;
                entrepot_failpoint::reach("worker.after_receipt");
                match stored {
                    Some(Ok(finished)) => {
                        tracing::info!(%job_id, attempt, "a receipt was signed");
                        return Some(finished_message(&finished));
                    }
                    Some(Err(error)) => self.state_failed(&error),
                    None => self.broken.cancel(),
                }
                None
            }
            Err(error) => {
                tracing::warn!(%job_id, attempt, code = error.code(), error = &error as &dyn std::error::Error, "an attempt failed");
                self.end(admitted, &error).await
            }
        }
    }

    async fn compute(&self, admitted: &Admitted, stop: CancellationToken) -> Result<FinishedAttempt, RunError> {
        let dataset = admitted.dataset_id.as_ref().and_then(|id| lock(&self.store).dataset(id).cloned());
        let report = |step: &'static str, done, total| {
            let (job_id, attempt) = (admitted.job_id.to_string(), admitted.attempt);
            // Progress is dropped rather than waited with.
            let _ = self.outbox.try_send(Say::WorkProgress(v1::WorkProgress { job_id, attempt, done, total, step: step.to_owned() }));
        };
        let resources = Resources { settings: &self.settings, peers: &self.peers, dataset, report: &report };
        let work = async {
            let result = tokio::time::timeout(clock::until(admitted.deadline), runner::run(admitted, resources)).await;
            let result = result.unwrap_or(Err(RunError::DeadlinePassed));
            if result.as_ref().is_err_and(|error| error.code() == "peer_lost") {
                tokio::time::sleep(PEER_LOST_PAUSE).await;
            }
            result
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Err(RunError::Aborted),
            result = work => result,
        }
    }

    async fn end(self: &Arc<Self>, admitted: Admitted, error: &RunError) -> Option<Say> {
        let (agreement, order, attempt) = (admitted.agreement_hash, admitted.order_hash, admitted.attempt);
        let stored = self.with_store(move |_, store| store.set_order_state(&agreement, &order, attempt, OrderState::Failed)).await;
        if let Some(Err(error)) = stored {
            self.state_failed(&error);
            return None;
        }
        let (code, detail) = (error.code(), error.to_string());
        Some(if error.is_final() {
            let job_id = admitted.job_id.to_string();
            Say::WorkRefused(v1::WorkRefused { job_id, attempt, code: code.to_owned(), detail })
        } else {
            failed(&admitted.job_id, attempt, code, &detail)
        })
    }

    fn abort(&self, message: &v1::AbortWork) {
        if let Ok(job_id) = message.job_id.parse() {
            tracing::info!(%job_id, attempt = message.attempt, code = message.code, "the exchange stops an attempt");
            self.stop_job(&job_id, message.attempt);
        }
    }

    fn stop_job(&self, job_id: &JobId, attempt: u32) {
        if let Some(running) = lock(&self.running).get(job_id).filter(|running| running.attempt <= attempt) {
            running.stop.cancel();
        }
    }

    /// Stops everything that runs.
    pub fn stop_all(&self) {
        lock(&self.running).values().for_each(|running| running.stop.cancel());
    }

    /// Waits until nothing uses the state any more, so that the folder is free for the next worker.
    pub async fn finish(&self) {
        self.tasks.close();
        if tokio::time::timeout(FINISH_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("the worker ends although a task has not");
        }
    }

    /// Whether nothing runs.
    pub fn is_idle(&self) -> bool {
        lock(&self.running).is_empty()
    }

    async fn hand_over(self: &Arc<Self>, message: v1::HandOverShares) {
        let job_id = message.job_id.clone();
        let decision = self.with_store(move |desk, store| desk.release(&message, store)).await;
        let answer = match decision {
            Some(Ok(shares)) => {
                tracing::info!(job_id, "sealed shares are handed over");
                Say::SharesHandedOver(v1::SharesHandedOver { job_id, shares })
            }
            Some(Err((attempt, refusal))) => {
                tracing::warn!(job_id, code = refusal.code(), %refusal, "sealed shares stay here");
                let (code, detail) = (refusal.code().to_owned(), refusal.to_string());
                Say::WorkRefused(v1::WorkRefused { job_id, attempt, code, detail })
            }
            None => return,
        };
        entrepot_failpoint::reach("worker.before_hand_over");
        self.say(answer).await;
        entrepot_failpoint::reach("worker.after_hand_over");
    }

    fn release(&self, message: &v1::HandOverShares, store: &mut Store) -> Result<Vec<v1::SealedShare>, (u32, ReleaseRefusal)> {
        let unread = |refusal| (0, refusal);
        let envelope = Envelope::from_json(&message.release).map_err(|_| unread(ReleaseRefusal::Malformed))?;
        let release = release::open(&envelope, &self.settings.config.exchange_did).map_err(unread)?;
        if message.job_id != release.job_id.as_str() {
            return Err(unread(ReleaseRefusal::ForOtherOrder));
        }
        // Whichever attempt's receipts agreed is the one that was paid for.
        let mut refusal = unread(ReleaseRefusal::UnknownJob);
        for attempt in 1..=gate::ATTEMPTS_MAX {
            let failed = |error: StateError| {
                self.state_failed(&error);
                (attempt, ReleaseRefusal::State)
            };
            let Some(finished) = store.finished(&release.job_id, attempt).map_err(failed)? else { continue };
            match release::check(&release, &finished) {
                Err(problem) => refusal = (attempt, problem),
                Ok(()) if finished.shares.is_empty() => return Err((attempt, ReleaseRefusal::SharesDeleted)),
                Ok(()) => {
                    store.set_order_state(&finished.agreement, &finished.order, attempt, OrderState::Released).map_err(failed)?;
                    let shares = finished.shares.into_iter();
                    return Ok(shares.map(|s| v1::SealedShare { share: s.share.into(), ciphertext: s.ciphertext }).collect());
                }
            }
        }
        Err(refusal)
    }

    async fn cosign(self: &Arc<Self>, message: v1::CosignCheckpoint) {
        let decision = self.with_store(move |desk, store| {
            let decision = witness::cosign(&desk.witness, &message, store, clock::now());
            (decision, store.tree_head().map_or(0, |head| head.size))
        });
        let answer = match decision.await {
            Some((Ok(cosigned), _)) => Say::CheckpointCosigned(v1::CheckpointCosigned { size: cosigned.size, cosignature: cosigned.line }),
            Some((Err(CosignError::State(error)), _)) => return self.state_failed(&error),
            Some((Err(error), known_size)) => {
                // To be behind is daily business; anything else may be an exchange that shows people different logs.
                tracing::warn!(code = error.code(), %error, "a checkpoint was not cosigned");
                Say::CheckpointRefused(v1::CheckpointRefused { known_size, code: error.code().to_owned() })
            }
            None => return,
        };
        self.say(answer).await;
    }

    /// What to tell again after a reconnect: the exchange may have missed it.
    pub async fn reminders(self: &Arc<Self>) -> Vec<Say> {
        let reminders = self.with_store(|desk, store| {
            let running = lock(&desk.running);
            let accepted = running.iter().map(|(job_id, running)| accepted_message(job_id, running.attempt));
            // The newest: what an exchange that was away still waits for. Orders that it gave back stay finished here for good.
            let mut finished: Vec<_> = store.finished_orders().collect();
            finished.sort_by(|a, b| b.job_id.as_str().cmp(a.job_id.as_str()));
            let finished =
                finished.into_iter().take(REMINDERS_MAX).filter_map(|order| store.finished(&order.job_id, order.attempt).ok().flatten());
            accepted.chain(finished.map(|finished| finished_message(&finished))).collect()
        });
        reminders.await.unwrap_or_default()
    }

    /// Deletes shares whose time is over.
    pub async fn sweep(self: &Arc<Self>) {
        match self.with_store(|_, store| store.remove_expired_shares(clock::now())).await {
            Some(Ok(0)) | None => {}
            Some(Ok(removed)) => tracing::info!(removed, "sealed shares were deleted, thirty days after their computation"),
            Some(Err(error)) => self.state_failed(&error),
        }
    }
}
