//! A consumer gives an order up.

use super::Order;
use crate::{
    Answer, AppState, Caller, Problem, Submission,
    error::ProblemBody,
    extract::{IdPath, NoInput},
};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::ids::OrderId;
use entrepot_exchange_market::jobs;
use entrepot_exchange_store::job;

/// Cancel an order of yours that is not paid yet; the price comes back.
#[utoipa::path(
    post,
    path = "/v1/orders/{order_id}/cancel",
    tag = "orders",
    operation_id = "cancel_order",
    params(
        ("order_id" = String, Path, description = "The order."),
        ("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition."),
    ),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Refunded.", body = Order),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(order_id): IdPath<OrderId>,
    Submission { once, .. }: Submission<NoInput>,
) -> Result<Response, Problem> {
    let (app, caller, order_id) = (&app, caller.did(), &order_id);
    let response = once
        .run(app, caller, "orders.cancel", |tx| {
            Box::pin(async move {
                let row = jobs::cancel(tx, &app.market, caller, order_id).await?;
                Answer::ok(&Order::read(tx, row).await?)
            })
        })
        .await?;
    let job = job::find_by_order(&mut *app.market.store.reader().await?, order_id).await?;
    if let Some(row) = job {
        jobs::tell_workers(&app.market, &row.job.terms.job_id).await?;
    }
    Ok(response)
}
