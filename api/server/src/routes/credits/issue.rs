//! The operator gives credit.

use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::{Did, Money, statements::Role};
use entrepot_exchange_market::credit;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Credit for a participant.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreditInput {
    /// did:key of who gets it.
    #[schema(value_type = String)]
    participant: Did,
    /// `amount_minor`: minor units, decimal string; `currency`: three letters.
    #[schema(value_type = Object)]
    money: Money,
}

/// Credit that was given.
#[derive(Serialize, ToSchema)]
pub(super) struct CreditIssued {
    /// The entry of the journal.
    entry_id: String,
}

/// Give test credit to an approved participant. For operators.
#[utoipa::path(
    post,
    path = "/v1/credits",
    tag = "books",
    operation_id = "issue_credit",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = CreditInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Booked.", body = CreditIssued),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<CreditInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Operator])?;
    let (app, caller, input) = (&app, caller.did(), &input);
    once.run(app, caller, "credits.issue", |tx| {
        Box::pin(async move {
            let entry = credit::credit(tx, &app.market, &input.participant, &input.money).await?;
            Answer::created(&CreditIssued { entry_id: entry.to_string() })
        })
    })
    .await
}
