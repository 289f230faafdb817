//! Recomputes the books from their postings and holds them against jobs, escrows and what was signed.

use crate::{
    Connection, Store, StoreError,
    escrow::{self, EscrowRow},
    job::{self, JobRow},
    receipt, statements,
};
use entrepot_chain_statement::{
    Did, Hash, Statement,
    ids::JobId,
    split::{rule_digest, split},
    statements::{Agreement, Hold, Refund, Release},
};
use entrepot_exchange_domain::escrow::EscrowState;
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
         WHEN 'refunded' THEN 'refunded' WHEN 'released' THEN 'released' WHEN 'delivered' THEN 'released' \
         WHEN 'undelivered' THEN 'released' ELSE 'held' END",
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

/// A statement that its hash names and `signer` signed.
async fn signed<S: Statement>(view: &mut Connection, hash: &Hash, signer: &Did) -> Result<Option<S>, StoreError> {
    let found = statements::find(view, hash).await?.filter(|row| row.envelope.statement_hash() == *hash);
    Ok(found.and_then(|row| row.envelope.open_signed_by([signer]).ok()))
}

/// What is wrong between a job, its escrow, the postings and the statements about them. Whose word counts is taken from what was signed: the
/// job's consumer signed the agreement, and the agreement names the exchange.
async fn job_fault(view: &mut Connection, job_id: &JobId) -> Result<Option<&'static str>, StoreError> {
    let (Some(row), Some(escrow)) = (job::find(view, job_id).await?, escrow::find(view, job_id).await?) else {
        // A rule above names it.
        return Ok(None);
    };
    let agreement = signed::<Agreement>(view, &row.job.terms.agreement, &row.consumer).await?;
    let Some(agreement) = agreement.filter(|agreement| agreement.consumer == row.consumer) else {
        return Ok(Some("the agreement is not signed by the job's consumer"));
    };
    if let Some(fault) = hold_fault(view, &row, &escrow, &agreement).await? {
        return Ok(Some(fault));
    }
    match (escrow.escrow.state, &escrow.closing) {
        (EscrowState::Refunded, Some(closing)) => refund_fault(view, &row, (&escrow, closing), &agreement.exchange).await,
        (_, Some(closing)) => release_fault(view, &row, (&escrow, closing), &agreement).await,
        (_, None) => Ok(None),
    }
}

async fn hold_fault(
    view: &mut Connection,
    row: &JobRow,
    escrow: &EscrowRow,
    agreement: &Agreement,
) -> Result<Option<&'static str>, StoreError> {
    let (terms, amount) = (&row.job.terms, &escrow.escrow.amount);
    let Some(hold) = signed::<Hold>(view, &escrow.hold, &agreement.exchange).await? else {
        return Ok(Some("the hold is not a statement that the exchange signed"));
    };
    let same = hold.job_id == terms.job_id && hold.order == terms.order && hold.agreement == terms.agreement && hold.amount == *amount;
    if !same || *amount != agreement.price_per_query {
        return Ok(Some("the signed hold is about something else"));
    }
    let moved = [Leg::available(&row.consumer, -amount.amount_minor), Leg::escrow(&agreement.exchange, amount.amount_minor)];
    Ok((!moves(view, &terms.job_id, "hold", moved).await?).then_some("what was set aside is not the consumer's price"))
}

async fn refund_fault(
    view: &mut Connection,
    row: &JobRow,
    (escrow, closing): (&EscrowRow, &Hash),
    exchange: &Did,
) -> Result<Option<&'static str>, StoreError> {
    let (terms, amount) = (&row.job.terms, &escrow.escrow.amount);
    let Some(refund) = signed::<Refund>(view, closing, exchange).await? else {
        return Ok(Some("the refund is not a statement that the exchange signed"));
    };
    if refund.job_id != terms.job_id || refund.order != terms.order || refund.hold != escrow.hold || refund.amount != *amount {
        return Ok(Some("the signed refund is about something else"));
    }
    let moved = [Leg::escrow(exchange, -amount.amount_minor), Leg::available(&row.consumer, amount.amount_minor)];
    Ok((!moves(view, &terms.job_id, "refund", moved).await?).then_some("what was given back is not the consumer's price"))
}

async fn release_fault(
    view: &mut Connection,
    row: &JobRow,
    (escrow, closing): (&EscrowRow, &Hash),
    agreement: &Agreement,
) -> Result<Option<&'static str>, StoreError> {
    let (terms, amount) = (&row.job.terms, &escrow.escrow.amount);
    let Some(release) = signed::<Release>(view, closing, &agreement.exchange).await? else {
        return Ok(Some("the release is not a statement that the exchange signed"));
    };
    if release.job_id != terms.job_id || release.order != terms.order || release.hold != escrow.hold || release.amount != *amount {
        return Ok(Some("the signed release is about something else"));
    }
    let rule = rule_digest(&terms.agreement, &agreement.split);
    if split(amount, &agreement.split).ok().as_ref() != Some(&release.split) || release.split_rule != rule {
        return Ok(Some("the signed split is not the agreement's"));
    }
    let Some((attempt, receipts)) = row.job.state.paid_for() else {
        return Ok(Some("the price was paid out for a job that did not end"));
    };
    let kept = receipt::of_attempt(view, &terms.job_id, attempt).await?;
    if kept != receipts.map(Some) || release.receipts != receipts {
        return Ok(Some("the paid job has not exactly one receipt of each party"));
    }
    let paid = release.split.iter().filter(|part| part.amount.amount_minor != 0);
    let paid = paid.map(|part| Leg::available(&part.participant, part.amount.amount_minor));
    let moved = paid.chain([Leg::escrow(&agreement.exchange, -amount.amount_minor)]);
    Ok((!moves(view, &terms.job_id, "release", moved).await?).then_some("what was paid is not the split that was signed"))
}

/// One posting of a job's entry. That an entry has one currency is checked for all of them at once.
#[derive(PartialEq, Eq, PartialOrd, Ord, FromRow)]
struct Leg {
    kind: String,
    owner: String,
    amount_minor: i64,
}

impl Leg {
    fn available(owner: &Did, amount_minor: i64) -> Self {
        Self { kind: "available".to_owned(), owner: owner.to_string(), amount_minor }
    }

    fn escrow(exchange: &Did, amount_minor: i64) -> Self {
        Self { kind: "escrow".to_owned(), owner: exchange.to_string(), amount_minor }
    }
}

/// Whether an entry of a job moved exactly this.
async fn moves(
    view: &mut Connection,
    job_id: &JobId,
    entry: &'static str,
    expected: impl IntoIterator<Item = Leg>,
) -> Result<bool, StoreError> {
    let mut booked: Vec<Leg> = sqlx::query_as(
        "SELECT accounts.kind, accounts.owner, postings.amount_minor FROM journal_entries \
         JOIN postings ON postings.entry_id = journal_entries.entry_id JOIN accounts ON accounts.account_id = postings.account_id \
         WHERE journal_entries.job_id = $1 AND journal_entries.kind = $2",
    )
    .bind(job_id.as_str())
    .bind(entry)
    .fetch_all(view)
    .await?;
    let mut expected: Vec<_> = expected.into_iter().collect();
    booked.sort();
    expected.sort();
    Ok(booked == expected)
}
