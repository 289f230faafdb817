//! Brings statements to the log: drains the outbox in order, at least once. The log answers a leaf that it holds already with the same
//! index, so that submitting again after a crash changes nothing.

use crate::{
    Market,
    notary::{NotaryLeaf, NotaryOutcome},
};
use entrepot_chain_statement::Hash;
use entrepot_exchange_domain::Refusal;
use entrepot_exchange_store::{
    StoreError, outbox,
    outbox::OutboxRow,
    statements::{self, ANCHOR_TOPIC},
};
use std::time::Duration;

/// Pause between two looks at an empty outbox.
const IDLE_PAUSE: Duration = Duration::from_millis(50);
/// Pause after the first failure; doubles with each.
const BACKOFF_MS: i64 = 250;
/// Longest pause between two tries.
const BACKOFF_MS_MAX: i64 = 30_000;
/// Tries before a statement is given up: about a day of a log that does not answer.
const ATTEMPTS_MAX: i64 = 2_880;

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchored {
    /// Statements that are in the log now.
    pub logged: usize,
    /// Statements that will not be: refused by the ledger, or given up.
    pub rejected: usize,
    /// Whether the log did not answer.
    pub failed: bool,
}

/// An announcement and the leaf it stands for.
struct Waiting {
    row: OutboxRow,
    statement: Hash,
    leaf: NotaryLeaf,
}

/// What to record of an announcement.
enum Finding {
    Outcome(NotaryOutcome),
    GivenUp(&'static str),
}

/// Submits what is due, once, and records the outcomes in one transaction.
pub async fn anchor_due(market: &Market) -> Result<Anchored, StoreError> {
    let now = market.now();
    let mut rows = outbox::due(&mut *market.store.reader().await?, ANCHOR_TOPIC, now).await?;
    // After a failure only the first goes, so that one bad statement cannot hold up the rest for ever.
    if rows.first().is_some_and(|first| first.attempts > 0) {
        rows.truncate(1);
    }
    let mut findings: Vec<(OutboxRow, Option<Hash>, Finding)> = Vec::new();
    let mut waiting: Vec<Waiting> = Vec::new();
    for row in rows {
        match read(market, &row).await? {
            Some((statement, leaf)) if row.attempts < ATTEMPTS_MAX => waiting.push(Waiting { row, statement, leaf }),
            Some((statement, _)) => findings.push((row, Some(statement), Finding::GivenUp("given_up: the log did not answer for a day"))),
            None => findings.push((row, None, Finding::GivenUp("unreadable"))),
        }
    }
    let failed = match submit(market, &waiting).await {
        Ok(outcomes) => {
            let told = waiting.into_iter().zip(outcomes);
            findings.extend(told.map(|(waiting, outcome)| (waiting.row, Some(waiting.statement), Finding::Outcome(outcome))));
            None
        }
        Err(code) => waiting.first().map(|first| (first.row.clone(), code)),
    };
    record(market, &findings, failed.as_ref()).await?;
    let logged = findings.iter().filter(|(_, _, finding)| matches!(finding, Finding::Outcome(NotaryOutcome::Logged { .. }))).count();
    Ok(Anchored { logged, rejected: findings.len() - logged, failed: failed.is_some() })
}

/// The statement that an announcement names; none if it cannot be read.
async fn read(market: &Market, row: &OutboxRow) -> Result<Option<(Hash, NotaryLeaf)>, StoreError> {
    let Ok(hash) = row.payload.parse::<Hash>() else { return Ok(None) };
    match statements::find(&mut *market.store.reader().await?, &hash).await {
        Ok(found) => Ok(found.map(|statement| (hash, NotaryLeaf::of(&statement.envelope)))),
        Err(StoreError::Corrupt { what }) => {
            tracing::error!(statement = %hash, what, "a statement that waits for the log cannot be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn submit(market: &Market, waiting: &[Waiting]) -> Result<Vec<NotaryOutcome>, &'static str> {
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let leaves: Vec<_> = waiting.iter().map(|waiting| waiting.leaf.clone()).collect();
    entrepot_failpoint::reach("exchange.anchor.before_submit");
    let answer = market.notary.submit(&leaves).await;
    entrepot_failpoint::reach("exchange.anchor.after_submit");
    match answer {
        Ok(outcomes) if outcomes.len() == leaves.len() => Ok(outcomes),
        Ok(_) => Err("log_answered_wrongly"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "the log does not answer");
            Err(error.code())
        }
    }
}

async fn record(
    market: &Market,
    findings: &[(OutboxRow, Option<Hash>, Finding)],
    failed: Option<&(OutboxRow, &'static str)>,
) -> Result<(), StoreError> {
    if findings.is_empty() && failed.is_none() {
        return Ok(());
    }
    let now = market.now();
    market
        .store
        .run_tx("anchoring.record", |tx| {
            Box::pin(async move {
                for (row, statement, finding) in findings {
                    match (statement, finding) {
                        (Some(hash), Finding::Outcome(NotaryOutcome::Logged { index })) => {
                            statements::logged(tx, hash, *index, now).await?
                        }
                        (Some(hash), Finding::Outcome(NotaryOutcome::Rejected { reason })) => {
                            tracing::error!(statement = %hash, reason, "the ledger rejected a statement");
                            statements::rejected(tx, hash, reason, now).await?;
                        }
                        (Some(hash), Finding::GivenUp(why)) => {
                            tracing::error!(statement = %hash, why, "a statement was given up");
                            statements::rejected(tx, hash, why, now).await?;
                        }
                        (None, _) => tracing::error!(outbox = row.sequence, "an announcement names no readable statement"),
                    }
                    outbox::done(tx, row.sequence, now).await?;
                }
                if let Some((row, code)) = failed {
                    outbox::failed(tx, row.sequence, code, now.plus_ms(backoff_ms(row.attempts))).await?;
                }
                Ok(())
            })
        })
        .await
}

fn backoff_ms(attempts: i64) -> i64 {
    let doublings = attempts.clamp(0, 20);
    (BACKOFF_MS << doublings).min(BACKOFF_MS_MAX)
}

/// Anchors for as long as it is polled. May be dropped at any moment.
pub async fn run(market: &Market) {
    loop {
        match anchor_due(market).await {
            Ok(done) if done.logged + done.rejected > 0 => continue,
            Ok(_) => {}
            Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "anchoring could not read or write the database"),
        }
        tokio::time::sleep(IDLE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit() {
        assert_eq!(backoff_ms(0), 250);
        assert_eq!(backoff_ms(1), 500);
        assert_eq!(backoff_ms(7), BACKOFF_MS_MAX);
        assert_eq!(backoff_ms(i64::MAX), BACKOFF_MS_MAX);
    }
}
