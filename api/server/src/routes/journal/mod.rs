//! `/v1/journal`: how money moved.

mod list;

use crate::AppState;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list::handler))
}
