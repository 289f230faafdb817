//! Entries of the journal.

use crate::{
    AppState, Caller, Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::State};
use entrepot_chain_statement::{Timestamp, ids::JobId};
use entrepot_exchange_domain::{RefusalKind, journal::AccountKind};
use entrepot_exchange_store::journal::{self, EntryRow, LineRow};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which entries.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct JournalQuery {
    /// Entries of this job alone.
    job: Option<String>,
    /// Items wanted, 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A movement of money. Its postings sum to zero.
#[derive(Serialize, ToSchema)]
pub(super) struct JournalEntry {
    /// The entry.
    entry_id: String,
    /// `credit`, `hold`, `release` or `refund`.
    kind: &'static str,
    /// Three letters; of every posting.
    currency: String,
    /// The job it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
    /// The lines.
    postings: Vec<Posting>,
    /// Milliseconds since the epoch.
    #[schema(value_type = String)]
    at: Timestamp,
}

/// One line of an entry.
#[derive(Serialize, ToSchema)]
pub(super) struct Posting {
    /// `available:<did>`, `escrow` or `issuance`.
    account: String,
    /// Minor units, decimal; positive adds to what the account's owner may claim.
    amount_minor: String,
}

impl From<LineRow> for Posting {
    fn from(line: LineRow) -> Self {
        let account = match line.account.kind {
            AccountKind::Available => format!("available:{}", line.account.owner),
            own => own.name().to_owned(),
        };
        Self { account, amount_minor: line.amount_minor.to_string() }
    }
}

impl From<EntryRow> for JournalEntry {
    fn from(row: EntryRow) -> Self {
        Self {
            entry_id: row.entry_id.to_string(),
            kind: row.kind.name(),
            currency: row.currency.to_string(),
            job_id: row.job_id.map(|job| job.to_string()),
            postings: row.lines.into_iter().map(Posting::from).collect(),
            at: row.at,
        }
    }
}

/// List movements of money, oldest first: those on your accounts, and all of jobs that you bought or take part in.
#[utoipa::path(
    get,
    path = "/v1/journal",
    tag = "books",
    operation_id = "list_journal",
    params(JournalQuery),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page.", body = PageBody<JournalEntry>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(
    State(app): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<JournalQuery>,
) -> Result<Json<PageBody<JournalEntry>>, Problem> {
    let job: Option<JobId> = query
        .job
        .as_deref()
        .map(|text| text.parse().map_err(|_| Problem::new(RefusalKind::Invalid, "invalid_query", "`job` is not the id of a job")))
        .transpose()?;
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.request()?;
    let found = journal::page(&mut *app.market.store.reader().await?, caller.viewer(), job.as_ref(), &page).await?;
    Ok(Json(found.map(JournalEntry::from).into()))
}
