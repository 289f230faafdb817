//! `/v1/log`: the log itself, for anyone. What is proved here is checked with keys known beforehand, never with ours.

mod checkpoint;
mod consistency;
mod proof;
mod tile;
mod witness;

use crate::{AppState, Problem};
use axum::{
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use entrepot_exchange_domain::RefusalKind;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

#[derive(OpenApi)]
#[openapi(paths(tile::handler))]
struct TileApi;

/// The resource's endpoints, in whatever router: the log comes with each request.
pub fn router<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    // A path within a path is axum's to route; OpenAPI has no word for it.
    OpenApiRouter::with_openapi(TileApi::openapi())
        .route("/v1/log/tile/{*path}", get(tile::handler))
        .routes(routes!(checkpoint::handler))
        .routes(routes!(proof::handler))
        .routes(routes!(consistency::handler))
}

/// The endpoints of witnesses, which a market knows.
pub fn witnesses() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(witness::enrol)).routes(routes!(witness::cosign))
}

/// C2SP formats are text.
fn text(body: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

fn no_checkpoint(size: Option<u64>) -> Problem {
    let detail = size.map_or_else(|| "the log is empty".to_owned(), |size| format!("the log has no checkpoint of {size} entries"));
    Problem::new(RefusalKind::NotFound, "no_checkpoint", detail)
}
