//! What a query would cost, who would compute it, and what each of them would learn.

use crate::{
    Market,
    planning::{NoPlan, plan},
};
use entrepot_chain_statement::{
    Did, Envelope, EnvelopeError, Timestamp,
    ids::{ProductId, QuoteId},
    statements::{DataProduct, PartyPin, Quote, RightsRegistration, Security},
};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    agreement::{participants_of, role_of_party},
    product::ProductState,
};
use entrepot_exchange_store::{
    Connection, StoreError, Tx, product, quote, statements,
    worker_grant::{self, WorkerGrantRow},
};

/// How long a quote is valid.
pub const QUOTE_MS: i64 = 15 * 60 * 1000;

/// Why there is no quote.
#[derive(Debug, thiserror::Error)]
pub enum QuoteError {
    /// There is no such product that the caller may buy.
    #[error("there is no such product, or it is not offered to you")]
    NotFound,
    /// It cannot be bought now.
    #[error("the product is {}", .0.name())]
    NotActive(ProductState),
    /// The query has no plan.
    #[error(transparent)]
    Plan(#[from] NoPlan),
    /// A party has no worker that could take part.
    #[error("{participant} has no worker with a valid grant for its part")]
    NoWorker {
        /// The party.
        participant: Did,
    },
    /// The quote could not be signed.
    #[error("the quote could not be signed")]
    Sign(#[from] EnvelopeError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for QuoteError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotActive(_) => "product_not_active",
            Self::Plan(error) => error.code(),
            Self::NoWorker { .. } => "worker_missing",
            Self::Sign(_) => "internal",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::NotActive(_) => RefusalKind::Conflict,
            Self::Plan(error) => error.kind(),
            Self::NoWorker { .. } => RefusalKind::Unavailable,
            Self::Sign(_) => RefusalKind::Internal,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotActive(_) => Some("only an active product can be bought: choose another, or wait until it is resumed".to_owned()),
            Self::Plan(error) => error.hint(),
            Self::NoWorker { .. } => Some("ask again once that participant has granted a worker".to_owned()),
            _ => None,
        }
    }
}

/// Plans the query, chooses the workers and signs the quote.
pub async fn quote(tx: &mut Tx<'_>, market: &Market, caller: &Did, product_id: &ProductId, sql: &str) -> Result<Envelope, QuoteError> {
    let now = market.now();
    let found = product::find(tx, product_id).await?.filter(|row| row.is_visible_to(caller)).ok_or(QuoteError::NotFound)?;
    match found.state_at(now) {
        ProductState::Active => {}
        other => return Err(QuoteError::NotActive(other)),
    }
    if !found.product.consumers.is_empty() && !found.product.consumers.contains(caller) {
        return Err(QuoteError::NotFound);
    }
    let plan = plan(sql, &found.product)?;
    let parties = choose_workers(tx, market, &found.product, now).await?;
    let quote = Quote {
        quote_id: QuoteId::compose(now, market.random()),
        product_id: product_id.clone(),
        product: found.statement_hash,
        consumer: caller.clone(),
        sql: sql.to_owned(),
        plan: plan.hash(),
        parties,
        security: Security::SemiHonest,
        leakage: plan.leakage(),
        price: found.product.price_per_query.clone(),
        issued_at: now,
        expires_at: now.plus_ms(QUOTE_MS).min(found.product.expires_at),
    };
    let envelope = Envelope::sign(&quote, &market.exchange, market.random())?;
    let statement = statements::insert(tx, &envelope, now).await?;
    quote::insert(tx, &quote, &statement, now).await?;
    Ok(envelope)
}

/// For each party a worker with a valid grant: the one that holds the dataset, or any compute worker, connected ones first.
async fn choose_workers(tx: &mut Tx<'_>, market: &Market, product: &DataProduct, now: Timestamp) -> Result<Vec<PartyPin>, QuoteError> {
    let participants = participants_of(product).ok_or(StoreError::Corrupt { what: "product's tables" })?;
    let mut pins = Vec::with_capacity(participants.len());
    for (party, participant) in participants.into_iter().enumerate() {
        let holder = match product.tables.get(party) {
            Some(table) => Some(holder_of(tx, &table.rights).await?),
            None => None,
        };
        let grants = worker_grant::valid(tx, participant, role_of_party(party), now).await?;
        let mut fitting: Vec<WorkerGrantRow> =
            grants.into_iter().filter(|row| holder.as_ref().is_none_or(|worker| row.grant.worker == *worker)).collect();
        // Stable: of two equally connected ones the longer-lived grant stays first.
        fitting.sort_by_key(|row| market.workforce.find(&row.grant.worker).is_none());
        let chosen = fitting.into_iter().next().ok_or_else(|| QuoteError::NoWorker { participant: participant.clone() })?;
        pins.push(PartyPin { participant: participant.clone(), worker: chosen.grant.worker, grant: chosen.statement_hash });
    }
    Ok(pins)
}

/// The worker that holds the dataset of a rights registration.
pub(crate) async fn holder_of(db: &mut Connection, rights: &entrepot_chain_statement::Hash) -> Result<Did, StoreError> {
    let corrupt = StoreError::Corrupt { what: "rights registration" };
    let Some(found) = statements::find(db, rights).await? else { return Err(corrupt) };
    let rights: RightsRegistration = found.envelope.open().map_err(|_| corrupt)?;
    Ok(rights.worker)
}

/// A quote that the caller asked for.
pub async fn find(db: &mut Connection, caller: &Did, quote_id: &QuoteId) -> Result<Option<Envelope>, StoreError> {
    let Some(hash) = quote::find(db, quote_id, caller).await? else { return Ok(None) };
    Ok(statements::find(db, &hash).await?.map(|row| row.envelope))
}
