//! `/v1/agreements`: contracts on products.

mod get;
mod list;
mod submit;

use crate::{AppState, Problem, schema::EnvelopeSchema};
use entrepot_chain_statement::{Envelope, Timestamp, statements};
use entrepot_exchange_store::{Connection, StoreError, agreement::AgreementRow, order, statements as kept};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(submit::handler, list::handler)).routes(routes!(get::handler))
}

/// An agreement.
#[derive(Serialize, ToSchema)]
pub(crate) struct Agreement {
    /// The agreement.
    agreement_id: String,
    /// What orders name.
    statement_hash: String,
    /// The product.
    product_id: String,
    /// did:key of who buys.
    consumer: String,
    /// The number that the next order must have, decimal.
    next_sequence: String,
    /// The consumer's orders of the product, under whatever agreement, that count against the quota so far.
    used_queries: u32,
    /// What it says: product, parties, price, split, quota, expiry.
    #[schema(value_type = Object)]
    agreement: statements::Agreement,
    /// It, signed by the consumer.
    #[schema(value_type = EnvelopeSchema)]
    envelope: Envelope,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    created_at: Timestamp,
}

impl Agreement {
    async fn read(db: &mut Connection, row: AgreementRow) -> Result<Self, Problem> {
        let corrupt = || StoreError::Corrupt { what: "agreement" };
        let envelope = kept::find(db, &row.statement).await?.ok_or_else(corrupt)?.envelope;
        let so_far = order::used(db, &row.agreement_id).await?;
        Ok(Self {
            agreement_id: row.agreement_id.to_string(),
            statement_hash: row.statement.to_string(),
            product_id: row.product_id.to_string(),
            consumer: row.consumer.to_string(),
            next_sequence: so_far.last_sequence.saturating_add(1).to_string(),
            used_queries: so_far.used,
            agreement: envelope.open().map_err(|_| corrupt())?,
            envelope,
            created_at: row.created_at,
        })
    }
}
