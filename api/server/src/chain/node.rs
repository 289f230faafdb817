//! What a member's node serves by itself: its chain, its log and its health.

use crate::{
    Problem,
    channels::{self, Channels},
    error::ProblemBody,
    metrics::Metrics,
    router::{documented, wrapped},
    routes::{self, health::not_ready},
    serve::{Patience, serve},
    state::StartError,
};
use axum::{
    Extension, Router,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use entrepot_exchange_domain::RefusalKind;
use rustls::ServerConfig;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// What is not said by any single endpoint.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Entrepot node",
        version = "1",
        description = "A member's node of one or several channels: their chains and their logs, for anyone. Check what is proved here with a genesis that you know from elsewhere; every refusal is an RFC 9457 problem with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemBody))
)]
struct NodeDoc;

#[derive(Clone)]
struct NodeState {
    channels: Channels,
    metrics: Metrics,
}

fn resources() -> OpenApiRouter<NodeState> {
    OpenApiRouter::with_openapi(NodeDoc::openapi())
        .routes(routes!(routes::health::livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .merge(routes::log::router())
        .merge(super::router())
        .merge(channels::router())
}

/// The REST side of a member's node.
pub fn node_router(channels: Channels, metrics: Metrics) -> Router {
    let log = channels.first().log.clone();
    let state = NodeState { channels: channels.clone(), metrics };
    channels::attach(wrapped(documented(resources()).with_state(state).layer(Extension(log))), channels)
}

/// Serves a member's node on `listener` until `stop` is cancelled, with the exchange's limits.
pub async fn serve_node(
    listener: TcpListener,
    channels: Channels,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let metrics = Metrics::install().map_err(StartError::Metrics)?;
    serve(listener, node_router(channels, metrics), tls, Patience::default(), stop).await;
    Ok(())
}

/// Whether the node can work: each channel's chain answers, takes submissions, and its member votes. A node whose member follows the others past
/// what it may have signed says `following`: whoever restarts nodes in turn waits for it. One that is nobody's node, or not yet, is ready.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "readyz",
    responses(
        (status = 200, description = "Ready.", body = String),
        (status = "default", description = "Not ready.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
async fn readyz(State(state): State<NodeState>) -> Result<&'static str, Problem> {
    let mut following = None;
    for channel in state.channels.iter() {
        let name = &channel.name;
        let health = channel.chain.reader().health().await;
        let health = health.map_err(|error| not_ready(&format!("the chain of the channel {name} does not answer"), &error))?;
        if let Some(why) = health.failure {
            return Err(not_ready(&format!("the channel {name} has stopped: {why}"), &std::io::Error::other(why)));
        }
        if health.following {
            following.get_or_insert(name);
        }
    }
    if let Some(name) = following {
        let detail = format!("the node's member does not vote yet in the channel {name}");
        return Err(Problem::new(RefusalKind::Unavailable, "following", detail)
            .hint("it votes once the others have decided what an earlier life of it may have signed; reading and submitting work"));
    }
    Ok("ready\n")
}

/// Figures in Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", responses((status = 200, description = "Figures.", body = String)))]
async fn metrics(State(state): State<NodeState>) -> Response {
    state.channels.set_figures().await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render()).into_response()
}
