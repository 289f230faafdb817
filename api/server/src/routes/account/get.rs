//! Balances.

use crate::{AppState, Caller, Problem, error::ProblemBody};
use axum::{Json, extract::State};
use entrepot_exchange_store::account::{self, AccountRow};
use serde::Serialize;
use utoipa::ToSchema;

/// The caller's accounts.
#[derive(Serialize, ToSchema)]
pub(super) struct Account {
    /// One for each kind and currency.
    balances: Vec<Balance>,
}

/// What is in one account.
#[derive(Serialize, ToSchema)]
pub(super) struct Balance {
    /// The account.
    account_id: String,
    /// `available`; the exchange's own are `escrow` and `issuance`.
    kind: &'static str,
    /// did:key of whose it is.
    owner: String,
    /// Three letters.
    currency: String,
    /// Minor units, decimal.
    balance_minor: String,
}

impl From<AccountRow> for Balance {
    fn from(row: AccountRow) -> Self {
        Self {
            account_id: row.account_id.to_string(),
            kind: row.account.kind.name(),
            owner: row.account.owner.to_string(),
            currency: row.account.currency.to_string(),
            balance_minor: row.balance_minor.to_string(),
        }
    }
}

/// Read your balances.
#[utoipa::path(
    get,
    path = "/v1/account",
    tag = "books",
    operation_id = "get_account",
    security(("bearer" = [])),
    responses(
        (status = 200, description = "Your balances.", body = Account),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(State(app): State<AppState>, caller: Caller) -> Result<Json<Account>, Problem> {
    let rows = account::of_owner(&mut *app.market.store.reader().await?, caller.did()).await?;
    Ok(Json(Account { balances: rows.into_iter().map(Balance::from).collect() }))
}
