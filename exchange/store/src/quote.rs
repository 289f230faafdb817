//! Quotes; the signed ones are in `statements`.

use crate::{Connection, StoreError, Tx};
use entrepot_chain_statement::{Did, Hash, Timestamp, ids::QuoteId, statements::Quote};

/// Notes a quote that was signed and kept.
pub async fn insert(tx: &mut Tx<'_>, quote: &Quote, statement: &Hash, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO quotes (quote_id, statement_hash, product_id, consumer, created_at_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(quote.quote_id.as_str())
        .bind(statement.to_string())
        .bind(quote.product_id.as_str())
        .bind(quote.consumer.as_str())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Statement hash of a quote that this consumer asked for.
pub async fn find(db: &mut Connection, quote_id: &QuoteId, consumer: &Did) -> Result<Option<Hash>, StoreError> {
    let row: Option<(String,)> = sqlx::query_as("SELECT statement_hash FROM quotes WHERE quote_id = $1 AND consumer = $2")
        .bind(quote_id.as_str())
        .bind(consumer.as_str())
        .fetch_optional(db)
        .await?;
    row.map(|(hash,)| hash.parse().map_err(|_| StoreError::Corrupt { what: "statement hash" })).transpose()
}
