//! The sealed result.

use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::STANDARD};
use entrepot_chain_statement::ids::JobId;
use entrepot_exchange_market::deliver;
use serde::Serialize;
use utoipa::ToSchema;

/// A result that only its consumer can open.
#[derive(Serialize, ToSchema)]
pub(super) struct SealedResult {
    /// The try that counted.
    attempt: u32,
    /// Statement hash of the order.
    order_hash: String,
    /// The three shares.
    shares: Vec<SealedShare>,
}

/// One additive share of a result, sealed to the consumer.
#[derive(Serialize, ToSchema)]
pub(super) struct SealedShare {
    /// 0 to 2.
    share: u8,
    /// HPKE: encapsulated key and ciphertext, base64.
    ciphertext: String,
}

/// Fetch the sealed result of a job that you bought. It is kept for 30 days.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job_id}/result",
    tag = "jobs",
    operation_id = "get_result",
    params(("job_id" = String, Path, description = "The job.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The sealed shares.", body = SealedResult),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(job_id): IdPath<JobId>,
) -> Result<Json<SealedResult>, Problem> {
    let found = deliver::result(&mut *app.market.store.reader().await?, caller.did(), &job_id).await?;
    let shares = found.shares.into_iter().map(|row| SealedShare { share: row.share, ciphertext: STANDARD.encode(row.ciphertext) });
    Ok(Json(SealedResult { attempt: found.attempt, order_hash: found.order.to_string(), shares: shares.collect() }))
}
