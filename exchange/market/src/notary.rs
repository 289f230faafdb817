//! The log, as the use cases see it.

use async_trait::async_trait;
use entrepot_chain_statement::Hash;
use entrepot_exchange_domain::{Refusal, RefusalKind};

/// The log could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the log does not answer")]
pub struct NotaryError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

impl Refusal for NotaryError {
    fn code(&self) -> &'static str {
        "log_unavailable"
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unavailable
    }
    fn hint(&self) -> Option<String> {
        Some("nothing is lost: try again in a few seconds".to_owned())
    }
}

/// Proves that statements are logged.
#[async_trait]
pub trait Notary: Send + Sync {
    /// C2SP tlog-proof text of a leaf under the newest cosigned checkpoint that covers it; none while it is pending.
    async fn proof(&self, leaf: &Hash) -> Result<Option<String>, NotaryError>;
}
