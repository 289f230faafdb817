//! `/v1/worker-grants`: which worker acts for whom.

mod get;
mod list;
mod submit;

use crate::{AppState, schema::EnvelopeSchema};
use entrepot_chain_statement::{Envelope, Timestamp};
use entrepot_exchange_store::worker_grant::{WorkerGrantRow, role_name};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(submit::handler, list::handler)).routes(routes!(get::handler))
}

/// A worker grant.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkerGrant {
    /// Id chosen by the signer.
    grant_id: String,
    /// What agreements pin.
    statement_hash: String,
    /// Who delegates.
    participant: String,
    /// did:key of the worker.
    worker: String,
    /// did:key that the worker cosigns checkpoints with.
    witness: String,
    /// `data` or `compute`.
    role: &'static str,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    not_before: Timestamp,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    expires_at: Timestamp,
    /// The signed grant.
    #[schema(value_type = EnvelopeSchema)]
    envelope: Envelope,
}

impl From<WorkerGrantRow> for WorkerGrant {
    fn from(row: WorkerGrantRow) -> Self {
        Self {
            grant_id: row.grant.grant_id.to_string(),
            statement_hash: row.statement_hash.to_string(),
            participant: row.grant.participant.to_string(),
            worker: row.grant.worker.to_string(),
            witness: row.grant.witness.to_string(),
            role: role_name(row.grant.role),
            not_before: row.grant.not_before,
            expires_at: row.grant.expires_at,
            envelope: row.envelope,
        }
    }
}
