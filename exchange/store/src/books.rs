//! Recomputes the books from their postings and holds them against jobs, escrows and what was signed.

use crate::{Connection, Store, StoreError, escrow, job, receipt, statements};
use entrepot_chain_statement::{
    Hash, Statement,
    ids::JobId,
    statements::{Hold, Refund, Release},
};
use entrepot_exchange_domain::{escrow::EscrowState, job::JobState};
use serde::Serialize;
use sqlx::{Acquire, FromRow};

/// Most faults that a report lists.
pub const FAULTS_MAX: usize = 100;
/// Jobs held against their statements at once.
const JOBS_READ: i64 = 500;

/// The books of one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct CurrencyBooks {
    /// The currency.
    pub currency: String,
    /// Credit that the operator gave out, minor units.
    pub issued_minor: i64,
    /// What participants may spend.
    pub available_minor: i64,
    /// What is in escrow.
    pub escrow_minor: i64,
    /// What escrows say is held.
    pub held_minor: i64,
    /// What escrows say was paid out.
    pub released_minor: i64,
    /// What escrows say was given back.
    pub refunded_minor: i64,
    /// What was ever set aside, by the entries.
    pub set_aside_minor: i64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BooksReport {
    /// By currency.
    pub currencies: Vec<CurrencyBooks>,
    /// Entries in the journal.
    pub entries: i64,
    /// Jobs held against their statements.
    pub jobs: i64,
    /// What is wrong, at most [`FAULTS_MAX`]; none if the books are right.
    pub faults: Vec<String>,
}

impl BooksReport {
    /// Whether the books are right.
    pub fn is_right(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(text);
        }
    }
}

/// Recomputes everything, in one consistent view of the database.
pub async fn verify_books(store: &Store) -> Result<BooksReport, StoreError> {
    let mut reader = store.reader().await?;
    let mut view = reader.begin().await?;
    let mut report = BooksReport::default();
    (report.entries,) = sqlx::query_as("SELECT COUNT(*) FROM journal_entries").fetch_one(&mut *view).await?;
    for (what, query) in ROW_RULES {
        let rows: Vec<(String,)> = sqlx::query_as(query).fetch_all(&mut *view).await?;
        for (id,) in rows {
            report.fault(format!("{what}: {id}"));
        }
    }
    report.currencies = sqlx::query_as(TOTALS).fetch_all(&mut *view).await?;
    for books in report.currencies.clone() {
        check_totals(&mut report, &books);
    }
    check_jobs(&mut view, &mut report).await?;
    Ok(report)
}

