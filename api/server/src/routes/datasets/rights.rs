//! A provider approves the description and registers its right.

use super::Dataset;
use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody, extract::IdPath, schema::EnvelopeInput};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::{ids::DatasetId, statements::Role};
use entrepot_exchange_market::dataset;

/// Submit a signed RightsRegistration for your dataset, holding exactly its description.
#[utoipa::path(
    post,
    path = "/v1/datasets/{dataset_id}/rights",
    tag = "datasets",
    operation_id = "submit_rights",
    params(
        ("dataset_id" = String, Path, description = "The dataset."),
        ("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition."),
    ),
    request_body = EnvelopeInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Registered; certified once the log has it.", body = Dataset),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(dataset_id): IdPath<DatasetId>,
    Submission { input, once }: Submission<EnvelopeInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Provider])?;
    let (app, provider, dataset_id, envelope) = (&app, caller.did(), &dataset_id, &input.envelope);
    let now = app.market.now();
    once.run(app, provider, "datasets.submit_rights", |tx| {
        Box::pin(async move {
            let row = dataset::submit_rights(tx, now, provider, dataset_id, envelope).await?;
            Answer::created(&Dataset::from(row))
        })
    })
    .await
}
