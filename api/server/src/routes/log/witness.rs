//! Who cosigns the log without being a worker.

use crate::{Answer, AppState, Caller, Problem, Submission, error::ProblemBody};
use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use entrepot_chain_statement::{Did, wide};
use entrepot_exchange_market::standing_witness;
use entrepot_exchange_store::witness::WitnessRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A witness of one's own.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WitnessInput)]
pub(super) struct WitnessInput {
    /// did:key of the Ed25519 key that it cosigns with, and that serves nothing else.
    #[schema(value_type = String)]
    witness: Did,
}

/// A witness, and how far it has cosigned.
#[derive(Serialize, ToSchema)]
#[schema(as = LogWitness)]
pub(super) struct WitnessBody {
    /// did:key that cosigns.
    witness: String,
    /// The participant on whose behalf.
    participant: String,
    /// Entries of the largest checkpoint that it cosigned, decimal; 0 if none.
    size: String,
}

impl From<WitnessRow> for WitnessBody {
    fn from(row: WitnessRow) -> Self {
        Self { witness: row.witness.to_string(), participant: row.participant.to_string(), size: row.size.to_string() }
    }
}

/// A cosignature.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CosignatureInput)]
pub(super) struct CosignatureInput {
    /// Entries of the checkpoint, decimal.
    #[serde(with = "wide")]
    #[schema(value_type = String)]
    size: u64,
    /// C2SP tlog-cosignature line over that checkpoint, under a key that is named by its own DID.
    cosignature: String,
}

/// Enrol a witness of your own, one for each participant: its cosignatures are kept from then on. What they are worth, trust files say.
#[utoipa::path(
    post,
    path = "/v1/log/witnesses",
    tag = "log",
    operation_id = "enrol_witness",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    request_body = WitnessInput,
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Known.", body = WitnessBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn enrol(
    State(app): State<AppState>,
    caller: Caller,
    Submission { input, once }: Submission<WitnessInput>,
) -> Result<Response, Problem> {
    let (app, caller, key) = (&app, caller.did(), &input.witness);
    let now = app.market.now();
    once.run(app, caller, "log.enrol_witness", |tx| {
        Box::pin(async move { Answer::created(&WitnessBody::from(standing_witness::enrol(tx, now, caller, key).await?)) })
    })
    .await
}

/// Bring a cosignature of a checkpoint. It speaks for itself: no token; the same one again changes nothing.
#[utoipa::path(
    put,
    path = "/v1/log/cosignatures",
    tag = "log",
    operation_id = "add_cosignature",
    request_body = CosignatureInput,
    responses(
        (status = 200, description = "Kept.", body = WitnessBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cosign(State(app): State<AppState>, request: Request) -> Result<Json<WitnessBody>, Problem> {
    let headers = request.headers().clone();
    let body = crate::extract::read_body(request, &app).await?;
    let input: CosignatureInput = crate::extract::parse_json(&headers, &body)?;
    Ok(Json(standing_witness::keep(&app.market, input.size, &input.cosignature).await?.into()))
}
