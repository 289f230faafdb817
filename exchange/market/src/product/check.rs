//! What a product needs of those whom it binds, beyond what it says itself.

use entrepot_chain_statement::{
    Did, Timestamp,
    statements::{DataProduct, Role, WorkerRole},
};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    product::{ProductError, RegisteredDataset, check_table},
};
use entrepot_exchange_store::{Connection, StoreError, dataset, participant, worker_grant};

/// What is missing for a product.
#[derive(Debug, thiserror::Error)]
pub enum UnmetNeed {
    /// A table's dataset is not registered.
    #[error("the dataset of table {table} is not registered")]
    Dataset {
        /// Index of the table.
        table: usize,
    },
    /// A table does not say what was registered.
    #[error(transparent)]
    Table(#[from] ProductError),
    /// Somebody is not enrolled, or lacks a role.
    #[error("{who} is not an approved participant{}", role.map(|role| format!(" with the role {role}")).unwrap_or_default())]
    Participant {
        /// Who.
        who: Did,
        /// The role that it needs.
        role: Option<&'static str>,
    },
    /// Somebody has no worker.
    #[error("{who} has no valid worker grant with the role {role}")]
    Grant {
        /// Who.
        who: Did,
        /// The worker's role.
        role: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for UnmetNeed {
    fn code(&self) -> &'static str {
        match self {
            Self::Dataset { .. } => "product_not_registered",
            Self::Table(error) => error.code(),
            Self::Participant { .. } => "product_participant",
            Self::Grant { .. } => "no_worker_grant",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Store(error) => error.kind(),
            _ => RefusalKind::Unprocessable,
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Dataset { .. } => Some("its provider registers the right to it first".to_owned()),
            Self::Table(error) => error.hint(),
            Self::Participant { .. } => Some("it enrols, and an operator approves it, first".to_owned()),
            Self::Grant { .. } => Some("it signs a worker grant and submits it at /v1/worker-grants first".to_owned()),
            Self::Store(_) => None,
        }
    }
}

/// Holds a product against what was registered, and everyone whom it names against who is enrolled.
pub(super) async fn check_needs(db: &mut Connection, product: &DataProduct, now: Timestamp) -> Result<(), UnmetNeed> {
    for (index, table) in product.tables.iter().enumerate() {
        let missing = || UnmetNeed::Dataset { table: index };
        let row = dataset::find(db, &table.dataset_id).await?.ok_or_else(missing)?;
        let (Some(rights), Some(description)) = (row.rights_hash, row.description) else { return Err(missing()) };
        check_table(index, table, &RegisteredDataset { provider: row.provider, rights, description })?;
        check_participant(db, &table.provider, Some((Role::Provider, "provider"))).await?;
        if worker_grant::valid_for(db, &table.provider, &row.worker, WorkerRole::Data, now).await?.is_none() {
            return Err(UnmetNeed::Grant { who: table.provider.clone(), role: "data" });
        }
    }
    let compute = &product.compute_party;
    check_participant(db, compute, Some((Role::ComputeParty, "compute-party"))).await?;
    if worker_grant::valid(db, compute, WorkerRole::Compute, now).await?.is_empty() {
        return Err(UnmetNeed::Grant { who: compute.clone(), role: "compute" });
    }
    for share in &product.split {
        check_participant(db, &share.participant, None).await?;
    }
    Ok(())
}

async fn check_participant(db: &mut Connection, who: &Did, role: Option<(Role, &'static str)>) -> Result<(), UnmetNeed> {
    let roles = participant::approved_roles(db, who).await?;
    let fits = roles.is_some_and(|roles| role.is_none_or(|(role, _)| roles.contains(&role)));
    if fits { Ok(()) } else { Err(UnmetNeed::Participant { who: who.clone(), role: role.map(|(_, name)| name) }) }
}
