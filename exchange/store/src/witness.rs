//! How far each witness has cosigned. The cosignatures themselves are kept beside the log.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{Did, Timestamp};
use sqlx::FromRow;

/// A witness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessRow {
    /// The key that it cosigns with.
    pub witness: Did,
    /// On whose behalf.
    pub participant: Did,
    /// The worker that holds the key.
    pub worker: Did,
    /// Size of the largest checkpoint that it cosigned.
    pub size: u64,
    /// When the exchange got that cosignature.
    pub cosigned_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    witness: String,
    participant: String,
    worker: String,
    size: i64,
    cosigned_at_ms: i64,
}

impl TryFrom<Row> for WitnessRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        Ok(Self {
            witness: row.witness.parse().map_err(|_| corrupt("witness"))?,
            participant: row.participant.parse().map_err(|_| corrupt("witness's participant"))?,
            worker: row.worker.parse().map_err(|_| corrupt("witness's worker"))?,
            size: u64::try_from(row.size).map_err(|_| corrupt("cosigned size"))?,
            cosigned_at: Timestamp(row.cosigned_at_ms),
        })
    }
}

/// Notes a cosignature; one of a smaller checkpoint, that came late, changes nothing.
pub async fn cosigned(tx: &mut Tx<'_>, witness: &WitnessRow) -> Result<(), StoreError> {
    let size = i64::try_from(witness.size).map_err(|_| StoreError::Corrupt { what: "cosigned size" })?;
    sqlx::query(
        "INSERT INTO witnesses (witness, participant, worker, size, cosigned_at_ms) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (witness) DO UPDATE SET participant = $2, worker = $3, size = $4, cosigned_at_ms = $5 WHERE witnesses.size < $4",
    )
    .bind(witness.witness.as_str())
    .bind(witness.participant.as_str())
    .bind(witness.worker.as_str())
    .bind(size)
    .bind(witness.cosigned_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How far this witness has cosigned.
pub async fn find(db: &mut Connection, witness: &Did) -> Result<Option<WitnessRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT witness, participant, worker, size, cosigned_at_ms FROM witnesses WHERE witness = $1")
        .bind(witness.as_str())
        .fetch_optional(db)
        .await?;
    row.map(WitnessRow::try_from).transpose()
}

/// The witness that a participant enrolled by itself, which no worker is: its row names its own key in a worker's place.
pub async fn standing(db: &mut Connection, participant: &Did) -> Result<Option<WitnessRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT witness, participant, worker, size, cosigned_at_ms FROM witnesses WHERE participant = $1 AND worker = witness LIMIT 1",
    )
    .bind(participant.as_str())
    .fetch_optional(db)
    .await?;
    row.map(WitnessRow::try_from).transpose()
}

/// Forgets how far a witness has cosigned; its cosignatures stay beside the log.
pub async fn remove(tx: &mut Tx<'_>, witness: &Did) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM witnesses WHERE witness = $1").bind(witness.as_str()).execute(&mut **tx).await?;
    Ok(())
}
