//! Seats in channels of several members, from settings: our keys, and where the others are. All channels share the links.

use crate::{
    channels::{ChannelSet, SeatKeys, one_or_more},
    exit::Failure,
    files,
};
use entrepot_chain_log::consortium::{Genesis, Member};
use entrepot_chain_node::{ConsortiumConfig, Mesh, MeshConfig, NodeKeys, Past, Seat, timeouts};
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
    /// The files that founded the channels; one, or a list.
    #[serde(deserialize_with = "one_or_more")]
    pub genesis: Vec<PathBuf>,
    /// Where other members dial us.
    #[serde(default = "listen_default")]
    pub listen: SocketAddr,
    /// The other members.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// Follow the others past everything that this member may have signed before, then vote again: in all channels, or in those named.
    #[serde(default)]
    pub rejoin: ChannelSet,
    /// This member's keys are new: they never signed anything, in all channels or in those named. At the first start alone.
    #[serde(default)]
    pub founding: ChannelSet,
}

/// Another member.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// Its organisation; its node is dialled under the key that the ledger knows of it.
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

/// Opens the links, over which every channel of these geneses speaks.
pub async fn links(settings: &ConsortiumSettings, geneses: &[&Genesis], keys: &SeatKeys) -> Result<Arc<Mesh>, Failure> {
    let founders = || geneses.iter().flat_map(|genesis| &genesis.members);
    let peers: BTreeMap<Did, String> = settings.peers.iter().map(|peer| (peer.member.clone(), peer.address.clone())).collect();
    let ours = |member: &&Member| member.keys.consensus == keys.consensus.did();
    let missing = founders().filter(|member| !ours(member) && !peers.contains_key(&member.did));
    missing.for_each(|member| tracing::warn!(member = %member.did, name = member.name, "`peers` does not say where this member is"));
    let key = SigningKey::from_seed(&keys.transport.seed());
    let mesh = Mesh::start(MeshConfig { key, listen: settings.listen, peers }).await;
    let mesh = Arc::new(mesh.map_err(|error| Failure::bad_input(format!("{:#}", anyhow::Error::from(error))))?);
    tracing::info!(address = %mesh.address(), "other members are heard");
    Ok(mesh)
}

/// A seat that is taken as soon as the node opens. `folder` holds the consensus log, outside of what backups hold.
pub fn seat(mesh: &Arc<Mesh>, genesis: &Genesis, keys: &NodeKeys, folder: PathBuf, past: Past) -> Seat {
    let config = ConsortiumConfig {
        genesis: genesis.digest(),
        key: SigningKey::from_seed(&keys.consensus.seed()),
        folder,
        timeouts: timeouts(PROPOSE_TIMEOUT, VOTE_TIMEOUT),
        past,
    };
    Seat::new(config, mesh.clone(), keys.cosigning.did())
}

/// Refuses keys that the genesis knows in part: the others would not understand this node.
pub fn check_keys(genesis: &Genesis, keys: &SeatKeys) -> Result<(), Failure> {
    match genesis.members.iter().find(|member| member.keys.consensus == keys.consensus.did()) {
        Some(member) if (&member.keys.cosigning, &member.keys.transport) != (&keys.cosigning.did(), &keys.transport.did()) => {
            Err(Failure::bad_input(format!("{} stands in the genesis with other cosigning or transport keys than these", member.name)))
        }
        Some(_) => Ok(()),
        None => {
            let origin = &genesis.origin;
            tracing::warn!(origin, "the genesis names no member with these keys: the node follows once the members have let it in");
            Ok(())
        }
    }
}
