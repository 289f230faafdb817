//! What every use case may need from outside.

use crate::{Bell, Notary, Workforce};
use entrepot_chain_statement::{Did, SigningKey, Timestamp};
use entrepot_exchange_domain::{Clock, job::JobLimits};
use entrepot_exchange_store::Store;
use std::sync::Arc;

/// Where random bytes come from. The binary hands in the system's generator; tests may hand in a seeded one.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The exchange around a use case: nothing ambient.
#[derive(Clone)]
pub struct Market {
    /// The database.
    pub store: Store,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and salts.
    pub entropy: Arc<dyn Entropy>,
    /// The exchange's own key: signs quotes, holds, releases, refunds and access tokens.
    pub exchange: Arc<SigningKey>,
    /// The log.
    pub notary: Arc<dyn Notary>,
    /// The connected workers.
    pub workforce: Arc<dyn Workforce>,
    /// How long jobs may stay in each state.
    pub job_limits: JobLimits,
    /// Rung when a job may have changed.
    pub bell: Bell,
}

impl Market {
    /// Now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The exchange's identity.
    pub fn exchange_did(&self) -> Did {
        self.exchange.did()
    }

    /// `N` unpredictable bytes: 10 for an id, 32 for an envelope's salt.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes);
        bytes
    }
}
