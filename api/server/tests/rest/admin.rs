//! `/v1/admin`: for operators alone.

use crate::harness::TestExchange;
use async_trait::async_trait;
use axum::http::StatusCode;
use entrepot_api_server::backup::{self, BackupError, Backups};
use entrepot_exchange_store::Store;
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

/// Copies the real database below a folder, and has no chain.
struct Folder {
    root: PathBuf,
    store: Store,
}

#[async_trait]
impl Backups for Folder {
    async fn make(&self, name: &str) -> Result<PathBuf, BackupError> {
        let path = self.root.join(name);
        if !path.exists() {
            self.store.backup(&path).await.map_err(|error| BackupError(Box::new(error)))?;
        }
        Ok(path)
    }
}

#[tokio::test]
async fn a_backup_is_made_once_for_each_key_and_opens() {
    let mut exchange = TestExchange::start().await;
    let provider = exchange.provider(1).await;
    exchange
        .post(&exchange.operator, "/v1/admin/backups", &json!({}))
        .await
        .expect_problem(StatusCode::SERVICE_UNAVAILABLE, "backups_unavailable");
    let folder = tempfile::tempdir().expect("a folder");
    let backups = Folder { root: folder.path().to_owned(), store: exchange.market.store.clone() };
    exchange.router = backup::attach(exchange.router.clone(), Arc::new(backups));
    exchange.post(&provider, "/v1/admin/backups", &json!({})).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");

    let made = exchange.post_with_key(&exchange.operator, "/v1/admin/backups", &json!({}), "k1").await.expect(StatusCode::CREATED);
    let again = exchange.post_with_key(&exchange.operator, "/v1/admin/backups", &json!({}), "k1").await.expect(StatusCode::CREATED);
    let other = exchange.post_with_key(&exchange.operator, "/v1/admin/backups", &json!({}), "k2").await.expect(StatusCode::CREATED);
    assert_eq!(made, again);
    assert_ne!(made, other);
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 2);

    let copy = Store::open(std::path::Path::new(made["path"].as_str().expect("a path"))).await.expect("opens");
    let found = entrepot_exchange_store::participant::find(&mut copy.reader().await.expect("a reader"), &provider.did()).await;
    assert!(found.expect("rows").is_some(), "what was committed is in the copy");
    exchange.market.store.backup(folder.path()).await.expect_err("a copy overwrites nothing");
}
