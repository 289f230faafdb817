//! Who misbehaved.

use super::{
    ChainState,
    shapes::{EvidenceBody, page, place},
};
use crate::{
    Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::Json;

/// List proofs that members signed what contradicts itself, newest first, as far as this node saw it.
#[utoipa::path(
    get,
    path = "/v1/chain/evidence",
    tag = "chain",
    operation_id = "list_chain_evidence",
    params(PageQuery),
    responses(
        (status = 200, description = "A page.", body = PageBody<EvidenceBody>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(chain: ChainState, QueryOf(query): QueryOf<PageQuery>) -> Result<Json<PageBody<EvidenceBody>>, Problem> {
    let request = query.request()?;
    let part = chain.reader.evidence(place(&request)?, request.limit).await?;
    Ok(Json(page(part, EvidenceBody::from)))
}
