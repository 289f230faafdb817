//! One dataset.

use super::Dataset;
use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::ids::DatasetId;
use entrepot_exchange_market::dataset;

/// Read a dataset: any that is registered, and your own in any state.
#[utoipa::path(
    get,
    path = "/v1/datasets/{dataset_id}",
    tag = "datasets",
    operation_id = "get_dataset",
    params(("dataset_id" = String, Path, description = "The dataset.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The dataset.", body = Dataset),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(dataset_id): IdPath<DatasetId>,
) -> Result<Json<Dataset>, Problem> {
    let row = dataset::find_visible(&mut *app.market.store.reader().await?, caller.viewer(), &dataset_id).await?;
    row.map(|row| Json(row.into())).ok_or_else(|| Problem::not_found("dataset"))
}
