//! The open channels, as REST serves them.

use super::{NodeChain, Strangers, chain::Connected};
use crate::channels::Channel;
use entrepot_api_server::{
    chain::{ChainLimits, ChainState, Submissions},
    channels::{Channel as Served, Channels},
    log::LogState,
};
use entrepot_chain_node::Mesh;
use std::{collections::BTreeSet, sync::Arc};
use tokio_util::sync::CancellationToken;

/// The first of these and the others beside it: what strangers may hold is counted over all of them. None if there is none.
pub fn served(channels: &[Channel], mesh: Option<&Arc<Mesh>>, submissions: Submissions, stop: CancellationToken) -> Option<Channels> {
    let (first, others) = channels.split_first()?;
    let mesh = mesh.cloned();
    // Nobody is connected to a channel's only member.
    let connected: Connected = Arc::new(move || mesh.as_ref().map_or_else(BTreeSet::new, |mesh| mesh.connected()));
    let reader = NodeChain::new(first.node.clone(), connected, Strangers::Refused);
    let state = ChainState::new(Arc::new(reader.clone()), submissions, ChainLimits::default(), stop);
    let others: Vec<Served> = others
        .iter()
        .map(|channel| {
            let reader = Arc::new(reader.beside(channel.node.clone()));
            Served { name: channel.name.clone(), chain: state.beside(reader.clone()), log: LogState::new(reader) }
        })
        .collect();
    let first = Served { name: first.name.clone(), chain: state, log: LogState::new(Arc::new(reader)) };
    Some(Channels::new(first, others))
}
