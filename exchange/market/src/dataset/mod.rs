//! Datasets: asked for, described by the worker, registered by the provider, certified by the log.

mod certificate;
mod describe;
mod listener;
mod register;
mod rights;

pub use certificate::{CertificateError, certificate};
pub use describe::{ask_outstanding, record_description};
pub use listener::DatasetListener;
pub use register::{RegisterDatasetError, register};
pub use rights::{SubmitRightsError, submit_rights};

use entrepot_chain_statement::{Did, ids::DatasetId};
use entrepot_exchange_domain::dataset::DatasetState;
use entrepot_exchange_store::{
    Connection, StoreError,
    dataset::{self, DatasetRow},
};

/// The dataset, if `viewer` may see it: its own, or one that is registered; no viewer sees all.
pub async fn find_visible(db: &mut Connection, viewer: Option<&Did>, id: &DatasetId) -> Result<Option<DatasetRow>, StoreError> {
    let row = dataset::find(db, id).await?;
    Ok(row.filter(|row| row.state == DatasetState::Registered || viewer.is_none_or(|viewer| row.provider == *viewer)))
}
