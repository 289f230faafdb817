//! What keeps a node's folder in order: old blocks go while it runs, copies are made on request (SIGUSR1), and copies are put in place.

use crate::{
    channels::{self, Channel},
    exit::{Failure, Outcome},
    files,
    output::Output,
};
use clap::Args;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks for blocks that may go.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Removes all blocks of each channel but the newest so many, now and every hour. What they proved stays provable.
pub async fn prune(channels: Vec<Channel>, keep_blocks: u64) {
    loop {
        for Channel { name, node, .. } in &channels {
            let pruned = node.clone();
            match tokio::task::spawn_blocking(move || pruned.prune(keep_blocks)).await {
                Ok(Ok(first)) => tracing::info!(channel = name, first, "the chain keeps its blocks from this height on"),
                Ok(Err(error)) => tracing::error!(channel = name, %error, "old blocks cannot be removed"),
                Err(error) => tracing::error!(channel = name, %error, "the removal of old blocks panicked"),
            }
        }
        tokio::time::sleep(PRUNE_EVERY).await;
    }
}

/// Makes a copy of each channel below `backups` for each SIGUSR1.
pub async fn copy_on_request(channels: Vec<Channel>, backups: PathBuf) {
    let Ok(mut requests) = signal(SignalKind::user_defined1()) else { return tracing::error!("SIGUSR1 cannot be heard") };
    while requests.recv().await.is_some() {
        for channel in &channels {
            let (copied, folder) = (channel.clone(), backups.join(&channel.name));
            match tokio::task::spawn_blocking(move || copy(&copied, &folder)).await {
                Ok(Ok(path)) => tracing::info!(channel = channel.name, path = %path.display(), "a copy of the chain is made"),
                Ok(Err(error)) => tracing::error!(channel = channel.name, %error, "no copy of the chain could be made"),
                Err(error) => tracing::error!(channel = channel.name, %error, "the copying of the chain panicked"),
            }
        }
    }
}

/// Renamed into place when it is whole.
fn copy(channel: &Channel, folder: &Path) -> anyhow::Result<PathBuf> {
    let name = format!("{}-{}", channel.node.head().height, files::now().0);
    let (partial, whole) = (folder.join(format!("{name}.partial")), folder.join(name));
    channel.copy(&partial)?;
    fs::rename(&partial, &whole)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(whole)
}

#[derive(Args)]
pub struct Restore {
    /// A copy of one channel, which a running node made on SIGUSR1: a folder `backups/CHANNEL/HEIGHT-TIME` of its data folder. Once for each
    /// channel that is to be put back.
    #[arg(long = "backup", value_name = "DIR", required = true)]
    backups: Vec<PathBuf>,
    /// The data folder; made if it is missing. It must not have these channels.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The node's keys, as for `entrepot node`.
    #[arg(long, value_name = "DIR")]
    keys: PathBuf,
}

/// Puts copies into place, one after the other, and replays each with every signature.
pub async fn restore(arguments: &Restore, output: &Output) -> Outcome {
    let Restore { backups, data_dir, keys } = arguments;
    let keys = super::seat_keys(keys)?;
    let (mut lines, mut documents): (Vec<String>, Vec<Value>) = Default::default();
    for backup in backups {
        let restored = channels::restore(backup, data_dir, &keys).await;
        let restored = restored.map_err(|failure| Failure::new(failure.code, format!("{}: {}", backup.display(), failure.message)))?;
        let (name, verified, alone) = (restored.name, restored.verified, restored.config.genesis.members.len() == 1);
        let next = if alone {
            "what it logged since is lost: found a new channel if anybody was told of it, because this one would now log something else"
        } else {
            "the node follows the others before it votes again"
        };
        lines.push(format!("{name}: blocks {} to {} are checked and in place; {next}", verified.first, verified.last));
        documents.push(json!({"channel": name, "first": verified.first.to_string(), "last": verified.last.to_string()}));
    }
    output.result(&lines.join("\n"), &json!({"channels": documents, "data_dir": data_dir}));
    Ok(())
}
