//! Handing in a transaction.

use super::{ChainState, Submissions, shapes::StatusBody};
use crate::{
    Problem,
    error::ProblemBody,
    extract::{parse_json, read_body},
    limits::{CHAIN_SUBMISSION_WAIT, TRANSACTION_BYTES_MAX},
};
use axum::{
    Json,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use entrepot_exchange_domain::RefusalKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A transaction to be ordered.
#[derive(Deserialize, ToSchema)]
#[schema(as = ChainTransactionInput)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitInput {
    /// The binary encoding, base64; at most 65,536 bytes before that.
    transaction: String,
}

/// What became of a submission.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainSubmitted)]
pub(super) struct SubmittedBody {
    /// The transaction's identity.
    hash: String,
    /// What became of it.
    verdict: StatusBody,
}

/// Hand in a signed transaction and wait for its verdict; that it was rejected is an answer too, and final. One whose submitter's earlier
/// transactions are missing waits for them for about a minute, some of each submitter; otherwise `sequence_gap` says that nothing
/// is decided. No Idempotency-Key: a transaction is one
/// itself, and handing it in again tells its verdict again.
#[utoipa::path(
    post,
    path = "/v1/chain/transactions",
    tag = "chain",
    operation_id = "submit_chain_transaction",
    request_body = SubmitInput,
    responses(
        (status = 200, description = "Accepted or rejected, and durable.", body = SubmittedBody),
        (status = 202, description = "Taken and still pending: ask for it by its hash.", body = SubmittedBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn submit(chain: ChainState, request: Request) -> Result<Response, Problem> {
    if chain.submissions == Submissions::Closed {
        return Err(Problem::new(RefusalKind::Forbidden, "submissions_closed", "transactions of others are not taken here")
            .hint("hand it in at a member's node"));
    }
    let headers = request.headers().clone();
    let body = read_body(request, &()).await?;
    let input: SubmitInput = parse_json(&headers, &body)?;
    let transaction = decode(&input.transaction)?;
    // Only now: whoever sends slowly takes nobody's place.
    let _place = chain.submitting.try_acquire().map_err(|_| {
        Problem::new(RefusalKind::TooMany, "too_many_transactions", "too many transactions wait for their verdicts")
            .hint("send the very same bytes again in a few seconds: it is applied once")
    })?;
    let submitted = chain.reader.submit(transaction, CHAIN_SUBMISSION_WAIT).await?;
    let verdict = StatusBody::from(submitted.status);
    let status = if verdict.status == "pending" { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(SubmittedBody { hash: submitted.hash.to_string(), verdict })).into_response())
}

fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    if text.len() > TRANSACTION_BYTES_MAX.div_ceil(3) * 4 {
        return Err(too_large());
    }
    let bytes =
        STANDARD.decode(text).map_err(|_| Problem::new(RefusalKind::Invalid, "invalid_transaction", "`transaction` is not base64"))?;
    if bytes.is_empty() {
        return Err(Problem::new(RefusalKind::Invalid, "invalid_transaction", "`transaction` is empty"));
    }
    if bytes.len() > TRANSACTION_BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
}

fn too_large() -> Problem {
    let detail = format!("a transaction has at most {TRANSACTION_BYTES_MAX} bytes");
    Problem::with_status(StatusCode::PAYLOAD_TOO_LARGE, "transaction_too_large", detail)
}
