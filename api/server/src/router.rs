//! Puts the resources together.

use crate::{AppState, limits::BODY_BYTES_MAX, openapi::ApiDoc, respond, routes};
use axum::{Router, extract::DefaultBodyLimit, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

/// Every resource. A resource is a folder of `routes`, an endpoint a file in it.
fn resources() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .merge(routes::health::router())
        .merge(routes::token::router())
        .merge(routes::well_known::router())
        .merge(routes::participants::router())
        .merge(routes::worker_grants::router())
        .merge(routes::datasets::router())
        .merge(routes::products::router())
        .merge(routes::quotes::router())
        .merge(routes::agreements::router())
        .merge(routes::orders::router())
        .merge(routes::jobs::router())
        .merge(routes::account::router())
        .merge(routes::journal::router())
        .merge(routes::credits::router())
        .merge(routes::log::router())
        .merge(routes::audit::router())
        .merge(routes::admin::router())
}

/// The REST side.
pub fn router(app: AppState) -> Router {
    let (router, document) = resources().split_for_parts();
    let document = crate::openapi::render(&document);
    router
        .route("/openapi.json", axum::routing::get(move || std::future::ready(crate::openapi::serve(document.clone()))))
        .with_state(app)
        .layer(CatchPanicLayer::custom(respond::after_panic))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(respond::wrap))
}

/// The OpenAPI document, as it is committed.
pub fn openapi_json() -> String {
    crate::openapi::render(&resources().into_openapi())
}
