//! A consumer accepts a product. Everyone else whom it binds has signed the product, so nobody has to be online.

use crate::{Market, quote::holder_of};
use entrepot_chain_statement::{Did, Envelope, EnvelopeError, statements::Agreement};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    agreement::{AgreementRefusal, PinnedGrant, check_agreement},
    product::ProductState,
};
use entrepot_exchange_store::{
    StoreError, Tx,
    agreement::{self, AgreementRow},
    product::{self, ProductRow},
    statements, worker_grant,
};

/// Why an agreement was not taken.
#[derive(Debug, thiserror::Error)]
pub enum AgreeError {
    /// The envelope does not hold an agreement signed by the caller.
    #[error("the envelope is no agreement with a valid signature of yours: {0}")]
    Envelope(#[source] EnvelopeError),
    /// A stranger signed, too.
    #[error("an agreement is signed by its consumer and by nobody else")]
    Signers,
    /// The agreement names a product that the caller may not buy, or none.
    #[error("the agreement names no product that is offered to you")]
    UnknownProduct,
    /// It cannot be bought now.
    #[error("the product is {}", .0.name())]
    NotActive(ProductState),
    /// A term is wrong.
    #[error(transparent)]
    Refused(#[from] AgreementRefusal),
    /// The id is taken.
    #[error("there is another agreement under this id already")]
    Exists,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for AgreeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "invalid_envelope",
            Self::Signers => "agreement_signers",
            Self::UnknownProduct => "product_unknown",
            Self::NotActive(_) => "product_not_active",
            Self::Refused(refusal) => refusal.code(),
            Self::Exists => "id_taken",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Envelope(_) | Self::Signers | Self::UnknownProduct => RefusalKind::Unprocessable,
            Self::NotActive(_) | Self::Exists => RefusalKind::Conflict,
            Self::Refused(refusal) => refusal.kind(),
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Envelope(_) | Self::Signers => Some("sign the agreement with your participant key alone".to_owned()),
            Self::UnknownProduct => Some("name the statement hash of a product that you can see".to_owned()),
            Self::NotActive(_) => Some("only an active product can be bought".to_owned()),
            Self::Refused(refusal) => refusal.hint(),
            Self::Exists => Some("sign it again under a fresh id".to_owned()),
            Self::Store(_) => None,
        }
    }
}

/// Takes an agreement that the caller signed.
pub async fn agree(tx: &mut Tx<'_>, market: &Market, caller: &Did, envelope: &Envelope) -> Result<AgreementRow, AgreeError> {
    let now = market.now();
    let agreement: Agreement = envelope.open_signed_by([caller]).map_err(AgreeError::Envelope)?;
    if envelope.signatures().len() != 1 {
        return Err(AgreeError::Signers);
    }
    if let Some(earlier) = agreement::find(tx, &agreement.agreement_id).await? {
        // The same statement of its consumer again changes nothing; whoever else signs a copy of it learns only that the id is taken.
        let same = earlier.consumer == *caller && earlier.statement == envelope.statement_hash();
        return if same { Ok(earlier) } else { Err(AgreeError::Exists) };
    }
    let found = product::find_by_hash(tx, &agreement.product).await?.filter(|row| row.is_visible_to(caller));
    let found = found.ok_or(AgreeError::UnknownProduct)?;
    match found.state_at(now) {
        ProductState::Active => {}
        other => return Err(AgreeError::NotActive(other)),
    }
    let grants = pinned_grants(tx, &agreement, &found).await?;
    check_agreement(&agreement, (&found.product, found.statement_hash), &grants, caller, now)?;
    let statement = statements::insert(tx, envelope, now).await?;
    let product_id = &found.product.product_id;
    agreement::insert(tx, &agreement, (product_id, &statement), now).await?;
    let row = agreement::find(tx, &agreement.agreement_id).await?;
    Ok(row.ok_or(StoreError::Corrupt { what: "agreement" })?)
}

/// The grants that the pins name, as far as the exchange knows them.
async fn pinned_grants(tx: &mut Tx<'_>, agreement: &Agreement, product: &ProductRow) -> Result<Vec<Option<PinnedGrant>>, StoreError> {
    let mut grants = Vec::with_capacity(agreement.parties.len().min(3));
    for (party, pin) in agreement.parties.iter().take(3).enumerate() {
        let data_worker = match product.product.tables.get(party) {
            Some(table) => Some(holder_of(tx, &table.rights).await?),
            None => None,
        };
        let known = worker_grant::find_by_hash(tx, &pin.grant).await?;
        grants.push(known.map(|row| PinnedGrant { hash: row.statement_hash, grant: row.grant, data_worker }));
    }
    Ok(grants)
}
