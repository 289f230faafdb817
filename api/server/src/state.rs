//! What handlers share.

use crate::{idempotency::InFlight, jwt::Tokens, metrics::Metrics};
use entrepot_exchange_market::Market;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Shared by every handler; cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<App>);

/// Behind [`AppState`].
pub struct App {
    /// The market.
    pub market: Arc<Market>,
    /// Makes and checks access tokens.
    pub tokens: Tokens,
    /// Keys of requests under way.
    pub in_flight: InFlight,
    /// What `/metrics` tells.
    pub metrics: Metrics,
    /// Cancelled when the exchange stops: streams end then, instead of holding the stop up.
    pub stop: CancellationToken,
}

/// The server must not start like this.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Signing a token and checking it did not agree.
    #[error("the token self-test failed: {0}")]
    Tokens(&'static str),
    /// The metrics recorder could not be installed.
    #[error("metrics could not be set up: {0}")]
    Metrics(String),
}

impl AppState {
    /// Sets up what handlers share, and tests that tokens are checked as they must be. `stop` is cancelled when the exchange stops.
    pub fn new(market: Arc<Market>, stop: CancellationToken) -> Result<Self, StartError> {
        let tokens = Tokens::new(market.exchange.clone());
        tokens.self_test(market.now()).map_err(StartError::Tokens)?;
        let metrics = Metrics::install().map_err(StartError::Metrics)?;
        Ok(Self(Arc::new(App { market, tokens, in_flight: InFlight::default(), metrics, stop })))
    }
}

impl std::ops::Deref for AppState {
    type Target = App;
    fn deref(&self) -> &App {
        &self.0
    }
}
