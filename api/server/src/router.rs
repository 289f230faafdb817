//! Puts the resources together.

use crate::{
    AppState, chain, channels,
    limits::BODY_BYTES_MAX,
    log::{LogState, NotaryLog},
    openapi::ApiDoc,
    respond, routes,
};
use axum::{Extension, Router, extract::DefaultBodyLimit, middleware};
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
        .merge(routes::log::witnesses())
        .merge(chain::router())
        .merge(channels::router())
        .merge(routes::audit::router())
        .merge(routes::admin::router())
}

/// The REST side. The chain's routes answer once a chain is there: [`channels::attach`].
pub fn router(app: AppState) -> Router {
    let log = LogState::new(std::sync::Arc::new(NotaryLog(app.market.notary.clone())));
    wrapped(documented(resources()).with_state(app).layer(Extension(log)))
}

/// The routes, and `/openapi.json` that tells of them.
pub(crate) fn documented<S: Clone + Send + Sync + 'static>(resources: OpenApiRouter<S>) -> Router<S> {
    let (router, document) = resources.split_for_parts();
    let document = crate::openapi::render(&document);
    router.route("/openapi.json", axum::routing::get(move || std::future::ready(crate::openapi::serve(document.clone()))))
}

/// What holds for every request: the outermost layer last.
pub(crate) fn wrapped(router: Router) -> Router {
    router
        .layer(CatchPanicLayer::custom(respond::after_panic))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(respond::wrap))
}

/// The OpenAPI document, as it is committed.
pub fn openapi_json() -> String {
    crate::openapi::render(&resources().into_openapi())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_panic_is_told_without_its_text() {
        let panics = axum::routing::get(|| async {
            if true {
                panic!("the secret")
            }
        });
        let request = Request::get("/").body(Body::empty()).expect("a request");
        let response = wrapped(Router::new().route("/", panics)).oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        let text = String::from_utf8_lossy(&body);
        assert!(text.contains("urn:entrepot:problem:internal") && !text.contains("secret"), "{text}");
    }
}
