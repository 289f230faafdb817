//! A provider asks for a dataset to be described. The data stays where it is.

use crate::Market;
use entrepot_chain_statement::{Did, ids::DatasetId, statements::WorkerRole};
use entrepot_exchange_domain::{Refusal, RefusalKind, name::is_identifier};
use entrepot_exchange_store::{
    StoreError, Tx,
    dataset::{self, DatasetRow, OUTSTANDING_MAX},
    worker_grant,
};

/// Why a dataset was not taken up.
#[derive(Debug, thiserror::Error)]
pub enum RegisterDatasetError {
    /// The name is none.
    #[error("`name` must be of the form [a-z_][a-z0-9_]{{0,62}}")]
    Name,
    /// The worker has no grant.
    #[error("the provider has no valid data grant for this worker")]
    NoGrant,
    /// There is one under this name.
    #[error("the provider has a dataset {0} under this name already")]
    Exists(DatasetId),
    /// The worker has enough to do.
    #[error("{OUTSTANDING_MAX} datasets of this worker wait for its answer")]
    Full,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for RegisterDatasetError {
    fn code(&self) -> &'static str {
        match self {
            Self::Name => "dataset_name",
            Self::NoGrant => "no_worker_grant",
            Self::Exists(_) => "dataset_exists",
            Self::Full => "too_many_pending",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Name | Self::NoGrant => RefusalKind::Unprocessable,
            Self::Exists(_) => RefusalKind::Conflict,
            Self::Full => RefusalKind::TooMany,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Name => Some("use the dataset's name in the worker's configuration".to_owned()),
            Self::NoGrant => Some("sign a worker grant with the role data for it and submit it at /v1/worker-grants".to_owned()),
            Self::Full => Some("start the worker, so that it can answer".to_owned()),
            _ => None,
        }
    }
}

/// Takes a dataset up. Send the question with [`super::ask_outstanding`] once the transaction is committed.
pub async fn register(
    tx: &mut Tx<'_>,
    market: &Market,
    provider: &Did,
    name: &str,
    worker: &Did,
) -> Result<DatasetRow, RegisterDatasetError> {
    if !is_identifier(name) {
        return Err(RegisterDatasetError::Name);
    }
    let now = market.now();
    if worker_grant::valid_for(tx, provider, worker, WorkerRole::Data, now).await?.is_none() {
        return Err(RegisterDatasetError::NoGrant);
    }
    if let Some(present) = dataset::find_by_name(tx, provider, name).await? {
        return Err(RegisterDatasetError::Exists(present.dataset_id));
    }
    if dataset::count_outstanding(tx, worker).await? >= OUTSTANDING_MAX {
        return Err(RegisterDatasetError::Full);
    }
    let id = DatasetId::compose(now, market.random());
    dataset::insert(tx, &id, provider, name, worker, now).await?;
    Ok(dataset::find(tx, &id).await?.ok_or(StoreError::Corrupt { what: "dataset" })?)
}
