//! Blocks, their certificates and their transactions.

use super::{
    BlockName, BlockRecord, ChainState,
    shapes::{BlockBody, CertificateBody, TransactionBody, page, place},
};
use crate::{
    Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::{Json, extract::Path};
use entrepot_chain_statement::Timestamp;
use entrepot_exchange_domain::RefusalKind;
use serde::Deserialize;
use utoipa::IntoParams;

/// List blocks, newest first.
#[utoipa::path(
    get,
    path = "/v1/chain/blocks",
    tag = "chain",
    operation_id = "list_blocks",
    params(PageQuery),
    responses(
        (status = 200, description = "A page.", body = PageBody<BlockBody>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(chain: ChainState, QueryOf(query): QueryOf<PageQuery>) -> Result<Json<PageBody<BlockBody>>, Problem> {
    let request = query.request()?;
    let part = chain.reader.blocks(place(&request)?, request.limit).await?;
    Ok(Json(page(part, BlockBody::from)))
}

/// Since when.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SinceQuery {
    /// Milliseconds since the epoch.
    time: i64,
}

/// Read the first block at or after a moment.
#[utoipa::path(
    get,
    path = "/v1/chain/blocks/since",
    tag = "chain",
    operation_id = "find_block_since",
    params(SinceQuery),
    responses(
        (status = 200, description = "The block.", body = BlockBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn first_since(chain: ChainState, QueryOf(query): QueryOf<SinceQuery>) -> Result<Json<BlockBody>, Problem> {
    let height = chain.reader.first_block_since(Timestamp(query.time)).await?.ok_or_else(no_block)?;
    let block = chain.reader.block(BlockName::Height(height)).await?;
    Ok(Json(block.ok_or_else(no_block)?.into()))
}

/// Read a block by its height or its hash.
#[utoipa::path(
    get,
    path = "/v1/chain/blocks/{block}",
    tag = "chain",
    operation_id = "get_block",
    params(("block" = String, Path, description = "Height, from 1, or the header's hash: 64 hexadecimal digits.")),
    responses(
        (status = 200, description = "The block.", body = BlockBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(chain: ChainState, Path(block): Path<String>) -> Result<Json<BlockBody>, Problem> {
    Ok(Json(found(&chain, &block).await?.into()))
}

/// Read the signatures that decided on a block.
#[utoipa::path(
    get,
    path = "/v1/chain/blocks/{block}/certificate",
    tag = "chain",
    operation_id = "get_block_certificate",
    params(("block" = String, Path, description = "Height or hash of the block.")),
    responses(
        (status = 200, description = "The certificate.", body = CertificateBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn certificate(chain: ChainState, Path(block): Path<String>) -> Result<Json<CertificateBody>, Problem> {
    let height = found(&chain, &block).await?.header.height;
    Ok(Json(chain.reader.certificate(height).await?.ok_or_else(no_block)?.into()))
}

/// List the transactions of a block in their order, those that were rejected among them.
#[utoipa::path(
    get,
    path = "/v1/chain/blocks/{block}/transactions",
    tag = "chain",
    operation_id = "list_block_transactions",
    params(("block" = String, Path, description = "Height or hash of the block."), PageQuery),
    responses(
        (status = 200, description = "A page.", body = PageBody<TransactionBody>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn transactions(
    chain: ChainState,
    Path(block): Path<String>,
    QueryOf(query): QueryOf<PageQuery>,
) -> Result<Json<PageBody<TransactionBody>>, Problem> {
    let request = query.request()?;
    let from = place(&request)?.unwrap_or(0);
    let height = found(&chain, &block).await?.header.height;
    let part = chain.reader.transactions_of(height, from, request.limit).await?;
    Ok(Json(page(part, TransactionBody::from)))
}

async fn found(chain: &ChainState, text: &str) -> Result<BlockRecord, Problem> {
    // A hash first: 64 digits may all be decimal.
    let name = match (text.parse(), text.parse()) {
        (Ok(hash), _) => BlockName::Hash(hash),
        (_, Ok(height)) => BlockName::Height(height),
        _ => return Err(no_block()),
    };
    chain.reader.block(name).await?.ok_or_else(no_block)
}

/// There is no such block.
pub(super) fn no_block() -> Problem {
    Problem::new(RefusalKind::NotFound, "no_such_block", "the chain has no such block, or not yet")
        .hint("/v1/chain/head names the last one")
}
