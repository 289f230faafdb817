//! An operator lets a participant in.

use super::Participant;
use crate::{
    Answer, AppState, Caller, Problem, Submission,
    error::ProblemBody,
    extract::{IdPath, NoInput},
};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::{Did, statements::Role};
use entrepot_exchange_market::participant;

/// Approve an enrolment. For operators.
#[utoipa::path(
    post,
    path = "/v1/participants/{did}/approval",
    tag = "participants",
    operation_id = "approve_participant",
    params(
        ("did" = String, Path, description = "did:key of the participant."),
        ("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition."),
    ),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Approved.", body = Participant),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(did): IdPath<Did>,
    Submission { once, .. }: Submission<NoInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Operator])?;
    let (app, operator, did) = (&app, caller.did(), &did);
    let now = app.market.now();
    once.run(app, operator, "participants.approve", |tx| {
        Box::pin(async move { Answer::ok(&Participant::from(participant::approve(tx, now, operator, did).await?)) })
    })
    .await
}
