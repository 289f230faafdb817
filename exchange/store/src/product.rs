//! Products.

use crate::{Connection, Page, PageRequest, StoreError, Tx};
use entrepot_chain_statement::{Did, Envelope, Hash, Timestamp, ids::ProductId, statements::DataProduct};
use entrepot_exchange_domain::product::{ProductState, bound_participants};
use sqlx::FromRow;

/// A product.
#[derive(Clone, Debug, PartialEq)]
pub struct ProductRow {
    /// What it says.
    pub product: DataProduct,
    /// Its statement hash, which agreements name.
    pub statement_hash: Hash,
    /// It, with every signature so far.
    pub envelope: Envelope,
    /// The stored state; [`ProductState::at`] tells whether it has expired.
    pub state: ProductState,
    /// Who paused it.
    pub paused_by: Option<Did>,
    /// When the first signature came.
    pub created_at: Timestamp,
}

impl ProductRow {
    /// The state at `now`.
    pub fn state_at(&self, now: Timestamp) -> ProductState {
        self.state.at(now, self.product.expires_at)
    }

    /// Whether it binds this participant.
    pub fn binds(&self, participant: &Did) -> bool {
        bound_participants(&self.product).contains(&participant)
    }

    /// Whether this participant may buy it, or sees it because it is bound.
    pub fn is_visible_to(&self, participant: &Did) -> bool {
        let offered = self.product.consumers.is_empty() || self.product.consumers.contains(participant);
        self.binds(participant) || (offered && self.state != ProductState::Proposed)
    }
}

#[derive(FromRow)]
struct Row {
    statement_hash: String,
    envelope: String,
    state: String,
    paused_by: Option<String>,
    created_at_ms: i64,
}

impl TryFrom<Row> for ProductRow {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = |what| StoreError::Corrupt { what };
        let envelope = Envelope::from_json(row.envelope.as_bytes()).map_err(|_| corrupt("product"))?;
        Ok(Self {
            product: envelope.open().map_err(|_| corrupt("product"))?,
            statement_hash: row.statement_hash.parse().map_err(|_| corrupt("product hash"))?,
            envelope,
            state: ProductState::from_name(&row.state).ok_or_else(|| corrupt("product state"))?,
            paused_by: row.paused_by.map(|did| did.parse()).transpose().map_err(|_| corrupt("participant"))?,
            created_at: Timestamp(row.created_at_ms),
        })
    }
}

/// Adds a proposed product, who must sign it and who may buy it.
pub async fn insert(tx: &mut Tx<'_>, row: &ProductRow) -> Result<(), StoreError> {
    let product = &row.product;
    let id = product.product_id.as_str();
    sqlx::query(
        "INSERT INTO products (product_id, statement_hash, title, state, envelope, open_to_all, expires_at_ms, created_at_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id)
    .bind(row.statement_hash.to_string())
    .bind(&product.title)
    .bind(row.state.name())
    .bind(crate::envelope_text(&row.envelope)?)
    .bind(i64::from(product.consumers.is_empty()))
    .bind(product.expires_at.0)
    .bind(row.created_at.0)
    .execute(&mut **tx)
    .await?;
    for (party, participant) in (0i64..).zip(bound_participants(product)) {
        let dataset = usize::try_from(party).ok().and_then(|index| product.tables.get(index));
        sqlx::query("INSERT INTO product_parties (product_id, party, participant, dataset_id) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(party)
            .bind(participant.as_str())
            .bind(dataset.map(|table| table.dataset_id.as_str()))
            .execute(&mut **tx)
            .await?;
    }
    for consumer in &product.consumers {
        sqlx::query("INSERT INTO product_consumers (product_id, consumer) VALUES ($1, $2)")
            .bind(id)
            .bind(consumer.as_str())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Keeps the envelope with the signatures that it has now, and notes who signed.
pub async fn keep_signatures(tx: &mut Tx<'_>, product_id: &ProductId, envelope: &Envelope, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE products SET envelope = $2 WHERE product_id = $1")
        .bind(product_id.as_str())
        .bind(crate::envelope_text(envelope)?)
        .execute(&mut **tx)
        .await?;
    for signer in envelope.signers() {
        sqlx::query("UPDATE product_parties SET signed_at_ms = $3 WHERE product_id = $1 AND participant = $2 AND signed_at_ms IS NULL")
            .bind(product_id.as_str())
            .bind(signer.as_str())
            .bind(now.0)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Proposed → active.
pub async fn activate(tx: &mut Tx<'_>, product_id: &ProductId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE products SET state = 'active', activated_at_ms = $2 WHERE product_id = $1 AND state = 'proposed'")
        .bind(product_id.as_str())
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes a state that the domain allowed, and who brought it about.
pub async fn set_state(tx: &mut Tx<'_>, product_id: &ProductId, state: ProductState, by: &Did) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE products SET state = $2, paused_by = CASE WHEN $2 = 'paused' THEN $3 END, \
         withdrawn_by = CASE WHEN $2 = 'withdrawn' THEN $3 END WHERE product_id = $1",
    )
    .bind(product_id.as_str())
    .bind(state.name())
    .bind(by.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The product with this id.
pub async fn find(db: &mut Connection, product_id: &ProductId) -> Result<Option<ProductRow>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT statement_hash, envelope, state, paused_by, created_at_ms FROM products WHERE product_id = $1")
            .bind(product_id.as_str())
            .fetch_optional(db)
            .await?;
    row.map(ProductRow::try_from).transpose()
}

/// The product with this statement hash.
pub async fn find_by_hash(db: &mut Connection, hash: &Hash) -> Result<Option<ProductRow>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT statement_hash, envelope, state, paused_by, created_at_ms FROM products WHERE statement_hash = $1")
            .bind(hash.to_string())
            .fetch_optional(db)
            .await?;
    row.map(ProductRow::try_from).transpose()
}

/// What `viewer` may see, by id: what it may buy once everybody has signed, and what binds it. No viewer sees all.
pub async fn list(db: &mut Connection, viewer: Option<&Did>, page: &PageRequest) -> Result<Page<ProductRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT p.statement_hash, p.envelope, p.state, p.paused_by, p.created_at_ms FROM products p WHERE p.product_id > $2 AND ($1 = '' \
         OR EXISTS (SELECT 1 FROM product_parties b WHERE b.product_id = p.product_id AND b.participant = $1) \
         OR (p.state <> 'proposed' AND (p.open_to_all = 1 \
             OR EXISTS (SELECT 1 FROM product_consumers c WHERE c.product_id = p.product_id AND c.consumer = $1)))) \
         ORDER BY p.product_id LIMIT $3",
    )
    .bind(viewer.map_or("", Did::as_str))
    .bind(page.after())
    .bind(page.probe())
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter().map(ProductRow::try_from).collect::<Result<_, _>>()?;
    Ok(page.page(rows, |row: &ProductRow| row.product.product_id.to_string()))
}
