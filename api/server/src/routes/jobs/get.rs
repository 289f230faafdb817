//! One job.

use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::{Timestamp, ids::JobId};
use entrepot_exchange_domain::job::{JobState, Note};
use entrepot_exchange_store::job::{self, JobRow};
use serde::Serialize;
use utoipa::ToSchema;

/// A job.
#[derive(Serialize, ToSchema)]
pub(super) struct Job {
    /// The job.
    job_id: String,
    /// The order it runs.
    order_id: String,
    /// The agreement of the order.
    agreement_id: String,
    /// `queued`, `dispatched`, `running`, `released`, `delivered`, `undelivered` or `refunded`.
    state: &'static str,
    /// Tries begun, 0 to 3.
    attempt: u32,
    /// Why the price went back; absent unless refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What the last failed attempt failed of, or a worker refused for.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    /// When time alone will change the state; milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    deadline: Option<Timestamp>,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    created_at: Timestamp,
    /// When the state changed last.
    #[schema(value_type = String)]
    changed_at: Timestamp,
}

/// A worker's or the exchange's words about a failure.
#[derive(Serialize, ToSchema)]
pub(super) struct Failure {
    /// Who said so, 0 to 2; absent if the exchange found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    party: Option<u8>,
    /// Stable code.
    code: String,
    /// For people.
    detail: String,
}

impl Job {
    fn new(row: JobRow, failure: Option<Note>) -> Self {
        let failure = failure.and_then(|note| match note {
            Note::AttemptFailed { party, complaint, .. } => Some((party, complaint)),
            Note::Refused { party, complaint, .. } => Some((Some(party), complaint)),
            _ => None,
        });
        let reason = if let JobState::Refunded { reason, .. } = row.job.state { Some(reason.code()) } else { None };
        Self {
            job_id: row.job.terms.job_id.to_string(),
            order_id: row.order_id.to_string(),
            agreement_id: row.agreement_id.to_string(),
            state: row.job.state.name(),
            attempt: row.job.state.attempt(),
            reason,
            failure: failure.map(|(party, complaint)| Failure { party, code: complaint.code, detail: complaint.detail }),
            deadline: row.job.state.deadline(),
            created_at: row.created_at,
            changed_at: row.changed_at,
        }
    }
}

/// Read a job that you bought or take part in.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job_id}",
    tag = "jobs",
    operation_id = "get_job",
    params(("job_id" = String, Path, description = "The job.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The job.", body = Job),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(State(app): State<AppState>, caller: Caller, IdPath(job_id): IdPath<JobId>) -> Result<Json<Job>, Problem> {
    let mut reader = app.market.store.reader().await?;
    let row = job::find_visible(&mut reader, &job_id, caller.viewer()).await?.ok_or_else(|| Problem::not_found("job"))?;
    let failure = job::last_failure(&mut reader, &job_id).await?;
    Ok(Json(Job::new(row, failure)))
}
