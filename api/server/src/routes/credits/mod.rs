//! `/v1/credits`: test credit that the operator gives.

mod issue;

use crate::AppState;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(issue::handler))
}
