//! One quote.

use super::Quote;
use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath};
use axum::{Json, extract::State};
use entrepot_chain_statement::ids::QuoteId;
use entrepot_exchange_market::quote;

/// Read a quote that you asked for.
#[utoipa::path(
    get,
    path = "/v1/quotes/{quote_id}",
    tag = "quotes",
    operation_id = "get_quote",
    params(("quote_id" = String, Path, description = "The quote.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The quote.", body = Quote),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(quote_id): IdPath<QuoteId>,
) -> Result<Json<Quote>, Problem> {
    let mut reader = app.market.store.reader().await?;
    let envelope = quote::find(&mut reader, caller.did(), &quote_id).await?.ok_or_else(|| Problem::not_found("quote"))?;
    Ok(Json(Quote::read(&mut reader, envelope).await?))
}
