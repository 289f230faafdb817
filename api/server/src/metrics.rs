//! `/metrics`.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What `/metrics` tells. One recorder a process, however many servers it runs.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder, or finds the one that this installed before.
    pub fn install() -> Result<Self, String> {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = HANDLE.get() {
            return Ok(Self(handle.clone()));
        }
        let handle = PrometheusBuilder::new().install_recorder().map_err(|error| error.to_string())?;
        Ok(Self(HANDLE.get_or_init(|| handle).clone()))
    }

    /// Prometheus text.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
