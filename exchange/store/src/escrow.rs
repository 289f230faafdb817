//! Money that is held for jobs.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{
    Hash, Money, Timestamp,
    ids::{JobId, JournalEntryId},
};
use entrepot_exchange_domain::escrow::{Escrow, EscrowState};
use sqlx::FromRow;

/// An escrow and the statements about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EscrowRow {
    /// How much, and where it is.
    pub escrow: Escrow,
    /// Statement hash of the hold.
    pub hold: Hash,
    /// Statement hash of the release or refund; none while held.
    pub closing: Option<Hash>,
    /// When it was set aside.
    pub held_at: Timestamp,
    /// When it was paid out or given back.
    pub closed_at: Option<Timestamp>,
}

/// The entry and the statement that move an escrow.
#[derive(Clone, Copy, Debug)]
pub struct Movement<'a> {
    /// The entry.
    pub entry: &'a JournalEntryId,
    /// Statement hash of the hold, release or refund; the statement must be in `statements`.
    pub statement: &'a Hash,
}

#[derive(FromRow)]
struct Row {
    amount_minor: i64,
    currency: String,
    state: String,
    hold_hash: String,
    closing_hash: Option<String>,
    held_at_ms: i64,
    closed_at_ms: Option<i64>,
}

/// Notes that money was set aside for a job.
pub async fn hold(tx: &mut Tx<'_>, job: &JobId, amount: &Money, movement: Movement<'_>, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO escrows (job_id, amount_minor, currency, state, hold_entry, hold_hash, held_at_ms) \
         VALUES ($1, $2, $3, 'held', $4, $5, $6)",
    )
    .bind(job.as_str())
    .bind(amount.amount_minor)
    .bind(amount.currency.as_str())
    .bind(movement.entry.as_str())
    .bind(movement.statement.to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes where held money went. The caller has read that it was held, in this transaction; the trigger checks again.
pub async fn close(tx: &mut Tx<'_>, job: &JobId, state: EscrowState, movement: Movement<'_>, now: Timestamp) -> Result<(), StoreError> {
    let done = sqlx::query("UPDATE escrows SET state = $2, closing_entry = $3, closing_hash = $4, closed_at_ms = $5 WHERE job_id = $1")
        .bind(job.as_str())
        .bind(state.name())
        .bind(movement.entry.as_str())
        .bind(movement.statement.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Corrupt { what: "job without escrow" }) }
}

/// The escrow of a job.
pub async fn find(db: &mut Connection, job: &JobId) -> Result<Option<EscrowRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT amount_minor, currency, state, hold_hash, closing_hash, held_at_ms, closed_at_ms FROM escrows WHERE job_id = $1",
    )
    .bind(job.as_str())
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let corrupt = |what| StoreError::Corrupt { what };
    let currency = row.currency.parse().map_err(|_| corrupt("currency"))?;
    Ok(Some(EscrowRow {
        escrow: Escrow {
            amount: Money { amount_minor: row.amount_minor, currency },
            state: EscrowState::from_name(&row.state).ok_or(corrupt("escrow state"))?,
        },
        hold: row.hold_hash.parse().map_err(|_| corrupt("statement hash"))?,
        closing: row.closing_hash.map(|hash| hash.parse()).transpose().map_err(|_| corrupt("statement hash"))?,
        held_at: Timestamp(row.held_at_ms),
        closed_at: row.closed_at_ms.map(Timestamp),
    }))
}
