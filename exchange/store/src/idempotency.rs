//! Answers that are given again when a request comes again.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{Hash, Timestamp};
use sqlx::FromRow;

/// What was answered under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Hash of the request that it answers.
    pub request: Hash,
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

#[derive(FromRow)]
struct Row {
    request_hash: String,
    status: i64,
    body: String,
}

/// What was answered to `owner` under `key`.
pub async fn find(db: &mut Connection, owner: &str, key: &str) -> Result<Option<KeptAnswer>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT request_hash, status, body FROM idempotency_keys WHERE owner = $1 AND key = $2")
        .bind(owner)
        .bind(key)
        .fetch_optional(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let request = row.request_hash.parse().map_err(|_| StoreError::Corrupt { what: "request hash" })?;
    let status = u16::try_from(row.status).map_err(|_| StoreError::Corrupt { what: "status" })?;
    Ok(Some(KeptAnswer { request, status, body: row.body }))
}

/// Forgets what was answered before `before`. Returns how many answers.
pub async fn forget(tx: &mut Tx<'_>, before: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM idempotency_keys WHERE created_at_ms < $1").bind(before.0).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}

/// Keeps an answer in the transaction of its effect.
pub async fn keep(tx: &mut Tx<'_>, owner: &str, key: &str, answer: &KeptAnswer, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO idempotency_keys (owner, key, request_hash, status, body, created_at_ms) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(owner)
        .bind(key)
        .bind(answer.request.to_string())
        .bind(i64::from(answer.status))
        .bind(&answer.body)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
