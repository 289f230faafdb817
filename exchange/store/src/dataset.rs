//! Datasets.

use crate::{Connection, Page, PageRequest, StoreError, Tx};
use entrepot_chain_statement::{
    Did, Envelope, Hash, Timestamp,
    canonical::{from_canonical_json, to_canonical_json},
    ids::DatasetId,
    statements::DatasetDescription,
};
use entrepot_exchange_domain::dataset::DatasetState;
use sqlx::FromRow;

/// Datasets that one worker is asked for at once.
pub const OUTSTANDING_MAX: i64 = 64;
/// Longest detail of a refusal that is kept, in characters.
pub const REFUSAL_DETAIL_CHARS_MAX: usize = 500;

/// A dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetRow {
    /// The dataset.
    pub dataset_id: DatasetId,
    /// Who registers it.
    pub provider: Did,
    /// Its name in the worker's configuration.
    pub name: String,
    /// The worker that holds the data.
    pub worker: Did,
    /// Where it stands.
    pub state: DatasetState,
    /// What the worker said.
    pub description: Option<DatasetDescription>,
    /// Code and detail of the worker's refusal.
    pub refusal: Option<(String, String)>,
    /// The signed rights registration.
    pub rights: Option<Envelope>,
    /// Its statement hash.
    pub rights_hash: Option<Hash>,
    /// Its place in the log, once it is there.
    pub leaf_index: Option<u64>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    dataset_id: String,
    provider: String,
    name: String,
    worker: String,
    state: String,
    description: Option<String>,
    refusal_code: Option<String>,
    refusal_detail: Option<String>,
    rights: Option<String>,
    rights_hash: Option<String>,
    leaf_index: Option<i64>,
    created_at_ms: i64,
}

impl TryFrom<Row> for DatasetRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        let description = row.description.map(|text| from_canonical_json(text.as_bytes())).transpose();
        let rights = row.rights.map(|text| Envelope::from_json(text.as_bytes())).transpose();
        Ok(Self {
            dataset_id: row.dataset_id.parse().map_err(|_| corrupt("dataset"))?,
            provider: row.provider.parse().map_err(|_| corrupt("provider"))?,
            name: row.name,
            worker: row.worker.parse().map_err(|_| corrupt("worker"))?,
            state: DatasetState::from_name(&row.state).ok_or_else(|| corrupt("dataset state"))?,
            description: description.map_err(|_| corrupt("description"))?,
            refusal: row.refusal_code.map(|code| (code, row.refusal_detail.unwrap_or_default())),
            rights: rights.map_err(|_| corrupt("rights"))?,
            rights_hash: row.rights_hash.map(|text| text.parse()).transpose().map_err(|_| corrupt("rights hash"))?,
            leaf_index: row.leaf_index.map(u64::try_from).transpose().map_err(|_| corrupt("leaf index"))?,
            created_at: Timestamp(row.created_at_ms),
        })
    }
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.dataset_id, d.provider, d.name, d.worker, d.state, d.description, d.refusal_code, d.refusal_detail, ",
            "d.rights, d.rights_hash, s.leaf_index, d.created_at_ms ",
            "FROM datasets d LEFT JOIN statements s ON s.statement_hash = d.rights_hash ",
            $rest
        )
    };
}

/// Adds a dataset that the worker is to describe.
pub async fn insert(
    tx: &mut Tx<'_>,
    dataset_id: &DatasetId,
    provider: &Did,
    name: &str,
    worker: &Did,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO datasets (dataset_id, provider, name, worker, state, created_at_ms) VALUES ($1, $2, $3, $4, 'describing', $5)",
    )
    .bind(dataset_id.as_str())
    .bind(provider.as_str())
    .bind(name)
    .bind(worker.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Describing → described.
pub async fn describe(tx: &mut Tx<'_>, dataset_id: &DatasetId, description: &DatasetDescription, now: Timestamp) -> Result<(), StoreError> {
    let corrupt = StoreError::Corrupt { what: "description" };
    let text = to_canonical_json(description).ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or(corrupt)?;
    sqlx::query(
        "UPDATE datasets SET state = 'described', description = $2, described_at_ms = $3 WHERE dataset_id = $1 AND state = 'describing'",
    )
    .bind(dataset_id.as_str())
    .bind(text)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Describing → refused.
pub async fn refuse(tx: &mut Tx<'_>, dataset_id: &DatasetId, code: &str, detail: &str, now: Timestamp) -> Result<(), StoreError> {
    let detail: String = detail.chars().filter(|c| !c.is_control()).take(REFUSAL_DETAIL_CHARS_MAX).collect();
    sqlx::query(
        "UPDATE datasets SET state = 'refused', refusal_code = $2, refusal_detail = $3, described_at_ms = $4 \
         WHERE dataset_id = $1 AND state = 'describing'",
    )
    .bind(dataset_id.as_str())
    .bind(code)
    .bind(detail)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Described → registered.
pub async fn register(tx: &mut Tx<'_>, dataset_id: &DatasetId, rights: &Envelope, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE datasets SET state = 'registered', rights = $2, rights_hash = $3, registered_at_ms = $4 \
         WHERE dataset_id = $1 AND state = 'described'",
    )
    .bind(dataset_id.as_str())
    .bind(crate::envelope_text(rights)?)
    .bind(rights.statement_hash().to_string())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The dataset with this id.
pub async fn find(db: &mut Connection, dataset_id: &DatasetId) -> Result<Option<DatasetRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE d.dataset_id = $1")).bind(dataset_id.as_str()).fetch_optional(db).await?;
    row.map(DatasetRow::try_from).transpose()
}

/// The dataset of a provider under a name, unless it was refused.
pub async fn find_by_name(db: &mut Connection, provider: &Did, name: &str) -> Result<Option<DatasetRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE d.provider = $1 AND d.name = $2 AND d.state <> 'refused'"))
        .bind(provider.as_str())
        .bind(name)
        .fetch_optional(db)
        .await?;
    row.map(DatasetRow::try_from).transpose()
}

/// What `viewer` may see, by id: its own datasets, and everybody's that are registered. No viewer sees all.
pub async fn list(db: &mut Connection, viewer: Option<&Did>, page: &PageRequest) -> Result<Page<DatasetRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(select!(
        "WHERE (d.provider = $1 OR $1 = '' OR d.state = 'registered') AND d.dataset_id > $2 ORDER BY d.dataset_id LIMIT $3"
    ))
    .bind(viewer.map_or("", Did::as_str))
    .bind(page.after())
    .bind(page.probe())
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(DatasetRow::try_from).collect::<Result<_, _>>()?;
    Ok(page.page(rows, |row: &DatasetRow| row.dataset_id.to_string()))
}

/// How many datasets of a worker wait for its answer.
pub async fn count_outstanding(db: &mut Connection, worker: &Did) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM datasets WHERE worker = $1 AND state = 'describing'")
        .bind(worker.as_str())
        .fetch_one(db)
        .await?;
    Ok(count)
}

/// Ids and names that a worker has yet to describe, oldest first.
pub async fn outstanding(db: &mut Connection, worker: &Did) -> Result<Vec<(DatasetId, String)>, StoreError> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT dataset_id, name FROM datasets WHERE worker = $1 AND state = 'describing' ORDER BY dataset_id LIMIT $2")
            .bind(worker.as_str())
            .bind(OUTSTANDING_MAX)
            .fetch_all(db)
            .await?;
    rows.into_iter().map(|(id, name)| Ok((id.parse().map_err(|_| StoreError::Corrupt { what: "dataset" })?, name))).collect()
}
