//! Accounts and what is in them.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{Currency, Did, Timestamp, ids::AccountId};
use entrepot_exchange_domain::journal::{Account, AccountKind};
use sqlx::FromRow;

/// An account with its balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The account.
    pub account_id: AccountId,
    /// What it is.
    pub account: Account,
    /// Minor units.
    pub balance_minor: i64,
}

#[derive(FromRow)]
struct Row {
    account_id: String,
    kind: String,
    owner: String,
    currency: String,
    balance_minor: i64,
}

pub(crate) fn account_kind(name: &str) -> Result<AccountKind, StoreError> {
    [AccountKind::Available, AccountKind::Escrow, AccountKind::Issuance]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or(StoreError::Corrupt { what: "account kind" })
}

impl TryFrom<Row> for AccountRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        Ok(Self {
            account_id: row.account_id.parse().map_err(|_| corrupt("account id"))?,
            account: Account {
                kind: account_kind(&row.kind)?,
                owner: row.owner.parse().map_err(|_| corrupt("account owner"))?,
                currency: row.currency.parse().map_err(|_| corrupt("currency"))?,
            },
            balance_minor: row.balance_minor,
        })
    }
}

/// The account's id; `fresh` makes one if it must be opened.
pub async fn open(
    tx: &mut Tx<'_>,
    account: &Account,
    fresh: &(dyn Fn() -> AccountId + Sync),
    now: Timestamp,
) -> Result<AccountId, StoreError> {
    if let Some(row) = find(tx, account).await? {
        return Ok(row.account_id);
    }
    let account_id = fresh();
    sqlx::query("INSERT INTO accounts (account_id, kind, owner, currency, created_at_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(account_id.as_str())
        .bind(account.kind.name())
        .bind(account.owner.as_str())
        .bind(account.currency.as_str())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(account_id)
}

/// The account, if it was opened.
pub async fn find(db: &mut Connection, account: &Account) -> Result<Option<AccountRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT account_id, kind, owner, currency, balance_minor FROM accounts WHERE kind = $1 AND owner = $2 AND currency = $3",
    )
    .bind(account.kind.name())
    .bind(account.owner.as_str())
    .bind(account.currency.as_str())
    .fetch_optional(db)
    .await?;
    row.map(AccountRow::try_from).transpose()
}

/// What the owner may spend in a currency; 0 without an account.
pub async fn available(db: &mut Connection, owner: &Did, currency: &Currency) -> Result<i64, StoreError> {
    let account = Account { kind: AccountKind::Available, owner: owner.clone(), currency: currency.clone() };
    Ok(find(db, &account).await?.map_or(0, |row| row.balance_minor))
}

/// Every account of one owner, by kind and currency.
pub async fn of_owner(db: &mut Connection, owner: &Did) -> Result<Vec<AccountRow>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT account_id, kind, owner, currency, balance_minor FROM accounts WHERE owner = $1 ORDER BY kind, currency")
            .bind(owner.as_str())
            .fetch_all(db)
            .await?;
    rows.into_iter().map(AccountRow::try_from).collect()
}
