//! A consumer asks for a quote.

use super::Quote;
use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody};
use axum::{extract::State, response::Response};
use entrepot_chain_statement::{ids::ProductId, statements::Role};
use entrepot_exchange_market::quote;
use serde::Deserialize;
use utoipa::ToSchema;

/// A query on a product.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QuoteInput {
    /// The product.
    #[schema(value_type = String)]
    product_id: ProductId,
    /// One SELECT over the inner join of the product's two tables.
    sql: String,
}

/// Ask what a query costs, who computes it and what each of them learns. For consumers.
#[utoipa::path(
    post,
    path = "/v1/quotes",
    tag = "quotes",
    operation_id = "ask_quote",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = QuoteInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Signed by the exchange.", body = Quote),
        (status = "default", description = "Refused; a query that the policy forbids names the rule.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<QuoteInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Consumer])?;
    let (app, caller, input) = (&app, caller.did(), &input);
    once.run(app, caller, "quotes.ask", |tx| {
        Box::pin(async move {
            let envelope = quote::quote(tx, &app.market, caller, &input.product_id, &input.sql).await?;
            Answer::created(&Quote::read(tx, envelope).await?)
        })
    })
    .await
}
