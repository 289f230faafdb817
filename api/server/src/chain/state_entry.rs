//! What the state has at a key, with the proof.

use super::{
    ChainState,
    blocks::no_block,
    shapes::{base64, header_base64},
};
use crate::{Problem, error::ProblemBody, extract::QueryOf};
use axum::{Json, extract::Path};
use entrepot_chain_statement::Hash;
use entrepot_exchange_domain::RefusalKind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// After which block.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StateQuery {
    /// Its height, from 1; the last if absent.
    height: Option<u64>,
}

/// What the state has at a key after a block, or the proof that it has nothing there.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainStateEntry)]
pub(super) struct StateBody {
    /// The key.
    key: String,
    /// Height of the block, decimal.
    height: String,
    /// The entry's encoding, base64; absent if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Encoded proof of presence or absence under the header's state root, base64.
    proof: String,
    /// The block's header, base64.
    header: String,
    /// The block's certificate, base64.
    certificate: String,
}

/// Read what the state has at a key, with a proof for whoever knows the block's members; that there is nothing is proved as well.
#[utoipa::path(
    get,
    path = "/v1/chain/state/{key}",
    tag = "chain",
    operation_id = "get_chain_state",
    params(("key" = String, Path, description = "Hash of the entry's kind and name: 64 hexadecimal digits."), StateQuery),
    responses(
        (status = 200, description = "The entry or its absence, proved.", body = StateBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(
    chain: ChainState,
    Path(key): Path<String>,
    QueryOf(query): QueryOf<StateQuery>,
) -> Result<Json<StateBody>, Problem> {
    let key: Hash = key.parse().map_err(|wrong: &str| Problem::new(RefusalKind::Invalid, "invalid_state_key", wrong))?;
    let entry = chain.reader.state(&key, query.height).await?.ok_or_else(no_block)?;
    Ok(Json(StateBody {
        key: key.to_string(),
        height: entry.header.height.to_string(),
        value: entry.value.as_deref().map(base64),
        proof: base64(&entry.proof),
        header: header_base64(&entry.header),
        certificate: base64(&entry.certificate.encode()),
    }))
}
