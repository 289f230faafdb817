//! One participant.

use super::Participant;
use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::Did;
use entrepot_exchange_domain::participant::ParticipantState;
use entrepot_exchange_store::participant;

/// Read a participant. Pending ones are for operators and regulators.
#[utoipa::path(
    get,
    path = "/v1/participants/{did}",
    tag = "participants",
    operation_id = "get_participant",
    params(("did" = String, Path, description = "did:key of the participant.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The participant.", body = Participant),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(State(app): State<AppState>, caller: Caller, IdPath(did): IdPath<Did>) -> Result<Json<Participant>, Problem> {
    let row = participant::find(&mut *app.market.store.reader().await?, &did).await?;
    let visible = row.filter(|row| row.state == ParticipantState::Approved || caller.oversees());
    visible.map(|row| Json(row.into())).ok_or_else(|| Problem::not_found("participant"))
}
