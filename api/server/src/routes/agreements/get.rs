//! One agreement.

use super::Agreement;
use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::ids::AgreementId;
use entrepot_exchange_store::agreement;

/// Read an agreement that you made or take part in.
#[utoipa::path(
    get,
    path = "/v1/agreements/{agreement_id}",
    tag = "agreements",
    operation_id = "get_agreement",
    params(("agreement_id" = String, Path, description = "The agreement.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The agreement.", body = Agreement),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(agreement_id): IdPath<AgreementId>,
) -> Result<Json<Agreement>, Problem> {
    let mut reader = app.market.store.reader().await?;
    let row = agreement::find_visible(&mut reader, &agreement_id, caller.viewer()).await?;
    let row = row.ok_or_else(|| Problem::not_found("agreement"))?;
    Ok(Json(Agreement::read(&mut reader, row).await?))
}
