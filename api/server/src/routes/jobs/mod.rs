//! `/v1/jobs`: where computations stand, and what came out of them.

mod events;
mod get;
mod receipt;
mod result;

use crate::AppState;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(get::handler))
        .routes(routes!(events::handler))
        .routes(routes!(result::handler))
        .routes(routes!(receipt::handler))
}
