//! Copies of the running exchange.

use crate::{Answer, AppState, Caller, Problem, Submission, backup::BackupsHandle, error::ProblemBody, extract::NoInput};
use axum::{Extension, extract::State, response::Response};
use entrepot_chain_statement::statements::Role;
use entrepot_exchange_domain::RefusalKind;
use serde::Serialize;
use utoipa::ToSchema;

/// A copy that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct BackupMade {
    /// Its folder, on the exchange's machine.
    path: String,
}

/// Copy the running exchange: its database, then its chain. For operators.
#[utoipa::path(
    post,
    path = "/v1/admin/backups",
    tag = "admin",
    operation_id = "make_backup",
    params(("Idempotency-Key" = String, Header, description = "Fresh for each new request, the same for each repetition.")),
    security(("bearer" = [])),
    responses(
        (status = 201, description = "Made.", body = BackupMade),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    backups: Option<Extension<BackupsHandle>>,
    Submission { input: NoInput {}, once }: Submission<NoInput>,
) -> Result<Response, Problem> {
    caller.require(&[Role::Operator])?;
    let Some(Extension(BackupsHandle(backups))) = backups else {
        return Err(Problem::new(RefusalKind::Unavailable, "backups_unavailable", "this exchange was started without a place for backups"));
    };
    // A copy takes its time: it is made outside of the transaction, under a name that a repetition finds again.
    let path = backups.make(&once.name(caller.did())).await.map_err(|error| Problem::internal(&error))?;
    let path = &path.display().to_string();
    once.run(&app, caller.did(), "admin.backup", |_tx| Box::pin(async move { Answer::created(&BackupMade { path: path.clone() }) })).await
}
