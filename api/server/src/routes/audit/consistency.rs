//! That the log only grew between two checkpoints.

use crate::{AppState, Caller, Problem, error::ProblemBody, extract::QueryOf};
use axum::{Json, extract::State};
use entrepot_exchange_market::{audit, notary::LogCheckpoint};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Between which checkpoints.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CheckpointsQuery {
    /// Size of the first.
    from: u64,
    /// Size of the second.
    to: u64,
}

/// Two checkpoints and the proof between them.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditConsistency)]
pub(super) struct ConsistencyBody {
    /// The first.
    from: CheckpointBody,
    /// The second.
    to: CheckpointBody,
    /// RFC 6962 §2.1.2 proof: hashes of 64 hexadecimal digits, in order.
    proof: Vec<String>,
}

/// A checkpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditCheckpoint)]
pub(super) struct CheckpointBody {
    /// Entries, decimal.
    size: String,
    /// C2SP checkpoint with the cosignatures known so far.
    note: String,
}

impl From<LogCheckpoint> for CheckpointBody {
    fn from(checkpoint: LogCheckpoint) -> Self {
        Self { size: checkpoint.size.to_string(), note: checkpoint.note }
    }
}

/// Prove that the log only grew between two checkpoints. For regulators.
#[utoipa::path(
    get,
    path = "/v1/audit/consistency",
    tag = "audit",
    operation_id = "audit_consistency",
    params(CheckpointsQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The checkpoints and the proof.", body = ConsistencyBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<CheckpointsQuery>,
) -> Result<Json<ConsistencyBody>, Problem> {
    super::for_regulators(&caller)?;
    let found = audit::consistency(&app.market, query.from, query.to).await?;
    Ok(Json(ConsistencyBody { from: found.from.into(), to: found.to.into(), proof: found.proof.iter().map(ToString::to_string).collect() }))
}
