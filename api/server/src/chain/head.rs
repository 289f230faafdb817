//! Where the chain stands, how it began, and how this node fares.

use super::{ChainState, records::Connection, shapes::BlockBody};
use crate::{Problem, error::ProblemBody};
use axum::Json;
use entrepot_chain_log::Genesis;
use serde::Serialize;
use utoipa::ToSchema;

/// Where a chain stands.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainHead)]
pub(super) struct HeadBody {
    /// The log's name.
    origin: String,
    /// Digest of the genesis: the channel's identity.
    genesis: String,
    /// Of the last block, decimal; 0 before the first.
    height: String,
    /// The oldest block that this node keeps with its transactions, decimal.
    first_height: String,
    /// The last block; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<BlockBody>,
}

/// Read where the chain stands.
#[utoipa::path(
    get,
    path = "/v1/chain/head",
    tag = "chain",
    operation_id = "get_chain_head",
    responses(
        (status = 200, description = "The head.", body = HeadBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn head(chain: ChainState) -> Result<Json<HeadBody>, Problem> {
    let head = chain.reader.head().await?;
    Ok(Json(HeadBody {
        origin: head.origin,
        genesis: head.genesis.to_string(),
        height: head.last.as_ref().map_or(0, |block| block.header.height).to_string(),
        first_height: head.first_height.to_string(),
        block: head.last.map(BlockBody::from),
    }))
}

/// Read how the channel began: the genesis file. Compare its digest with one that you know from elsewhere.
#[utoipa::path(
    get,
    path = "/v1/chain/genesis",
    tag = "chain",
    operation_id = "get_chain_genesis",
    responses(
        (status = 200, description = "The genesis, `entrepot.genesis.v1`.", body = Object),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn genesis(chain: ChainState) -> Result<Json<Genesis>, Problem> {
    Ok(Json(chain.reader.genesis().await?))
}

/// How a node fares.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainHealth)]
pub(super) struct HealthBody {
    /// Of its last block, decimal.
    height: String,
    /// did:key of the member whose validator it is; absent if it is nobody's, or not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
    /// Its member does not vote for the moment: it cannot know what it signed, and follows the others past it.
    following: bool,
    /// Why it answers no submissions any more; absent while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// How many of `peers` it is connected to.
    peers_connected: usize,
    /// The other members, as this node sees them.
    peers: Vec<PeerBody>,
}

/// Another member, as a node sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainPeer)]
pub(super) struct PeerBody {
    /// did:key of the organisation.
    member: String,
    /// For people.
    name: String,
    /// Whether there is a connection to its node.
    connected: bool,
    /// The last height that it spoke of, decimal; absent if it never did.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<String>,
}

/// Read how this node fares and which members it is connected to.
#[utoipa::path(
    get,
    path = "/v1/chain/health",
    tag = "chain",
    operation_id = "get_chain_health",
    responses(
        (status = 200, description = "The node's health.", body = HealthBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn health(chain: ChainState) -> Result<Json<HealthBody>, Problem> {
    let health = chain.reader.health().await?;
    let peers: Vec<PeerBody> = health
        .peers
        .into_iter()
        .map(|peer| PeerBody {
            member: peer.member.to_string(),
            name: peer.name,
            connected: peer.connection == Connection::Open,
            height: peer.height.map(|height| height.to_string()),
        })
        .collect();
    Ok(Json(HealthBody {
        height: health.height.to_string(),
        member: health.member.map(|member| member.to_string()),
        following: health.following,
        failure: health.failure,
        peers_connected: peers.iter().filter(|peer| peer.connected).count(),
        peers,
    }))
}
