//! The first operator: there is nobody yet who could approve it.

use crate::{
    Market,
    participant::{EnrolError, enrol},
};
use entrepot_chain_statement::{Envelope, statements::Role};
use entrepot_exchange_store::{
    StoreError,
    participant::{self, ParticipantRow},
};

/// Why there is no first operator.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The enrolment was refused.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The enrolment does not ask for the role.
    #[error("the enrolment does not ask for the role operator")]
    NotOperator,
    /// There is an operator, who can approve others.
    #[error("there is an operator already; it can approve others")]
    OperatorExists,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Enrols and approves the first operator. Has no route: whoever may run it holds the database file.
pub async fn bootstrap_operator(market: &Market, enrolment: &Envelope) -> Result<ParticipantRow, BootstrapError> {
    let now = market.now();
    market
        .store
        .run_tx("participants.bootstrap_operator", |tx| {
            Box::pin(async move {
                let row = enrol(tx, now, enrolment).await?;
                if row.approved_at.is_some() && row.roles.contains(&Role::Operator) {
                    return Ok(row);
                }
                if !row.roles.contains(&Role::Operator) {
                    return Err(BootstrapError::NotOperator);
                }
                if participant::operator_exists(tx).await? {
                    return Err(BootstrapError::OperatorExists);
                }
                participant::approve(tx, &row.did, &row.did, now).await?;
                participant::find(tx, &row.did).await?.ok_or(StoreError::Corrupt { what: "participant" }.into())
            })
        })
        .await
}
