//! Agreements; the signed ones are in `statements`.

use crate::{Connection, Page, PageRequest, StoreError, Tx};
use entrepot_chain_statement::{
    Did, Hash, Timestamp,
    ids::{AgreementId, ProductId},
    statements::Agreement,
};
use sqlx::FromRow;

/// What is looked for in an agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreementRow {
    /// The agreement.
    pub agreement_id: AgreementId,
    /// Its statement hash.
    pub statement: Hash,
    /// The product.
    pub product_id: ProductId,
    /// Who buys.
    pub consumer: Did,
    /// No order is valid from then on.
    pub expires_at: Timestamp,
    /// When the exchange got it.
    pub created_at: Timestamp,
}

#[derive(FromRow)]
struct Row {
    agreement_id: String,
    statement_hash: String,
    product_id: String,
    consumer: String,
    expires_at_ms: i64,
    created_at_ms: i64,
}

impl TryFrom<Row> for AgreementRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        Ok(Self {
            agreement_id: row.agreement_id.parse().map_err(|_| corrupt("agreement id"))?,
            statement: row.statement_hash.parse().map_err(|_| corrupt("statement hash"))?,
            product_id: row.product_id.parse().map_err(|_| corrupt("product id"))?,
            consumer: row.consumer.parse().map_err(|_| corrupt("consumer"))?,
            expires_at: Timestamp(row.expires_at_ms),
            created_at: Timestamp(row.created_at_ms),
        })
    }
}

/// Notes an agreement that was checked and kept.
pub async fn insert(
    tx: &mut Tx<'_>,
    agreement: &Agreement,
    (product_id, statement): (&ProductId, &Hash),
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO agreements (agreement_id, statement_hash, product_id, consumer, expires_at_ms, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(agreement.agreement_id.as_str())
    .bind(statement.to_string())
    .bind(product_id.as_str())
    .bind(agreement.consumer.as_str())
    .bind(agreement.expires_at.0)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    for (party, pin) in (0i64..).zip(&agreement.parties) {
        sqlx::query("INSERT INTO agreement_parties (agreement_id, party, participant, worker, grant_hash) VALUES ($1, $2, $3, $4, $5)")
            .bind(agreement.agreement_id.as_str())
            .bind(party)
            .bind(pin.participant.as_str())
            .bind(pin.worker.as_str())
            .bind(pin.grant.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

const COLUMNS: &str = "agreement_id, statement_hash, product_id, consumer, expires_at_ms, created_at_ms";
const VISIBLE: &str = "($2 = '' OR consumer = $2 OR EXISTS (SELECT 1 FROM agreement_parties AS party \
                       WHERE party.agreement_id = agreements.agreement_id AND party.participant = $2))";

/// An agreement, whoever asks.
pub async fn find(db: &mut Connection, agreement_id: &AgreementId) -> Result<Option<AgreementRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM agreements WHERE agreement_id = $1")))
        .bind(agreement_id.as_str())
        .fetch_optional(db)
        .await?;
    row.map(AgreementRow::try_from).transpose()
}

/// The agreement of this statement hash, whoever asks.
pub async fn find_by_statement(db: &mut Connection, statement: &Hash) -> Result<Option<AgreementRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM agreements WHERE statement_hash = $1")))
        .bind(statement.to_string())
        .fetch_optional(db)
        .await?;
    row.map(AgreementRow::try_from).transpose()
}

/// An agreement that `viewer` made or takes part in; no viewer sees all.
pub async fn find_visible(
    db: &mut Connection,
    agreement_id: &AgreementId,
    viewer: Option<&Did>,
) -> Result<Option<AgreementRow>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM agreements WHERE agreement_id = $1 AND {VISIBLE}")))
            .bind(agreement_id.as_str())
            .bind(viewer.map_or("", Did::as_str))
            .fetch_optional(db)
            .await?;
    row.map(AgreementRow::try_from).transpose()
}

/// The agreements that `viewer` made or takes part in, by id; no viewer sees all.
pub async fn page(db: &mut Connection, viewer: Option<&Did>, request: &PageRequest) -> Result<Page<AgreementRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM agreements WHERE agreement_id > $1 AND {VISIBLE} ORDER BY agreement_id LIMIT $3"
    )))
    .bind(request.after())
    .bind(viewer.map_or("", Did::as_str))
    .bind(request.probe())
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(AgreementRow::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(request.page(rows, |row| row.agreement_id.to_string()))
}
