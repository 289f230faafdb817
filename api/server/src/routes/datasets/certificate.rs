//! The certificate of a right.

use crate::{AppState, Caller, Problem, error::ProblemBody, extract::IdPath, schema::EnvelopeSchema};
use axum::{Json, extract::State};
use entrepot_chain_log::bundle::{BundleEntry, Decisions};
use entrepot_chain_statement::{Envelope, ids::DatasetId};
use entrepot_exchange_market::dataset;
use serde::Serialize;
use utoipa::ToSchema;

/// A certificate: check it offline with `entrepot verify`.
#[derive(Serialize, ToSchema)]
pub(super) struct Certificate {
    /// `entrepot.certificate.v1`
    format: &'static str,
    /// One: the registration.
    entries: Vec<CertificateEntry>,
    /// That the channel's members decided on the checkpoint, for whoever trusts its genesis; absent if the log cannot show it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    decisions: Option<Decisions>,
}

/// A statement and its proof.
#[derive(Serialize, ToSchema)]
pub(super) struct CertificateEntry {
    /// `rights`
    name: String,
    /// The signed registration.
    #[schema(value_type = EnvelopeSchema)]
    envelope: Envelope,
    /// C2SP tlog-proof; null while the log has it pending.
    #[schema(required)]
    proof: Option<String>,
}

/// Read the certificate of a dataset's registered right.
#[utoipa::path(
    get,
    path = "/v1/datasets/{dataset_id}/certificate",
    tag = "datasets",
    operation_id = "get_certificate",
    params(("dataset_id" = String, Path, description = "The dataset.")),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The certificate.", body = Certificate),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    IdPath(dataset_id): IdPath<DatasetId>,
) -> Result<Json<Certificate>, Problem> {
    let found = dataset::certificate(&app.market, caller.viewer(), &dataset_id).await?;
    let entry = |BundleEntry { name, envelope, proof }| CertificateEntry { name, envelope, proof };
    let entries = found.entries.into_iter().map(entry).collect();
    Ok(Json(Certificate { format: "entrepot.certificate.v1", entries, decisions: found.decisions }))
}
