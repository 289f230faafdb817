//! Has the connected workers cosign the log's newest checkpoint. What a worker cosigned last is its own word: it is asked from where we
//! last heard of it, and when it refuses because it knows another size, it is given a proof from there.

use crate::{
    Market, NotaryError,
    notary::LogCheckpoint,
    workforce::{ConnectedWorker, WorkerCommand, WorkerEvent, WorkerListener},
};
use async_trait::async_trait;
use entrepot_chain_statement::{Did, Timestamp};
use entrepot_exchange_store::{StoreError, witness, witness::WitnessRow};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Pause between two looks at the log.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// A worker that does not answer is asked again after this long.
const ASK_AGAIN_MS: i64 = 10_000;
/// A worker that keeps naming other sizes gets one proof in this time.
const PROOF_PAUSE_MS: i64 = 1_000;
/// Longest cosignature line.
const COSIGNATURE_BYTES_MAX: usize = 1_024;

/// Asking failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The log does not answer.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The checkpoint that each connected worker was asked for last, and when.
#[derive(Debug, Default)]
pub struct Asked(BTreeMap<Did, (u64, Timestamp)>);

/// Asks every connected worker that has not cosigned the newest checkpoint, unless it was asked just now.
pub async fn ask(market: &Market, asked: &mut Asked) -> Result<(), WitnessError> {
    let workers = market.workforce.connected();
    asked.0.retain(|worker, _| workers.iter().any(|connected| connected.worker == *worker));
    let Some(newest) = market.notary.checkpoint().await? else { return Ok(()) };
    let now = market.now();
    for worker in workers {
        let kept = witness::find(&mut *market.store.reader().await?, &worker.witness).await?.map_or(0, |row| row.size);
        if kept >= newest.size {
            continue;
        }
        // One question at a time: while a worker thinks, the log may grow.
        let waits = asked.0.get(&worker.worker).is_some_and(|(size, at)| *size > kept && now.0 < at.plus_ms(ASK_AGAIN_MS).0);
        // A cosignature that was given and got lost is given again.
        let known = kept.max(worker.checkpoint_size).min(newest.size);
        if !waits && offer(market, &worker, &newest, known).await? {
            asked.0.insert(worker.worker, (newest.size, now));
        }
    }
    Ok(())
}

/// Sends a checkpoint with the proof from `known`; false if that could not be done.
async fn offer(market: &Market, worker: &ConnectedWorker, newest: &LogCheckpoint, known: u64) -> Result<bool, WitnessError> {
    let Some(consistency) = market.notary.consistency(known, newest.size).await? else {
        tracing::error!(worker = %worker.worker, known, size = newest.size, "a witness knows a longer log than this one");
        return Ok(false);
    };
    let command = WorkerCommand::CosignCheckpoint { checkpoint: newest.note.clone().into_bytes(), old_size: known, consistency };
    Ok(market.workforce.send(&worker.worker, command).is_ok())
}

/// Asks for as long as it is polled. May be dropped at any moment.
pub async fn run(market: &Market) {
    let mut asked = Asked::default();
    loop {
        if let Err(error) = ask(market, &mut asked).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "witnesses could not be asked");
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

/// Takes what workers say about checkpoints.
pub struct WitnessListener {
    market: Arc<Market>,
    /// When each worker last got a proof that it asked for.
    proved: Mutex<BTreeMap<Did, Timestamp>>,
}

impl WitnessListener {
    /// Acts on this market.
    pub fn new(market: Arc<Market>) -> Self {
        Self { market, proved: Mutex::default() }
    }

    /// Keeps a cosignature, if it is this worker's.
    async fn cosigned(&self, worker: &ConnectedWorker, size: u64, line: &str) -> Result<(), WitnessError> {
        // A worker speaks for its own key: the one that its grant names.
        let own = line.strip_prefix("— ").and_then(|rest| rest.split_once(' ')).is_some_and(|(name, _)| name == worker.witness.as_str());
        if !own || line.len() > COSIGNATURE_BYTES_MAX || !self.market.notary.add_cosignature(size, line).await? {
            tracing::warn!(worker = %worker.worker, size, "a worker sent what is not its cosignature of a checkpoint");
            return Ok(());
        }
        let row = WitnessRow {
            witness: worker.witness.clone(),
            participant: worker.participant.clone(),
            worker: worker.worker.clone(),
            size,
            cosigned_at: self.market.now(),
        };
        let row = &row;
        self.market.store.run_tx("witnesses.cosigned", |tx| Box::pin(witness::cosigned(tx, row))).await?;
        Ok(())
    }

    /// Proves from the size that the worker knows.
    async fn refused(&self, worker: &ConnectedWorker, known_size: u64, code: &str) -> Result<(), WitnessError> {
        if code != "known_size" {
            tracing::error!(worker = %worker.worker, known_size, code, "a witness refuses to cosign this log");
            return Ok(());
        }
        let now = self.market.now();
        {
            let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
            if proved.get(&worker.worker).is_some_and(|at| now.0 < at.plus_ms(PROOF_PAUSE_MS).0) {
                return Ok(());
            }
            proved.insert(worker.worker.clone(), now);
        }
        if let Some(newest) = self.market.notary.checkpoint().await? {
            offer(&self.market, worker, &newest, known_size).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl WorkerListener for WitnessListener {
    async fn connected(&self, _worker: &ConnectedWorker) {
        // `run` sees it at its next look.
    }

    async fn received(&self, worker: &ConnectedWorker, event: &WorkerEvent) {
        let done = match event {
            WorkerEvent::CheckpointCosigned { size, cosignature } => self.cosigned(worker, *size, cosignature).await,
            WorkerEvent::CheckpointRefused { known_size, code } => self.refused(worker, *known_size, code).await,
            _ => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(worker = %worker.worker, error = &error as &dyn std::error::Error, "a witness's answer could not be kept");
        }
    }

    async fn disconnected(&self, worker: &Did) {
        self.proved.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
    }
}
