//! Blocks, as they are decided.

use super::{BlockName, ChainReader, ChainState, blocks::no_block, shapes::BlockBody};
use crate::{Problem, error::ProblemBody, extract::QueryOf, limits::CHAIN_STREAM_EVENTS_MAX};
use axum::{
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use entrepot_exchange_domain::RefusalKind;
use futures::StreamExt;
use serde::Deserialize;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

/// Between two comments that keep proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// From which block on.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Height of the first block wanted, from 1 to the one that is decided next; that one if absent.
    from: Option<u64>,
}

/// Follow the chain by server-sent events named `block`, one a block, whose ids are heights: those from `from` on that are decided
/// already, then each as it is decided. With `Last-Event-ID` only what came after that event, whatever `from` says. A stream ends after
/// ten minutes, or when its reader takes nothing for ten seconds: come again with `Last-Event-ID`.
#[utoipa::path(
    get,
    path = "/v1/chain/events",
    tag = "chain",
    operation_id = "follow_chain",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen.")),
    responses(
        (status = 200, description = "Events; the data is a block without its transactions.", body = String, content_type = "text/event-stream"),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn follow(chain: ChainState, headers: HeaderMap, QueryOf(query): QueryOf<EventsQuery>) -> Result<Response, Problem> {
    let slot = chain.streams.clone().try_acquire_owned().map_err(|_| {
        Problem::new(RefusalKind::TooMany, "too_many_streams", "too many streams of blocks are open already")
            .hint("read /v1/chain/blocks meanwhile")
            .retry_after(10)
    })?;
    let heights = chain.reader.heights();
    let head = *heights.borrow();
    let next = first(&headers, query.from, head)?;
    if next <= head {
        // What is not kept any more is refused before the stream begins.
        chain.reader.block(BlockName::Height(next)).await?.ok_or_else(no_block)?;
    }
    let (events, taken) = mpsc::channel(CHAIN_STREAM_EVENTS_MAX);
    let follower = Follower { reader: chain.reader.clone(), heights, next, events, stall_max: chain.limits.stall_max, _slot: slot };
    let (stop, stream_max) = (chain.stop.clone(), chain.limits.stream_max);
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            _ended = timeout(stream_max, follower.run()) => {}
        }
    });
    let sse = Sse::new(ReceiverStream::new(taken).map(Ok::<Event, Infallible>)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([(header::CACHE_CONTROL, "no-store")], sse).into_response())
}

/// The first height wanted.
fn first(headers: &HeaderMap, from: Option<u64>, head: u64) -> Result<u64, Problem> {
    let next = head.saturating_add(1);
    let ahead = "ask for no height above the next one; this node may be behind the one that you followed before";
    if let Some(value) = headers.get("last-event-id") {
        let seen = value.to_str().ok().and_then(|text| text.parse::<u64>().ok()).filter(|seen| *seen <= head);
        let wrong = || {
            Problem::new(RefusalKind::Invalid, "invalid_last_event_id", "`Last-Event-ID` is not the height of a block of this chain")
                .hint(ahead)
        };
        return Ok(seen.ok_or_else(wrong)?.saturating_add(1));
    }
    match from {
        None => Ok(next),
        Some(from) if (1..=next).contains(&from) => Ok(from),
        Some(_) => Err(Problem::new(RefusalKind::Invalid, "invalid_height", format!("`from` goes from 1 to {next}")).hint(ahead)),
    }
}

/// Reads blocks only as fast as they are taken.
struct Follower {
    reader: Arc<dyn ChainReader>,
    heights: watch::Receiver<u64>,
    next: u64,
    events: mpsc::Sender<Event>,
    stall_max: Duration,
    _slot: OwnedSemaphorePermit,
}

impl Follower {
    /// Until nobody listens any more, the reader is too slow, or the chain cannot be read.
    async fn run(mut self) {
        loop {
            let head = *self.heights.borrow_and_update();
            while self.next <= head {
                let Some(event) = self.event().await else { return };
                let patience = Instant::now() + self.stall_max;
                if !matches!(timeout_at(patience, self.events.send(event)).await, Ok(Ok(()))) {
                    return;
                }
                self.next += 1;
            }
            tokio::select! {
                () = self.events.closed() => return,
                changed = self.heights.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn event(&self) -> Option<Event> {
        match self.reader.block(BlockName::Height(self.next)).await {
            Ok(Some(block)) => {
                let data = serde_json::to_string(&BlockBody::from(block)).ok()?;
                Some(Event::default().id(self.next.to_string()).event("block").data(data))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, height = self.next, "a block could not be read for a stream");
                None
            }
        }
    }
}
