//! Jobs: the persisted state that everything is driven from.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{
    Did, Timestamp,
    ids::{AgreementId, JobId, OrderId},
};
use entrepot_exchange_domain::job::{Job, Note};
use sqlx::FromRow;

/// Jobs read at once by whoever drives them.
pub const JOBS_READ_MAX: i64 = 256;

/// A job as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// Terms and state.
    pub job: Job,
    /// The order it runs.
    pub order_id: OrderId,
    /// The agreement of the order.
    pub agreement_id: AgreementId,
    /// Who gets the result.
    pub consumer: Did,
    /// Counts changes; [`save`] takes it back.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its state changed last.
    pub changed_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    order_id: String,
    agreement_id: String,
    consumer: String,
    status: String,
    terms: String,
    version: i64,
    created_at_ms: i64,
    changed_at_ms: i64,
}

impl TryFrom<Row> for JobRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        Ok(Self {
            job: Job {
                terms: serde_json::from_str(&row.terms).map_err(|_| corrupt("job's terms"))?,
                state: serde_json::from_str(&row.status).map_err(|_| corrupt("job's state"))?,
            },
            order_id: row.order_id.parse().map_err(|_| corrupt("order id"))?,
            agreement_id: row.agreement_id.parse().map_err(|_| corrupt("agreement id"))?,
            consumer: row.consumer.parse().map_err(|_| corrupt("consumer"))?,
            version: row.version,
            created_at: Timestamp(row.created_at_ms),
            changed_at: Timestamp(row.changed_at_ms),
        })
    }
}

/// Where a job comes from.
#[derive(Clone, Copy, Debug)]
pub struct JobOrigin<'a> {
    /// The order it runs.
    pub order_id: &'a OrderId,
    /// The agreement of the order.
    pub agreement_id: &'a AgreementId,
    /// Who gets the result.
    pub consumer: &'a Did,
    /// The order's number.
    pub sequence: u64,
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt { what: "value for JSON" })
}

/// Keeps a new job.
pub async fn insert(tx: &mut Tx<'_>, job: &Job, origin: JobOrigin<'_>, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO jobs (job_id, order_id, agreement_id, consumer, sequence, state, status, attempt, terms, version, deadline_ms, \
         created_at_ms, changed_at_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10, $11, $11)",
    )
    .bind(job.terms.job_id.as_str())
    .bind(origin.order_id.as_str())
    .bind(origin.agreement_id.as_str())
    .bind(origin.consumer.as_str())
    .bind(i64::try_from(origin.sequence).map_err(|_| StoreError::Corrupt { what: "sequence" })?)
    .bind(job.state.name())
    .bind(json(&job.state)?)
    .bind(i64::from(job.state.attempt()))
    .bind(json(&job.terms)?)
    .bind(job.state.deadline().map(|deadline| deadline.0))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps a job's new state; false if it was changed since `version` was read.
pub async fn save(tx: &mut Tx<'_>, job: &Job, version: i64, now: Timestamp) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE jobs SET state = $3, status = $4, attempt = $5, deadline_ms = $6, version = version + 1, changed_at_ms = $7 \
         WHERE job_id = $1 AND version = $2",
    )
    .bind(job.terms.job_id.as_str())
    .bind(version)
    .bind(job.state.name())
    .bind(json(&job.state)?)
    .bind(i64::from(job.state.attempt()))
    .bind(job.state.deadline().map(|deadline| deadline.0))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

const COLUMNS: &str = "order_id, agreement_id, consumer, status, terms, version, created_at_ms, changed_at_ms";

/// A job, whoever asks.
pub async fn find(db: &mut Connection, job_id: &JobId) -> Result<Option<JobRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM jobs WHERE job_id = $1")))
        .bind(job_id.as_str())
        .fetch_optional(db)
        .await?;
    row.map(JobRow::try_from).transpose()
}

/// The job of an order, whoever asks.
pub async fn find_by_order(db: &mut Connection, order_id: &OrderId) -> Result<Option<JobRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM jobs WHERE order_id = $1")))
        .bind(order_id.as_str())
        .fetch_optional(db)
        .await?;
    row.map(JobRow::try_from).transpose()
}

/// A job that `viewer` bought or takes part in; no viewer sees all.
pub async fn find_visible(db: &mut Connection, job_id: &JobId, viewer: Option<&Did>) -> Result<Option<JobRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM jobs WHERE job_id = $1 AND ($2 = '' OR consumer = $2 OR EXISTS (SELECT 1 FROM agreement_parties AS party \
         WHERE party.agreement_id = jobs.agreement_id AND party.participant = $2))"
    )))
    .bind(job_id.as_str())
    .bind(viewer.map_or("", Did::as_str))
    .fetch_optional(db)
    .await?;
    row.map(JobRow::try_from).transpose()
}

fn ids(rows: Vec<(String,)>) -> Result<Vec<JobId>, StoreError> {
    rows.into_iter().map(|(id,)| id.parse().map_err(|_| StoreError::Corrupt { what: "job id" })).collect()
}

