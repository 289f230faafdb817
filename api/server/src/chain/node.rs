//! What a member's node serves by itself: its chain, its log and its health.

use super::{ChainLimits, ChainReader, ChainState, Submissions};
use crate::{
    Problem,
    error::ProblemBody,
    log::{LogReader, LogState},
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
        description = "A member's node of a channel: its chain and its log, for anyone. Check what is proved here with a genesis that you know from elsewhere; every refusal is an RFC 9457 problem with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(ProblemBody))
)]
struct NodeDoc;

#[derive(Clone)]
struct NodeState {
    chain: ChainState,
    metrics: Metrics,
}

fn resources() -> OpenApiRouter<NodeState> {
    OpenApiRouter::with_openapi(NodeDoc::openapi())
        .routes(routes!(routes::health::livez))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
        .merge(routes::log::router())
        .merge(super::router())
}

/// The REST side of a member's node.
pub fn node_router(chain: ChainState, log: LogState, metrics: Metrics) -> Router {
    let state = NodeState { chain: chain.clone(), metrics };
    wrapped(documented(resources()).with_state(state).layer(Extension(log)).layer(Extension(chain)))
}

/// Serves a member's node on `listener` until `stop` is cancelled, with the exchange's limits. Takes transactions from whoever reaches it:
/// whose, the node decides.
pub async fn serve_node(
    listener: TcpListener,
    reader: Arc<dyn ChainReader>,
    log: Arc<dyn LogReader>,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let metrics = Metrics::install().map_err(StartError::Metrics)?;
    let chain = ChainState::new(reader, Submissions::Open, ChainLimits::default(), stop.clone());
    serve(listener, node_router(chain, LogState::new(log), metrics), tls, Patience::default(), stop).await;
    Ok(())
}

/// Whether the node can work: its chain answers and takes submissions.
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
    let health = state.chain.reader.health().await.map_err(|error| not_ready("the node's chain does not answer", &error))?;
    match health.failure {
        None => Ok("ready\n"),
        Some(why) => Err(not_ready("the node's chain has stopped", &std::io::Error::other(why))),
    }
}

/// Figures in Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", responses((status = 200, description = "Figures.", body = String)))]
async fn metrics(State(state): State<NodeState>) -> Response {
    if let Ok(health) = state.chain.reader.health().await {
        let connected = health.peers.iter().filter(|peer| peer.connection == super::Connection::Open).count();
        metrics::gauge!("entrepot_chain_height").set(health.height as f64);
        metrics::gauge!("entrepot_chain_peers_connected").set(connected as f64);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render()).into_response()
}
