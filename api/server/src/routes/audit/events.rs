//! What was logged since a checkpoint.

use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
    schema::EnvelopeSchema,
};
use axum::{Json, extract::State};
use entrepot_chain_statement::{Envelope, Timestamp};
use entrepot_exchange_market::audit;
use entrepot_exchange_store::statements::{LogState, StatementRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which events.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Size of a checkpoint: what it covers is left out. From the beginning if absent.
    since: Option<u64>,
    /// Items wanted, 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A statement that was logged.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEvent {
    /// Its place in the log, decimal.
    leaf_index: Option<String>,
    /// The entry of the log.
    leaf: String,
    /// Its identity.
    statement_hash: String,
    /// Its kind, as in `order`.
    kind: &'static str,
    /// Kind of the one thing it is about, as in `job`.
    subject_kind: &'static str,
    /// Id of that thing.
    subject_id: String,
    /// When the exchange accepted it; milliseconds since the epoch.
    #[schema(value_type = String)]
    accepted_at: Timestamp,
    /// The statement and its signatures.
    #[schema(value_type = EnvelopeSchema)]
    envelope: Envelope,
}

impl From<StatementRow> for AuditEvent {
    fn from(row: StatementRow) -> Self {
        let leaf_index = match row.state {
            LogState::Logged { index } => Some(index.to_string()),
            LogState::Kept | LogState::Pending | LogState::Rejected { .. } => None,
        };
        Self {
            leaf_index,
            leaf: row.leaf.to_string(),
            statement_hash: row.statement_hash.to_string(),
            kind: row.kind.as_str(),
            subject_kind: row.subject.kind.as_str(),
            subject_id: row.subject.id,
            accepted_at: row.created_at,
            envelope: row.envelope,
        }
    }
}

/// List statements in the order of the log, from a checkpoint on. For regulators.
#[utoipa::path(
    get,
    path = "/v1/audit/events",
    tag = "audit",
    operation_id = "audit_events",
    params(EventsQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<AuditEvent>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<EventsQuery>,
) -> Result<Json<PageBody<AuditEvent>>, Problem> {
    super::for_regulators(&caller)?;
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.request()?;
    let found = audit::events(&app.market, query.since.unwrap_or(0), &page).await?;
    Ok(Json(found.map(AuditEvent::from).into()))
}
