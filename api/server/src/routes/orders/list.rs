//! Orders of the caller.

use super::Order;
use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_exchange_store::{Page, order};

/// List the orders that you gave, or that use agreements you take part in.
#[utoipa::path(
    get,
    path = "/v1/orders",
    tag = "orders",
    operation_id = "list_orders",
    params(PageQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<Order>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<PageBody<Order>>, Problem> {
    let page = query.request()?;
    let mut reader = app.market.store.reader().await?;
    let found = order::page(&mut reader, caller.viewer(), &page).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for row in found.items {
        items.push(Order::read(&mut reader, row).await?);
    }
    Ok(Json(Page { items, next: found.next }.into()))
}
