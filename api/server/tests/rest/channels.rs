//! `/v1/channels`: several chains and logs behind one listener.

use crate::{
    harness::{Person, Reply, TestExchange, send},
    memory_chain::{MemoryChain, time},
    memory_log::MemoryLog,
    node::channel,
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use entrepot_api_server::{
    chain::{self, ChainLimits, ChainState, Submissions},
    channels::{self, Channels},
    metrics::Metrics,
};
use entrepot_chain_statement::statements::{Role, WorkerRole};
use entrepot_exchange_market::{Notary, notary::NotaryLeaf};
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// A node of two channels: one with two blocks, one with one and an entry in its log.
struct Two {
    first: Arc<MemoryChain>,
    second: Arc<MemoryChain>,
    log: Arc<MemoryLog>,
    channels: Channels,
    router: Router,
}

impl Two {
    fn with(limits: ChainLimits) -> Self {
        let (first, second) = (Arc::new(MemoryChain::default()), Arc::new(MemoryChain::default()));
        first.decide();
        first.decide();
        second.decide();
        let log = Arc::new(MemoryLog::default());
        let state = ChainState::new(first.clone(), Submissions::Open, limits, CancellationToken::new());
        let beside = state.beside(second.clone());
        let others = [channel("loans", beside, log.clone())];
        let channels = Channels::new(channel("main", state, Arc::default()), others);
        let router = chain::node_router(channels.clone(), Metrics::install().expect("figures"));
        Self { first, second, log, channels, router }
    }

    fn start() -> Self {
        Self::with(ChainLimits::default())
    }

    async fn get(&self, path: &str) -> Reply {
        send(&self.router, get(path)).await
    }

    async fn height(&self, path: &str) -> Value {
        self.get(path).await.expect(StatusCode::OK)["height"].clone()
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn each_channel_answers_below_its_name_and_the_first_without_one() {
    let two = Two::start();
    assert_eq!(two.height("/v1/chain/head").await, "2");
    assert_eq!(two.height("/v1/channels/main/chain/head").await, "2");
    assert_eq!(two.height("/v1/channels/loans/chain/head").await, "1");
    let since = format!("/v1/channels/loans/chain/blocks/first?since={}", time(2).0);
    two.get(&since).await.expect_problem(StatusCode::NOT_FOUND, "no_such_block");
    let blocks = two.get("/v1/channels/loans/chain/blocks?limit=5").await.expect(StatusCode::OK);
    assert_eq!(blocks["items"].as_array().expect("items").len(), 1);

    let person = Person::new(1, &[Role::Provider]);
    let grant = person.sign(&person.grant(WorkerRole::Data));
    two.log.submit(&[NotaryLeaf::of(&grant)]).await.expect("logged");
    for path in ["checkpoint", "proof/0", "consistency?from=1&to=1", "tile/0/000.p/1"] {
        assert_eq!(two.get(&format!("/v1/channels/loans/log/{path}")).await.status, StatusCode::OK, "{path}");
        assert!(two.get(&format!("/v1/channels/main/log/{path}")).await.status.is_client_error(), "{path}");
    }
}

#[tokio::test]
async fn channels_are_listed_with_where_they_stand() {
    let two = Two::start();
    two.second.set_halted(true);
    let listed = two.get("/v1/channels").await.expect(StatusCode::OK);
    let items = listed["items"].as_array().expect("items");
    let told: Vec<_> = items.iter().map(|item| (&item["channel"], &item["height"], &item["members"], &item["role"])).collect();
    let (count, role) = (Value::from(4), Value::from("validator"));
    assert_eq!(told, [(&"main".into(), &"2".into(), &count, &role), (&"loans".into(), &"1".into(), &count, &role)]);
    assert!(items[0].get("failure").is_none() && items[1]["failure"].is_string(), "{listed}");
    assert_eq!(items[0]["genesis"], two.get("/v1/chain/head").await.expect(StatusCode::OK)["genesis"]);
}

#[tokio::test]
async fn a_name_that_no_channel_has_is_a_typed_refusal() {
    let two = Two::start();
    for path in ["/v1/channels/other/chain/head", "/v1/channels/other/log/checkpoint", "/v1/channels/MAIN/chain/head"] {
        let reply = two.get(path).await;
        assert!(reply.headers.contains_key("x-request-id"));
        reply.expect_problem(StatusCode::NOT_FOUND, "no_such_channel");
    }
    for path in
        ["/v1/channels/loans", "/v1/channels/loans/chain/nothing", "/v1/channels/loans/log/cosignatures", "/v1/channels/loans/livez"]
    {
        two.get(path).await.expect_problem(StatusCode::NOT_FOUND, "no_such_path");
    }
    let post = Request::post("/v1/channels/loans/chain/head").body(Body::empty()).expect("a request");
    send(&two.router, post).await.expect_problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
}

#[tokio::test]
async fn what_strangers_hold_is_counted_over_all_channels() {
    let two = Two::with(ChainLimits { streams_max: 1, ..ChainLimits::default() });
    let open = two.router.clone().oneshot(get("/v1/channels/loans/chain/events")).await.expect("an answer");
    assert_eq!(open.status(), StatusCode::OK);
    for path in ["/v1/chain/events", "/v1/channels/main/chain/events", "/v1/channels/loans/chain/events"] {
        two.get(path).await.expect_problem(StatusCode::TOO_MANY_REQUESTS, "too_many_streams");
    }
}

#[tokio::test]
async fn a_channel_that_stopped_is_named_and_the_others_answer() {
    let two = Two::start();
    assert_eq!(two.get("/readyz").await.status, StatusCode::OK);
    two.second.set_halted(true);
    let reply = two.get("/readyz").await;
    assert!(String::from_utf8_lossy(&reply.body).contains("loans"));
    reply.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready");
    let failure = |health: Value| health.get("failure").is_some();
    assert!(!failure(two.get("/v1/chain/health").await.expect(StatusCode::OK)));
    assert!(failure(two.get("/v1/channels/loans/chain/health").await.expect(StatusCode::OK)));
    two.first.decide();
    assert_eq!(two.height("/v1/chain/head").await, "3");
    let figures = String::from_utf8(two.get("/metrics").await.body.to_vec()).expect("text");
    assert!(figures.contains("entrepot_chain_stopped{channel=\"loans\"} 1"), "{figures}");
}

#[tokio::test]
async fn the_exchange_serves_further_channels_and_its_witnesses_know_the_markets_alone() {
    let mut exchange = TestExchange::start().await;
    exchange.send(get("/v1/channels")).await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "chain_not_served");
    let two = Two::start();
    exchange.router = channels::attach(exchange.router.clone(), two.channels.clone());
    let ask = async |path: &str| exchange.send(get(path)).await;
    assert_eq!(ask("/v1/channels/loans/chain/head").await.expect(StatusCode::OK)["height"], "1");
    assert_eq!(ask("/v1/channels/main/chain/head").await.expect(StatusCode::OK)["height"], "2");
    let put = async |path: &str| {
        let body = Body::from(r#"{"size":"1","cosignature":"no line"}"#);
        exchange.send(Request::put(path).header("content-type", "application/json").body(body).expect("a request")).await.status
    };
    // Whoever cosigns the market's log is known there; no other channel's checkpoint is taken for one of it.
    let known = put("/v1/log/cosignatures").await;
    assert_ne!(known, StatusCode::NOT_FOUND);
    assert_eq!(put("/v1/channels/main/log/cosignatures").await, known);
    assert_eq!(put("/v1/channels/loans/log/cosignatures").await, StatusCode::NOT_FOUND);
}
