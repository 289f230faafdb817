//! `/v1/quotes`: what a query would cost and what each party would learn.

mod ask;
mod get;

use crate::{AppState, Problem, schema::EnvelopeSchema};
use entrepot_chain_statement::{Envelope, statements};
use entrepot_exchange_store::{Connection, StoreError, worker_grant};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ask::handler)).routes(routes!(get::handler))
}

/// A quote.
#[derive(Serialize, ToSchema)]
pub(crate) struct Quote {
    /// The quote.
    quote_id: String,
    /// What it says: price, parties, security, leakage in words, expiry.
    #[schema(value_type = Object)]
    quote: statements::Quote,
    /// It, signed by the exchange.
    #[schema(value_type = EnvelopeSchema)]
    envelope: Envelope,
    /// The grants that its parties pin, by party index, so that the consumer can check them before it agrees.
    #[schema(value_type = Vec<EnvelopeSchema>)]
    grants: Vec<Envelope>,
}

impl Quote {
    async fn read(db: &mut Connection, envelope: Envelope) -> Result<Self, Problem> {
        let quote: statements::Quote = envelope.open().map_err(|_| StoreError::Corrupt { what: "quote" })?;
        let mut grants = Vec::with_capacity(quote.parties.len());
        for pin in &quote.parties {
            let grant = worker_grant::find_by_hash(db, &pin.grant).await?.ok_or(StoreError::Corrupt { what: "quote's grant" })?;
            grants.push(grant.envelope);
        }
        Ok(Self { quote_id: quote.quote_id.to_string(), quote, envelope, grants })
    }
}
