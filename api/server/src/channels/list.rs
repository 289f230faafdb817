//! Which channels are served here.

use super::{Channel, Channels};
use crate::{Problem, chain::ChainError, error::ProblemBody};
use axum::{Extension, Json};
use entrepot_exchange_domain::RefusalKind;
use serde::Serialize;
use utoipa::ToSchema;

/// The channels.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelList)]
pub(super) struct ListBody {
    /// All of them. The first is the one that `/v1/chain` and `/v1/log` are about.
    items: Vec<ChannelBody>,
}

/// A channel, and where this node stands in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Channel)]
pub(super) struct ChannelBody {
    /// Its name in paths.
    channel: String,
    /// The name of its log.
    origin: String,
    /// Digest of its genesis: its identity.
    genesis: String,
    /// Of its last block, decimal; 0 before the first.
    height: String,
    /// Entries of its log, decimal.
    log_size: String,
    /// How many members decide on its next block.
    members: usize,
    /// `validator` if this node is one of them, else `follower`.
    role: &'static str,
    /// Why it answers no submissions any more; absent while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// List the channels that are served here. All that is said of `/v1/chain` and `/v1/log` holds of each below `/v1/channels/{channel}`;
/// streams and submissions are counted over all of them together.
#[utoipa::path(
    get,
    path = "/v1/channels",
    tag = "channels",
    operation_id = "list_channels",
    responses(
        (status = 200, description = "The channels.", body = ListBody),
        (status = "default", description = "Refused.", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn handler(channels: Option<Extension<Channels>>) -> Result<Json<ListBody>, Problem> {
    let Some(Extension(channels)) = channels else {
        return Err(Problem::new(RefusalKind::Unavailable, "chain_not_served", "no chain is read here")
            .hint("ask the operator to connect the node"));
    };
    let mut items = Vec::new();
    for channel in channels.iter() {
        items.push(told(channel).await?);
    }
    Ok(Json(ListBody { items }))
}

async fn told(channel: &Channel) -> Result<ChannelBody, ChainError> {
    let reader = channel.chain.reader();
    let (head, health) = (reader.head().await?, reader.health().await?);
    let members = reader.members(None).await?;
    let last = head.last.map(|block| block.header);
    Ok(ChannelBody {
        channel: channel.name.clone(),
        origin: head.origin,
        genesis: head.genesis.to_string(),
        height: last.as_ref().map_or(0, |header| header.height).to_string(),
        log_size: last.as_ref().map_or(0, |header| header.log_size).to_string(),
        members: members.map_or(0, |at| at.members.count()),
        role: if health.member.is_some() { "validator" } else { "follower" },
        failure: health.failure,
    })
}
