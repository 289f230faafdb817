//! Proofs that an entry is in the log.

use crate::{Problem, error::ProblemBody, extract::QueryOf, log::LogState};
use axum::{extract::Path, response::Response};
use entrepot_chain_statement::Hash;
use entrepot_exchange_domain::RefusalKind;
use serde::Deserialize;
use utoipa::IntoParams;

/// Under which checkpoint.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ProofQuery {
    /// Size of the checkpoint; if absent, the one with the most witnesses among the newest.
    size: Option<u64>,
}

/// Prove that an entry is in the log: a C2SP tlog-proof, to be checked offline.
#[utoipa::path(
    get,
    path = "/v1/log/proof/{entry}",
    tag = "log",
    operation_id = "get_log_proof",
    params(("entry" = String, Path, description = "Index of the entry, from 0, or its leaf: 64 hexadecimal digits."), ProofQuery),
    responses(
        (status = 200, description = "A C2SP tlog-proof.", body = String, content_type = "text/plain"),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(log: LogState, Path(entry): Path<String>, QueryOf(query): QueryOf<ProofQuery>) -> Result<Response, Problem> {
    // A leaf first: 64 digits may all be decimal.
    let proof = match (entry.parse::<Hash>(), entry.parse::<u64>()) {
        (Ok(leaf), _) if query.size.is_none() => log.proof(&leaf).await?,
        (Ok(_), _) => {
            return Err(Problem::new(RefusalKind::Invalid, "invalid_query", "`size` goes with the index of an entry")
                .hint("the proof without `size` names the index"));
        }
        (_, Ok(index)) => log.proof_at(index, query.size).await?,
        _ => return Err(Problem::not_found("entry")),
    };
    let missing = || {
        Problem::new(RefusalKind::NotFound, "no_proof", "the log has no such entry, or no checkpoint of this size that covers it")
            .hint("an entry that was just submitted is pending for a moment")
    };
    Ok(super::text(proof.ok_or_else(missing)?))
}
