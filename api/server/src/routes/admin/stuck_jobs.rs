//! Jobs that ought to have moved.

use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_chain_statement::{Timestamp, statements::Role};
use entrepot_exchange_store::audit::{self, StuckJob};
use serde::Serialize;
use utoipa::ToSchema;

/// A deadline that passed this long ago should have been acted on.
const OVERDUE_MS: i64 = 60 * 1000;
/// A job without a deadline that has not moved for this long.
const UNMOVED_MS: i64 = 60 * 60 * 1000;

/// A job that ought to have moved.
#[derive(Serialize, ToSchema)]
pub(super) struct Stuck {
    /// The job.
    job_id: String,
    /// Its state.
    state: String,
    /// Tries begun.
    attempt: i64,
    /// When time should have changed its state; absent if time alone never does. Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    deadline: Option<Timestamp>,
    /// When its state changed last; milliseconds since the epoch.
    #[schema(value_type = String)]
    changed_at: Timestamp,
}

impl From<StuckJob> for Stuck {
    fn from(job: StuckJob) -> Self {
        Self { job_id: job.job_id.to_string(), state: job.state, attempt: job.attempt, deadline: job.deadline, changed_at: job.changed_at }
    }
}

/// List jobs that are a minute past a deadline, or have not moved for an hour. For operators.
#[utoipa::path(
    get,
    path = "/v1/admin/stuck-jobs",
    tag = "admin",
    operation_id = "list_stuck_jobs",
    params(PageQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<Stuck>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<PageBody<Stuck>>, Problem> {
    caller.require(&[Role::Operator])?;
    let page = query.request()?;
    let now = app.market.now();
    let mut reader = app.market.store.reader().await?;
    let (overdue, unmoved) = (now.plus_ms(-OVERDUE_MS), now.plus_ms(-UNMOVED_MS));
    let found = audit::stuck_jobs(&mut reader, overdue, unmoved, page.after(), page.probe()).await?;
    Ok(Json(page.page(found, |job| job.job_id.to_string()).map(Stuck::from).into()))
}
