//! The operator gives test credit.

use crate::Market;
use entrepot_chain_statement::{
    Did, Money,
    ids::{AccountId, JournalEntryId},
};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    journal::{Entry, EntryError},
};
use entrepot_exchange_store::{StoreError, Tx, journal, participant};

/// Why credit was not given.
#[derive(Debug, thiserror::Error)]
pub enum CreditError {
    /// Nobody of that name takes part.
    #[error("{0} is no approved participant")]
    UnknownParticipant(Did),
    /// Nothing, or too much.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for CreditError {
    fn code(&self) -> &'static str {
        match self {
            Self::UnknownParticipant(_) => "participant_not_approved",
            Self::Entry(_) => "amount_out_of_range",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::UnknownParticipant(_) | Self::Entry(_) => RefusalKind::Unprocessable,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        matches!(self, Self::UnknownParticipant(_)).then(|| "approve the participant first".to_owned())
    }
}

/// Books credit for a participant. Whether the caller is an operator is for the caller of this to check.
pub async fn credit(tx: &mut Tx<'_>, market: &Market, to: &Did, amount: &Money) -> Result<JournalEntryId, CreditError> {
    let now = market.now();
    let entry = Entry::credit(&market.exchange_did(), to, amount)?;
    if participant::approved_roles(tx, to).await?.is_none() {
        return Err(CreditError::UnknownParticipant(to.clone()));
    }
    let entry_id = JournalEntryId::compose(now, market.random());
    journal::post(tx, &entry, (&entry_id, None), &|| AccountId::compose(now, market.random()), now).await?;
    Ok(entry_id)
}