/// Jobs whose deadline has passed, by id; those after `after`.
pub async fn overdue(db: &mut Connection, now: Timestamp, after: Option<&JobId>) -> Result<Vec<JobId>, StoreError> {
    let rows = sqlx::query_as("SELECT job_id FROM jobs WHERE deadline_ms <= $1 AND job_id > $2 ORDER BY job_id LIMIT $3")
        .bind(now.0)
        .bind(after.map_or("", JobId::as_str))
        .bind(JOBS_READ_MAX)
        .fetch_all(db)
        .await?;
    ids(rows)
}

/// How many jobs each worker has been sent and not ended; a worker without any is left out.
pub async fn worker_load(db: &mut Connection) -> Result<Vec<(Did, usize)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT party.worker, COUNT(*) FROM jobs JOIN agreement_parties AS party ON party.agreement_id = jobs.agreement_id \
         WHERE jobs.state IN ('dispatched', 'running') GROUP BY party.worker",
    )
    .fetch_all(db)
    .await?;
    let corrupt = |what| StoreError::Corrupt { what };
    rows.into_iter()
        .map(|(worker, jobs)| {
            let worker = worker.parse().map_err(|_| corrupt("worker"))?;
            Ok((worker, usize::try_from(jobs).map_err(|_| corrupt("number of jobs"))?))
        })
        .collect()
}

/// Jobs that a worker has been sent and not ended, by id.
pub async fn sent_to_worker(db: &mut Connection, worker: &Did) -> Result<Vec<JobId>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT jobs.job_id FROM jobs JOIN agreement_parties AS party ON party.agreement_id = jobs.agreement_id \
         WHERE jobs.state IN ('dispatched', 'running') AND party.worker = $1 ORDER BY jobs.job_id LIMIT $2",
    )
    .bind(worker.as_str())
    .bind(JOBS_READ_MAX)
    .fetch_all(db)
    .await?;
    ids(rows)
}

/// Queued jobs whose turn it is in their agreement, by id; those after `after`.
pub async fn next_in_turn(db: &mut Connection, after: Option<&JobId>) -> Result<Vec<JobId>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT job_id FROM jobs WHERE state = 'queued' AND job_id > $1 AND NOT EXISTS (SELECT 1 FROM jobs AS earlier \
         WHERE earlier.agreement_id = jobs.agreement_id AND earlier.sequence < jobs.sequence \
         AND earlier.state IN ('queued', 'dispatched', 'running')) ORDER BY job_id LIMIT $2",
    )
    .bind(after.map_or("", JobId::as_str))
    .bind(JOBS_READ_MAX)
    .fetch_all(db)
    .await?;
    ids(rows)
}

/// Jobs of which a worker may have something outstanding, the oldest first; those after `after`.
pub async fn open_of_worker(db: &mut Connection, worker: &Did, after: Option<&JobId>) -> Result<Vec<JobId>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT jobs.job_id FROM agreement_parties JOIN jobs ON jobs.agreement_id = agreement_parties.agreement_id \
         WHERE agreement_parties.worker = $1 AND jobs.state IN ('dispatched', 'running', 'released') \
         AND jobs.deadline_ms IS NOT NULL AND jobs.job_id > $2 ORDER BY jobs.job_id LIMIT $3",
    )
    .bind(worker.as_str())
    .bind(after.map_or("", JobId::as_str))
    .bind(JOBS_READ_MAX)
    .fetch_all(db)
    .await?;
    ids(rows)
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEventRow {
    /// 1, 2, 3 … within the job.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub note: Note,
}

/// Appends to what happened to a job.
pub async fn append_event(tx: &mut Tx<'_>, job_id: &JobId, note: &Note, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO job_events (job_id, number, at_ms, note) \
         VALUES ($1, (SELECT COALESCE(MAX(number), 0) + 1 FROM job_events WHERE job_id = $1), $2, $3)",
    )
    .bind(job_id.as_str())
    .bind(now.0)
    .bind(json(note)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What happened to a job after event `after`; 0 for everything.
pub async fn events(db: &mut Connection, job_id: &JobId, after: i64, limit: i64) -> Result<Vec<JobEventRow>, StoreError> {
    let rows: Vec<(i64, i64, String)> =
        sqlx::query_as("SELECT number, at_ms, note FROM job_events WHERE job_id = $1 AND number > $2 ORDER BY number LIMIT $3")
            .bind(job_id.as_str())
            .bind(after)
            .bind(limit)
            .fetch_all(db)
            .await?;
    rows.into_iter()
        .map(|(number, at_ms, note)| {
            let note = serde_json::from_str(&note).map_err(|_| StoreError::Corrupt { what: "job's event" })?;
            Ok(JobEventRow { number, at: Timestamp(at_ms), note })
        })
        .collect()
}

/// What the last attempt failed of, or a worker refused for; none if nothing did.
pub async fn last_failure(db: &mut Connection, job_id: &JobId) -> Result<Option<Note>, StoreError> {
    let row: Option<(String,)> = sqlx::query_as(
        "SELECT note FROM job_events WHERE job_id = $1 AND (note LIKE '{\"kind\":\"attempt_failed\"%' OR note LIKE '{\"kind\":\"refused\"%') \
         ORDER BY number DESC LIMIT 1",
    )
    .bind(job_id.as_str())
    .fetch_optional(db)
    .await?;
    row.map(|(note,)| serde_json::from_str(&note).map_err(|_| StoreError::Corrupt { what: "job's event" })).transpose()
}
