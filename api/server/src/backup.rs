//! Copies of a running exchange. Who joins the parts knows where they are; the route only asks.

use async_trait::async_trait;
use axum::{Extension, Router};
use std::{path::PathBuf, sync::Arc};

/// A copy could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the copy could not be made")]
pub struct BackupError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Copies the exchange while it runs: first the database, then the chain, so that the chain holds all that the database calls logged.
#[async_trait]
pub trait Backups: Send + Sync {
    /// Makes a copy in a new folder of this name, or finds the one that was made under it before.
    async fn make(&self, name: &str) -> Result<PathBuf, BackupError>;
}

/// What the route finds.
#[derive(Clone)]
pub(crate) struct BackupsHandle(pub Arc<dyn Backups>);

/// Lets operators make copies; without this the route says that it cannot.
pub fn attach(router: Router, backups: Arc<dyn Backups>) -> Router {
    router.layer(Extension(BackupsHandle(backups)))
}
