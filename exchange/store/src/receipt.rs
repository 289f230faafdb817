//! Which receipts a job's attempts have; the signed ones are in `statements`.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{Hash, Timestamp, ids::JobId};

/// Notes the receipt of a party that was checked and kept.
pub async fn insert(
    tx: &mut Tx<'_>,
    job_id: &JobId,
    (attempt, party): (u32, u8),
    statement: &Hash,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO receipts (job_id, attempt, party, statement_hash, created_at_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(job_id.as_str())
        .bind(i64::from(attempt))
        .bind(i64::from(party))
        .bind(statement.to_string())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Statement hashes of an attempt's receipts, by party index.
pub async fn of_attempt(db: &mut Connection, job_id: &JobId, attempt: u32) -> Result<[Option<Hash>; 3], StoreError> {
    let rows: Vec<(i64, String)> = sqlx::query_as("SELECT party, statement_hash FROM receipts WHERE job_id = $1 AND attempt = $2")
        .bind(job_id.as_str())
        .bind(i64::from(attempt))
        .fetch_all(db)
        .await?;
    let mut receipts = [None; 3];
    for (party, hash) in rows {
        let place = usize::try_from(party).ok().and_then(|party| receipts.get_mut(party)).ok_or(StoreError::Corrupt { what: "party" })?;
        *place = Some(hash.parse().map_err(|_| StoreError::Corrupt { what: "statement hash" })?);
    }
    Ok(receipts)
}
