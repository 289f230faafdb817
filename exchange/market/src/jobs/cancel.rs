//! The consumer gives an order up.

use super::step::{Payload, StepError, step};
use crate::{Market, workforce::WorkerCommand};
use entrepot_chain_statement::{
    Did,
    ids::{JobId, OrderId},
};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    job::{JobError, JobEvent, JobState},
};
use entrepot_exchange_store::{
    StoreError, Tx, job,
    order::{self, OrderRow},
};

/// Why an order was not cancelled.
#[derive(Debug, thiserror::Error)]
pub enum CancelError {
    /// There is no such order of the caller.
    #[error("there is no such order, or it is not yours")]
    NotFound,
    /// Too late.
    #[error(transparent)]
    Over(JobError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for CancelError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Over(_) => "order_over",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::Over(_) => RefusalKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
}

/// Refunds an order that is not paid out yet. Call [`tell_workers`] once the transaction is through.
pub async fn cancel(tx: &mut Tx<'_>, market: &Market, caller: &Did, order_id: &OrderId) -> Result<OrderRow, CancelError> {
    let found = job::find_by_order(tx, order_id).await?.filter(|row| row.consumer == *caller).ok_or(CancelError::NotFound)?;
    match step(tx, market, &found.job.terms.job_id, JobEvent::Cancel, &Payload::None).await {
        Ok(_) => {}
        Err(StepError::Job(error)) => return Err(CancelError::Over(error)),
        Err(StepError::Store(error)) => return Err(error.into()),
    }
    order::find_visible(tx, order_id, Some(caller)).await?.ok_or(CancelError::NotFound)
}

/// Stops the workers of a job that was cancelled. A worker that is away stops at the attempt's deadline.
pub async fn tell_workers(market: &Market, job_id: &JobId) -> Result<(), StoreError> {
    market.bell.ring();
    let Some(row) = job::find(&mut *market.store.reader().await?, job_id).await? else { return Ok(()) };
    let JobState::Refunded { reason, attempts: attempt @ 1.. } = row.job.state else { return Ok(()) };
    for party in &row.job.terms.parties {
        let command = WorkerCommand::AbortWork { job_id: job_id.clone(), attempt, code: reason.code().to_owned() };
        let _ = market.workforce.send(&party.worker, command);
    }
    Ok(())
}
