//! `/livez`, `/readyz`, `/metrics`: for whoever runs the exchange.

use crate::{AppState, Problem, channels::Channels, error::ProblemBody};
use axum::{
    Extension,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use entrepot_exchange_domain::RefusalKind;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(livez)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/livez", tag = "health", operation_id = "livez", responses((status = 200, description = "Alive.", body = String)))]
pub(crate) async fn livez() -> &'static str {
    "alive\n"
}

/// Whether the exchange can work: its database and its log answer.
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
async fn readyz(State(app): State<AppState>) -> Result<&'static str, Problem> {
    app.market.store.ping().await.map_err(|error| not_ready("the exchange's database does not answer", &error))?;
    app.market.notary.checkpoint().await.map_err(|error| not_ready("the exchange's log does not answer", &error))?;
    Ok("ready\n")
}

pub(crate) fn not_ready(detail: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    tracing::error!(error, "not ready");
    Problem::new(RefusalKind::Unavailable, "not_ready", detail)
}

/// Figures in Prometheus text.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics", responses((status = 200, description = "Figures.", body = String)))]
async fn metrics(State(app): State<AppState>, channels: Option<Extension<Channels>>) -> Response {
    if let Some(Extension(channels)) = channels {
        channels.set_figures().await;
    }
    metrics::gauge!("entrepot_workers_connected").set(app.market.workforce.connected().len() as f64);
    if let Ok(Some(checkpoint)) = app.market.notary.checkpoint().await {
        metrics::gauge!("entrepot_log_entries").set(checkpoint.size as f64);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], app.metrics.render()).into_response()
}