/// Each query names the rows that break its rule.
const ROW_RULES: [(&str, &str); 12] = [
    (
        "entry does not sum to zero over two or more postings",
        "SELECT journal_entries.entry_id FROM journal_entries LEFT JOIN postings ON postings.entry_id = journal_entries.entry_id \
         GROUP BY journal_entries.entry_id HAVING COUNT(postings.line) < 2 OR SUM(postings.amount_minor) <> 0",
    ),
    (
        "posting without entry",
        "SELECT entry_id FROM postings WHERE NOT EXISTS (SELECT 1 FROM journal_entries WHERE journal_entries.entry_id = postings.entry_id)",
    ),
    (
        "posting in another currency than its entry's",
        "SELECT postings.entry_id FROM postings JOIN accounts ON accounts.account_id = postings.account_id \
         JOIN journal_entries ON journal_entries.entry_id = postings.entry_id WHERE accounts.currency <> journal_entries.currency",
    ),
    (
        "account's balance is not the sum of its postings",
        "SELECT account_id FROM accounts WHERE balance_minor <> \
         (SELECT COALESCE(SUM(amount_minor), 0) FROM postings WHERE postings.account_id = accounts.account_id)",
    ),
    ("overdrawn account", "SELECT account_id FROM accounts WHERE kind <> 'issuance' AND balance_minor < 0"),
    (
        "gap in the positions of the journal before",
        "SELECT CAST(position AS TEXT) FROM journal_entries WHERE position > 1 AND NOT EXISTS \
         (SELECT 1 FROM journal_entries AS before WHERE before.position = journal_entries.position - 1)",
    ),
    ("job without escrow", "SELECT job_id FROM jobs WHERE NOT EXISTS (SELECT 1 FROM escrows WHERE escrows.job_id = jobs.job_id)"),
    (
        "job and escrow disagree on whether the price is held, paid out or given back",
        "SELECT jobs.job_id FROM jobs JOIN escrows ON escrows.job_id = jobs.job_id WHERE escrows.state <> CASE jobs.state \
         WHEN 'refunded' THEN 'refunded' WHEN 'released' THEN 'released' WHEN 'delivered' THEN 'released' ELSE 'held' END",
    ),
    (
        "escrow's hold is not in the journal with its amount",
        "SELECT escrows.job_id FROM escrows WHERE NOT EXISTS (SELECT 1 FROM journal_entries \
         JOIN postings ON postings.entry_id = journal_entries.entry_id JOIN accounts ON accounts.account_id = postings.account_id \
         WHERE journal_entries.entry_id = escrows.hold_entry AND journal_entries.kind = 'hold' AND journal_entries.job_id = escrows.job_id \
         AND accounts.kind = 'escrow' AND accounts.currency = escrows.currency AND postings.amount_minor = escrows.amount_minor)",
    ),
    (
        "escrow's end is not in the journal with its amount",
        "SELECT escrows.job_id FROM escrows WHERE state <> 'held' AND NOT EXISTS (SELECT 1 FROM journal_entries \
         JOIN postings ON postings.entry_id = journal_entries.entry_id JOIN accounts ON accounts.account_id = postings.account_id \
         WHERE journal_entries.entry_id = escrows.closing_entry AND journal_entries.job_id = escrows.job_id \
         AND journal_entries.kind = CASE escrows.state WHEN 'released' THEN 'release' ELSE 'refund' END \
         AND accounts.kind = 'escrow' AND accounts.currency = escrows.currency AND postings.amount_minor = -escrows.amount_minor)",
    ),
    (
        "entry about a job that its escrow does not know",
        "SELECT entry_id FROM journal_entries WHERE job_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM escrows \
         WHERE escrows.job_id = journal_entries.job_id AND (hold_entry = entry_id OR closing_entry = entry_id))",
    ),
    (
        "gap in the sequence of the orders of agreement",
        "SELECT agreement_id FROM orders GROUP BY agreement_id HAVING COUNT(*) <> MAX(sequence)",
    ),
];

const TOTALS: &str = "SELECT currency, \
    -SUM(CASE kind WHEN 'issuance' THEN balance_minor ELSE 0 END) AS issued_minor, \
    SUM(CASE kind WHEN 'available' THEN balance_minor ELSE 0 END) AS available_minor, \
    SUM(CASE kind WHEN 'escrow' THEN balance_minor ELSE 0 END) AS escrow_minor, \
    COALESCE((SELECT SUM(amount_minor) FROM escrows WHERE escrows.currency = accounts.currency AND state = 'held'), 0) AS held_minor, \
    COALESCE((SELECT SUM(amount_minor) FROM escrows WHERE escrows.currency = accounts.currency AND state = 'released'), 0) AS released_minor, \
    COALESCE((SELECT SUM(amount_minor) FROM escrows WHERE escrows.currency = accounts.currency AND state = 'refunded'), 0) AS refunded_minor, \
    COALESCE((SELECT SUM(postings.amount_minor) FROM journal_entries JOIN postings ON postings.entry_id = journal_entries.entry_id \
        JOIN accounts AS escrow ON escrow.account_id = postings.account_id \
        WHERE journal_entries.kind = 'hold' AND escrow.kind = 'escrow' AND escrow.currency = accounts.currency), 0) AS set_aside_minor \
    FROM accounts GROUP BY currency ORDER BY currency";

fn check_totals(report: &mut BooksReport, books: &CurrencyBooks) {
    let currency = &books.currency;
    if i128::from(books.issued_minor) != i128::from(books.available_minor) + i128::from(books.escrow_minor) {
        report.fault(format!("{currency}: what was issued is not what is available and in escrow"));
    }
    if books.escrow_minor != books.held_minor {
        report.fault(format!("{currency}: the escrow account is not what escrows hold"));
    }
    let resolved = i128::from(books.held_minor) + i128::from(books.released_minor) + i128::from(books.refunded_minor);
    if i128::from(books.set_aside_minor) != resolved {
        report.fault(format!("{currency}: what was set aside is not held + released + refunded"));
    }
}

