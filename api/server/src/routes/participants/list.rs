//! Who takes part.

use super::Participant;
use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_chain_statement::statements::Role;
use entrepot_exchange_domain::participant::ParticipantState;
use entrepot_exchange_store::participant;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which participants.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// `approved` if absent; `pending` is for operators.
    #[param(inline)]
    state: Option<StateFilter>,
    /// Items wanted, 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
enum StateFilter {
    Approved,
    Pending,
}

/// List participants by DID.
#[utoipa::path(
    get,
    path = "/v1/participants",
    tag = "participants",
    operation_id = "list_participants",
    params(ListQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<Participant>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<ListQuery>,
) -> Result<Json<PageBody<Participant>>, Problem> {
    let state = match query.state {
        None | Some(StateFilter::Approved) => ParticipantState::Approved,
        Some(StateFilter::Pending) => {
            caller.require(&[Role::Operator])?;
            ParticipantState::Pending
        }
    };
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.request()?;
    let found = participant::list(&mut *app.market.store.reader().await?, state, &page).await?;
    Ok(Json(found.map(Participant::from).into()))
}
