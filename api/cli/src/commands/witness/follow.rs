//! Looks at one log again and again, and sends a cosignature when it has grown.

use crate::{
    client::Client,
    commands::witness::desk::{Desk, DeskError, FollowedLog},
    exit::{ExitCode, Failure},
    files,
};
use entrepot_chain_log::{SignedCheckpoint, TreeHead, WitnessRefusal, merkle, note::NOTE_MAX_BYTES, witness::Offer};
use entrepot_chain_statement::Hash;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// Longest answer to a question for a proof: 63 hashes, and room for other fields.
const PROOF_BYTES_MAX: usize = 16 << 10;
/// A smaller log or a wrong proof may be an answer from before, and is asked for again; the second in a row is evidence. Two roots of one
/// size need no second look.
const LOOKS: u32 = 2;

/// Why a look at a log ended without a cosignature that is known to be there.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("{0}")]
    Exchange(Failure),
    #[error("the exchange answered with what is no checkpoint of the log {origin}: {why}")]
    Checkpoint { origin: String, why: String },
    #[error("the exchange says that the log is empty, but {known} entries of it were cosigned")]
    Empty { known: u64 },
    #[error("the exchange gives no proof from {from} to {to} entries: {status} {code}")]
    NoProof { from: u64, to: u64, status: StatusCode, code: String },
    #[error("the exchange did not keep the cosignature: {status} {code}: {detail}")]
    NotKept { status: StatusCode, code: String, detail: String },
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// What a look led to.
enum Look {
    /// Nothing new.
    Quiet,
    /// A cosignature is with the exchange.
    Cosigned(u64),
    /// The log is not consistent with what was cosigned.
    Contradiction(Box<Accusation>),
}

struct Accusation {
    checkpoint: String,
    old_size: u64,
    proof: Vec<Hash>,
    refusal: WitnessRefusal,
}

/// Follows one of the desk's logs until it contradicts itself. May be dropped at any moment.
pub async fn follow(desk: Arc<Desk>, index: usize, client: Client, interval: Duration) {
    let (mut told, mut contradictions) = (String::new(), 0);
    let origin = desk.logs()[index].origin().to_owned();
    loop {
        let looked = look(&desk, index, &client).await;
        contradictions = if matches!(looked, Ok(Look::Contradiction(_))) { contradictions + 1 } else { 0 };
        let problem = match looked {
            Ok(Look::Quiet) => String::new(),
            Ok(Look::Cosigned(size)) => {
                tracing::info!(origin, size, "cosigned");
                String::new()
            }
            Ok(Look::Contradiction(found)) => {
                if contradictions >= LOOKS || matches!(found.refusal, WitnessRefusal::Fork { .. }) {
                    accuse(&desk, index, *found).await;
                    return;
                }
                found.refusal.to_string()
            }
            Err(LookError::Desk(error @ DeskError::Contradicted { .. })) => {
                tracing::error!(origin, "{error}");
                return;
            }
            Err(error) => error.to_string(),
        };
        // The same trouble is told once, however long it lasts.
        if !problem.is_empty() && problem != told {
            tracing::warn!(origin, problem, "the log could not be cosigned; trying again");
        }
        told = problem;
        tokio::time::sleep(interval).await;
    }
}

async fn look(desk: &Arc<Desk>, index: usize, client: &Client) -> Result<Look, LookError> {
    let log = &desk.logs()[index];
    log.check()?;
    let known = log.head();
    let Some((text, offered)) = newest(log, client, known).await? else { return Ok(Look::Quiet) };
    let head = TreeHead { size: offered.checkpoint().size, root: offered.checkpoint().root };
    // The exchange shows the cosignatures that it has: one that was lost on the way is missed here.
    if known == Some(head) && matches!(offered.cosigned_at(log.cosigner()), Ok(Some(_))) {
        return Ok(Look::Quiet);
    }
    let old_size = known.map_or(0, |head| head.size);
    let proof = if old_size == 0 || old_size >= head.size { Vec::new() } else { consistency(client, old_size, head.size).await? };
    let (there, offer_text, offer_proof) = (desk.clone(), text.clone(), proof.clone());
    let cosigned = blocking(move || {
        let offer = Offer { checkpoint: &offer_text, old_size, consistency: &offer_proof };
        there.logs()[index].cosign(offer, files::now().0)
    });
    match cosigned.await {
        Ok(cosigned) => {
            keep(client, cosigned.size, &cosigned.line).await?;
            Ok(Look::Cosigned(cosigned.size))
        }
        // Somebody else asked in between; the next look starts from there.
        Err(DeskError::Refused(WitnessRefusal::OldSize { .. })) => Ok(Look::Quiet),
        Err(DeskError::Refused(
            refusal @ (WitnessRefusal::Rollback { .. } | WitnessRefusal::Fork { .. } | WitnessRefusal::Inconsistent(_)),
        )) => Ok(Look::Contradiction(Box::new(Accusation { checkpoint: text, old_size, proof, refusal }))),
        Err(error) => Err(error.into()),
    }
}

