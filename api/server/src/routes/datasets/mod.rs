//! `/v1/datasets`: what providers have, as their workers describe it.

mod certificate;
mod get;
mod list;
mod register;
mod rights;

use crate::AppState;
use entrepot_chain_statement::{Timestamp, statements::DatasetDescription};
use entrepot_exchange_domain::dataset::DatasetState;
use entrepot_exchange_store::dataset::DatasetRow;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(register::handler, list::handler))
        .routes(routes!(get::handler))
        .routes(routes!(rights::handler))
        .routes(routes!(certificate::handler))
}

/// A dataset.
#[derive(Serialize, ToSchema)]
pub(crate) struct Dataset {
    /// The dataset.
    dataset_id: String,
    /// did:key of its provider.
    provider: String,
    /// Its name at the provider.
    name: String,
    /// did:key of the worker that holds the data.
    worker: String,
    /// `describing`, `described`, `registered`, `certified` or `refused`.
    state: &'static str,
    /// What the worker said, rounded: rows, columns with kinds and profiles, commitment. Absent until described.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    description: Option<DatasetDescription>,
    /// Why the worker refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<DatasetRefusal>,
    /// Statement hash of the rights registration. Absent until registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    rights: Option<String>,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    created_at: Timestamp,
}

/// Why a worker did not describe a dataset.
#[derive(Serialize, ToSchema)]
pub(crate) struct DatasetRefusal {
    /// Stable code.
    code: String,
    /// What to do, for people.
    detail: String,
}

impl From<DatasetRow> for Dataset {
    fn from(row: DatasetRow) -> Self {
        let state = match (row.state, row.leaf_index) {
            (DatasetState::Registered, Some(_)) => "certified",
            (state, _) => state.name(),
        };
        Self {
            dataset_id: row.dataset_id.to_string(),
            provider: row.provider.to_string(),
            name: row.name,
            worker: row.worker.to_string(),
            state,
            description: row.description,
            refusal: row.refusal.map(|(code, detail)| DatasetRefusal { code, detail }),
            rights: row.rights_hash.map(|hash| hash.to_string()),
            created_at: row.created_at,
        }
    }
}
