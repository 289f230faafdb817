//! A copy of the database, taken while it is used.

use crate::{Store, StoreError};
use sqlx::{ConnectOptions, Connection as _, Executor as _, sqlite::SqliteConnectOptions};
use std::path::Path;

impl Store {
    /// Copies everything that is committed now to a new file, which is durable when this returns. Writers go on meanwhile.
    pub async fn backup(&self, target: &Path) -> Result<(), StoreError> {
        let file: String =
            sqlx::query_scalar("SELECT file FROM pragma_database_list WHERE name = 'main'").fetch_one(&mut *self.reader().await?).await?;
        let options = SqliteConnectOptions::new().filename(file).disable_statement_logging();
        let mut connection = options.connect().await?;
        let target_text = target.to_str().ok_or(StoreError::Corrupt { what: "path of a backup" })?;
        // Fails if the file is there already.
        connection.execute(sqlx::query("VACUUM INTO $1").bind(target_text)).await?;
        connection.close().await?;
        // SQLite leaves this to whoever wants it.
        let synced = async { tokio::fs::File::open(target).await?.sync_all().await };
        synced.await.map_err(|error| StoreError::Database(sqlx::Error::Io(error)))
    }
}
