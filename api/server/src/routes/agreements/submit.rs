//! A consumer agrees.

use super::Agreement;
use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody, schema::EnvelopeInput};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::statements::Role;
use entrepot_exchange_market::agree;

/// Submit an Agreement that you signed: its terms must be the product's. For consumers.
#[utoipa::path(
    post,
    path = "/v1/agreements",
    tag = "agreements",
    operation_id = "submit_agreement",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = EnvelopeInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Agreed.", body = Agreement),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<EnvelopeInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Consumer])?;
    let (app, caller, envelope) = (&app, caller.did(), &input.envelope);
    once.run(app, caller, "agreements.submit", |tx| {
        Box::pin(async move {
            let row = agree::agree(tx, &app.market, caller, envelope).await?;
            Answer::created(&Agreement::read(tx, row).await?)
        })
    })
    .await
}
