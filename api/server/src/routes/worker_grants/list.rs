//! A participant's grants.

use super::WorkerGrant;
use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_exchange_store::worker_grant;

/// List your worker grants; operators and regulators see everybody's.
#[utoipa::path(
    get,
    path = "/v1/worker-grants",
    tag = "worker-grants",
    operation_id = "list_worker_grants",
    params(PageQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<WorkerGrant>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<PageBody<WorkerGrant>>, Problem> {
    let page = query.request()?;
    let found = worker_grant::list(&mut *app.market.store.reader().await?, caller.viewer(), &page).await?;
    Ok(Json(found.map(WorkerGrant::from).into()))
}
