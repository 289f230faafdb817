//! A product is proposed.

use super::Product;
use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody, schema::EnvelopeInput};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::statements::Role;
use entrepot_exchange_market::product;

/// Propose a DataProduct that you have signed. It is active once everyone whom it binds has signed.
#[utoipa::path(
    post,
    path = "/v1/products",
    tag = "products",
    operation_id = "propose_product",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = EnvelopeInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Proposed, or active if everybody has signed.", body = Product),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<EnvelopeInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Provider, Role::ComputeParty])?;
    let (app, caller, envelope) = (&app, caller.did(), &input.envelope);
    once.run(app, caller, "products.propose", |tx| {
        Box::pin(async move {
            let row = product::propose(tx, &app.market, caller, envelope).await?;
            Answer::created(&Product::at(row, app.market.now()))
        })
    })
    .await
}
