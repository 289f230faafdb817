//! What workers say of datasets.

use crate::{
    Market,
    dataset::{ask_outstanding, record_description},
    workforce::{ConnectedWorker, WorkerEvent, WorkerListener},
};
use async_trait::async_trait;
use entrepot_chain_statement::Did;
use entrepot_exchange_store::StoreError;
use std::sync::Arc;

/// Keeps descriptions, and asks again whoever connects.
pub struct DatasetListener {
    market: Arc<Market>,
}

impl DatasetListener {
    /// For this market.
    pub fn new(market: Arc<Market>) -> Self {
        Self { market }
    }
}

#[async_trait]
impl WorkerListener for DatasetListener {
    async fn connected(&self, worker: &ConnectedWorker) {
        logged(ask_outstanding(&self.market, &worker.worker).await);
    }

    async fn received(&self, worker: &ConnectedWorker, event: &WorkerEvent) {
        let (dataset_id, answer) = match event {
            WorkerEvent::DatasetDescribed { dataset_id, description } => (dataset_id, Ok(description.clone())),
            WorkerEvent::DatasetRefused { dataset_id, code, detail } => (dataset_id, Err((code.clone(), detail.clone()))),
            _ => return,
        };
        logged(record_description(&self.market, dataset_id, &worker.worker, answer).await);
    }

    async fn disconnected(&self, _worker: &Did) {}
}

/// The worker will be asked again when it connects: nothing is lost.
fn logged(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::error!(error = &error as &dyn std::error::Error, "a dataset's description could not be asked for or kept");
    }
}
