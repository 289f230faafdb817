//! The process beside the data.
//!
//! A worker acts for one participant. It dials the exchange and takes its messages, and trusts it with nothing: before a row is touched, the
//! [`gate`] checks everybody's signatures, the worker's own policy file, its own memory of orders and its own clock. Data leaves only as
//! shares to the other two parties, whose keys are pinned by the agreement, and as a result sealed to the consumer.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | what the owner decides |
//! | [`frames`] | CSV files, read by a child process under limits |
//! | [`gate`] | whether an order may run |
//! | [`peers`] | connections between parties |
//! | [`runner`] | one attempt of a job |
//! | [`release`] | whether sealed shares may be handed over |
//! | [`state`] | what must not be forgotten |

pub mod config;
pub mod frames;
pub mod gate;
pub mod peers;
pub mod release;
pub mod runner;
pub mod state;

mod answers;
mod clock;
mod describe;
mod desk;
mod input;
mod stream;
mod witness;

use config::{ConfigError, Settings, WorkerConfig};
use frames::ChildProgram;
use peers::PeerNode;
use state::{StateError, Store};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often expired shares are looked for.
const SWEEP_PAUSE: Duration = Duration::from_secs(3600);

/// Why a worker does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The configuration is not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The listener for other parties does not start.
    #[error(transparent)]
    Peers(#[from] peers::PeerStartError),
    /// What must be remembered could not be written any more.
    #[error("the worker stopped because it can no longer remember what it does: see its log")]
    Broken,
}

/// Runs a worker until `shutdown`. The program must start [`frames::child_main`] when its first argument is `frames-child`.
pub async fn run(config: WorkerConfig, shutdown: CancellationToken) -> Result<(), WorkerError> {
    run_with(config, ChildProgram::this_program(), shutdown).await
}

/// As [`run`], with another program to read CSV files: for a program that is not started as `entrepot`.
pub async fn run_with(config: WorkerConfig, frames_child: ChildProgram, shutdown: CancellationToken) -> Result<(), WorkerError> {
    let settings = Settings { frames_child, ..Settings::open(config)? };
    let witness = witness::of(&settings)?;
    let store = Store::open(&settings.config.data_dir)?;
    let peers = PeerNode::start(&settings.keys.signing, settings.config.peer_listen).await?;
    tracing::info!(worker = %settings.keys.signing.did(), peer_address = %peers.local_address(), "the worker starts");
    let (outbox, messages) = stream::outbox();
    let desk = desk::Desk::new(settings, store, peers, witness, outbox);
    let line = stream::Line::new(Arc::clone(&desk), messages)?;
    let sweeping = tokio::spawn({
        let desk = Arc::clone(&desk);
        async move {
            loop {
                desk.sweep().await;
                tokio::time::sleep(SWEEP_PAUSE).await;
            }
        }
    });
    line.run(&shutdown).await;
    desk.stop_all();
    sweeping.abort();
    let _ = sweeping.await;
    desk.finish().await;
    if desk.broken().is_cancelled() { Err(WorkerError::Broken) } else { Ok(()) }
}
