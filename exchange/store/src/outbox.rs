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
    /// For `anchor` a statement hash.
    pub payload: String,
    /// JSON array of the ids it is about.
    pub subjects: String,
    /// Tries so far.
    pub attempts: i64,
    /// Not to be tried before.
    pub due_at_ms: i64,
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

/// What is due, oldest first, at most [`DUE_MAX`]. Announcements keep their order: one that waits for its next try holds back those
/// after it.
pub async fn due(db: &mut Connection, topic: &str, now: Timestamp) -> Result<Vec<OutboxRow>, StoreError> {
    let rows: Vec<OutboxRow> = sqlx::query_as(
        "SELECT sequence, payload, subjects, attempts, due_at_ms FROM outbox \
         WHERE topic = $1 AND done_at_ms IS NULL ORDER BY sequence LIMIT $2",
    )
    .bind(topic)
    .bind(DUE_MAX)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().take_while(|row| row.due_at_ms <= now.0).collect())
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
