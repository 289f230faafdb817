//! What happens to a job, as it happens.

use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use entrepot_chain_statement::{Timestamp, ids::JobId};
use entrepot_exchange_domain::{RefusalKind, job::Note};
use entrepot_exchange_store::{
    StoreError,
    job::{self, JobEventRow},
};
use futures::stream;
use serde::Serialize;
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::{sync::watch, time::Instant};

/// Events read at once.
const EVENTS_READ: i64 = 100;
/// A stream ends after this long; whoever still wants to know comes again with a fresh token and `Last-Event-ID`.
const STREAM_MAX: Duration = Duration::from_secs(600);
/// Between two comments that keep proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Longest time between two looks at the database without a ring of the bell.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Shortest time between two looks, however busy the exchange is with other jobs.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Follow a job that you bought or take part in, by server-sent events named `note`: what happened before first, then what happens, until
/// the job is delivered, undelivered or refunded. With `Last-Event-ID` only what came after that event.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job_id}/events",
    tag = "jobs",
    operation_id = "follow_job",
    params(
        ("job_id" = String, Path, description = "The job."),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen."),
    ),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Events; the data is JSON with `at` and `kind`.", body = String, content_type = "text/event-stream"),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    IdPath(job_id): IdPath<JobId>,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?;
    let found = job::find_visible(&mut *app.market.store.reader().await?, &job_id, caller.viewer()).await?;
    found.ok_or_else(|| Problem::not_found("job"))?;
    // Listens before it reads, so that nothing falls between.
    let bell = app.market.bell.listen();
    let follower = Follower { app, job_id, after, read: VecDeque::new(), bell, until: Instant::now() + STREAM_MAX, over: false };
    let events =
        stream::unfold(follower, |mut follower| async move { follower.next().await.map(|event| (Ok::<_, Infallible>(event), follower)) });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok(([(header::CACHE_CONTROL, "no-store")], sse).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<i64, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| *number >= 0);
    number.ok_or_else(|| Problem::new(RefusalKind::Invalid, "invalid_last_event_id", "`Last-Event-ID` is none that this exchange gave out"))
}

struct Follower {
    app: AppState,
    job_id: JobId,
    after: i64,
    read: VecDeque<JobEventRow>,
    bell: watch::Receiver<()>,
    until: Instant,
    over: bool,
}

#[derive(Serialize)]
struct Data {
    at: Timestamp,
    #[serde(flatten)]
    note: Note,
}

impl Follower {
    /// The next event; none once the job is over, the stream has lasted long enough or the exchange stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(row) = self.read.pop_front() {
                self.after = row.number;
                self.over = matches!(row.note, Note::Delivered | Note::Refunded { .. });
                let data = serde_json::to_string(&Data { at: row.at, note: row.note }).ok()?;
                return Some(Event::default().id(row.number.to_string()).event("note").data(data));
            }
            if self.over || Instant::now() >= self.until || self.app.stop.is_cancelled() {
                return None;
            }
            self.bell.mark_unchanged();
            match self.look().await {
                Ok(()) if !self.read.is_empty() || self.over => continue,
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a job's events could not be read");
                    return None;
                }
            }
            let stop = self.app.stop.clone();
            tokio::select! {
                () = stop.cancelled() => return None,
                _ = tokio::time::timeout(LOOK_AGAIN, self.bell.changed()) => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let mut reader = self.app.market.store.reader().await?;
        // The state first: when it is final, the events read after it are complete.
        let state = job::find(&mut reader, &self.job_id).await?.map(|row| row.job.state);
        self.read.extend(job::events(&mut reader, &self.job_id, self.after, EVENTS_READ).await?);
        let is_final = state.is_none_or(|state| state.is_final());
        self.over = is_final && self.read.is_empty();
        Ok(())
    }
}
