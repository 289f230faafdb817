//! Copies of a running exchange below its own data folder: first the database, then the chain, so that the chain holds all that the
//! database calls logged, then the keys.

use crate::exit::Failure;
use async_trait::async_trait;
use entrepot_api_server::backup::{BackupError, Backups};
use entrepot_chain_node::Node;
use entrepot_exchange_store::Store;
use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Mutex;

/// How an unfinished copy's folder ends.
const PARTIAL: &str = ".partial";

/// Copies into `<data folder>/backups/<name>`, a folder that `entrepot admin restore` reads. One copy at a time, and each goes on to its end
/// whether or not anybody waits for it: a request may not last as long.
pub struct FolderBackups(Arc<Folder>);

struct Folder {
    data_dir: PathBuf,
    database: PathBuf,
    store: Store,
    node: Node,
    copying: Mutex<()>,
}

impl FolderBackups {
    /// Of the exchange in this folder, whose database file is `database`. Removes what was left unfinished: keys are in it.
    pub fn open(data_dir: &Path, database: &Path, store: Store, node: Node) -> Result<Self, Failure> {
        let folder = Folder { data_dir: data_dir.to_owned(), database: database.to_owned(), store, node, copying: Mutex::default() };
        folder.remove_unfinished().map_err(|error| Failure::bad_input(format!("cannot tidy {}: {error}", folder.root().display())))?;
        Ok(Self(Arc::new(folder)))
    }
}

impl Folder {
    fn root(&self) -> PathBuf {
        self.data_dir.join("backups")
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        let entries = match fs::read_dir(self.root()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(PARTIAL) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    async fn make(&self, name: &str) -> Result<PathBuf, BackupError> {
        let _alone = self.copying.lock().await;
        let root = self.root();
        let (target, partial) = (root.join(name), root.join(format!("{name}{PARTIAL}")));
        if target.exists() {
            return Ok(target);
        }
        // What an earlier try left is of no use: it has its name only when it is whole.
        self.remove_unfinished().map_err(failed)?;
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

    async fn copy(&self, partial: &Path) -> Result<(), BackupError> {
        let file = self.database.file_name().ok_or_else(|| failed(io::Error::other("the database has no file name")))?;
        self.store.backup(&partial.join(file)).await.map_err(failed)?;
        let (node, chain) = (self.node.clone(), partial.join("chain"));
        tokio::task::spawn_blocking(move || node.backup(&chain)).await.map_err(failed)?.map_err(failed)?;
        copy_keys(&self.data_dir.join("keys"), &partial.join("keys")).map_err(failed)
    }
}

#[async_trait]
impl Backups for FolderBackups {
    async fn make(&self, name: &str) -> Result<PathBuf, BackupError> {
        let (folder, name) = (self.0.clone(), name.to_owned());
        tokio::spawn(async move { folder.make(&name).await }).await.map_err(failed)?
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

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_log::consortium::{Genesis, Member, MemberKeys, MemberRole, Members, VotingRule};
    use entrepot_chain_node::{NodeConfig, NodeKeys};
    use entrepot_chain_statement::{SigningKey, Timestamp};
    use std::time::{Duration, Instant};
    use tempfile::TempDir;

    async fn open() -> (TempDir, FolderBackups) {
        let folder = tempfile::tempdir().expect("a folder");
        let (data_dir, database) = (folder.path().to_owned(), folder.path().join("exchange.sqlite"));
        make_private(&data_dir.join("keys")).expect("a folder");
        fs::write(data_dir.join("keys/exchange.key.json"), "a key").expect("a key");
        fs::create_dir_all(data_dir.join("backups/old.partial/keys")).expect("a folder");
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        let keys = NodeKeys { log: key(1), cosigning: key(2), consensus: key(3), transport: key(4) };
        let member = Member {
            did: key(5).did(),
            name: "one".to_owned(),
            role: MemberRole::Member,
            keys: MemberKeys { consensus: key(3).did(), cosigning: key(2).did(), transport: key(4).did() },
        };
        let members = Members::new(vec![member]).expect("one member");
        let genesis = Genesis::new("entrepot/test", VotingRule::Majority, &members).expect("a genesis");
        let orderer = keys.sole_member(&genesis);
        let config = NodeConfig { path: data_dir.join("chain"), genesis, clock: Arc::new(|| Timestamp(1)) };
        let node = Node::open(config, keys, orderer).expect("a node");
        let store = Store::open(&database).await.expect("a store");
        let backups = FolderBackups::open(&data_dir, &database, store, node).expect("opened");
        (folder, backups)
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path().join("backups")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn what_was_left_unfinished_is_gone_at_the_start() {
        let (folder, _backups) = open().await;
        assert_eq!(names(&folder), [""; 0]);
    }

    #[tokio::test]
    async fn a_copy_goes_on_when_nobody_waits_any_more() {
        let (folder, backups) = open().await;
        // The request's time is over at once.
        let waited = tokio::time::timeout(Duration::ZERO, backups.make("one")).await;
        assert!(waited.is_err(), "{waited:?}");
        let deadline = Instant::now() + Duration::from_secs(60);
        while names(&folder) != ["one"] {
            assert!(Instant::now() < deadline, "{:?}", names(&folder));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(backups.make("one").await.expect("it is found"), folder.path().join("backups/one"));
    }

    #[tokio::test]
    async fn repetitions_at_once_do_not_disturb_each_other() {
        let (folder, backups) = open().await;
        let (first, second, other) = tokio::join!(backups.make("one"), backups.make("one"), backups.make("two"));
        assert_eq!(first.expect("made"), second.expect("found"));
        let mut made = names(&folder);
        made.sort();
        assert_eq!(made, ["one", "two"]);
        Store::open(&other.expect("made").join("exchange.sqlite")).await.expect("the copy opens");
    }
}
