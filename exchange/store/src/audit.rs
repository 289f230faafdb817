//! What is connected with what, read from signed statements; and jobs that do not move.

use crate::{Connection, StoreError};
use entrepot_chain_statement::{Did, Timestamp, ids::JobId};
use entrepot_exchange_domain::evidence::Subject;
use sqlx::FromRow;

/// That one thing is connected with another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What the subject that refers is to the other, as in `uses`.
    pub relation: String,
    /// The other thing.
    pub subject: Subject,
}

#[derive(FromRow)]
struct Row {
    relation: String,
    subject_kind: String,
    subject_id: String,
}

impl TryFrom<Row> for Link {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let kind = row.subject_kind.parse().map_err(|_| StoreError::Corrupt { what: "subject kind" })?;
        Ok(Self { relation: row.relation, subject: Subject { kind, id: row.subject_id } })
    }
}

fn links(rows: Vec<Row>) -> Result<Vec<Link>, StoreError> {
    rows.into_iter().map(Link::try_from).collect()
}

/// What the statements about this thing refer to: an order's agreement, a product's datasets.
pub async fn refers_to(db: &mut Connection, subject: &Subject, limit: i64) -> Result<Vec<Link>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT DISTINCT links.relation, target.subject_kind, target.subject_id FROM statements AS source \
         JOIN statement_links AS links ON links.statement_hash = source.statement_hash \
         JOIN statements AS target ON target.statement_hash = links.refers_to \
         WHERE source.subject_id = $1 AND source.subject_kind = $2 ORDER BY target.subject_kind, target.subject_id LIMIT $3",
    )
    .bind(&subject.id)
    .bind(subject.kind.as_str())
    .bind(limit)
    .fetch_all(db)
    .await?;
    links(rows)
}

/// What refers to this thing: a dataset's products, an agreement's orders.
pub async fn referred_by(db: &mut Connection, subject: &Subject, limit: i64) -> Result<Vec<Link>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT DISTINCT links.relation, source.subject_kind, source.subject_id FROM statements AS target \
         JOIN statement_links AS links ON links.refers_to = target.statement_hash \
         JOIN statements AS source ON source.statement_hash = links.statement_hash \
         WHERE target.subject_id = $1 AND target.subject_kind = $2 ORDER BY source.subject_kind, source.subject_id LIMIT $3",
    )
    .bind(&subject.id)
    .bind(subject.kind.as_str())
    .bind(limit)
    .fetch_all(db)
    .await?;
    links(rows)
}

/// Whom the statements about this thing bind, and how.
pub async fn bound_by(db: &mut Connection, subject: &Subject) -> Result<Vec<(String, Did)>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT bonds.relation, bonds.participant FROM statements AS source \
         JOIN statement_participants AS bonds ON bonds.statement_hash = source.statement_hash \
         WHERE source.subject_id = $1 AND source.subject_kind = $2 ORDER BY bonds.relation, bonds.participant",
    )
    .bind(&subject.id)
    .bind(subject.kind.as_str())
    .fetch_all(db)
    .await?;
    let bond = |(relation, did): (String, String)| Ok((relation, did.parse().map_err(|_| StoreError::Corrupt { what: "bound DID" })?));
    rows.into_iter().map(bond).collect()
}

/// The things whose statements bind this participant: its datasets, grants, products, agreements.
pub async fn bonds_of(db: &mut Connection, participant: &Did, limit: i64) -> Result<Vec<Link>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT DISTINCT bonds.relation, source.subject_kind, source.subject_id FROM statement_participants AS bonds \
         JOIN statements AS source ON source.statement_hash = bonds.statement_hash \
         WHERE bonds.participant = $1 ORDER BY source.subject_kind, source.subject_id LIMIT $2",
    )
    .bind(participant.as_str())
    .bind(limit)
    .fetch_all(db)
    .await?;
    links(rows)
}

/// A job that ought to have moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckJob {
    /// The job.
    pub job_id: JobId,
    /// Name of its state.
    pub state: String,
    /// Tries begun.
    pub attempt: i64,
    /// When time should have changed its state; none if time alone never does.
    pub deadline: Option<Timestamp>,
    /// When its state changed last.
    pub changed_at: Timestamp,
}

#[derive(FromRow)]
struct StuckRow {
    job_id: String,
    state: String,
    attempt: i64,
    deadline_ms: Option<i64>,
    changed_at_ms: i64,
}

/// Jobs that are not over, and whose deadline passed before `deadline_before` or which have not changed since `changed_before`; those
/// after the job `after`, at most `limit`, by id.
pub async fn stuck_jobs(
    db: &mut Connection,
    deadline_before: Timestamp,
    changed_before: Timestamp,
    after: &str,
    limit: i64,
) -> Result<Vec<StuckJob>, StoreError> {
    let rows: Vec<StuckRow> = sqlx::query_as(
        "SELECT job_id, state, attempt, deadline_ms, changed_at_ms FROM jobs \
         WHERE state NOT IN ('delivered', 'undelivered', 'refunded') AND (deadline_ms < $1 OR changed_at_ms < $2) AND job_id > $3 \
         ORDER BY job_id LIMIT $4",
    )
    .bind(deadline_before.0)
    .bind(changed_before.0)
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let job = |row: StuckRow| {
        Ok(StuckJob {
            job_id: row.job_id.parse().map_err(|_| StoreError::Corrupt { what: "job id" })?,
            state: row.state,
            attempt: row.attempt,
            deadline: row.deadline_ms.map(Timestamp),
            changed_at: Timestamp(row.changed_at_ms),
        })
    };
    rows.into_iter().map(job).collect()
}
