//! The witness as any log may ask it: `POST /add-checkpoint` and `GET /<origin hash>/checkpoint` of c2sp.org/tlog-witness.
//!
//! Deviations: checkpoints with extension lines are refused as malformed (400). A log that contradicted itself is no longer known (404).
//! There is no `sign-subtree`, which is optional. Anybody may send anything: a checkpoint is evidence only if the log's own signature
//! contradicts what was cosigned, which a wrong proof alone does not show.

use crate::{
    commands::witness::{
        desk::{Cosigned, Desk, DeskError, FollowedLog},
        follow::blocking,
    },
    files,
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entrepot_chain_log::{KeyKind, NoteKey, SignedCheckpoint, SignedNote, WitnessRefusal, note::NOTE_MAX_BYTES, witness::Offer};
use entrepot_chain_statement::Hash;
use std::sync::Arc;

/// Most lines of a proof.
const PROOF_LINES_MAX: usize = 63;
/// The old size, the proof, an empty line, a checkpoint.
const BODY_BYTES_MAX: usize = 32 + PROOF_LINES_MAX * 45 + 1 + NOTE_MAX_BYTES;

/// The routes.
pub fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/add-checkpoint", post(add_checkpoint))
        .route("/{origin_hash}/checkpoint", get(checkpoint))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk)
}

/// What the answer is when nothing was cosigned.
#[derive(Debug)]
enum Refusal {
    /// 400: not a request, or an old size above the new one.
    Malformed(&'static str),
    /// 403: no trusted key signed, or its line is wrong.
    NotSigned,
    /// 404: another log's.
    UnknownLog(String),
    /// 409: the proof starts elsewhere than at what was cosigned last.
    Conflict(u64),
    /// 422: the roots or the proof are wrong.
    Unproven(String),
    /// 500: the disk failed.
    Failed(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let plain = |status: StatusCode, text: String| (status, format!("{text}\n")).into_response();
        match self {
            Self::Malformed(why) => plain(StatusCode::BAD_REQUEST, why.to_owned()),
            Self::NotSigned => plain(StatusCode::FORBIDDEN, "the checkpoint is not signed by the log's key".to_owned()),
            Self::UnknownLog(why) => plain(StatusCode::NOT_FOUND, why),
            Self::Conflict(size) => {
                (StatusCode::CONFLICT, [(header::CONTENT_TYPE, "text/x.tlog.size")], format!("{size}\n")).into_response()
            }
            Self::Unproven(why) => plain(StatusCode::UNPROCESSABLE_ENTITY, why),
            Self::Failed(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, why),
        }
    }
}

/// A request, read but not yet believed.
struct Request {
    old_size: u64,
    proof: Vec<Hash>,
    note: String,
}

impl Request {
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let wrong = || Refusal::Malformed("expected `old <size>`, lines of a proof, an empty line and a checkpoint");
        let text = std::str::from_utf8(body).map_err(|_| wrong())?;
        let (head, note) = text.split_once("\n\n").ok_or_else(wrong)?;
        let mut lines = head.split('\n');
        let old_size = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decimal).ok_or_else(wrong)?;
        let proof: Vec<Hash> = lines.take(PROOF_LINES_MAX + 1).map(|line| hash(line).ok_or_else(wrong)).collect::<Result<_, _>>()?;
        if proof.len() > PROOF_LINES_MAX {
            return Err(Refusal::Malformed("a proof has at most 63 lines"));
        }
        Ok(Self { old_size, proof, note: note.to_owned() })
    }
}

/// A decimal number as it is written, without a sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

fn hash(line: &str) -> Option<Hash> {
    BASE64_STANDARD.decode(line).ok()?.try_into().ok().map(Hash)
}

async fn add_checkpoint(State(desk): State<Arc<Desk>>, body: Bytes) -> Response {
    let answer = blocking(move || Ok(answer(&desk, &body, files::now().0))).await;
    match answer {
        Ok(Ok(cosigned)) => (StatusCode::OK, format!("{}\n", cosigned.line)).into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(error) => Refusal::Failed(error.to_string()).into_response(),
    }
}

