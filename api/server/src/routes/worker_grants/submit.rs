//! A participant delegates to a worker.

use super::WorkerGrant;
use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody, schema::EnvelopeInput};
use axum::{extract::State, response::Response};
use entrepot_exchange_market::worker_grant;

/// Submit a signed WorkerGrant of your own.
#[utoipa::path(
    post,
    path = "/v1/worker-grants",
    tag = "worker-grants",
    operation_id = "submit_worker_grant",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = EnvelopeInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Accepted.", body = WorkerGrant),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<EnvelopeInput>,
) -> Result<Response, Problem> {
    let (app, caller, envelope) = (&app, caller.did(), &input.envelope);
    let now = app.market.now();
    once.run(app, caller, "worker_grants.submit", |tx| {
        Box::pin(async move { Answer::created(&WorkerGrant::from(worker_grant::submit(tx, now, caller, envelope).await?)) })
    })
    .await
}
