//! Proofs that the log only grew.

use crate::{Problem, error::ProblemBody, extract::QueryOf, log::LogState};
use axum::Json;
use entrepot_exchange_domain::RefusalKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Between which sizes.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConsistencyQuery {
    /// Entries of the smaller log.
    from: u64,
    /// Entries of the larger log.
    to: u64,
}

/// That the log of size `to` begins with that of size `from`.
#[derive(Serialize, ToSchema)]
#[schema(as = LogConsistency)]
pub(super) struct ConsistencyBody {
    /// Entries of the smaller log, decimal.
    from: String,
    /// Entries of the larger log, decimal.
    to: String,
    /// RFC 6962 §2.1.2 proof: hashes of 64 hexadecimal digits, in order.
    proof: Vec<String>,
}

/// Prove that the log only grew between two sizes.
#[utoipa::path(
    get,
    path = "/v1/log/consistency",
    tag = "log",
    operation_id = "get_log_consistency",
    params(ConsistencyQuery),
    responses(
        (status = 200, description = "The proof.", body = ConsistencyBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    log: LogState,
    QueryOf(ConsistencyQuery { from, to }): QueryOf<ConsistencyQuery>,
) -> Result<Json<ConsistencyBody>, Problem> {
    let proof = log.consistency(from, to).await?.ok_or_else(|| {
        Problem::new(RefusalKind::Invalid, "invalid_range", "`from` is at most `to`, and `to` at most the log's size")
            .hint("/v1/log/checkpoint names the log's size")
    })?;
    Ok(Json(ConsistencyBody { from: from.to_string(), to: to.to_string(), proof: proof.iter().map(ToString::to_string).collect() }))
}
