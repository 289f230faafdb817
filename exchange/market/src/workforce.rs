//! The connected workers, as the use cases see them. Commands and events mirror the control plane's messages without naming its wire
//! format; the adapter that speaks gRPC lives in the server. Everything may be sent again: a command names what it is about, and an
//! event about something already settled is answered harmlessly.

use async_trait::async_trait;
use entrepot_chain_statement::{
    Did, Envelope, Hash, Timestamp,
    ids::{DatasetId, GrantId, JobId},
    statements::{DatasetDescription, WorkerRole},
};
use thiserror::Error;

/// A worker whose stream is open and whose proof of identity was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectedWorker {
    /// The worker's key.
    pub worker: Did,
    /// On whose behalf it works.
    pub participant: Did,
    /// What it may do.
    pub role: WorkerRole,
    /// The grant it showed.
    pub grant_id: GrantId,
    /// Statement hash of that grant.
    pub grant: Hash,
    /// The key it cosigns checkpoints with, from the grant.
    pub witness: Did,
    /// The grant is void from then on.
    pub grant_expires_at: Timestamp,
    /// `host:port` where the other parties reach it; a hint, their pinned keys are what counts.
    pub peer_address: String,
    /// Software version, for people.
    pub version: String,
    /// Size of the last checkpoint it cosigned when it connected; 0 if none.
    pub checkpoint_size: u64,
}

/// What the exchange asks of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerCommand {
    /// Describe a dataset of the worker's configuration.
    DescribeDataset {
        /// The id the exchange gave it.
        dataset_id: DatasetId,
        /// Its name in the worker's configuration.
        name: String,
    },
    /// Take part in a computation.
    WorkOrder(Box<WorkOrder>),
    /// Stop an attempt.
    AbortWork {
        /// The job.
        job_id: JobId,
        /// The try.
        attempt: u32,
        /// Why; a stable code.
        code: String,
    },
    /// Hand the sealed shares over, against the signed release.
    HandOverShares {
        /// The job.
        job_id: JobId,
        /// Envelope of the release.
        release: Envelope,
    },
    /// Cosign a checkpoint of the log after checking that it extends the last one.
    CosignCheckpoint {
        /// C2SP checkpoint note with the log's signature.
        checkpoint: Vec<u8>,
        /// The size the proof starts from.
        old_size: u64,
        /// RFC 6962 consistency proof.
        consistency: Vec<Hash>,
    },
}

/// Everything one party needs to check and run its part of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkOrder {
    /// The job.
    pub job_id: JobId,
    /// Which try.
    pub attempt: u32,
    /// Index of the receiving worker, 0 to 2.
    pub party: u8,
    /// The product, signed by both providers and the compute party.
    pub product: Envelope,
    /// The agreement, signed by the consumer.
    pub agreement: Envelope,
    /// The order, signed by the consumer.
    pub order: Envelope,
    /// The hold, signed by the exchange.
    pub hold: Envelope,
    /// The three grants, by party index.
    pub grants: [Envelope; 3],
    /// The three workers' addresses, by party index.
    pub peer_addresses: [String; 3],
    /// The computation is given up at this moment.
    pub deadline: Timestamp,
}

/// What a worker says. Hostile input: only sizes and syntax were checked.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerEvent {
    /// A dataset was described.
    DatasetDescribed {
        /// The dataset.
        dataset_id: DatasetId,
        /// What the worker says of it.
        description: DatasetDescription,
    },
    /// A dataset cannot be described.
    DatasetRefused {
        /// The dataset.
        dataset_id: DatasetId,
        /// Stable code.
        code: String,
        /// What to do, for people.
        detail: String,
    },
    /// The worker checked the work order and takes part.
    WorkAccepted {
        /// The job.
        job_id: JobId,
        /// The try.
        attempt: u32,
    },
    /// Final: the worker will not run this order.
    WorkRefused {
        /// The job.
        job_id: JobId,
        /// The try.
        attempt: u32,
        /// Stable code.
        code: String,
        /// What to do, for people.
        detail: String,
    },
    /// How far the computation is.
    WorkProgress {
        /// The job.
        job_id: JobId,
        /// The try.
        attempt: u32,
        /// Of `total`, in `step`.
        done: u64,
        /// The whole of the step.
        total: u64,
        /// `connecting`, `intersecting`, `sharing`, `computing` or `sealing`.
        step: String,
    },
    /// This attempt is over; another may work.
    WorkFailed {
        /// The job.
        job_id: JobId,
        /// The try.
        attempt: u32,
        /// Stable code.
        code: String,
        /// What happened, for people.
        detail: String,
    },
    /// The computation ended; the receipt names the sealed shares.
    WorkFinished {
        /// The job.
        job_id: JobId,
        /// The try.
        attempt: u32,
        /// Envelope of the usage receipt.
        receipt: Envelope,
    },
    /// The sealed shares.
    SharesHandedOver {
        /// The job.
        job_id: JobId,
        /// Share number and ciphertext.
        shares: Vec<(u8, Vec<u8>)>,
    },
    /// A cosignature for a checkpoint.
    CheckpointCosigned {
        /// Size of the checkpoint.
        size: u64,
        /// One note signature line, without the newline.
        cosignature: String,
    },
    /// The worker cannot cosign.
    CheckpointRefused {
        /// What it last cosigned, to prove from.
        known_size: u64,
        /// Stable code.
        code: String,
    },
}

/// Why a command did not go out. The caller loses nothing: what is outstanding is sent again when the worker connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// No stream of that worker is open.
    #[error("the worker is not connected")]
    NotConnected,
    /// The worker does not read its stream; its queue is full.
    #[error("the worker's queue is full")]
    QueueFull,
}

/// The workers that are connected now, and the way to speak to them.
pub trait Workforce: Send + Sync {
    /// Every connected worker, by the order of their keys.
    fn connected(&self) -> Vec<ConnectedWorker>;
    /// One connected worker.
    fn find(&self, worker: &Did) -> Option<ConnectedWorker>;
    /// Puts a command into the worker's bounded queue; never blocks.
    fn send(&self, worker: &Did, command: WorkerCommand) -> Result<(), SendError>;
}

/// Whoever acts on what workers say: jobs, datasets, checkpoints. Each takes its own events and ignores the rest.
#[async_trait]
pub trait WorkerListener: Send + Sync {
    /// A worker connected, perhaps again: send it what is outstanding.
    async fn connected(&self, worker: &ConnectedWorker);
    /// A worker spoke.
    async fn received(&self, worker: &ConnectedWorker, event: &WorkerEvent);
    /// The worker's stream ended.
    async fn disconnected(&self, worker: &Did);
}
