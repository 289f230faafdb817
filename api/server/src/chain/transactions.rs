//! Transactions, by hash, by whom they concern, by what they are about, and by time.

use super::{
    ChainState, Part, TransactionSearch,
    shapes::{TransactionBody, page, place},
};
use crate::{
    Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::Path};
use entrepot_chain_statement::{Hash, Timestamp};
use entrepot_exchange_domain::RefusalKind;
use serde::Deserialize;
use std::str::FromStr;
use utoipa::IntoParams;

/// Which transactions. Every condition must hold.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// did:key of whoever submitted them or is bound by them.
    subject: Option<String>,
    /// The leaf they are about: 64 hexadecimal digits.
    leaf: Option<String>,
    /// In blocks from this moment on: milliseconds since the epoch.
    since: Option<i64>,
    /// Items wanted, 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List decided transactions, newest first. A page may have fewer items than were asked for, even none, and still name a next one.
#[utoipa::path(
    get,
    path = "/v1/chain/transactions",
    tag = "chain",
    operation_id = "list_chain_transactions",
    params(SearchQuery),
    responses(
        (status = 200, description = "A page.", body = PageBody<TransactionBody>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(chain: ChainState, QueryOf(query): QueryOf<SearchQuery>) -> Result<Json<PageBody<TransactionBody>>, Problem> {
    let subject = given(query.subject.as_deref(), "`subject` is no did:key")?;
    let leaf = given(query.leaf.as_deref(), "`leaf` has 64 lower-case hexadecimal digits")?;
    let request = PageQuery { limit: query.limit, cursor: query.cursor }.request()?;
    let before = place(&request)?;
    let from_height = match query.since {
        None => Some(1),
        Some(time) => chain.reader.first_block_since(Timestamp(time)).await?,
    };
    let part = match from_height {
        None => Part::empty(),
        Some(from_height) => chain.reader.transactions(&TransactionSearch { subject, leaf, from_height }, before, request.limit).await?,
    };
    Ok(Json(page(part, TransactionBody::short)))
}

fn given<T: FromStr>(text: Option<&str>, wrong: &str) -> Result<Option<T>, Problem> {
    text.map(|text| text.parse().map_err(|_| Problem::new(RefusalKind::Invalid, "invalid_query", wrong))).transpose()
}

/// Read a transaction and what became of it.
#[utoipa::path(
    get,
    path = "/v1/chain/transactions/{hash}",
    tag = "chain",
    operation_id = "get_chain_transaction",
    params(("hash" = String, Path, description = "The transaction's hash: 64 hexadecimal digits.")),
    responses(
        (status = 200, description = "The transaction.", body = TransactionBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(chain: ChainState, Path(hash): Path<String>) -> Result<Json<TransactionBody>, Problem> {
    let missing = || {
        Problem::new(RefusalKind::NotFound, "no_such_transaction", "no block has this transaction, and it does not wait here")
            .hint("one that was handed in at another node is known here once it is decided")
    };
    let hash: Hash = hash.parse().map_err(|_| missing())?;
    Ok(Json(chain.reader.transaction(&hash).await?.ok_or_else(missing)?.into()))
}
