//! `/v1/products`: what is offered.

mod change_state;
mod get;
mod list;
mod propose;
mod sign;

use crate::{AppState, schema::EnvelopeSchema};
use entrepot_chain_statement::{Envelope, Timestamp, statements::DataProduct};
use entrepot_exchange_domain::product::bound_participants;
use entrepot_exchange_store::product::ProductRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(propose::handler, list::handler))
        .routes(routes!(get::handler))
        .routes(routes!(sign::handler))
        .routes(routes!(change_state::pause))
        .routes(routes!(change_state::resume))
        .routes(routes!(change_state::withdraw))
}

/// A product.
#[derive(Serialize, ToSchema)]
pub(crate) struct Product {
    /// The product.
    product_id: String,
    /// What agreements name.
    statement_hash: String,
    /// `proposed`, `active`, `paused`, `withdrawn` or `expired`.
    state: &'static str,
    /// Whom it binds, by party index, and who of them has signed.
    parties: Vec<ProductParty>,
    /// What it says: tables, policies, price, split, quota, expiry.
    #[schema(value_type = Object)]
    product: DataProduct,
    /// It, with every signature so far.
    #[schema(value_type = EnvelopeSchema)]
    envelope: Envelope,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    created_at: Timestamp,
}

/// One whom a product binds.
#[derive(Serialize, ToSchema)]
pub(crate) struct ProductParty {
    /// did:key.
    participant: String,
    /// Whether it has signed.
    signed: bool,
}

impl Product {
    fn at(row: ProductRow, now: Timestamp) -> Self {
        let signed = |party| row.envelope.signers().any(|signer| signer == party);
        let parties = bound_participants(&row.product)
            .into_iter()
            .map(|party| ProductParty { participant: party.to_string(), signed: signed(party) })
            .collect();
        Self {
            product_id: row.product.product_id.to_string(),
            statement_hash: row.statement_hash.to_string(),
            state: row.state_at(now).name(),
            parties,
            product: row.product,
            envelope: row.envelope,
            created_at: row.created_at,
        }
    }
}
