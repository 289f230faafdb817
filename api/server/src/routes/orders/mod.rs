//! `/v1/orders`: uses of agreements.

mod cancel;
mod get;
mod list;
mod place;

use crate::{AppState, Problem, schema::EnvelopeSchema};
use entrepot_chain_statement::{Envelope, Timestamp};
use entrepot_exchange_store::{Connection, StoreError, order::OrderRow, statements};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(place::handler, list::handler)).routes(routes!(get::handler)).routes(routes!(cancel::handler))
}

/// An order.
#[derive(Serialize, ToSchema)]
pub(crate) struct Order {
    /// The order.
    order_id: String,
    /// Its statement hash.
    statement_hash: String,
    /// The agreement it uses.
    agreement_id: String,
    /// did:key of who ordered.
    consumer: String,
    /// Its number within the agreement, decimal.
    sequence: String,
    /// The job it became.
    job_id: String,
    /// State of that job.
    state: String,
    /// It, signed by the consumer.
    #[schema(value_type = EnvelopeSchema)]
    envelope: Envelope,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    created_at: Timestamp,
}

impl Order {
    async fn read(db: &mut Connection, row: OrderRow) -> Result<Self, Problem> {
        let found = statements::find(db, &row.statement).await?.ok_or(StoreError::Corrupt { what: "order" })?;
        Ok(Self {
            order_id: row.order_id.to_string(),
            statement_hash: row.statement.to_string(),
            agreement_id: row.agreement_id.to_string(),
            consumer: row.consumer.to_string(),
            sequence: row.sequence.to_string(),
            job_id: row.job_id.to_string(),
            state: row.state,
            envelope: found.envelope,
            created_at: row.created_at,
        })
    }
}