/// The rule, in the order of the specification.
fn answer(desk: &Desk, body: &[u8], now_ms: i64) -> Result<Cosigned, Refusal> {
    let request = Request::parse(body)?;
    let note: SignedNote = request.note.parse().map_err(|_| Refusal::Malformed("not a signed note"))?;
    let mut lines = note.text().split('\n');
    let (origin, size) = (lines.next().unwrap_or_default(), lines.next().and_then(decimal));
    let size = size.ok_or(Refusal::Malformed("not a checkpoint"))?;
    let log = desk.find(origin).ok_or_else(|| Refusal::UnknownLog(format!("this witness does not follow the log {origin}")))?;
    log.check().map_err(|error| Refusal::UnknownLog(error.to_string()))?;
    check_signature(&note, log.key())?;
    if request.old_size > size {
        return Err(Refusal::Malformed("the old size is above the checkpoint's"));
    }
    let known = log.head().map_or(0, |head| head.size);
    if request.old_size != known {
        return Err(Refusal::Conflict(known));
    }
    let checkpoint = SignedCheckpoint::try_from(note.clone());
    let checkpoint = checkpoint.map_err(|_| match size {
        0 => Refusal::Unproven("the empty log has another root".to_owned()),
        _ => Refusal::Malformed("not a checkpoint of an origin, a size and a root"),
    })?;
    if (request.old_size == 0 || request.old_size == size) && !request.proof.is_empty() {
        return Err(Refusal::Unproven("where nothing is to be proved, the proof must be empty".to_owned()));
    }
    cosign(desk, log, &request, &checkpoint.to_string(), now_ms)
}

fn check_signature(note: &SignedNote, log: &NoteKey) -> Result<(), Refusal> {
    match note.signed_by(log) {
        Ok(Some(_)) if log.kind() == KeyKind::Log => Ok(()),
        _ => Err(Refusal::NotSigned),
    }
}

fn cosign(desk: &Desk, log: &FollowedLog, request: &Request, checkpoint: &str, now_ms: i64) -> Result<Cosigned, Refusal> {
    let offer = Offer { checkpoint, old_size: request.old_size, consistency: &request.proof };
    log.cosign(offer, now_ms).map_err(|error| match error {
        // Between the look above and the decision the head moved on.
        DeskError::Refused(WitnessRefusal::OldSize { known } | WitnessRefusal::Rollback { known, .. }) => Refusal::Conflict(known),
        DeskError::Refused(refusal @ WitnessRefusal::Fork { .. }) => {
            if let Err(error) = desk.accuse(log, offer, &refusal, now_ms) {
                tracing::error!(origin = log.origin(), "{error}");
            }
            Refusal::Unproven(refusal.to_string())
        }
        DeskError::Refused(WitnessRefusal::Checkpoint(_)) => Refusal::NotSigned,
        DeskError::Refused(refusal @ WitnessRefusal::Inconsistent(_)) => Refusal::Unproven(refusal.to_string()),
        DeskError::Contradicted { .. } => Refusal::UnknownLog(error.to_string()),
        DeskError::Disk { .. } => Refusal::Failed(error.to_string()),
    })
}

/// What was cosigned last, for monitors.
async fn checkpoint(State(desk): State<Arc<Desk>>, Path(origin_hash): Path<String>) -> Response {
    let log = desk.logs().iter().find(|log| Hash::of(&[log.origin().as_bytes()]).to_string() == origin_hash);
    match log.and_then(FollowedLog::checkpoint) {
        Some(checkpoint) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], checkpoint.to_string()).into_response(),
        None => Refusal::UnknownLog("this witness has cosigned nothing of such a log".to_owned()).into_response(),
    }
}

#[cfg(test)]
mod tests;
