//! Who is connected now.

use super::messages;
use entrepot_api_wire::v1::ToWorker;
use entrepot_chain_statement::Did;
use entrepot_exchange_market::{
    Workforce,
    workforce::{ConnectedWorker, SendError, WorkerCommand},
};
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Commands that may wait for a worker that does not read.
pub(super) const QUEUE_MAX: usize = 64;

/// What is written to a worker's stream.
pub(super) type Outgoing = Result<ToWorker, Status>;

/// The connected workers, at most one stream each: a new one replaces the old.
#[derive(Default)]
pub struct Registry {
    streams: Mutex<BTreeMap<Did, Stream>>,
    next: AtomicU64,
}

struct Stream {
    number: u64,
    worker: ConnectedWorker,
    queue: mpsc::Sender<Outgoing>,
    replaced: CancellationToken,
}

/// A worker's place in the registry.
pub(super) struct Place {
    number: u64,
    /// Cancelled when another stream of the same worker takes over.
    pub replaced: CancellationToken,
}

impl Registry {
    /// Enters a worker; its former stream is told to end.
    pub(super) fn enter(&self, worker: ConnectedWorker, queue: mpsc::Sender<Outgoing>) -> Place {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let replaced = CancellationToken::new();
        let stream = Stream { number, worker: worker.clone(), queue, replaced: replaced.clone() };
        if let Some(former) = self.streams().insert(worker.worker, stream) {
            former.replaced.cancel();
        }
        Place { number, replaced }
    }

    /// Removes a worker unless a newer stream has taken its place; says whether it did.
    pub(super) fn leave(&self, worker: &Did, place: &Place) -> bool {
        let mut streams = self.streams();
        let own = streams.get(worker).is_some_and(|stream| stream.number == place.number);
        if own {
            streams.remove(worker);
        }
        own
    }

    fn streams(&self) -> MutexGuard<'_, BTreeMap<Did, Stream>> {
        // The map is never left half changed, so a panic elsewhere does not spoil it.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Workforce for Registry {
    fn connected(&self) -> Vec<ConnectedWorker> {
        self.streams().values().map(|stream| stream.worker.clone()).collect()
    }

    fn find(&self, worker: &Did) -> Option<ConnectedWorker> {
        self.streams().get(worker).map(|stream| stream.worker.clone())
    }

    fn send(&self, worker: &Did, command: WorkerCommand) -> Result<(), SendError> {
        let queue = self.streams().get(worker).map(|stream| stream.queue.clone()).ok_or(SendError::NotConnected)?;
        queue.try_send(Ok(messages::to_worker(command))).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::QueueFull,
            mpsc::error::TrySendError::Closed(_) => SendError::NotConnected,
        })
    }
}
