//! Somebody introduces itself. There is no token yet: the signed enrolment speaks for itself.

use super::Participant;
use crate::{Answer, AppState, Problem, Submission, error::ProblemBody, schema::EnvelopeInput};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::statements::ParticipantEnrolment;
use entrepot_exchange_domain::RefusalKind;
use entrepot_exchange_market::participant;
use entrepot_exchange_store::participant as rows;

/// Enrol with a signed ParticipantEnrolment. An operator approves it before tokens are given.
#[utoipa::path(
    post,
    path = "/v1/participants",
    tag = "participants",
    operation_id = "enrol_participant",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = EnvelopeInput,
    responses(
        (status = 202, description = "Waits for an operator.", body = Participant),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    Submission { input, once }: Submission<EnvelopeInput>,
) -> Result<Response, Problem> {
    let (app, envelope) = (&app, &input.envelope);
    // Idempotency keys belong to whoever sends them, which here is whoever signed.
    let claimed: ParticipantEnrolment = envelope.open().map_err(|error| refused(&error))?;
    envelope.verify_signed_by(&claimed.participant).map_err(|error| refused(&error))?;
    let (owner, now) = (&claimed.participant, app.market.now());
    once.run(app, owner, "participants.enrol", |tx| {
        Box::pin(async move {
            let is_known = rows::find(tx, owner).await?.is_some();
            let answer = Answer::accepted(&Participant::from(participant::enrol(tx, now, envelope).await?))?;
            Ok(if is_known { answer.unchanged() } else { answer })
        })
    })
    .await
}

fn refused(error: &entrepot_chain_statement::EnvelopeError) -> Problem {
    let detail = format!("the envelope is no enrolment signed by its own participant: {error}");
    Problem::new(RefusalKind::Unprocessable, "invalid_envelope", detail)
}
