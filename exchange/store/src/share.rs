//! Sealed shares of results, until they may be forgotten.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{Timestamp, ids::JobId};

/// A sealed share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedShareRow {
    /// Which of the three.
    pub share: u8,
    /// Sealed to the consumer.
    pub ciphertext: Vec<u8>,
}

/// When a share came and until when it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// When it came.
    pub now: Timestamp,
    /// It may be forgotten from then on.
    pub until: Timestamp,
}

/// Keeps a sealed share whose digest was compared with the receipts.
pub async fn insert(tx: &mut Tx<'_>, job_id: &JobId, share: &SealedShareRow, keeping: Keeping) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO sealed_shares (job_id, share, ciphertext, kept_until_ms, created_at_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(job_id.as_str())
        .bind(i64::from(share.share))
        .bind(&share.ciphertext)
        .bind(keeping.until.0)
        .bind(keeping.now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The sealed shares of a job that are here, by number.
pub async fn of_job(db: &mut Connection, job_id: &JobId) -> Result<Vec<SealedShareRow>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as("SELECT share, ciphertext FROM sealed_shares WHERE job_id = $1 ORDER BY share")
        .bind(job_id.as_str())
        .fetch_all(db)
        .await?;
    rows.into_iter()
        .map(|(share, ciphertext)| {
            Ok(SealedShareRow { share: u8::try_from(share).map_err(|_| StoreError::Corrupt { what: "share" })?, ciphertext })
        })
        .collect()
}

/// Forgets the shares whose time is over and says how many there were.
pub async fn forget(tx: &mut Tx<'_>, now: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM sealed_shares WHERE kept_until_ms <= $1").bind(now.0).execute(&mut **tx).await?;
    Ok(done.rows_affected())
}
