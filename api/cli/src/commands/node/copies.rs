//! What keeps a node's folder in order: old blocks go while it runs, copies are made on request (SIGUSR1), and a copy is put in place.

use crate::{
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::Args;
use entrepot_api_server::ambient::SystemClock;
use entrepot_chain_node::{Node, NodeConfig};
use entrepot_exchange_domain::Clock;
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks for blocks that may go.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
const GENESIS_FILE: &str = "genesis.json";
const CHAIN_FOLDER: &str = "chain";

/// Removes all blocks but the newest so many, now and every hour. What they proved stays provable.
pub async fn prune(node: Node, keep_blocks: u64) {
    loop {
        let pruned = node.clone();
        match tokio::task::spawn_blocking(move || pruned.prune(keep_blocks)).await {
            Ok(Ok(first)) => tracing::info!(first, "the chain keeps its blocks from this height on"),
            Ok(Err(error)) => tracing::error!(%error, "old blocks cannot be removed"),
            Err(error) => tracing::error!(%error, "the removal of old blocks panicked"),
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// Makes a copy below `backups` for each SIGUSR1: the chain and the genesis, no keys and no consensus log.
pub async fn copy_on_request(node: Node, backups: PathBuf) {
    let Ok(mut requests) = signal(SignalKind::user_defined1()) else { return tracing::error!("SIGUSR1 cannot be heard") };
    while requests.recv().await.is_some() {
        let (copied, backups) = (node.clone(), backups.clone());
        match tokio::task::spawn_blocking(move || copy(&copied, &backups)).await {
            Ok(Ok(path)) => tracing::info!(path = %path.display(), "a copy of the chain is made"),
            Ok(Err(error)) => tracing::error!(%error, "no copy of the chain could be made"),
            Err(error) => tracing::error!(%error, "the copying of the chain panicked"),
        }
    }
}

/// Renamed into place when it is whole.
fn copy(node: &Node, backups: &Path) -> anyhow::Result<PathBuf> {
    let name = format!("{}-{}", node.head().height, files::now().0);
    let (partial, whole) = (backups.join(format!("{name}.partial")), backups.join(name));
    files::make_private_folder(&partial).map_err(|failure| anyhow::anyhow!(failure.to_string()))?;
    node.backup(&partial.join(CHAIN_FOLDER))?;
    fs::write(partial.join(GENESIS_FILE), serde_json::to_vec_pretty(node.genesis())?)?;
    fs::File::open(partial.join(GENESIS_FILE))?.sync_all()?;
    fs::rename(&partial, &whole)?;
    fs::File::open(backups)?.sync_all()?;
    Ok(whole)
}

#[derive(Args)]
pub struct Restore {
    /// A folder that a running node made, on SIGUSR1, below its `backups`.
    #[arg(long, value_name = "DIR")]
    backup: PathBuf,
    /// The new data folder; must not exist.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The node's keys, as for `entrepot node`.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
}

/// Puts a copy into a new folder and replays it with every signature. The node that starts there follows the others first: it may have
/// signed since the copy was made.
pub async fn restore(arguments: &Restore, output: &Output) -> Outcome {
    let Restore { backup, data_dir, keys } = arguments;
    if data_dir.exists() {
        return Err(Failure::bad_input(format!("{} exists: name a new folder", data_dir.display())));
    }
    let genesis = crate::consortium::read_genesis(&backup.join(GENESIS_FILE))?;
    files::make_private_folder(data_dir)?;
    let consensus = data_dir.join("consensus");
    files::make_private_folder(&consensus)?;
    files::write_public(&consensus.join("rejoining"), b"")?;
    let keys = super::node_keys(keys, data_dir)?;
    let config = NodeConfig { path: data_dir.join(CHAIN_FOLDER), genesis, clock: Arc::new(|| SystemClock.now()) };
    let verified = entrepot_chain_node::restore(&backup.join(CHAIN_FOLDER), config, &keys).await.map_err(anyhow::Error::from)?;
    output.result(
        &format!(
            "blocks {} to {} are checked and in place; the node follows the others before it votes again",
            verified.first, verified.last
        ),
        &json!({"first": verified.first.to_string(), "last": verified.last.to_string(), "data_dir": data_dir}),
    );
    Ok(())
}
