//! A consumer orders.

use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody, schema::EnvelopeInput};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::statements::Role;
use entrepot_exchange_market::order;
use serde::Serialize;
use utoipa::ToSchema;

/// An order that was taken.
#[derive(Serialize, ToSchema)]
pub(super) struct OrderPlaced {
    /// The order.
    order_id: String,
    /// The job it became.
    job_id: String,
    /// State of that job.
    state: &'static str,
}

/// Submit an Order that you signed. The price is set aside from your balance until the job is paid or refunded. For consumers.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "orders",
    operation_id = "place_order",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = EnvelopeInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Taken, paid into escrow and queued.", body = OrderPlaced),
        (status = "default", description = "Refused; nothing was taken.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<EnvelopeInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Consumer])?;
    let (app, caller, envelope) = (&app, caller.did(), &input.envelope);
    let response = once
        .run(app, caller, "orders.place", |tx| {
            Box::pin(async move {
                let placed = order::order(tx, &app.market, caller, envelope).await?;
                let (order_id, job_id) = (placed.order_id.to_string(), placed.job_id.to_string());
                Answer::created(&OrderPlaced { order_id, job_id, state: placed.state })
            })
        })
        .await?;
    entrepot_failpoint::reach("exchange.order.after_commit");
    app.market.bell.ring();
    Ok(response)
}
