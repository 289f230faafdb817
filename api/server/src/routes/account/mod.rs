//! `/v1/account`: what the caller has.

mod get;

use crate::AppState;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(get::handler))
}
