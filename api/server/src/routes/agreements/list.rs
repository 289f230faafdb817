//! Agreements of the caller.

use super::Agreement;
use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_exchange_store::{Page, agreement};

/// List the agreements that you made or take part in.
#[utoipa::path(
    get,
    path = "/v1/agreements",
    tag = "agreements",
    operation_id = "list_agreements",
    params(PageQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<Agreement>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<PageBody<Agreement>>, Problem> {
    let page = query.request()?;
    let mut reader = app.market.store.reader().await?;
    let found = agreement::page(&mut reader, caller.viewer(), &page).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for row in found.items {
        items.push(Agreement::read(&mut reader, row).await?);
    }
    Ok(Json(Page { items, next: found.next }.into()))
}
