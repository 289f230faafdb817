//! What there is.

use super::Dataset;
use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_exchange_store::dataset;

/// List datasets: every registered one, and your own in any state.
#[utoipa::path(
    get,
    path = "/v1/datasets",
    tag = "datasets",
    operation_id = "list_datasets",
    params(PageQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<Dataset>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<PageBody<Dataset>>, Problem> {
    let page = query.request()?;
    let found = dataset::list(&mut *app.market.store.reader().await?, caller.viewer(), &page).await?;
    Ok(Json(found.map(Dataset::from).into()))
}
