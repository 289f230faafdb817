//! Everything that was signed about a job, to be checked offline.

use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_log::bundle::ReceiptBundle;
use entrepot_chain_statement::ids::JobId;
use entrepot_exchange_market::deliver;

/// Fetch the receipt bundle of a job that you bought or take part in. It holds no keys to check it by: those you must know beforehand.
#[utoipa::path(
    get,
    path = "/v1/jobs/{job_id}/receipt",
    tag = "jobs",
    operation_id = "get_receipt",
    params(("job_id" = String, Path, description = "The job.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "`entrepot.receipt.v1`: entries with name, envelope, and proof or null while the log has it pending; and `decisions`, if the log can show that its members decided.", body = Object),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(job_id): IdPath<JobId>,
) -> Result<Json<ReceiptBundle>, Problem> {
    Ok(Json(deliver::receipt_bundle(&app.market, caller.viewer(), &job_id).await?))
}
