//! `/v1/admin`: for operators.

mod backups;
mod stuck_jobs;

use crate::AppState;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(stuck_jobs::handler)).routes(routes!(backups::handler))
}
