//! The others whom a product binds add their signatures.

use crate::{
    Market,
    product::{UnmetNeed, check::check_needs},
};
use entrepot_chain_statement::{Did, Envelope, EnvelopeError, Timestamp, ids::ProductId};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    product::{ProductState, ProductStateError, bound_participants},
};
use entrepot_exchange_store::{
    StoreError, Tx,
    product::{self, ProductRow},
    statements,
};

/// Why a signature was not added.
#[derive(Debug, thiserror::Error)]
pub enum SignProductError {
    /// There is no such product that binds the caller.
    #[error("there is no such product, or it does not bind you")]
    NotFound,
    /// It is withdrawn or expired.
    #[error(transparent)]
    State(#[from] ProductStateError),
    /// Another statement, another salt, or a wrong signature.
    #[error("the envelope is not this product with a valid signature of yours: {0}")]
    Envelope(#[source] EnvelopeError),
    /// A stranger signed, too.
    #[error("a product is signed by those whom it binds and by nobody else")]
    Signers,
    /// Something that it needs is not there any more.
    #[error(transparent)]
    Need(#[from] UnmetNeed),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for SignProductError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::State(error) => error.code(),
            Self::Envelope(_) => "invalid_envelope",
            Self::Signers => "product_signers",
            Self::Need(need) => need.code(),
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::State(error) => error.kind(),
            Self::Envelope(_) | Self::Signers => RefusalKind::Unprocessable,
            Self::Need(need) => need.kind(),
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Envelope(_) => Some("read the product, countersign exactly its `envelope`, and send that".to_owned()),
            Self::Need(need) => need.hint(),
            _ => None,
        }
    }
}

/// Adds the caller's signature, and those of others that the envelope brings along; active once everybody has signed.
pub async fn sign(
    tx: &mut Tx<'_>,
    market: &Market,
    caller: &Did,
    product_id: &ProductId,
    envelope: &Envelope,
) -> Result<ProductRow, SignProductError> {
    let now = market.now();
    let mut row = product::find(tx, product_id).await?.filter(|row| row.binds(caller)).ok_or(SignProductError::NotFound)?;
    envelope.verify_signed_by(caller).map_err(SignProductError::Envelope)?;
    let bound = bound_participants(&row.product);
    if !envelope.signers().all(|signer| bound.contains(&signer)) {
        return Err(SignProductError::Signers);
    }
    let signed_before = row.envelope.signers().any(|signer| signer == caller);
    row.envelope.merge(envelope).map_err(SignProductError::Envelope)?;
    if signed_before && row.state != ProductState::Proposed {
        return Ok(row);
    }
    row.state_at(now).activate()?;
    check_needs(tx, &row.product, now).await?;
    Ok(settle(tx, row, now).await?)
}

/// Keeps the signatures of a proposed product; with the last one it becomes active and goes to the log.
pub(super) async fn settle(tx: &mut Tx<'_>, mut row: ProductRow, now: Timestamp) -> Result<ProductRow, StoreError> {
    product::keep_signatures(tx, &row.product.product_id, &row.envelope, now).await?;
    let complete = bound_participants(&row.product).into_iter().all(|bound| row.envelope.verify_signed_by(bound).is_ok());
    if complete {
        product::activate(tx, &row.product.product_id, now).await?;
        statements::insert(tx, &row.envelope, now).await?;
        row.state = ProductState::Active;
    }
    Ok(row)
}
