//! `/v1/datasets`

use crate::AppState;
use utoipa_axum::router::OpenApiRouter;

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
}
