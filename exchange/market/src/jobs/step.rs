//! One event of one job: the pure transition and, in the same transaction, everything about it that must not be lost.

use crate::{Market, settle};
use entrepot_chain_statement::{Envelope, Timestamp, ids::JobId};
use entrepot_exchange_domain::job::{Effect, Job, JobError, JobEvent, JobState, Transition, apply};
use entrepot_exchange_store::{
    StoreError, Tx,
    job::{self, JobRow},
    receipt,
    share::{self, Keeping, SealedShareRow},
    statements,
};

/// What an event brings along that the transition itself has no use for.
#[derive(Clone, Debug, Default)]
pub(crate) enum Payload {
    /// Nothing.
    #[default]
    None,
    /// The envelope of the receipt.
    Receipt(Box<Envelope>),
    /// The ciphertexts.
    Shares(Vec<(u8, Vec<u8>)>),
}

/// Why a step was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    /// The job's state does not allow what somebody asked for.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a step did.
#[derive(Debug)]
pub(crate) struct Step {
    /// The job afterwards.
    pub job: Job,
    /// Whether anything changed.
    pub changed: bool,
    /// What is to be sent now that it is durable.
    pub messages: Vec<Effect>,
}

/// Takes one step. None if there is no such job. Messages may go out once the transaction is through.
pub(crate) async fn step(
    tx: &mut Tx<'_>,
    market: &Market,
    job_id: &JobId,
    event: JobEvent,
    payload: &Payload,
) -> Result<Option<Step>, StepError> {
    let now = market.now();
    let Some(row) = job::find(tx, job_id).await? else { return Ok(None) };
    let Transition { job, effects } = apply(row.job.clone(), event, now, &market.job_limits)?;
    let changed = job.state != row.job.state;
    if changed && !job::save(tx, &job, row.version, now).await? {
        // Somebody else's transaction came between: PostgreSQL may do that, and running again is right.
        return Err(StoreError::Corrupt { what: "version of a job inside one transaction" }.into());
    }
    let mut messages = Vec::new();
    let noted = !effects.is_empty();
    for effect in effects {
        match effect {
            Effect::Send { .. } | Effect::Abort { .. } => messages.push(effect),
            kept => keep(tx, market, (&row, &job), kept, payload, now).await?,
        }
    }
    Ok(Some(Step { job, changed: changed || noted, messages }))
}

async fn keep(
    tx: &mut Tx<'_>,
    market: &Market,
    (row, job): (&JobRow, &Job),
    effect: Effect,
    payload: &Payload,
    now: Timestamp,
) -> Result<(), StoreError> {
    let job_id = &job.terms.job_id;
    match effect {
        Effect::PayOut => {
            let JobState::Released { receipts, .. } = &job.state else { return Err(StoreError::Corrupt { what: "job to be paid" }) };
            settle::pay_out(tx, market, &job.terms, receipts, now).await?;
            entrepot_failpoint::reach("exchange.release.before_commit");
        }
        Effect::GiveBack(reason) => {
            settle::give_back(tx, market, &job.terms, reason, now).await?;
            entrepot_failpoint::reach("exchange.refund.before_commit");
        }
        Effect::KeepReceipt { party } => {
            let Payload::Receipt(envelope) = payload else { return Err(StoreError::Corrupt { what: "receipt" }) };
            let statement = statements::insert(tx, envelope, now).await?;
            // The receipt that completes an attempt may have failed it in the same step: it belongs to the attempt it was given for.
            let attempt = row.job.state.attempt();
            receipt::insert(tx, job_id, (attempt, party), &statement, now).await?;
            entrepot_failpoint::reach("exchange.receipt.before_commit");
        }
        Effect::KeepShare { share } => {
            let Payload::Shares(shares) = payload else { return Err(StoreError::Corrupt { what: "shares" }) };
            let digest = shares_digest(&row.job.state, share).ok_or(StoreError::Corrupt { what: "share" })?;
            let matches = |(number, bytes): &&(u8, Vec<u8>)| *number == share && entrepot_chain_statement::Hash::of(&[bytes]) == digest;
            let (_, ciphertext) = shares.iter().find(matches).ok_or(StoreError::Corrupt { what: "share" })?;
            let kept = SealedShareRow { share, ciphertext: ciphertext.clone() };
            share::insert(tx, job_id, &kept, Keeping { now, until: now.plus_ms(market.job_limits.kept_ms) }).await?;
            entrepot_failpoint::reach("exchange.share.before_commit");
        }
        Effect::Note(note) => job::append_event(tx, job_id, &note, now).await?,
        Effect::Send { .. } | Effect::Abort { .. } => {}
    }
    Ok(())
}

/// What the receipts say about a share.
fn shares_digest(state: &JobState, share: u8) -> Option<entrepot_chain_statement::Hash> {
    match state {
        JobState::Released { shares, .. } => shares.get(usize::from(share)).copied(),
        _ => None,
    }
}
