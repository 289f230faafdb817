//! Money of a job: set aside, then paid out or given back. Every movement is booked, noted on the escrow and signed by the exchange, in
//! the transaction that changes the job.

use crate::Market;
use entrepot_chain_statement::{
    Envelope, Hash, Money, Statement, Timestamp,
    ids::{AccountId, JobId, JournalEntryId},
    split::rule_digest,
    statements::{Agreement, Hold, Refund, Release},
};
use entrepot_exchange_domain::{
    escrow::{Escrow, EscrowState},
    job::{JobTerms, RefundReason},
    journal::Entry,
    receipt::PARTIES,
};
use entrepot_exchange_store::{
    StoreError, Tx,
    escrow::{self, EscrowRow, Movement},
    journal, statements,
};

/// Signs and keeps a statement of the exchange.
async fn sign(tx: &mut Tx<'_>, market: &Market, statement: &impl Statement, now: Timestamp) -> Result<Hash, StoreError> {
    let envelope =
        Envelope::sign(statement, &market.exchange, market.random()).map_err(|_| StoreError::Corrupt { what: "statement to sign" })?;
    statements::insert(tx, &envelope, now).await
}

async fn book(tx: &mut Tx<'_>, market: &Market, entry: &Entry, job_id: &JobId, now: Timestamp) -> Result<JournalEntryId, StoreError> {
    let entry_id = JournalEntryId::compose(now, market.random());
    journal::post(tx, entry, (&entry_id, Some(job_id)), &|| AccountId::compose(now, market.random()), now).await?;
    Ok(entry_id)
}

/// Available → escrow. The caller has seen that the balance suffices; the books refuse an overdraft whatever it saw.
pub(crate) async fn set_aside(tx: &mut Tx<'_>, market: &Market, terms: &JobTerms, price: &Money, now: Timestamp) -> Result<(), StoreError> {
    let consumer = terms.consumer.clone();
    let hold = Hold {
        job_id: terms.job_id.clone(),
        order: terms.order,
        agreement: terms.agreement,
        consumer,
        amount: price.clone(),
        held_at: now,
    };
    let statement = sign(tx, market, &hold, now).await?;
    let entry = Entry::hold(&market.exchange_did(), &terms.consumer, price).map_err(|_| StoreError::Corrupt { what: "price" })?;
    let entry = book(tx, market, &entry, &terms.job_id, now).await?;
    escrow::hold(tx, &terms.job_id, price, Movement { entry: &entry, statement: &statement }, now).await
}

async fn held(tx: &mut Tx<'_>, job_id: &JobId) -> Result<EscrowRow, StoreError> {
    escrow::find(tx, job_id).await?.ok_or(StoreError::Corrupt { what: "job without escrow" })
}

/// Checks that the escrow may still be closed and says how it will stand.
fn closing(
    escrow: &Escrow,
    close: fn(Escrow) -> Result<Escrow, entrepot_exchange_domain::escrow::EscrowClosed>,
) -> Result<EscrowState, StoreError> {
    close(escrow.clone()).map(|closed| closed.state).map_err(|_| StoreError::Corrupt { what: "escrow of a job that is not over" })
}

/// Escrow → receivers, by the agreement's split.
pub(crate) async fn pay_out(
    tx: &mut Tx<'_>,
    market: &Market,
    terms: &JobTerms,
    receipts: &[Hash; PARTIES],
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = held(tx, &terms.job_id).await?;
    let state = closing(&row.escrow, Escrow::release)?;
    let corrupt = |what| StoreError::Corrupt { what };
    let signed = statements::find(tx, &terms.agreement).await?.ok_or(corrupt("agreement"))?;
    let agreement: Agreement = signed.envelope.open().map_err(|_| corrupt("agreement"))?;
    let amount = row.escrow.amount;
    let (entry, split) = Entry::release(&market.exchange_did(), &amount, &agreement.split).map_err(|_| corrupt("split"))?;
    let release = Release {
        job_id: terms.job_id.clone(),
        order: terms.order,
        hold: row.hold,
        receipts: receipts.to_vec(),
        amount,
        split,
        split_rule: rule_digest(&terms.agreement, &agreement.split),
        released_at: now,
    };
    let statement = sign(tx, market, &release, now).await?;
    let entry = book(tx, market, &entry, &terms.job_id, now).await?;
    escrow::close(tx, &terms.job_id, state, Movement { entry: &entry, statement: &statement }, now).await
}

/// Escrow → consumer.
pub(crate) async fn give_back(
    tx: &mut Tx<'_>,
    market: &Market,
    terms: &JobTerms,
    reason: RefundReason,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = held(tx, &terms.job_id).await?;
    let state = closing(&row.escrow, Escrow::refund)?;
    let amount = row.escrow.amount;
    let entry = Entry::refund(&market.exchange_did(), &terms.consumer, &amount).map_err(|_| StoreError::Corrupt { what: "held amount" })?;
    let refund = Refund {
        job_id: terms.job_id.clone(),
        order: terms.order,
        hold: row.hold,
        amount,
        reason: reason.code().to_owned(),
        refunded_at: now,
    };
    let statement = sign(tx, market, &refund, now).await?;
    let entry = book(tx, market, &entry, &terms.job_id, now).await?;
    escrow::close(tx, &terms.job_id, state, Movement { entry: &entry, statement: &statement }, now).await
}
