//! A seat in a channel of several members, from settings: the genesis, our keys, and where the others are.

use crate::{exit::Failure, files};
use entrepot_chain_log::consortium::Genesis;
use entrepot_chain_node::{ConsortiumConfig, Mesh, MeshConfig, NodeKeys, Seat, timeouts};
use entrepot_chain_statement::{Did, SigningKey};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How long a round waits for its proposal, and for votes. Members on one network answer in milliseconds; a block of the largest size takes
/// a few hundred to check.
const PROPOSE_TIMEOUT: Duration = Duration::from_millis(600);
const VOTE_TIMEOUT: Duration = Duration::from_millis(300);

/// Where the others are, and where they find us.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsortiumSettings {
    /// The file that founded the channel.
    pub genesis: PathBuf,
    /// Where other members dial us.
    #[serde(default = "listen_default")]
    pub listen: SocketAddr,
    /// The other members.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// Follow the others past everything that this member may have signed before, then vote again.
    #[serde(default)]
    pub rejoin: bool,
}

/// Another member.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its organisation, if it is a member by the genesis; else the transport key of its node.
    pub member: Did,
    /// `host:port` of its node.
    pub address: String,
}

pub fn listen_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7800))
}

/// Reads a genesis file.
pub fn read_genesis(path: &Path) -> Result<Genesis, Failure> {
    let wrong = |error| Failure::bad_input(format!("{} is no genesis: {:#}", path.display(), anyhow::Error::from(error)));
    Genesis::from_json(&files::read(path)?).map_err(wrong)
}

/// Opens the links, and takes the seat as soon as the node opens. `folder` holds the consensus log, outside of what backups hold.
pub async fn seat(
    settings: &ConsortiumSettings,
    genesis: &Genesis,
    keys: &NodeKeys,
    folder: PathBuf,
) -> Result<(Seat, Arc<Mesh>), Failure> {
    let copy = |key: &SigningKey| SigningKey::from_seed(&key.seed());
    let ours = genesis.members.iter().find(|member| member.keys.consensus == keys.consensus.did());
    match ours {
        Some(member) if (&member.keys.cosigning, &member.keys.transport) != (&keys.cosigning.did(), &keys.transport.did()) => {
            return Err(Failure::bad_input(format!(
                "{} stands in the genesis with other cosigning or transport keys than these",
                member.name
            )));
        }
        Some(_) => {}
        None => tracing::warn!("the genesis names no member with these keys: the node follows once the members have let it in"),
    }
    let transport = |peer: &Peer| {
        let member = genesis.members.iter().find(|member| member.did == peer.member);
        member.map_or_else(|| peer.member.clone(), |member| member.keys.transport.clone())
    };
    let peers: BTreeMap<Did, String> = settings.peers.iter().map(|peer| (transport(peer), peer.address.clone())).collect();
    let missing = genesis
        .members
        .iter()
        .filter(|member| member.keys.transport != keys.transport.did() && !peers.contains_key(&member.keys.transport));
    missing.for_each(|member| tracing::warn!(member = %member.did, name = member.name, "`peers` does not say where this member is"));
    let mesh = Mesh::start(MeshConfig { key: copy(&keys.transport), listen: settings.listen, peers }).await;
    let mesh = Arc::new(mesh.map_err(|error| Failure::bad_input(format!("{:#}", anyhow::Error::from(error))))?);
    let config = ConsortiumConfig {
        genesis: genesis.digest(),
        key: copy(&keys.consensus),
        folder,
        timeouts: timeouts(PROPOSE_TIMEOUT, VOTE_TIMEOUT),
        rejoin: settings.rejoin,
    };
    tracing::info!(address = %mesh.address(), members = genesis.members.len(), "other members are heard");
    Ok((Seat::new(config, mesh.clone(), keys.cosigning.did()), mesh))
}
