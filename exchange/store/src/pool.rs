//! Connections: one that writes, a few that read.

use crate::{StoreError, tx::Writer};
use sqlx::{
    ConnectOptions, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// Connections that read.
const READERS_MAX: u32 = 8;
/// How long SQLite waits for another process's lock before it says busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// The exchange's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) readers: SqlitePool,
    pub(crate) writer: Arc<Mutex<Writer>>,
    pub(crate) commits: tokio::sync::mpsc::Sender<()>,
}

/// A connection to read with. Sees one consistent state per statement, not across statements.
pub struct Reader(PoolConnection<Sqlite>);

impl std::ops::Deref for Reader {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.0
    }
}

impl std::ops::DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.0
    }
}

impl Store {
    /// Opens the database file, makes it if it is missing, and brings its schema to this version.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // WAL with NORMAL loses acknowledged commits when the power goes; group commit pays for FULL.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(512)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        MIGRATIONS.run_direct(None, &mut connection, false).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.pragma("query_only", "ON"));
        let (commits, requests) = tokio::sync::mpsc::channel(1);
        let writer = Arc::new(Mutex::new(Writer::new(connection)));
        tokio::spawn(crate::tx::commit_when_asked(writer.clone(), requests));
        Ok(Self { readers, writer, commits })
    }

    /// A connection to read with.
    pub async fn reader(&self) -> Result<Reader, StoreError> {
        Ok(Reader(self.readers.acquire().await?))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let _one: i64 = sqlx::query_scalar("SELECT 1").fetch_one(&mut *self.reader().await?).await?;
        Ok(())
    }

    /// Commits what is pending and closes every connection.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.lock().await.close().await;
    }
}
