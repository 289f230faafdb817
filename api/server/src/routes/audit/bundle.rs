//! Everything of a trace, to take away.

use crate::{AppState, Caller, Problem, error::ProblemBody, schema::EnvelopeSchema};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use entrepot_exchange_market::audit;
use utoipa::ToSchema;

/// A trace to take away.
#[derive(ToSchema)]
#[schema(as = AuditBundle)]
#[expect(dead_code, reason = "a schema, never a value")]
pub(super) struct BundleSchema {
    /// `entrepot.audit-bundle.v1`
    format: String,
    /// Graph, books and checkpoint, signed by the exchange: `application/vnd.entrepot.audit-trace.v1+json`.
    #[schema(value_type = EnvelopeSchema)]
    trace: EnvelopeSchema,
    /// The statements, each with its proof.
    entries: Vec<EntrySchema>,
}

/// One statement and its place in the log.
#[derive(ToSchema)]
#[schema(as = AuditBundleEntry)]
#[expect(dead_code, reason = "a schema, never a value")]
pub(super) struct EntrySchema {
    /// `<kind>-<statement hash>`
    name: String,
    /// The statement and its signatures.
    #[schema(value_type = EnvelopeSchema)]
    envelope: EnvelopeSchema,
    /// A C2SP tlog-proof; null while it is not logged.
    proof: Option<String>,
}

/// Download everything of a trace, signed by the exchange: statements, proofs, journal lines, checkpoint. For regulators.
#[utoipa::path(
    get,
    path = "/v1/audit/bundle/{id}",
    tag = "audit",
    operation_id = "audit_bundle",
    params(("id" = String, Path, description = "Any id, a participant's DID, a statement hash, a leaf, or the index of a leaf.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The bundle.", body = BundleSchema),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(State(app): State<AppState>, caller: Caller, Path(id): Path<String>) -> Result<Response, Problem> {
    super::for_regulators(&caller)?;
    let bundle = audit::bundle(&app.market, &id).await?;
    let mut response = Json(bundle).into_response();
    let name = HeaderValue::from_static("attachment; filename=\"entrepot-audit-bundle.json\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}
