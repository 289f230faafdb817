//! Signed statements, and where each stands with the log.

use crate::{Connection, StoreError, Tx, outbox};
use entrepot_chain_statement::{Envelope, Hash, Timestamp};
use entrepot_exchange_domain::evidence::{StatementKind, Subject, evidence};
use sqlx::FromRow;

/// Outbox topic of statements that wait for the log; the payload is the statement hash.
pub const ANCHOR_TOPIC: &str = "anchor";

/// Where a statement stands with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogState {
    /// Of a kind that is not logged.
    Kept,
    /// Waits for the log.
    Pending,
    /// In the log.
    Logged {
        /// Its place, from 0.
        index: u64,
    },
    /// The ledger refused it, or it was given up.
    Rejected {
        /// Why.
        reason: String,
    },
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementRow {
    /// Its identity.
    pub statement_hash: Hash,
    /// Its kind.
    pub kind: StatementKind,
    /// The one thing it is about.
    pub subject: Subject,
    /// It, its salt and its signatures.
    pub envelope: Envelope,
    /// What goes to the log.
    pub leaf: Hash,
    /// Where it stands.
    pub state: LogState,
    /// When it was accepted.
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    statement_hash: String,
    kind: String,
    subject_kind: String,
    subject_id: String,
    envelope: String,
    leaf: String,
    state: String,
    leaf_index: Option<i64>,
    rejection: Option<String>,
    created_at_ms: i64,
}

impl TryFrom<Row> for StatementRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| move || StoreError::Corrupt { what };
        let state = match (row.state.as_str(), row.leaf_index, row.rejection) {
            ("kept", None, None) => LogState::Kept,
            ("pending", None, None) => LogState::Pending,
            ("logged", Some(index), None) => LogState::Logged { index: u64::try_from(index).map_err(|_| corrupt("leaf index")())? },
            ("rejected", None, Some(reason)) => LogState::Rejected { reason },
            _ => return Err(corrupt("statement state")()),
        };
        Ok(Self {
            statement_hash: row.statement_hash.parse().map_err(|_| corrupt("statement hash")())?,
            kind: row.kind.parse().map_err(|_| corrupt("statement kind")())?,
            subject: Subject { kind: row.subject_kind.parse().map_err(|_| corrupt("subject kind")())?, id: row.subject_id },
            envelope: Envelope::from_json(row.envelope.as_bytes()).map_err(|_| corrupt("envelope")())?,
            leaf: row.leaf.parse().map_err(|_| corrupt("leaf")())?,
            state,
            created_at: Timestamp(row.created_at_ms),
        })
    }
}

/// Keeps a statement and, if its kind is logged, announces it to the log in the same transaction. What it is about is read from the
/// statement itself. Call it once the envelope has every signature it needs; a statement that is there already stays as it is.
pub async fn insert(tx: &mut Tx<'_>, envelope: &Envelope, now: Timestamp) -> Result<Hash, StoreError> {
    let about = evidence(envelope).map_err(|_| StoreError::Corrupt { what: "statement" })?;
    let hash = envelope.statement_hash();
    let json = String::from_utf8(envelope.to_json()).map_err(|_| StoreError::Corrupt { what: "envelope" })?;
    let state = if about.kind.is_logged() { "pending" } else { "kept" };
    let done = sqlx::query(
        "INSERT INTO statements (statement_hash, kind, subject_kind, subject_id, envelope, leaf, state, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (statement_hash) DO NOTHING",
    )
    .bind(hash.to_string())
    .bind(about.kind.as_str())
    .bind(about.subject.kind.as_str())
    .bind(&about.subject.id)
    .bind(json)
    .bind(envelope.leaf().to_string())
    .bind(state)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(hash);
    }
    for reference in &about.references {
        sqlx::query("INSERT INTO statement_links (statement_hash, refers_to, relation) VALUES ($1, $2, $3)")
            .bind(hash.to_string())
            .bind(reference.statement.to_string())
            .bind(reference.relation)
            .execute(&mut **tx)
            .await?;
    }
    for bond in &about.bonds {
        sqlx::query("INSERT INTO statement_participants (statement_hash, participant, relation) VALUES ($1, $2, $3)")
            .bind(hash.to_string())
            .bind(bond.participant.as_str())
            .bind(bond.relation)
            .execute(&mut **tx)
            .await?;
    }
    if about.kind.is_logged() {
        outbox::insert(tx, ANCHOR_TOPIC, &hash.to_string(), &[&about.subject.id], now).await?;
    }
    Ok(hash)
}

const COLUMNS: &str = "statement_hash, kind, subject_kind, subject_id, envelope, leaf, state, leaf_index, rejection, created_at_ms";

/// The statement with this hash.
pub async fn find(db: &mut Connection, hash: &Hash) -> Result<Option<StatementRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM statements WHERE statement_hash = $1")))
        .bind(hash.to_string())
        .fetch_optional(db)
        .await?;
    row.map(StatementRow::try_from).transpose()
}

/// The statement whose leaf this is.
pub async fn find_by_leaf(db: &mut Connection, leaf: &Hash) -> Result<Option<StatementRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM statements WHERE leaf = $1")))
        .bind(leaf.to_string())
        .fetch_optional(db)
        .await?;
    row.map(StatementRow::try_from).transpose()
}

/// The statement at this place of the log.
pub async fn find_by_index(db: &mut Connection, index: u64) -> Result<Option<StatementRow>, StoreError> {
    let Ok(index) = i64::try_from(index) else { return Ok(None) };
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM statements WHERE leaf_index = $1")))
        .bind(index)
        .fetch_optional(db)
        .await?;
    row.map(StatementRow::try_from).transpose()
}

/// Every statement about one thing, oldest first: a job's are its hold, receipts, release or refund.
pub async fn about(db: &mut Connection, subject: &Subject) -> Result<Vec<StatementRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM statements WHERE subject_id = $1 AND subject_kind = $2 ORDER BY created_at_ms, statement_hash"
    )))
    .bind(&subject.id)
    .bind(subject.kind.as_str())
    .fetch_all(db)
    .await?;
    rows.into_iter().map(StatementRow::try_from).collect()
}

/// Notes the statement's place in the log.
pub async fn logged(tx: &mut Tx<'_>, hash: &Hash, index: u64, now: Timestamp) -> Result<(), StoreError> {
    let index = i64::try_from(index).map_err(|_| StoreError::Corrupt { what: "leaf index" })?;
    sqlx::query("UPDATE statements SET state = 'logged', leaf_index = $2, rejection = NULL, settled_at_ms = $3 WHERE statement_hash = $1")
        .bind(hash.to_string())
        .bind(index)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes that the statement will not be logged, and why.
pub async fn rejected(tx: &mut Tx<'_>, hash: &Hash, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE statements SET state = 'rejected', rejection = $2, settled_at_ms = $3 WHERE statement_hash = $1")
        .bind(hash.to_string())
        .bind(reason)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The statements at places `from` and up, at most `limit`: what was logged since a checkpoint of that size.
pub async fn logged_since(db: &mut Connection, from: u64, limit: i64) -> Result<Vec<StatementRow>, StoreError> {
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM statements WHERE leaf_index >= $1 ORDER BY leaf_index LIMIT $2"
    )))
    .bind(from)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.into_iter().map(StatementRow::try_from).collect()
}
