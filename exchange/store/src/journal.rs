//! The journal: postings first, then the entry whose trigger sums them and refuses anything but zero.

use crate::{
    Connection, Page, PageRequest, StoreError, Tx,
    account::{self, account_kind},
};
use entrepot_chain_statement::{
    Currency, Did, Timestamp,
    ids::{AccountId, JobId, JournalEntryId},
};
use entrepot_exchange_domain::journal::{Account, Entry, EntryKind};
use sqlx::FromRow;

/// One line of an entry in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRow {
    /// The account's id.
    pub account_id: AccountId,
    /// The account.
    pub account: Account,
    /// Minor units; positive adds to the owner's claim.
    pub amount_minor: i64,
}

/// An entry in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its place, from 1.
    pub position: i64,
    /// Its id.
    pub entry_id: JournalEntryId,
    /// Why money moved.
    pub kind: EntryKind,
    /// Of every line.
    pub currency: Currency,
    /// The job it is about; none for credit.
    pub job_id: Option<JobId>,
    /// When.
    pub at: Timestamp,
    /// The lines.
    pub lines: Vec<LineRow>,
}

/// Books an entry. `fresh` makes ids of accounts that must be opened. The accounts' CHECK refuses an overdraft.
pub async fn post(
    tx: &mut Tx<'_>,
    entry: &Entry,
    (entry_id, job_id): (&JournalEntryId, Option<&JobId>),
    fresh: &(dyn Fn() -> AccountId + Sync),
    now: Timestamp,
) -> Result<(), StoreError> {
    for (line, posting) in (0i64..).zip(entry.postings()) {
        let account_id = account::open(tx, &posting.account, fresh, now).await?;
        sqlx::query("INSERT INTO postings (entry_id, line, account_id, amount_minor) VALUES ($1, $2, $3, $4)")
            .bind(entry_id.as_str())
            .bind(line)
            .bind(account_id.as_str())
            .bind(posting.amount_minor)
            .execute(&mut **tx)
            .await?;
    }
    sqlx::query("INSERT INTO journal_entries (entry_id, kind, currency, job_id, created_at_ms) VALUES ($1, $2, $3, $4, $5)")
        .bind(entry_id.as_str())
        .bind(entry.kind().name())
        .bind(entry.currency().as_str())
        .bind(job_id.map(JobId::as_str))
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[derive(FromRow)]
struct Row {
    position: i64,
    entry_id: String,
    kind: String,
    currency: String,
    job_id: Option<String>,
    created_at_ms: i64,
}

#[derive(FromRow)]
struct Line {
    account_id: String,
    kind: String,
    owner: String,
    currency: String,
    amount_minor: i64,
}

pub(crate) fn entry_kind(name: &str) -> Result<EntryKind, StoreError> {
    [EntryKind::Credit, EntryKind::Hold, EntryKind::Release, EntryKind::Refund]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or(StoreError::Corrupt { what: "entry kind" })
}

async fn with_lines(db: &mut Connection, row: Row) -> Result<EntryRow, StoreError> {
    let corrupt = |what| StoreError::Corrupt { what };
    let lines: Vec<Line> = sqlx::query_as(
        "SELECT postings.account_id, accounts.kind, accounts.owner, accounts.currency, postings.amount_minor \
         FROM postings JOIN accounts ON accounts.account_id = postings.account_id \
         WHERE postings.entry_id = $1 ORDER BY postings.line",
    )
    .bind(&row.entry_id)
    .fetch_all(db)
    .await?;
    let line = |line: Line| {
        Ok(LineRow {
            account_id: line.account_id.parse().map_err(|_| corrupt("account id"))?,
            account: Account {
                kind: account_kind(&line.kind)?,
                owner: line.owner.parse().map_err(|_| corrupt("account owner"))?,
                currency: line.currency.parse().map_err(|_| corrupt("currency"))?,
            },
            amount_minor: line.amount_minor,
        })
    };
    Ok(EntryRow {
        position: row.position,
        entry_id: row.entry_id.parse().map_err(|_| corrupt("entry id"))?,
        kind: entry_kind(&row.kind)?,
        currency: row.currency.parse().map_err(|_| corrupt("currency"))?,
        job_id: row.job_id.map(|id| id.parse()).transpose().map_err(|_| corrupt("job id"))?,
        at: Timestamp(row.created_at_ms),
        lines: lines.into_iter().map(line).collect::<Result<_, StoreError>>()?,
    })
}

/// Entries that `viewer` may see, in the order of booking: those that touch its accounts, and every movement of jobs that it bought or
/// took part in; no viewer sees all. The key of a page is the entry's position.
pub async fn page(
    db: &mut Connection,
    viewer: Option<&Did>,
    job: Option<&JobId>,
    request: &PageRequest,
) -> Result<Page<EntryRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT position, entry_id, kind, currency, job_id, created_at_ms FROM journal_entries AS entry \
         WHERE position > $1 AND ($2 = '' OR job_id = $2) AND ($3 = '' \
             OR EXISTS (SELECT 1 FROM postings JOIN accounts ON accounts.account_id = postings.account_id \
                     WHERE postings.entry_id = entry.entry_id AND accounts.owner = $3) \
             OR EXISTS (SELECT 1 FROM jobs WHERE jobs.job_id = entry.job_id AND jobs.consumer = $3) \
             OR EXISTS (SELECT 1 FROM jobs JOIN agreement_parties ON agreement_parties.agreement_id = jobs.agreement_id \
                        WHERE jobs.job_id = entry.job_id AND agreement_parties.participant = $3)) \
         ORDER BY position LIMIT $4",
    )
    .bind(request.after().parse::<i64>().unwrap_or(0))
    .bind(job.map_or("", JobId::as_str))
    .bind(viewer.map_or("", Did::as_str))
    .bind(request.probe())
    .fetch_all(&mut *db)
    .await?;
    let page = request.page(rows, |row| row.position.to_string());
    let mut items = Vec::with_capacity(page.items.len());
    for row in page.items {
        items.push(with_lines(db, row).await?);
    }
    Ok(Page { items, next: page.next })
}

/// Every entry of a job, in the order of booking.
pub async fn of_job(db: &mut Connection, job: &JobId) -> Result<Vec<EntryRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT position, entry_id, kind, currency, job_id, created_at_ms FROM journal_entries WHERE job_id = $1 ORDER BY position",
    )
    .bind(job.as_str())
    .fetch_all(&mut *db)
    .await?;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows {
        entries.push(with_lines(db, row).await?);
    }
    Ok(entries)
}

/// One entry, for whoever follows money from its id.
pub async fn find(db: &mut Connection, entry_id: &JournalEntryId) -> Result<Option<EntryRow>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT position, entry_id, kind, currency, job_id, created_at_ms FROM journal_entries WHERE entry_id = $1")
            .bind(entry_id.as_str())
            .fetch_optional(&mut *db)
            .await?;
    match row {
        Some(row) => Ok(Some(with_lines(db, row).await?)),
        None => Ok(None),
    }
}
