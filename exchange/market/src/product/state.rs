//! Pausing, resuming and withdrawing a product.

use crate::Market;
use entrepot_chain_statement::{Did, ids::ProductId};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    product::{ProductState, ProductStateError},
};
use entrepot_exchange_store::{
    StoreError, Tx,
    product::{self, ProductRow},
};

/// What is to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChange {
    /// No new agreement and no new order for now.
    Pause,
    /// Again.
    Resume,
    /// Never again.
    Withdraw,
}

/// Why a state did not change.
#[derive(Debug, thiserror::Error)]
pub enum ChangeStateError {
    /// There is no such product that binds the caller.
    #[error("there is no such product, or it does not bind you")]
    NotFound,
    /// Somebody else paused it.
    #[error("somebody else paused this product, and only they can resume it")]
    PausedByOther,
    /// The state does not allow it.
    #[error(transparent)]
    State(#[from] ProductStateError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for ChangeStateError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PausedByOther => "product_paused_by_other",
            Self::State(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::PausedByOther => RefusalKind::Conflict,
            Self::State(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
}

/// Changes a product's state on behalf of one whom it binds. Each of them can stop it; whoever paused it resumes it.
pub async fn change_state(
    tx: &mut Tx<'_>,
    market: &Market,
    caller: &Did,
    product_id: &ProductId,
    change: StateChange,
) -> Result<ProductRow, ChangeStateError> {
    let mut row = product::find(tx, product_id).await?.filter(|row| row.binds(caller)).ok_or(ChangeStateError::NotFound)?;
    let state = row.state_at(market.now());
    let next = match change {
        StateChange::Pause => state.pause()?,
        StateChange::Resume => state.resume()?,
        StateChange::Withdraw => state.withdraw()?,
    };
    if change == StateChange::Resume && row.paused_by.as_ref() != Some(caller) {
        return Err(ChangeStateError::PausedByOther);
    }
    product::set_state(tx, product_id, next, caller).await?;
    row.state = next;
    row.paused_by = (next == ProductState::Paused).then(|| caller.clone());
    Ok(row)
}
