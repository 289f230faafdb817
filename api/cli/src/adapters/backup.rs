//! Copies of a running exchange below its own data folder: first the database, then the chains, so that the market's holds all that the
//! database calls logged, then the keys.

use crate::{channels::Channel, exit::Failure};
use async_trait::async_trait;
use entrepot_api_server::backup::{BackupError, Backups};
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
    channels: Vec<Channel>,
    copying: Mutex<()>,
}

impl FolderBackups {
    /// Of the exchange in this folder, whose database file is `database`. Removes what was left unfinished: keys are in it.
    pub fn open(data_dir: &Path, database: &Path, store: Store, channels: Vec<Channel>) -> Result<Self, Failure> {
        let folder = Folder { data_dir: data_dir.to_owned(), database: database.to_owned(), store, channels, copying: Mutex::default() };
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
        for channel in &self.channels {
            let (channel, target) = (channel.clone(), partial.join("channels").join(&channel.name));
            let copied = tokio::task::spawn_blocking(move || channel.copy(&target)).await.map_err(failed)?;
            copied.map_err(|error| BackupError(error.into()))?;
        }
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
    use crate::channels::{Channels, Founded, SeatKeys};
    use entrepot_chain_log::consortium::{Genesis, Member, MemberKeys, MemberRole, Members, VotingRule};
    use entrepot_chain_statement::SigningKey;
    use std::time::{Duration, Instant};
    use tempfile::TempDir;

    async fn open() -> (TempDir, FolderBackups) {
        let folder = tempfile::tempdir().expect("a folder");
        let (data_dir, database) = (folder.path().to_owned(), folder.path().join("exchange.sqlite"));
        make_private(&data_dir.join("keys")).expect("a folder");
        fs::write(data_dir.join("keys/exchange.key.json"), "a key").expect("a key");
        fs::create_dir_all(data_dir.join("backups/old.partial/keys")).expect("a folder");
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        let keys = SeatKeys { cosigning: key(2), consensus: key(3), transport: key(4) };
        let member = Member {
            did: key(5).did(),
            name: "one".to_owned(),
            role: MemberRole::Member,
            keys: MemberKeys { consensus: key(3).did(), cosigning: key(2).did(), transport: key(4).did() },
        };
        let members = Members::new(vec![member]).expect("one member");
        let found = |origin| Founded::new(Genesis::new(origin, VotingRule::Majority, &members).expect("a genesis")).expect("a name");
        let founded = vec![found("entrepot/test"), found("entrepot/more")];
        let channels = Channels::open(founded, &data_dir, &keys, None).await.expect("channels");
        let store = Store::open(&database).await.expect("a store");
        let backups = FolderBackups::open(&data_dir, &database, store, channels.open).expect("opened");
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
        let other = other.expect("made");
        Store::open(&other.join("exchange.sqlite")).await.expect("the copy opens");
        for file in ["test/chain/CURRENT", "test/log.key.json", "test/genesis.json", "more/chain/CURRENT"] {
            assert!(other.join("channels").join(file).exists(), "{file}");
        }
    }
}
