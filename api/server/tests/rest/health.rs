//! `/livez`, `/readyz`, `/metrics`

use crate::harness::TestExchange;
use async_trait::async_trait;
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use entrepot_api_server::{AppState, router};
use entrepot_chain_log::{Tile, bundle::Decisions};
use entrepot_chain_statement::Hash;
use entrepot_exchange_market::{
    Market, Notary, NotaryError,
    notary::{LogCheckpoint, NotaryLeaf, NotaryOutcome},
};
use std::{collections::BTreeSet, sync::Arc};

#[tokio::test]
async fn the_exchange_says_whether_it_lives_and_works() {
    // The first exchange of a process installs the recorder, so what it did before that is not counted.
    TestExchange::start().await;
    let exchange = TestExchange::start().await;
    let get = |path: &str| exchange.send(Request::get(path).body(Body::empty()).expect("a request"));
    assert_eq!(get("/livez").await.status, StatusCode::OK);
    assert_eq!(get("/readyz").await.status, StatusCode::OK);
    let metrics = get("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("entrepot_http_requests_total") && text.contains("entrepot_store_transactions_total"), "{text}");
    assert!(!text.contains("did:key"), "figures name nobody");
    assert!(text.contains("entrepot_workers_connected 0"), "{text}");
    exchange.market.store.close().await;
    get("/readyz").await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready");
}

/// A log that can no longer be read.
struct Broken;

fn broken<T>() -> Result<T, NotaryError> {
    Err(NotaryError("the disk is gone".into()))
}

#[async_trait]
impl Notary for Broken {
    async fn submit(&self, _: &[NotaryLeaf]) -> Result<Vec<NotaryOutcome>, NotaryError> {
        broken()
    }
    async fn proof(&self, _: &Hash) -> Result<Option<String>, NotaryError> {
        broken()
    }
    async fn proof_at(&self, _: u64, _: Option<u64>) -> Result<Option<String>, NotaryError> {
        broken()
    }
    async fn checkpoint(&self) -> Result<Option<LogCheckpoint>, NotaryError> {
        broken()
    }
    async fn checkpoint_at(&self, _: u64) -> Result<Option<LogCheckpoint>, NotaryError> {
        broken()
    }
    async fn consistency(&self, _: u64, _: u64) -> Result<Option<Vec<Hash>>, NotaryError> {
        broken()
    }
    async fn tile(&self, _: &Tile) -> Result<Option<Vec<u8>>, NotaryError> {
        broken()
    }
    async fn decisions(&self, _: &BTreeSet<u64>) -> Result<Option<Decisions>, NotaryError> {
        broken()
    }
    async fn add_cosignature(&self, _: u64, _: &str) -> Result<bool, NotaryError> {
        broken()
    }
}

#[tokio::test]
async fn an_exchange_without_its_log_is_not_ready() {
    let mut exchange = TestExchange::start().await;
    let market = Market { notary: Arc::new(Broken), ..(*exchange.market).clone() };
    exchange.router = router::router(AppState::new(Arc::new(market), exchange.stop.clone()).expect("a sound state"));
    let get = |path: &str| exchange.send(Request::get(path).body(Body::empty()).expect("a request"));
    get("/readyz").await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready");
    assert_eq!((get("/livez").await.status, get("/metrics").await.status), (StatusCode::OK, StatusCode::OK));
}
