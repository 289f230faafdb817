//! Who decides on blocks, and how that came about.

use super::{
    ChainState,
    shapes::{MembersBody, MembersEpochBody, page, place},
};
use crate::{
    Problem,
    error::ProblemBody,
    extract::QueryOf,
    page::{PageBody, PageQuery},
};
use axum::Json;
use entrepot_exchange_domain::RefusalKind;
use serde::Deserialize;
use utoipa::IntoParams;

/// At which height.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MembersQuery {
    /// Whose block they decide on, from 1; the next block's if absent.
    height: Option<u64>,
}

/// Read who decides on the next block, or on the block of a height.
#[utoipa::path(
    get,
    path = "/v1/chain/members",
    tag = "chain",
    operation_id = "get_chain_members",
    params(MembersQuery),
    responses(
        (status = 200, description = "The members.", body = MembersBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn at(chain: ChainState, QueryOf(query): QueryOf<MembersQuery>) -> Result<Json<MembersBody>, Problem> {
    let missing = || {
        Problem::new(RefusalKind::NotFound, "no_such_height", "who decides on that height is not known yet, or it is 0")
            .hint("a change of the members is known two blocks ahead")
    };
    if query.height == Some(0) {
        return Err(missing());
    }
    Ok(Json(chain.reader.members(query.height).await?.ok_or_else(missing)?.into()))
}

/// List every set of members since the genesis, oldest first, each proved to the set before it: whoever knows the genesis checks them
/// offline.
#[utoipa::path(
    get,
    path = "/v1/chain/members/history",
    tag = "chain",
    operation_id = "list_chain_members",
    params(PageQuery),
    responses(
        (status = 200, description = "A page.", body = PageBody<MembersEpochBody>),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn history(chain: ChainState, QueryOf(query): QueryOf<PageQuery>) -> Result<Json<PageBody<MembersEpochBody>>, Problem> {
    let request = query.request()?;
    let part = chain.reader.members_history(place(&request)?, request.limit).await?;
    Ok(Json(page(part, MembersEpochBody::from)))
}
