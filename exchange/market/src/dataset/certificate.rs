//! The certificate of a right: its registration and the proof that the log has it. Checked offline, by anyone.

use crate::{Market, NotaryError, dataset::find_visible, notary::decisions_behind};
use entrepot_chain_log::bundle::Certificate;
use entrepot_chain_statement::{Did, ids::DatasetId};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use entrepot_exchange_store::StoreError;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// There is no such dataset that the caller may see.
    #[error("there is no such dataset, or it is not yours to see")]
    NotFound,
    /// Its provider has registered no right yet.
    #[error("no right to this dataset is registered")]
    NotRegistered,
    /// The log does not answer.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for CertificateError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotRegistered => "dataset_state",
            Self::Notary(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::NotRegistered => RefusalKind::Conflict,
            Self::Notary(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotRegistered => Some("its provider signs a rights registration first".to_owned()),
            Self::Notary(error) => error.hint(),
            _ => None,
        }
    }
}

/// The certificate of a dataset that `viewer` may see; no viewer sees all.
pub async fn certificate(market: &Market, viewer: Option<&Did>, dataset_id: &DatasetId) -> Result<Certificate, CertificateError> {
    let row = find_visible(&mut *market.store.reader().await?, viewer, dataset_id).await?.ok_or(CertificateError::NotFound)?;
    let rights = row.rights.ok_or(CertificateError::NotRegistered)?;
    let proof = market.notary.proof(&rights.leaf()).await?;
    let decisions = decisions_behind(&*market.notary, proof.as_deref()).await?;
    let certificate = Certificate::new(rights, proof);
    Ok(match decisions {
        Some(decisions) => certificate.with_decisions(decisions),
        None => certificate,
    })
}
