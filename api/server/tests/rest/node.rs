//! A member's node, which has a chain and a log and no market.

use crate::{
    harness::{Person, TestExchange, send},
    memory_chain::MemoryChain,
    memory_log::MemoryLog,
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use entrepot_api_server::{
    chain::{self, ChainLimits, ChainState, Submissions},
    channels::{Channel, Channels},
    log::{LogState, NotaryLog},
    metrics::Metrics,
};
use entrepot_chain_log::SignedCheckpoint;
use entrepot_chain_statement::statements::Role;
use entrepot_exchange_market::{Notary, notary::NotaryLeaf};
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// A node's routes, with an empty log.
pub fn router(chain: ChainState) -> Router {
    with_log(chain, Arc::new(MemoryLog::default()))
}

fn with_log(chain: ChainState, log: Arc<MemoryLog>) -> Router {
    chain::node_router(Channels::new(channel("main", chain, log), []), Metrics::install().expect("figures"))
}

/// A channel of this name.
pub fn channel(name: &str, chain: ChainState, log: Arc<MemoryLog>) -> Channel {
    Channel { name: name.to_owned(), chain, log: LogState::new(Arc::new(NotaryLog(log))) }
}

fn state(chain: &Arc<MemoryChain>) -> ChainState {
    ChainState::new(chain.clone(), Submissions::Open, ChainLimits::default(), CancellationToken::new())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn a_node_says_whether_it_lives_and_works() {
    let chain = Arc::new(MemoryChain::default());
    let router = router(state(&chain));
    chain.decide();
    for path in ["/livez", "/readyz"] {
        assert_eq!(send(&router, get(path)).await.status, StatusCode::OK);
    }
    let metrics = String::from_utf8(send(&router, get("/metrics")).await.body.to_vec()).expect("text");
    assert!(
        metrics.contains("entrepot_chain_height{channel=\"main\"} 1")
            && metrics.contains("entrepot_chain_peers_connected{channel=\"main\"} 2"),
        "{metrics}"
    );
    // A member that does not vote is waited for by whoever restarts one node after the other.
    chain.set_following(true);
    send(&router, get("/readyz")).await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "following");
    chain.set_following(false);
    chain.set_halted(true);
    send(&router, get("/readyz")).await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready");
    chain.set_halted(false);
    chain.set_down(true);
    send(&router, get("/readyz")).await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "not_ready");
    assert_eq!(send(&router, get("/livez")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_node_serves_its_log_without_a_market() {
    let log = Arc::new(MemoryLog::default());
    let router = with_log(state(&Arc::default()), log.clone());
    send(&router, get("/v1/log/checkpoint")).await.expect_problem(StatusCode::NOT_FOUND, "no_checkpoint");
    let person = Person::new(1, &[Role::Provider]);
    let grant = person.sign(&person.grant(entrepot_chain_statement::statements::WorkerRole::Data));
    log.submit(&[NotaryLeaf::of(&grant)]).await.expect("logged");
    let checkpoint = send(&router, get("/v1/log/checkpoint")).await;
    let checkpoint: SignedCheckpoint = String::from_utf8(checkpoint.body.to_vec()).expect("text").parse().expect("a checkpoint");
    assert_eq!(checkpoint.checkpoint().size, 1);
    for path in ["/v1/log/proof/0", "/v1/log/consistency?from=1&to=1", "/v1/log/tile/0/000.p/1"] {
        assert_eq!(send(&router, get(path)).await.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_nodes_document_tells_of_the_chain_as_the_exchanges_does_and_of_no_market() {
    let exchange = TestExchange::start().await;
    let node: Value = send(&router(state(&Arc::default())), get("/openapi.json")).await.expect(StatusCode::OK);
    let whole: Value = exchange.send(get("/openapi.json")).await.expect(StatusCode::OK);
    let paths = node["paths"].as_object().expect("paths");
    assert!(paths.len() > 15);
    for (path, item) in paths {
        assert!(
            ["/v1/chain/", "/v1/log/", "/v1/channels", "/livez", "/readyz", "/metrics"].iter().any(|begin| path.starts_with(begin)),
            "{path}"
        );
        if path.starts_with("/v1/") {
            assert_eq!(*item, whole["paths"][path]);
        }
    }
    send(&router(state(&Arc::default())), get("/v1/products")).await.expect_problem(StatusCode::NOT_FOUND, "no_such_path");
}

#[tokio::test]
async fn a_node_is_served_until_the_stop_and_its_streams_end_with_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (chain, stop) = (Arc::new(MemoryChain::default()), CancellationToken::new());
    chain.decide();
    let state = ChainState::new(chain.clone(), Submissions::Open, ChainLimits::default(), stop.clone());
    let channels = Channels::new(channel("main", state, Arc::default()), []);
    let server = tokio::spawn(chain::serve_node(listener, channels, None, stop.clone()));
    let mut stream = TcpStream::connect(address).await.expect("connects");
    stream.write_all(b"GET /v1/chain/events?from=1 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
    let mut answer = String::new();
    while !answer.contains("id: 1") {
        let mut read = [0; 1024];
        let count = stream.read(&mut read).await.expect("read");
        assert!(count > 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&read[..count]));
    }
    stop.cancel();
    // An end in form: the last chunk is there.
    stream.read_to_string(&mut answer).await.expect("read");
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("it stops").expect("no panic").expect("it was served");
}
