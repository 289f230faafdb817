//! What is to be announced, written in the transaction of what it announces.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::Timestamp;
use sqlx::FromRow;

/// Announcements read at once.
pub const DUE_MAX: i64 = 256;

/// One announcement.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct OutboxRow {
    /// Order of announcement.
    pub sequence: i64,
    /// For `anchor` an envelope's JSON.
    pub payload: String,
    /// JSON array of the ids it is about.
    pub subjects: String,
    /// Tries so far.
    pub attempts: i64,
}

/// Announces `payload` under `topic`.
pub async fn insert(tx: &mut Tx<'_>, topic: &str, payload: &str, subjects: &[&str], now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO outbox (topic, payload, subjects, created_at_ms, due_at_ms) VALUES ($1, $2, $3, $4, $4)")
        .bind(topic)
        .bind(payload)
        .bind(serde_json::Value::from(subjects.to_vec()).to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What is due, oldest first, at most [`DUE_MAX`].
pub async fn due(db: &mut Connection, topic: &str, now: Timestamp) -> Result<Vec<OutboxRow>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT sequence, payload, subjects, attempts FROM outbox \
         WHERE topic = $1 AND done_at_ms IS NULL AND due_at_ms <= $2 ORDER BY sequence LIMIT $3",
    )
    .bind(topic)
    .bind(now.0)
    .bind(DUE_MAX)
    .fetch_all(db)
    .await?;
    Ok(rows)
}

/// Marks an announcement as done.
pub async fn done(tx: &mut Tx<'_>, sequence: i64, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE outbox SET done_at_ms = $2 WHERE sequence = $1").bind(sequence).bind(now.0).execute(&mut **tx).await?;
    Ok(())
}

/// Notes a failed try and when the next may come.
pub async fn failed(tx: &mut Tx<'_>, sequence: i64, code: &str, due_at: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE outbox SET attempts = attempts + 1, failure = $2, due_at_ms = $3 WHERE sequence = $1")
        .bind(sequence)
        .bind(code)
        .bind(due_at.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
