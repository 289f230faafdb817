//! A provider approves the description and registers its right.

use entrepot_chain_statement::{Did, Envelope, EnvelopeError, Timestamp, ids::DatasetId, statements::RightsRegistration};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    dataset::{DatasetState, DescribedDataset, RightsError, check_rights},
};
use entrepot_exchange_store::{
    StoreError, Tx,
    dataset::{self, DatasetRow},
    statements,
};

/// Why a right was not registered.
#[derive(Debug, thiserror::Error)]
pub enum SubmitRightsError {
    /// There is no such dataset of the caller.
    #[error("there is no such dataset, or it is not yours")]
    NotFound,
    /// It is not described, or registered already.
    #[error("a dataset that is {} cannot be registered", .0.name())]
    State(DatasetState),
    /// The envelope does not hold a registration signed by the provider.
    #[error("the envelope is no rights registration signed by the dataset's provider: {0}")]
    Envelope(#[source] EnvelopeError),
    /// The registration breaks a rule.
    #[error(transparent)]
    Rule(#[from] RightsError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for SubmitRightsError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::State(_) => "dataset_state",
            Self::Envelope(_) => "invalid_envelope",
            Self::Rule(rule) => rule.code(),
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::State(_) => RefusalKind::Conflict,
            Self::Envelope(_) => RefusalKind::Unprocessable,
            Self::Rule(rule) => rule.kind(),
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::State(DatasetState::Describing) => Some("wait until the worker has described it".to_owned()),
            Self::State(DatasetState::Refused) => Some("see why in the dataset's `refusal`, then register it anew".to_owned()),
            Self::Rule(rule) => rule.hint(),
            _ => None,
        }
    }
}

/// Described → registered. Submitting the same registration again gives what is there.
pub async fn submit_rights(
    tx: &mut Tx<'_>,
    now: Timestamp,
    caller: &Did,
    dataset_id: &DatasetId,
    envelope: &Envelope,
) -> Result<DatasetRow, SubmitRightsError> {
    let row = dataset::find(tx, dataset_id).await?.filter(|row| row.provider == *caller).ok_or(SubmitRightsError::NotFound)?;
    let rights: RightsRegistration = envelope.open_signed_by([caller]).map_err(SubmitRightsError::Envelope)?;
    if row.rights_hash == Some(envelope.statement_hash()) {
        return Ok(row);
    }
    let (DatasetState::Described, Some(description)) = (row.state, row.description) else {
        return Err(SubmitRightsError::State(row.state));
    };
    let described =
        DescribedDataset { dataset_id: row.dataset_id, name: row.name, provider: row.provider, worker: row.worker, description };
    check_rights(&rights, &described, now)?;
    dataset::register(tx, dataset_id, envelope, now).await?;
    statements::insert(tx, envelope, now).await?;
    Ok(dataset::find(tx, dataset_id).await?.ok_or(StoreError::Corrupt { what: "dataset" })?)
}