async fn check_jobs(view: &mut Connection, report: &mut BooksReport) -> Result<(), StoreError> {
    let mut after = String::new();
    loop {
        let rows: Vec<(String,)> = sqlx::query_as("SELECT job_id FROM jobs WHERE job_id > $1 ORDER BY job_id LIMIT $2")
            .bind(&after)
            .bind(JOBS_READ)
            .fetch_all(&mut *view)
            .await?;
        let Some((last,)) = rows.last().cloned() else { return Ok(()) };
        after = last;
        for (id,) in rows {
            report.jobs += 1;
            let job_id: JobId = id.parse().map_err(|_| StoreError::Corrupt { what: "job id" })?;
            if let Some(fault) = job_fault(view, &job_id).await? {
                report.fault(format!("{fault}: {job_id}"));
            }
        }
    }
}

async fn opened<S: Statement>(view: &mut Connection, hash: &Hash) -> Result<Option<S>, StoreError> {
    let found = statements::find(view, hash).await?;
    Ok(found.and_then(|row| if row.envelope.statement_hash() == *hash { row.envelope.open().ok() } else { None }))
}

/// What is wrong between a job, its escrow and the statements about them.
async fn job_fault(view: &mut Connection, job_id: &JobId) -> Result<Option<&'static str>, StoreError> {
    let (Some(row), Some(escrow)) = (job::find(view, job_id).await?, escrow::find(view, job_id).await?) else {
        // A rule above names it.
        return Ok(None);
    };
    let Some(hold) = opened::<Hold>(view, &escrow.hold).await? else { return Ok(Some("the hold is not a signed statement")) };
    if hold.job_id != *job_id || hold.order != row.job.terms.order || hold.amount != escrow.escrow.amount {
        return Ok(Some("the signed hold is about something else"));
    }
    let Some(closing) = escrow.closing else { return Ok(None) };
    if escrow.escrow.state == EscrowState::Refunded {
        let Some(refund) = opened::<Refund>(view, &closing).await? else { return Ok(Some("the refund is not a signed statement")) };
        let same = refund.job_id == *job_id && refund.hold == escrow.hold && refund.amount == escrow.escrow.amount;
        return Ok((!same).then_some("the signed refund is about something else"));
    }
    let Some(release) = opened::<Release>(view, &closing).await? else { return Ok(Some("the release is not a signed statement")) };
    if release.job_id != *job_id || release.hold != escrow.hold || release.amount != escrow.escrow.amount {
        return Ok(Some("the signed release is about something else"));
    }
    let (JobState::Released { attempt, receipts, .. } | JobState::Delivered { attempt, receipts, .. }) = &row.job.state else {
        return Ok(Some("the price was paid out for a job that did not end"));
    };
    let kept = receipt::of_attempt(view, job_id, *attempt).await?;
    if kept != receipts.map(Some) || release.receipts != receipts {
        return Ok(Some("the paid job has not exactly one receipt of each party"));
    }
    payout_fault(view, job_id, &release).await
}

/// Holds the release's postings against its split.
async fn payout_fault(view: &mut Connection, job_id: &JobId, release: &Release) -> Result<Option<&'static str>, StoreError> {
    let mut booked: Vec<(String, i64)> = sqlx::query_as(
        "SELECT accounts.owner, postings.amount_minor FROM journal_entries JOIN postings ON postings.entry_id = journal_entries.entry_id \
         JOIN accounts ON accounts.account_id = postings.account_id \
         WHERE journal_entries.job_id = $1 AND journal_entries.kind = 'release' AND accounts.kind = 'available'",
    )
    .bind(job_id.as_str())
    .fetch_all(view)
    .await?;
    let paid = release.split.iter().filter(|part| part.amount.amount_minor != 0);
    let mut signed: Vec<_> = paid.map(|part| (part.participant.to_string(), part.amount.amount_minor)).collect();
    booked.sort();
    signed.sort();
    Ok((booked != signed).then_some("what was paid is not the split that was signed"))
}
