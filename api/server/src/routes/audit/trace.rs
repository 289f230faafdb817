//! What one thing is connected with.

use crate::{AppState, Caller, Problem, error::ProblemBody};
use axum::{
    Json,
    extract::{Path, State},
};
use entrepot_exchange_market::audit::{self, AuditEdge, AuditNode};
use serde::Serialize;
use utoipa::ToSchema;

/// A graph of what one thing is connected with.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditTrace)]
pub(super) struct TraceBody {
    /// Id of the node that it begins at.
    start: String,
    /// The nodes, in the order in which they were found.
    #[schema(value_type = Vec<NodeSchema>)]
    nodes: Vec<AuditNode>,
    /// The edges.
    #[schema(value_type = Vec<EdgeSchema>)]
    edges: Vec<AuditEdge>,
    /// Whether a limit cut it short: ask about something smaller.
    truncated: bool,
}

/// One thing of a trace.
#[derive(ToSchema)]
#[schema(as = AuditNode)]
#[expect(dead_code, reason = "a schema, never a value")]
pub(super) struct NodeSchema {
    /// `participant`, `grant`, `dataset`, `product`, `quote`, `agreement`, `order`, `job`, `statement` or `journal-entry`.
    kind: String,
    /// Its id; a statement's is its hash.
    id: String,
    /// A statement's kind, as in `order`; a journal entry's, as in `hold`.
    of: Option<String>,
    /// A statement's leaf.
    leaf: Option<String>,
    /// A statement's place in the log, decimal.
    leaf_index: Option<String>,
    /// A statement's standing with the log: `kept`, `pending`, `logged` or `rejected`.
    state: Option<String>,
    /// Why a statement was rejected.
    rejection: Option<String>,
    /// When a statement was accepted or an entry booked; milliseconds since the epoch, decimal.
    at: Option<String>,
}

/// That one node is connected with another.
#[derive(ToSchema)]
#[schema(as = AuditEdge)]
#[expect(dead_code, reason = "a schema, never a value")]
pub(super) struct EdgeSchema {
    /// Id of the node that it is said of.
    from: String,
    /// Id of the other.
    to: String,
    /// What the first is to the other: an order `uses` an agreement.
    relation: String,
}

/// Trace what one thing is connected with, both ways: datasets, products, agreements, orders, jobs, money, statements. For regulators.
#[utoipa::path(
    get,
    path = "/v1/audit/trace/{id}",
    tag = "audit",
    operation_id = "audit_trace",
    params(("id" = String, Path, description = "Any id, a participant's DID, a statement hash, a leaf, or the index of a leaf.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The graph.", body = TraceBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Result<Json<TraceBody>, Problem> {
    super::for_regulators(&caller)?;
    let found = audit::trace(&app.market, &id).await?;
    Ok(Json(TraceBody {
        nodes: (&found).into(),
        edges: found.edges.iter().map(AuditEdge::from).collect(),
        start: found.start,
        truncated: found.truncated,
    }))
}
