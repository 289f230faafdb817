//! Worker grants.

use crate::{Connection, Page, PageRequest, StoreError, Tx};
use entrepot_chain_statement::{
    Did, Envelope, Hash, Timestamp,
    ids::GrantId,
    statements::{WorkerGrant, WorkerRole},
};
use sqlx::FromRow;

/// A grant as it was accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerGrantRow {
    /// What it says.
    pub grant: WorkerGrant,
    /// Its statement hash, which agreements pin.
    pub statement_hash: Hash,
    /// It, signed.
    pub envelope: Envelope,
    /// When the exchange got it.
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    statement_hash: String,
    envelope: String,
    created_at_ms: i64,
}

impl TryFrom<Row> for WorkerGrantRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let envelope = Envelope::from_json(row.envelope.as_bytes()).map_err(|_| StoreError::Corrupt { what: "worker grant" })?;
        Ok(Self {
            grant: envelope.open().map_err(|_| StoreError::Corrupt { what: "worker grant" })?,
            statement_hash: row.statement_hash.parse().map_err(|_| StoreError::Corrupt { what: "worker grant" })?,
            envelope,
            created_at: Timestamp(row.created_at_ms),
        })
    }
}

/// The role's name in the database and in answers.
pub fn role_name(role: WorkerRole) -> &'static str {
    match role {
        WorkerRole::Data => "data",
        WorkerRole::Compute => "compute",
    }
}

/// Adds a grant.
pub async fn insert(tx: &mut Tx<'_>, row: &WorkerGrantRow) -> Result<(), StoreError> {
    let grant = &row.grant;
    sqlx::query(
        "INSERT INTO worker_grants \
         (grant_id, statement_hash, participant, worker, witness, role, not_before_ms, expires_at_ms, envelope, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(grant.grant_id.as_str())
    .bind(row.statement_hash.to_string())
    .bind(grant.participant.as_str())
    .bind(grant.worker.as_str())
    .bind(grant.witness.as_str())
    .bind(role_name(grant.role))
    .bind(grant.not_before.0)
    .bind(grant.expires_at.0)
    .bind(crate::envelope_text(&row.envelope)?)
    .bind(row.created_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The grant with this id.
pub async fn find(db: &mut Connection, grant_id: &GrantId) -> Result<Option<WorkerGrantRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT statement_hash, envelope, created_at_ms FROM worker_grants WHERE grant_id = $1")
        .bind(grant_id.as_str())
        .fetch_optional(db)
        .await?;
    row.map(WorkerGrantRow::try_from).transpose()
}

/// The grant with this statement hash.
pub async fn find_by_hash(db: &mut Connection, hash: &Hash) -> Result<Option<WorkerGrantRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as("SELECT statement_hash, envelope, created_at_ms FROM worker_grants WHERE statement_hash = $1")
        .bind(hash.to_string())
        .fetch_optional(db)
        .await?;
    row.map(WorkerGrantRow::try_from).transpose()
}

/// A participant's grants of a role that are valid at `now`, the longest-lived first.
pub async fn valid(db: &mut Connection, participant: &Did, role: WorkerRole, now: Timestamp) -> Result<Vec<WorkerGrantRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT statement_hash, envelope, created_at_ms FROM worker_grants \
         WHERE participant = $1 AND role = $2 AND not_before_ms <= $3 AND expires_at_ms > $3 ORDER BY expires_at_ms DESC, grant_id DESC",
    )
    .bind(participant.as_str())
    .bind(role_name(role))
    .bind(now.0)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(WorkerGrantRow::try_from).collect()
}

/// The longest-lived grant of a participant to this very worker, in a role, valid at `now`.
pub async fn valid_for(
    db: &mut Connection,
    participant: &Did,
    worker: &Did,
    role: WorkerRole,
    now: Timestamp,
) -> Result<Option<WorkerGrantRow>, StoreError> {
    Ok(valid(db, participant, role, now).await?.into_iter().find(|row| row.grant.worker == *worker))
}

/// A participant's grants, or everybody's, by id.
pub async fn list(db: &mut Connection, participant: Option<&Did>, page: &PageRequest) -> Result<Page<WorkerGrantRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT statement_hash, envelope, created_at_ms FROM worker_grants \
         WHERE (participant = $1 OR $1 = '') AND grant_id > $2 ORDER BY grant_id LIMIT $3",
    )
    .bind(participant.map_or("", Did::as_str))
    .bind(page.after())
    .bind(page.probe())
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(WorkerGrantRow::try_from).collect::<Result<_, _>>()?;
    Ok(page.page(rows, |row: &WorkerGrantRow| row.grant.grant_id.to_string()))
}
