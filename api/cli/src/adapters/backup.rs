//! Copies of a running exchange below its own data folder: first the database, then the chain, so that the chain holds all that the
//! database calls logged, then the keys.

use async_trait::async_trait;
use entrepot_api_server::backup::{BackupError, Backups};
use entrepot_chain_node::Node;
use entrepot_exchange_store::Store;
use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// Copies into `<data folder>/backups/<name>`, a folder that `entrepot admin restore` reads.
pub struct FolderBackups {
    data_dir: PathBuf,
    database: PathBuf,
    store: Store,
    node: Node,
}

impl FolderBackups {
    /// Of the exchange in this folder, whose database file is `database`.
    pub fn new(data_dir: &Path, database: &Path, store: Store, node: Node) -> Self {
        Self { data_dir: data_dir.to_owned(), database: database.to_owned(), store, node }
    }

    async fn copy(&self, partial: &Path) -> Result<(), BackupError> {
        let file = self.database.file_name().ok_or_else(|| failed(io::Error::other("the database has no file name")))?;
        self.store.backup(&partial.join(file)).await.map_err(failed)?;
        let (node, chain) = (self.node.clone(), partial.join("chain"));
        tokio::task::spawn_blocking(move || node.backup(&chain)).await.map_err(failed)?.map_err(failed)?;
        copy_keys(&self.data_dir.join("keys"), &partial.join("keys")).map_err(failed)
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> BackupError {
    BackupError(Box::new(error))
}

/// A folder that only this user reads: keys go there.
fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Copies with the files' modes.
fn copy_keys(from: &Path, to: &Path) -> io::Result<()> {
    make_private(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let target = to.join(entry.file_name());
            fs::copy(entry.path(), &target)?;
            fs::File::open(target)?.sync_all()?;
        }
    }
    fs::File::open(to)?.sync_all()
}

#[async_trait]
impl Backups for FolderBackups {
    async fn make(&self, name: &str) -> Result<PathBuf, BackupError> {
        let root = self.data_dir.join("backups");
        let (target, partial) = (root.join(name), root.join(format!("{name}.partial")));
        if target.exists() {
            return Ok(target);
        }
        // What an earlier try left is of no use: it has its name only when it is whole.
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        make_private(&partial).map_err(failed)?;
        self.copy(&partial).await?;
        let finish = || {
            fs::File::open(&partial)?.sync_all()?;
            fs::rename(&partial, &target)?;
            fs::File::open(&root)?.sync_all()
        };
        finish().map_err(failed)?;
        Ok(target)
    }
}
