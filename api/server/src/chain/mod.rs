//! `/v1/chain`: blocks, transactions, members and state, for anyone who reaches the listener, without a token.
//!
//! It rests on [`ChainReader`] alone, so that the exchange serves it beside its market and a member's node serves it by itself
//! ([`node_router`]). Whatever is proved here is checked with a genesis known beforehand, never because this node says so.

mod blocks;
mod events;
mod evidence;
mod head;
mod members;
mod node;
mod reader;
mod records;
mod shapes;
mod state_entry;
mod submit;
mod transactions;

pub use node::{node_router, serve_node};
pub use reader::{ChainError, ChainReader, SubmitError};
pub use records::{
    BlockName, BlockRecord, Connection, EvidenceRecord, Head, Health, MembersAt, MembersEpoch, Part, PeerHealth, StateEntry, Submitted,
    TransactionKind, TransactionPosition, TransactionRecord, TransactionSearch, TransactionStatus, Verdict,
};

use crate::{
    Problem,
    limits::{CHAIN_STREAM_MAX, CHAIN_STREAM_STALL_MAX, CHAIN_STREAMS_MAX, CHAIN_SUBMISSIONS_MAX},
};
use axum::{extract::FromRequestParts, http::request::Parts};
use entrepot_exchange_domain::RefusalKind;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Whether strangers may hand in transactions here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submissions {
    /// Whoever reaches the listener may; the node decides whose it takes.
    Open,
    /// Nobody may: each submitter costs the ledger a place for ever.
    Closed,
}

/// What the chain's handlers share. Cheap to clone.
#[derive(Clone)]
pub struct ChainState(Arc<Shared>);

/// Behind [`ChainState`].
pub struct Shared {
    reader: Arc<dyn ChainReader>,
    submissions: Submissions,
    submitting: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    limits: ChainLimits,
    stop: CancellationToken,
}

/// What the chain's routes grant to strangers.
#[derive(Clone, Copy, Debug)]
pub struct ChainLimits {
    /// Streams of blocks that are open at once.
    pub streams_max: usize,
    /// A reader that takes no event for this long loses its stream.
    pub stall_max: Duration,
    /// A stream ends after this long.
    pub stream_max: Duration,
    /// Transactions that wait for their verdicts at once.
    pub submissions_max: usize,
}

impl Default for ChainLimits {
    fn default() -> Self {
        Self {
            streams_max: CHAIN_STREAMS_MAX,
            stall_max: CHAIN_STREAM_STALL_MAX,
            stream_max: CHAIN_STREAM_MAX,
            submissions_max: CHAIN_SUBMISSIONS_MAX,
        }
    }
}

impl ChainState {
    /// On this chain. `stop` is cancelled when the server stops: streams end then, instead of holding the stop up.
    pub fn new(reader: Arc<dyn ChainReader>, submissions: Submissions, limits: ChainLimits, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            reader,
            submissions,
            submitting: Arc::new(Semaphore::new(limits.submissions_max)),
            streams: Arc::new(Semaphore::new(limits.streams_max)),
            limits,
            stop,
        }))
    }

    /// On another chain of the same process. What strangers may hold is counted over both: more channels are no more connections.
    pub fn beside(&self, reader: Arc<dyn ChainReader>) -> Self {
        let Shared { submissions, submitting, streams, limits, stop, .. } = &**self;
        let (submitting, streams, stop) = (submitting.clone(), streams.clone(), stop.clone());
        Self(Arc::new(Shared { reader, submissions: *submissions, submitting, streams, limits: *limits, stop }))
    }

    pub(crate) fn reader(&self) -> &dyn ChainReader {
        &*self.reader
    }
}

impl std::ops::Deref for ChainState {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ChainState {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            Problem::new(RefusalKind::Unavailable, "chain_not_served", "no chain is read here").hint("ask the operator to connect the node")
        })
    }
}

/// The resource's endpoints, in whatever router.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    OpenApiRouter::new()
        .routes(routes!(head::head))
        .routes(routes!(head::genesis))
        .routes(routes!(head::health))
        .routes(routes!(blocks::list))
        .routes(routes!(blocks::first_since))
        .routes(routes!(blocks::get))
        .routes(routes!(blocks::certificate))
        .routes(routes!(blocks::transactions))
        .routes(routes!(transactions::list, submit::submit))
        .routes(routes!(transactions::get))
        .routes(routes!(members::at))
        .routes(routes!(members::history))
        .routes(routes!(state_entry::get))
        .routes(routes!(evidence::list))
        .routes(routes!(events::follow))
}
