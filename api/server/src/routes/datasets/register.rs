//! A provider asks for a dataset to be described.

use super::Dataset;
use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::{Did, statements::Role};
use entrepot_exchange_market::dataset;
use serde::Deserialize;
use utoipa::ToSchema;

/// Which dataset, at which worker.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegisterDataset {
    /// Its name in the worker's configuration.
    #[schema(pattern = "^[a-z_][a-z0-9_]{0,62}$")]
    name: String,
    /// did:key of the worker, to which you have granted the role `data`.
    #[schema(value_type = String)]
    worker: Did,
}

/// Register a dataset. Its worker is asked to describe it; the data stays there.
#[utoipa::path(
    post,
    path = "/v1/datasets",
    tag = "datasets",
    operation_id = "register_dataset",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = RegisterDataset,
    security(("bearer" = [])),
    responses(
        (status = 202, description = "The worker is asked, at once or when it connects.", body = Dataset),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<RegisterDataset>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Provider])?;
    let (app, provider, input) = (&app, caller.did(), &input);
    let response = once
        .run(app, provider, "datasets.register", |tx| {
            Box::pin(async move {
                let row = dataset::register(tx, &app.market, provider, &input.name, &input.worker).await?;
                Answer::accepted(&Dataset::from(row))
            })
        })
        .await?;
    // Only now, and as often as one likes: the worker answers as before, and a crash in between is made good when it connects.
    dataset::ask_outstanding(&app.market, &input.worker).await?;
    Ok(response)
}
