//! What the exchange is told of an attempt.

use crate::state::FinishedAttempt;
use entrepot_api_wire::v1::{self, from_worker::Message as Say};
use entrepot_chain_statement::ids::JobId;

/// It runs.
pub(crate) fn accepted_message(job_id: &JobId, attempt: u32) -> Say {
    Say::WorkAccepted(v1::WorkAccepted { job_id: job_id.to_string(), attempt })
}

/// It is done.
pub(crate) fn finished_message(finished: &FinishedAttempt) -> Say {
    Say::WorkFinished(v1::WorkFinished {
        job_id: finished.job_id.to_string(),
        attempt: finished.attempt,
        receipt: finished.receipt.to_json(),
    })
}

/// It ended without a result; another attempt may work.
pub(crate) fn failed(job_id: &JobId, attempt: u32, code: &str, detail: &str) -> Say {
    Say::WorkFailed(v1::WorkFailed { job_id: job_id.to_string(), attempt, code: code.to_owned(), detail: detail.to_owned() })
}
