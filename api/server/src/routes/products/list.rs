//! What is offered.

use super::Product;
use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_exchange_store::product;

/// List products: those that you may buy, and those that bind you in any state.
#[utoipa::path(
    get,
    path = "/v1/products",
    tag = "products",
    operation_id = "list_products",
    params(PageQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<Product>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<PageBody<Product>>, Problem> {
    let page = query.request()?;
    let found = product::list(&mut *app.market.store.reader().await?, caller.viewer(), &page).await?;
    let now = app.market.now();
    Ok(Json(found.map(|row| Product::at(row, now)).into()))
}
