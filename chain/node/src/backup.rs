//! Copies of a node's folder, taken while it runs, and put in place of a lost one.
//!
//! A backup older than what was acknowledged since is a rollback: the leaves in between are gone, and witnesses refuse to cosign the log
//! until it has passed, consistently, what they saw. Whoever submitted must submit again what its own records say is logged.

use crate::{Node, NodeConfig, NodeError, NodeKeys, Verified, shared::Shared, store::Reads, writer::blocking};
use rocksdb::checkpoint::Checkpoint;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

impl Node {
    /// Copies the whole chain to a new folder without stopping. Files that never change are linked where the file system allows.
    pub fn backup(&self, target: &Path) -> Result<(), NodeError> {
        if target.exists() {
            return Err(NodeError::Exists(target.to_owned()));
        }
        let checkpoint = Checkpoint::new(self.store().db()).map_err(NodeError::database("preparing a backup"))?;
        checkpoint.create_checkpoint(target).map_err(NodeError::database("writing a backup"))
    }
}

/// Puts a copy of a backup into a new folder and replays it: a damaged backup is refused. Must run inside tokio.
pub async fn restore(backup: &Path, config: NodeConfig, keys: &NodeKeys) -> Result<Verified, NodeError> {
    if config.path.exists() {
        return Err(NodeError::Exists(config.path));
    }
    let (backup, keys) = (backup.to_owned(), keys.clone());
    blocking(move || {
        copy_folder(&backup, &config.path)?;
        let (shared, _) = Shared::open(config, keys, false, Reads::Apart)?;
        shared.verify_all()
    })
    .await?
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), NodeError> {
    let failed = |path: &Path| {
        let path: PathBuf = path.to_owned();
        move |source| NodeError::Copy { path, source: Arc::new(source) }
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        // RocksDB's folder is flat; its lock file is made anew.
        if entry.file_type().map_err(failed(&entry.path()))?.is_file() && entry.file_name() != "LOCK" {
            let target = to.join(entry.file_name());
            fs::copy(entry.path(), &target).map_err(failed(&entry.path()))?;
            fs::File::open(&target).and_then(|file| file.sync_all()).map_err(failed(&target))?;
        }
    }
    fs::File::open(to).and_then(|folder| folder.sync_all()).map_err(failed(to))
}
