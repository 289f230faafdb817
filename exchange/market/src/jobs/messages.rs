//! What a job's workers are sent, read from what is persisted.

use crate::{
    Market,
    workforce::{WorkOrder, WorkerCommand},
};
use entrepot_chain_statement::{Envelope, Hash, Timestamp, ids::JobId, statements::Agreement};
use entrepot_exchange_domain::job::{Effect, Outstanding, outstanding};
use entrepot_exchange_store::{
    Connection, StoreError, escrow,
    job::{self, JobRow},
    product, statements,
};

/// Sends messages of a step whose transaction is through. What does not go out is sent again when the worker connects.
pub(crate) async fn send_all(market: &Market, job_id: &JobId, messages: &[Effect]) -> Result<(), StoreError> {
    for message in messages {
        match message {
            Effect::Send { party } => send_outstanding(market, job_id, *party).await?,
            Effect::Abort { party, attempt, code } => abort(market, job_id, *party, (*attempt, code)).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn abort(market: &Market, job_id: &JobId, party: u8, (attempt, code): (u32, &str)) -> Result<(), StoreError> {
    let row = job::find(&mut *market.store.reader().await?, job_id).await?;
    let Some(pin) = row.as_ref().and_then(|row| row.job.terms.parties.get(usize::from(party))) else { return Ok(()) };
    let command = WorkerCommand::AbortWork { job_id: job_id.clone(), attempt, code: code.to_owned() };
    // Lost if the worker is away: then it has no computation to stop, or stops it at its deadline.
    let _ = market.workforce.send(&pin.worker, command);
    Ok(())
}

/// Sends to one party what the job's present state has outstanding for it, if it is connected.
pub(crate) async fn send_outstanding(market: &Market, job_id: &JobId, party: u8) -> Result<(), StoreError> {
    let mut reader = market.store.reader().await?;
    let Some(row) = job::find(&mut reader, job_id).await? else { return Ok(()) };
    let Some(pin) = row.job.terms.parties.get(usize::from(party)) else { return Ok(()) };
    if market.workforce.find(&pin.worker).is_none() {
        return Ok(());
    }
    let command = match outstanding(&row.job.state, party) {
        None => return Ok(()),
        Some(Outstanding::WorkOrder { attempt, run_until }) => {
            WorkerCommand::WorkOrder(Box::new(work_order(&mut reader, market, &row, (attempt, party), run_until).await?))
        }
        Some(Outstanding::HandOver) => {
            let corrupt = StoreError::Corrupt { what: "released job without release" };
            let Some(release) = escrow::find(&mut reader, job_id).await?.and_then(|escrow| escrow.closing) else { return Err(corrupt) };
            WorkerCommand::HandOverShares { job_id: job_id.clone(), release: envelope(&mut reader, &release).await? }
        }
    };
    if let Err(error) = market.workforce.send(&pin.worker, command) {
        tracing::info!(job = %job_id, party, %error, "a message waits until the worker connects again");
    }
    Ok(())
}

/// The signed statement of a hash that the job's own rows name.
pub(crate) async fn envelope(db: &mut Connection, hash: &Hash) -> Result<Envelope, StoreError> {
    let found = statements::find(db, hash).await?;
    found.map(|row| row.envelope).ok_or(StoreError::Corrupt { what: "statement hash of a job" })
}

async fn work_order(
    db: &mut Connection,
    market: &Market,
    row: &JobRow,
    (attempt, party): (u32, u8),
    deadline: Timestamp,
) -> Result<WorkOrder, StoreError> {
    let terms = &row.job.terms;
    let corrupt = |what| StoreError::Corrupt { what };
    let signed = envelope(db, &terms.agreement).await?;
    let agreement: Agreement = signed.open().map_err(|_| corrupt("agreement"))?;
    let product = product::find_by_hash(db, &agreement.product).await?.ok_or(corrupt("agreement's product"))?;
    let escrow = escrow::find(db, &terms.job_id).await?.ok_or(corrupt("job without escrow"))?;
    let mut grants = Vec::with_capacity(agreement.parties.len());
    for pin in &agreement.parties {
        grants.push(envelope(db, &pin.grant).await?);
    }
    // A party that is away just now has no address here; whoever dials it fails, and the attempt with it.
    let address = |party: &entrepot_exchange_domain::job::JobParty| {
        market.workforce.find(&party.worker).map(|worker| worker.peer_address).unwrap_or_default()
    };
    Ok(WorkOrder {
        job_id: terms.job_id.clone(),
        attempt,
        party,
        product: product.envelope,
        agreement: signed,
        order: envelope(db, &terms.order).await?,
        hold: envelope(db, &escrow.hold).await?,
        grants: grants.try_into().map_err(|_| corrupt("agreement's parties"))?,
        peer_addresses: terms.parties.each_ref().map(address),
        deadline,
    })
}