/// The newest checkpoint, signed by the log; none while the log is empty.
async fn newest(log: &FollowedLog, client: &Client, known: Option<TreeHead>) -> Result<Option<(String, SignedCheckpoint)>, LookError> {
    let (status, body) = client.read("/v1/log/checkpoint", NOTE_MAX_BYTES).await.map_err(LookError::Exchange)?;
    if status == StatusCode::NOT_FOUND {
        return match known {
            Some(known) if known.root != merkle::empty_root() => Err(LookError::Empty { known: known.size }),
            _ => Ok(None),
        };
    }
    let wrong = |why: String| LookError::Checkpoint { origin: log.origin().to_owned(), why };
    if !status.is_success() {
        return Err(wrong(status.to_string()));
    }
    let text = String::from_utf8(body).map_err(|error| wrong(error.to_string()))?;
    let offered: SignedCheckpoint = text.parse().map_err(|error: entrepot_chain_log::CheckpointError| wrong(error.to_string()))?;
    offered.verify_log(log.origin(), log.key()).map_err(|error| wrong(error.to_string()))?;
    Ok(Some((text, offered)))
}

#[derive(Deserialize)]
struct ConsistencyBody {
    proof: Vec<Hash>,
}

async fn consistency(client: &Client, from: u64, to: u64) -> Result<Vec<Hash>, LookError> {
    let path = format!("/v1/log/consistency?from={from}&to={to}");
    let (status, body) = client.read(&path, PROOF_BYTES_MAX).await.map_err(LookError::Exchange)?;
    let no_proof = |code: String| LookError::NoProof { from, to, status, code };
    if !status.is_success() {
        return Err(no_proof(field(&body, "code")));
    }
    let body: ConsistencyBody = serde_json::from_slice(&body).map_err(|error| no_proof(error.to_string()))?;
    Ok(body.proof)
}

async fn keep(client: &Client, size: u64, line: &str) -> Result<(), LookError> {
    let body = json!({"size": size.to_string(), "cosignature": line});
    let (status, body) = client.put("/v1/log/cosignatures", &body, PROOF_BYTES_MAX).await.map_err(LookError::Exchange)?;
    if status.is_success() {
        return Ok(());
    }
    Err(LookError::NotKept { status, code: field(&body, "code"), detail: format!("{} {}", field(&body, "detail"), field(&body, "hint")) })
}

fn field(body: &[u8], name: &str) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    body[name].as_str().unwrap_or_default().chars().take(500).collect()
}

async fn accuse(desk: &Arc<Desk>, index: usize, found: Accusation) {
    let there = desk.clone();
    let accused = blocking(move || {
        let log = &there.logs()[index];
        let offer = Offer { checkpoint: &found.checkpoint, old_size: found.old_size, consistency: &found.proof };
        there.accuse(log, offer, &found.refusal, files::now().0)
    });
    let log = &desk.logs()[index];
    match accused.await.and_then(|()| log.check()) {
        Ok(()) => {}
        Err(error) => tracing::error!(origin = log.origin(), "{error}"),
    }
}

/// Waits for the disk elsewhere.
pub async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T, DeskError> + Send + 'static) -> Result<T, DeskError> {
    tokio::task::spawn_blocking(act)
        .await
        .unwrap_or_else(|error| Err(DeskError::Disk { path: "the state folder".into(), source: std::io::Error::other(error.to_string()) }))
}

/// For the exit code.
pub fn contradicted(desk: &Desk) -> Option<Failure> {
    let found = desk.contradictions();
    (!found.is_empty()).then(|| Failure::new(ExitCode::NotVerified, found.join("\n")))
}
