//! One of those whom a product binds proposes it.

use crate::{
    Market,
    product::{UnmetNeed, check::check_needs, sign::settle},
};
use entrepot_chain_statement::{Did, Envelope, EnvelopeError, statements::DataProduct};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    product::{ProductError, ProductState, bound_participants, check_product},
};
use entrepot_exchange_store::{
    StoreError, Tx,
    product::{self, ProductRow},
};

/// Why a product was not proposed.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// The envelope does not hold a product with valid signatures.
    #[error("the envelope is no product with valid signatures: {0}")]
    Envelope(#[source] EnvelopeError),
    /// The caller did not sign, or a stranger did.
    #[error("a product is signed by those whom it binds, the caller among them, and by nobody else")]
    Signers,
    /// The product breaks a rule.
    #[error(transparent)]
    Rule(#[from] ProductError),
    /// Something that it needs is not there.
    #[error(transparent)]
    Need(#[from] UnmetNeed),
    /// The id is taken.
    #[error("there is a product under this id already")]
    Exists,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for ProposeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "invalid_envelope",
            Self::Signers => "product_signers",
            Self::Rule(rule) => rule.code(),
            Self::Need(need) => need.code(),
            Self::Exists => "id_taken",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Envelope(_) | Self::Signers => RefusalKind::Unprocessable,
            Self::Rule(rule) => rule.kind(),
            Self::Need(need) => need.kind(),
            Self::Exists => RefusalKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Rule(rule) => rule.hint(),
            Self::Need(need) => need.hint(),
            Self::Exists => Some("add a signature at /v1/products/{id}/signatures, or sign anew under a fresh id".to_owned()),
            _ => None,
        }
    }
}

/// Adds a product that the caller has signed; it is active at once if everybody has.
pub async fn propose(tx: &mut Tx<'_>, market: &Market, caller: &Did, envelope: &Envelope) -> Result<ProductRow, ProposeError> {
    let now = market.now();
    let offered: DataProduct = envelope.open().map_err(ProposeError::Envelope)?;
    check_product(&offered, &market.exchange_did(), now)?;
    let bound = bound_participants(&offered);
    if !bound.contains(&caller) || !envelope.signers().all(|signer| bound.contains(&signer)) {
        return Err(ProposeError::Signers);
    }
    envelope.verify_signed_by(caller).map_err(ProposeError::Envelope)?;
    for signer in envelope.signers() {
        envelope.verify_signed_by(signer).map_err(ProposeError::Envelope)?;
    }
    let statement_hash = envelope.statement_hash();
    if let Some(present) = product::find(tx, &offered.product_id).await? {
        return if present.statement_hash == statement_hash && present.envelope == *envelope {
            Ok(present)
        } else {
            Err(ProposeError::Exists)
        };
    }
    check_needs(tx, &offered, now).await?;
    let row = ProductRow {
        product: offered,
        statement_hash,
        envelope: envelope.clone(),
        state: ProductState::Proposed,
        paused_by: None,
        created_at: now,
    };
    product::insert(tx, &row).await?;
    Ok(settle(tx, row, now).await?)
}
