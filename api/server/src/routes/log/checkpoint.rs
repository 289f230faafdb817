//! The log's checkpoints.

use crate::{Problem, error::ProblemBody, extract::QueryOf, log::LogState};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which checkpoint.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CheckpointQuery {
    /// Entries that it covers; the newest if absent.
    size: Option<u64>,
}

/// Read the newest checkpoint, or the one of a given size: a C2SP signed note with the cosignatures known so far.
#[utoipa::path(
    get,
    path = "/v1/log/checkpoint",
    tag = "log",
    operation_id = "get_checkpoint",
    params(CheckpointQuery),
    responses(
        (status = 200, description = "A C2SP checkpoint.", body = String, content_type = "text/plain"),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(log: LogState, QueryOf(query): QueryOf<CheckpointQuery>) -> Result<Response, Problem> {
    let found = log.checkpoint(query.size).await?;
    Ok(super::text(found.ok_or_else(|| super::no_checkpoint(query.size))?))
}
