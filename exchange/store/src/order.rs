//! Orders; the signed ones are in `statements`.

use crate::{Connection, Page, PageRequest, StoreError, Tx};
use entrepot_chain_statement::{
    Did, Hash, Timestamp,
    ids::{AgreementId, JobId, OrderId},
    statements::Order,
};
use entrepot_exchange_domain::order::AgreementUse;
use sqlx::FromRow;

/// What is looked for in an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderRow {
    /// The order.
    pub order_id: OrderId,
    /// Its statement hash.
    pub statement: Hash,
    /// The agreement it uses.
    pub agreement_id: AgreementId,
    /// Who ordered.
    pub consumer: Did,
    /// Its number within the agreement.
    pub sequence: u64,
    /// The job it became.
    pub job_id: JobId,
    /// Name of the job's state.
    pub state: String,
    /// When the exchange got it.
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    order_id: String,
    statement_hash: String,
    agreement_id: String,
    consumer: String,
    sequence: i64,
    job_id: String,
    state: String,
    created_at_ms: i64,
}

impl TryFrom<Row> for OrderRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        Ok(Self {
            order_id: row.order_id.parse().map_err(|_| corrupt("order id"))?,
            statement: row.statement_hash.parse().map_err(|_| corrupt("statement hash"))?,
            agreement_id: row.agreement_id.parse().map_err(|_| corrupt("agreement id"))?,
            consumer: row.consumer.parse().map_err(|_| corrupt("consumer"))?,
            sequence: u64::try_from(row.sequence).map_err(|_| corrupt("sequence"))?,
            job_id: row.job_id.parse().map_err(|_| corrupt("job id"))?,
            state: row.state,
            created_at: Timestamp(row.created_at_ms),
        })
    }
}

/// What an order is kept with.
#[derive(Clone, Copy, Debug)]
pub struct NewOrder<'a> {
    /// The order.
    pub order: &'a Order,
    /// Its statement hash; the statement must be in `statements`.
    pub statement: &'a Hash,
    /// The agreement it uses.
    pub agreement_id: &'a AgreementId,
    /// Who ordered.
    pub consumer: &'a Did,
    /// The job it becomes.
    pub job_id: &'a JobId,
}

/// Notes an order that was checked and kept.
pub async fn insert(tx: &mut Tx<'_>, new: NewOrder<'_>, now: Timestamp) -> Result<(), StoreError> {
    let sequence = i64::try_from(new.order.sequence).map_err(|_| StoreError::Corrupt { what: "sequence" })?;
    sqlx::query(
        "INSERT INTO orders (order_id, statement_hash, agreement_id, consumer, sequence, job_id, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.order.order_id.as_str())
    .bind(new.statement.to_string())
    .bind(new.agreement_id.as_str())
    .bind(new.consumer.as_str())
    .bind(sequence)
    .bind(new.job_id.as_str())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The agreement's last number, and what its consumer has used of the product's quota under whatever agreement. An order that was refunded
/// before any worker was asked used nothing.
pub async fn used(db: &mut Connection, agreement_id: &AgreementId) -> Result<AgreementUse, StoreError> {
    let (last,): (i64,) = sqlx::query_as("SELECT COALESCE(MAX(sequence), 0) FROM jobs WHERE agreement_id = $1")
        .bind(agreement_id.as_str())
        .fetch_one(&mut *db)
        .await?;
    let (used,): (i64,) = sqlx::query_as(
        "SELECT COUNT(*) FROM agreements AS own JOIN agreements AS other ON other.consumer = own.consumer AND other.product_id = own.product_id \
         JOIN jobs ON jobs.agreement_id = other.agreement_id \
         WHERE own.agreement_id = $1 AND NOT (jobs.state = 'refunded' AND jobs.attempt = 0)",
    )
    .bind(agreement_id.as_str())
    .fetch_one(db)
    .await?;
    let corrupt = |what| StoreError::Corrupt { what };
    Ok(AgreementUse {
        last_sequence: u64::try_from(last).map_err(|_| corrupt("sequence"))?,
        used: u32::try_from(used).map_err(|_| corrupt("number of orders"))?,
    })
}

const SELECT: &str = "SELECT orders.order_id, orders.statement_hash, orders.agreement_id, orders.consumer, orders.sequence, orders.job_id, \
                      jobs.state, orders.created_at_ms FROM orders JOIN jobs ON jobs.job_id = orders.job_id";
const VISIBLE: &str = "($2 = '' OR orders.consumer = $2 OR EXISTS (SELECT 1 FROM agreement_parties AS party \
                       WHERE party.agreement_id = orders.agreement_id AND party.participant = $2))";

/// Whether an order with this id or statement hash was taken.
pub async fn exists(db: &mut Connection, order_id: &OrderId, statement: &Hash) -> Result<bool, StoreError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT 1 FROM orders WHERE order_id = $1 OR statement_hash = $2")
        .bind(order_id.as_str())
        .bind(statement.to_string())
        .fetch_optional(db)
        .await?;
    Ok(row.is_some())
}

/// An order that `viewer` gave, or whose agreement it takes part in; no viewer sees all.
pub async fn find_visible(db: &mut Connection, order_id: &OrderId, viewer: Option<&Did>) -> Result<Option<OrderRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("{SELECT} WHERE orders.order_id = $1 AND {VISIBLE}")))
        .bind(order_id.as_str())
        .bind(viewer.map_or("", Did::as_str))
        .fetch_optional(db)
        .await?;
    row.map(OrderRow::try_from).transpose()
}

/// The orders that `viewer` gave or whose agreements it takes part in, by id; no viewer sees all.
pub async fn page(db: &mut Connection, viewer: Option<&Did>, request: &PageRequest) -> Result<Page<OrderRow>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("{SELECT} WHERE orders.order_id > $1 AND {VISIBLE} ORDER BY orders.order_id LIMIT $3")))
            .bind(request.after())
            .bind(viewer.map_or("", Did::as_str))
            .bind(request.probe())
            .fetch_all(db)
            .await?;
    let rows = rows.into_iter().map(OrderRow::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(request.page(rows, |row| row.order_id.to_string()))
}
