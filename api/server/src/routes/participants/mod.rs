//! `/v1/participants`: who takes part.

mod approve;
mod enrol;
mod get;
mod list;

use crate::AppState;
use entrepot_chain_statement::{SealingKey, Timestamp, statements::Role};
use entrepot_exchange_store::participant::ParticipantRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(enrol::handler, list::handler)).routes(routes!(get::handler)).routes(routes!(approve::handler))
}

/// A participant.
#[derive(Serialize, ToSchema)]
pub(crate) struct Participant {
    /// Its identity: a `did:key` of an Ed25519 key.
    did: String,
    /// Shown to people.
    name: String,
    /// `provider`, `consumer`, `regulator`, `operator`, `compute-party`, `validator`.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// Where results for it are sealed to: an X25519 public key, base64.
    #[schema(value_type = String)]
    sealing_key: SealingKey,
    /// `pending` or `approved`.
    state: &'static str,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    enrolled_at: Timestamp,
    /// Milliseconds since the epoch; absent while pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    approved_at: Option<Timestamp>,
}

impl From<ParticipantRow> for Participant {
    fn from(row: ParticipantRow) -> Self {
        Self {
            did: row.did.to_string(),
            name: row.name,
            roles: row.roles.into_iter().collect(),
            sealing_key: row.sealing_key,
            state: row.state.name(),
            enrolled_at: row.enrolled_at,
            approved_at: row.approved_at,
        }
    }
}
