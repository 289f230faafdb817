//! One order.

use super::Order;
use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::ids::OrderId;
use entrepot_exchange_store::order;

/// Read an order that you gave, or that uses an agreement you take part in.
#[utoipa::path(
    get,
    path = "/v1/orders/{order_id}",
    tag = "orders",
    operation_id = "get_order",
    params(("order_id" = String, Path, description = "The order.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The order.", body = Order),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(order_id): IdPath<OrderId>,
) -> Result<Json<Order>, Problem> {
    let mut reader = app.market.store.reader().await?;
    let row = order::find_visible(&mut reader, &order_id, caller.viewer()).await?.ok_or_else(|| Problem::not_found("order"))?;
    Ok(Json(Order::read(&mut reader, row).await?))
}
