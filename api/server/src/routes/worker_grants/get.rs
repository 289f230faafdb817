//! One grant.

use super::WorkerGrant;
use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::ids::GrantId;
use entrepot_exchange_store::worker_grant;

/// Read a worker grant of yours.
#[utoipa::path(
    get,
    path = "/v1/worker-grants/{grant_id}",
    tag = "worker-grants",
    operation_id = "get_worker_grant",
    params(("grant_id" = String, Path, description = "The grant.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The grant.", body = WorkerGrant),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(grant_id): IdPath<GrantId>,
) -> Result<Json<WorkerGrant>, Problem> {
    let row = worker_grant::find(&mut *app.market.store.reader().await?, &grant_id).await?;
    let visible = row.filter(|row| caller.viewer().is_none_or(|viewer| row.grant.participant == *viewer));
    visible.map(|row| Json(row.into())).ok_or_else(|| Problem::not_found("worker grant"))
}
