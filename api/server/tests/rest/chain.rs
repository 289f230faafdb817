//! `/v1/chain`: what anyone may read of a chain, and check by themselves.

use crate::{
    harness::{Reply, TestExchange, send},
    memory_chain::{BLOCK_MS, MemoryChain, ORIGIN, state_key, state_root, time, transaction},
};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use entrepot_api_server::{
    chain::{ChainLimits, ChainState, Submissions},
    channels::{self, Channels},
    limits::TRANSACTION_BYTES_MAX,
};
use entrepot_chain_log::{BlockHeader, CommitCertificate, Genesis, KnownKeys, Members, codec::Reader};
use entrepot_chain_statement::{Hash, SigningKey};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A chain's routes and nothing else.
pub struct Explorer {
    pub chain: Arc<MemoryChain>,
    pub router: Router,
    pub stop: CancellationToken,
}

impl Explorer {
    pub fn new(submissions: Submissions, limits: ChainLimits) -> Self {
        let (chain, stop) = (Arc::new(MemoryChain::default()), CancellationToken::new());
        let state = ChainState::new(chain.clone(), submissions, limits, stop.clone());
        let router = crate::node::router(state);
        Self { chain, router, stop }
    }

    /// Open, with the limits of the real server.
    pub fn open() -> Self {
        Self::new(Submissions::Open, ChainLimits::default())
    }

    pub async fn get(&self, path: &str) -> Reply {
        send(&self.router, Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn json(&self, path: &str) -> Value {
        self.get(path).await.expect(StatusCode::OK)
    }

    async fn post(&self, body: impl Into<Body>) -> Reply {
        let request = Request::post("/v1/chain/transactions").header("content-type", "application/json");
        send(&self.router, request.body(body.into()).expect("a request")).await
    }

    pub async fn submit(&self, encoded: &[u8]) -> Reply {
        self.post(json!({ "transaction": STANDARD.encode(encoded) }).to_string()).await
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().expect("text")).expect("base64")
}

fn header(value: &Value) -> BlockHeader {
    BlockHeader::read(&mut Reader::new(&bytes(value))).expect("a header")
}

fn certificate(value: &Value) -> CommitCertificate {
    CommitCertificate::decode(&bytes(value)).expect("a certificate")
}

fn submitter(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// All items of a list, page by page.
async fn all(explorer: &Explorer, path: &str, limit: u32) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = explorer.json(&format!("{path}{separator}limit={limit}{cursor}")).await;
        let found = page["items"].as_array().expect("items");
        assert!(found.len() <= limit as usize);
        items.extend(found.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

#[tokio::test]
async fn a_chain_without_blocks_has_a_head_members_and_a_genesis() {
    let explorer = Explorer::open();
    let head = explorer.json("/v1/chain/head").await;
    assert_eq!((head["height"].as_str(), head["origin"].as_str(), head.get("block")), (Some("0"), Some(ORIGIN), None));
    let genesis = explorer.get("/v1/chain/genesis").await;
    let genesis = Genesis::from_json(&genesis.body).expect("a genesis, as it was founded");
    assert_eq!(head["genesis"], genesis.digest().to_string());
    let members = explorer.json("/v1/chain/members").await;
    assert_eq!((members["height"].as_str(), members["quorum"].as_u64()), (Some("1"), Some(3)));
    assert_eq!(members["digest"], genesis.members().expect("members").digest().to_string());
    explorer.get("/v1/chain/blocks/1").await.expect_problem(StatusCode::NOT_FOUND, "no_such_block");
    assert_eq!(explorer.json("/v1/chain/blocks").await, json!({ "items": [] }));
    explorer.get(&format!("/v1/chain/state/{}", "0".repeat(64))).await.expect_problem(StatusCode::NOT_FOUND, "no_such_block");
}

#[tokio::test]
async fn blocks_come_newest_first_and_hang_together() {
    let explorer = Explorer::open();
    for _ in 0..7 {
        explorer.chain.decide();
    }
    let blocks = all(&explorer, "/v1/chain/blocks", 3).await;
    let headers: Vec<BlockHeader> = blocks.iter().map(|block| header(&block["header"])).collect();
    assert_eq!(headers.iter().map(|header| header.height).collect::<Vec<_>>(), [7, 6, 5, 4, 3, 2, 1]);
    for pair in headers.windows(2) {
        assert_eq!(pair[0].previous, pair[1].hash());
    }
    for (block, header) in blocks.iter().zip(&headers) {
        assert_eq!(block["hash"], header.hash().to_string());
        let by_hash = explorer.json(&format!("/v1/chain/blocks/{}", header.hash())).await;
        let by_height = explorer.json(&format!("/v1/chain/blocks/{}", header.height)).await;
        assert_eq!((&by_hash, &by_height), (block, block));
    }
    assert_eq!(explorer.json("/v1/chain/head").await["block"], blocks[0]);
    // A page that was begun goes on where it was, however much is decided meanwhile.
    let first = explorer.json("/v1/chain/blocks?limit=2").await;
    explorer.chain.decide();
    let second = explorer.json(&format!("/v1/chain/blocks?limit=2&cursor={}", first["next_cursor"].as_str().expect("more"))).await;
    assert_eq!(second["items"][0]["height"], "5");
}

#[tokio::test]
async fn the_first_block_since_a_moment_is_found() {
    let explorer = Explorer::open();
    for _ in 0..5 {
        explorer.chain.decide();
    }
    for (moment, height) in [(0, "1"), (time(3).0, "3"), (time(3).0 + 1, "4"), (i64::MIN, "1")] {
        assert_eq!(explorer.json(&format!("/v1/chain/blocks/since?time={moment}")).await["height"], height);
    }
    let late = time(5).0 + BLOCK_MS;
    explorer.get(&format!("/v1/chain/blocks/since?time={late}")).await.expect_problem(StatusCode::NOT_FOUND, "no_such_block");
}

#[tokio::test]
async fn whoever_knows_the_genesis_walks_every_change_of_the_members_offline() {
    let explorer = Explorer::open();
    let chain = &explorer.chain;
    for change in [&[1, 2, 3, 4, 5][..], &[1, 2, 3, 5], &[2, 3, 5, 6]] {
        chain.decide();
        chain.replace_members(change);
        (0..3).for_each(|_| chain.decide());
    }
    let genesis = Genesis::from_json(&explorer.get("/v1/chain/genesis").await.body).expect("a genesis");
    let (digest, mut members) = (genesis.digest(), genesis.members().expect("members"));
    let history = all(&explorer, "/v1/chain/members/history", 2).await;
    assert_eq!(history.len(), 4);
    assert!(history[0].get("header").is_none() && history[0]["digest"] == members.digest().to_string());
    let last_height = explorer.json("/v1/chain/head").await["height"].clone();
    for epoch in &history[1..] {
        let (header, certificate) = (header(&epoch["header"]), certificate(&epoch["certificate"]));
        certificate.verify(&digest, &members).expect("the set before decided");
        assert_eq!((certificate.block, certificate.height), (header.hash(), header.height));
        members = Members::read(&mut Reader::new(&bytes(&epoch["encoded"])), &mut KnownKeys::default()).expect("members");
        assert_eq!(
            (header.next_members, (header.height + 1).to_string().as_str()),
            (members.digest(), epoch["height"].as_str().expect("a height"))
        );
    }
    // The last of them decided on the last block.
    let signed = explorer.json(&format!("/v1/chain/blocks/{}/certificate", last_height.as_str().expect("a height"))).await;
    certificate(&signed["certificate"]).verify(&digest, &members).expect("decided");
    assert_eq!(signed["signers"].as_array().map(Vec::len), Some(4));
    // Each set decides from where the history says.
    for (height, count) in [(3, 4), (4, 5), (7, 5), (8, 4)] {
        let found = explorer.json(&format!("/v1/chain/members?height={height}")).await;
        assert_eq!(found["members"].as_array().map(Vec::len), Some(count), "{height}");
    }
    for unknown in ["0", "100"] {
        explorer.get(&format!("/v1/chain/members?height={unknown}")).await.expect_problem(StatusCode::NOT_FOUND, "no_such_height");
    }
}

#[tokio::test]
async fn a_submission_hears_its_verdict_and_hears_it_again() {
    let explorer = Explorer::open();
    let encoded = transaction(&submitter(50), 0, Hash([1; 32]));
    let told = explorer.submit(&encoded).await.expect(StatusCode::OK);
    assert_eq!((told["verdict"]["status"].as_str(), told["verdict"]["index"].as_str()), (Some("accepted"), Some("0")));
    assert_eq!(explorer.submit(&encoded).await.expect(StatusCode::OK), told);
    let found = explorer.json(&format!("/v1/chain/transactions/{}", told["hash"].as_str().expect("a hash"))).await;
    assert_eq!((&found["verdict"], bytes(&found["transaction"])), (&told["verdict"], encoded.clone()));

    let mut forged = encoded.clone();
    forged[135] ^= 1;
    let told = explorer.submit(&forged).await.expect(StatusCode::OK);
    assert_eq!((told["verdict"]["status"].as_str(), told["verdict"]["code"].as_str()), (Some("rejected"), Some("bad_submitter_signature")));
    assert!(told["verdict"]["reason"].as_str().is_some_and(|reason| !reason.is_empty()) && told["verdict"].get("index").is_none());

    explorer.chain.set_halted(true);
    let told = explorer.submit(&transaction(&submitter(50), 1, Hash([2; 32]))).await.expect(StatusCode::ACCEPTED);
    assert_eq!(told["verdict"], json!({ "status": "pending" }));
    let path = format!("/v1/chain/transactions/{}", told["hash"].as_str().expect("a hash"));
    assert_eq!(explorer.json(&path).await["verdict"]["status"], "pending");
    explorer.chain.decide();
    assert_eq!(explorer.json(&path).await["verdict"]["status"], "accepted");
}

#[tokio::test]
async fn transactions_are_found_by_whom_what_and_when() {
    let explorer = Explorer::open();
    let (one, other) = (submitter(50), submitter(51));
    for sequence in 0..4 {
        explorer.submit(&transaction(&one, sequence, Hash([sequence as u8; 32]))).await.expect(StatusCode::OK);
    }
    explorer.submit(&transaction(&other, 0, Hash([9; 32]))).await.expect(StatusCode::OK);
    let places = async |query: &str| -> Vec<String> {
        let found = all(&explorer, &format!("/v1/chain/transactions{query}"), 2).await;
        assert!(found.iter().all(|item| item.get("transaction").is_none()));
        found.iter().map(|item| item["verdict"]["height"].as_str().expect("decided").to_owned()).collect()
    };
    assert_eq!(places("").await, ["5", "4", "3", "2", "1"]);
    assert_eq!(places(&format!("?subject={}", one.did())).await, ["4", "3", "2", "1"]);
    assert_eq!(places(&format!("?subject={}&since={}", one.did(), time(3).0)).await, ["4", "3"]);
    assert_eq!(places(&format!("?leaf={}", Hash([2; 32]))).await, ["3"]);
    assert_eq!(places(&format!("?leaf={}&subject={}", Hash([2; 32]), other.did())).await, [""; 0]);
    assert_eq!(places(&format!("?since={}", time(6).0)).await, [""; 0]);
}

#[tokio::test]
async fn a_blocks_transactions_come_whole_and_in_order() {
    let explorer = Explorer::open();
    explorer.chain.set_halted(true);
    let encoded: Vec<Vec<u8>> = (0..5).map(|sequence| transaction(&submitter(50), sequence, Hash([sequence as u8; 32]))).collect();
    for transaction in &encoded {
        explorer.submit(transaction).await.expect(StatusCode::ACCEPTED);
    }
    explorer.chain.decide();
    explorer.chain.decide();
    let found = all(&explorer, "/v1/chain/blocks/1/transactions", 2).await;
    assert_eq!(found.iter().map(|item| bytes(&item["transaction"])).collect::<Vec<_>>(), encoded);
    let hashes: Vec<u8> = encoded.iter().flat_map(|encoded| Hash::of(&[encoded]).0).collect();
    let block = explorer.json("/v1/chain/blocks/1").await;
    assert_eq!(
        (block["transactions_digest"].as_str(), block["transactions"].as_u64()),
        (Some(&*Hash::of(&[&hashes]).to_string()), Some(5))
    );
    assert_eq!(explorer.json("/v1/chain/blocks/2/transactions").await, json!({ "items": [] }));
}

#[tokio::test]
async fn presence_and_absence_in_the_state_are_proved_at_every_height() {
    let explorer = Explorer::open();
    let who = submitter(50);
    explorer.chain.decide();
    explorer.submit(&transaction(&who, 7, Hash([1; 32]))).await.expect(StatusCode::OK);
    let genesis = Genesis::from_json(&explorer.get("/v1/chain/genesis").await.body).expect("a genesis");
    let path = format!("/v1/chain/state/{}", state_key(&who.did()));
    for (query, height, value) in [("?height=1", "1", None), ("?height=2", "2", Some(7u64)), ("", "2", Some(7))] {
        let found = explorer.json(&format!("{path}{query}")).await;
        let (header, certificate) = (header(&found["header"]), certificate(&found["certificate"]));
        certificate.verify(&genesis.digest(), &genesis.members().expect("members")).expect("decided");
        assert_eq!((certificate.block, found["height"].as_str()), (header.hash(), Some(height)));
        assert_eq!(header.state_root, state_root(&bytes(&found["proof"])));
        assert_eq!(found.get("value").map(bytes), value.map(|value| value.to_be_bytes().to_vec()));
    }
    explorer.get(&format!("{path}?height=3")).await.expect_problem(StatusCode::NOT_FOUND, "no_such_block");
}

#[tokio::test]
async fn misbehaviour_and_the_health_of_validators_are_told() {
    let explorer = Explorer::open();
    assert_eq!(explorer.json("/v1/chain/evidence").await, json!({ "items": [] }));
    (1..=3).for_each(|height| explorer.chain.add_evidence(height, b"two votes"));
    let found = all(&explorer, "/v1/chain/evidence", 2).await;
    assert_eq!(found.iter().map(|item| item["number"].as_str().expect("a number")).collect::<Vec<_>>(), ["3", "2", "1"]);
    assert_eq!(bytes(&found[0]["evidence"]), b"two votes");
    let health = explorer.json("/v1/chain/health").await;
    assert_eq!((health["height"].as_str(), health["peers_connected"].as_u64()), (Some("0"), Some(2)));
    assert_eq!((&health["peers"][2]["connected"], health["peers"][2].get("height")), (&json!(false), None));
}

#[tokio::test]
async fn hostile_questions_are_refused_by_name() {
    let explorer = Explorer::open();
    explorer.chain.decide();
    let (not_found, bad) = (StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST);
    let far = format!("/v1/chain/transactions?limit=1&cursor={}", "A".repeat(300));
    let upper = format!("/v1/chain/state/{}", "A".repeat(64));
    let cases = [
        ("/v1/chain/blocks/0", not_found, "no_such_block"),
        ("/v1/chain/blocks/-1", not_found, "no_such_block"),
        ("/v1/chain/blocks/18446744073709551615", not_found, "no_such_block"),
        ("/v1/chain/blocks/18446744073709551616", not_found, "no_such_block"),
        ("/v1/chain/blocks/..%2f..%2fkeys", not_found, "no_such_block"),
        ("/v1/chain/blocks/x/transactions", not_found, "no_such_block"),
        ("/v1/chain/blocks/2/certificate", not_found, "no_such_block"),
        ("/v1/chain/blocks/since", bad, "invalid_query"),
        ("/v1/chain/blocks/since?time=now", bad, "invalid_query"),
        ("/v1/chain/blocks?limit=0", bad, "invalid_limit"),
        ("/v1/chain/blocks?limit=201", bad, "invalid_limit"),
        ("/v1/chain/blocks?cursor=eA", bad, "invalid_cursor"),
        ("/v1/chain/blocks?cursor=%25", bad, "invalid_cursor"),
        ("/v1/chain/blocks?page=1", bad, "invalid_query"),
        ("/v1/chain/blocks/1/transactions?cursor=OTk5OTk5OTk5OTk5OTk5", bad, "invalid_cursor"),
        ("/v1/chain/transactions?subject=did:key:z6Mk", bad, "invalid_query"),
        ("/v1/chain/transactions?leaf=00", bad, "invalid_query"),
        ("/v1/chain/transactions?since=9223372036854775808", bad, "invalid_query"),
        ("/v1/chain/transactions?cursor=MQ", bad, "invalid_cursor"),
        (&far, bad, "invalid_cursor"),
        ("/v1/chain/transactions/1", not_found, "no_such_transaction"),
        ("/v1/chain/members?height=-1", bad, "invalid_query"),
        (&upper, bad, "invalid_state_key"),
        ("/v1/chain/state/00", bad, "invalid_state_key"),
        ("/v1/chain/events?from=0", bad, "invalid_height"),
        ("/v1/chain/events?from=3", bad, "invalid_height"),
        ("/v1/chain/events?from=x", bad, "invalid_query"),
        ("/v1/chain/nothing", not_found, "no_such_path"),
    ];
    for (path, status, code) in cases {
        explorer.get(path).await.expect_problem(status, code);
    }
    explorer.chain.prune(2);
    explorer.get("/v1/chain/blocks/1").await.expect_problem(not_found, "pruned");
    explorer.get("/v1/chain/events?from=1").await.expect_problem(not_found, "pruned");
    explorer.chain.set_down(true);
    for path in ["head", "genesis", "blocks", "transactions", "members", "members/history", "evidence", "health"] {
        let problem = explorer.get(&format!("/v1/chain/{path}")).await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "chain_unavailable");
        assert!(!problem.to_string().contains("disk"), "the cause is for the log");
    }
}

#[tokio::test]
async fn hostile_submissions_are_refused_by_name() {
    let explorer = Explorer::open();
    let good = transaction(&submitter(50), 0, Hash([1; 32]));
    explorer.submit(&good[1..]).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_transaction");
    explorer.submit(&[]).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_transaction");
    for length in [TRANSACTION_BYTES_MAX + 1, TRANSACTION_BYTES_MAX + 100] {
        explorer.submit(&vec![0; length]).await.expect_problem(StatusCode::PAYLOAD_TOO_LARGE, "transaction_too_large");
    }
    explorer.submit(&vec![0; TRANSACTION_BYTES_MAX]).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_transaction");
    explorer.post("{\"transaction\":\"%%\"}").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_transaction");
    explorer.post("{\"transaction\":1}").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
    explorer.post("{\"transaction\":\"\",\"more\":1}").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
    explorer.post("").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
    explorer.post("[".repeat(100)).await.expect_problem(StatusCode::BAD_REQUEST, "json_too_deep");
    explorer.post(" ".repeat(2 << 20)).await.expect_problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
    assert_eq!(explorer.json("/v1/chain/head").await["height"], "0", "nothing of this reached the chain");
    explorer.chain.set_down(true);
    explorer.submit(&good).await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "chain_unavailable");

    let closed = Explorer::new(Submissions::Closed, ChainLimits::default());
    closed.submit(&good).await.expect_problem(StatusCode::FORBIDDEN, "submissions_closed");
}

#[tokio::test]
async fn submissions_that_wait_are_counted() {
    let explorer = Explorer::new(Submissions::Open, ChainLimits { submissions_max: 1, ..ChainLimits::default() });
    explorer.chain.set_halted(true);
    let (one, two) = (transaction(&submitter(50), 0, Hash([1; 32])), transaction(&submitter(50), 1, Hash([2; 32])));
    let (first, second) = tokio::join!(explorer.submit(&one), explorer.submit(&two));
    first.expect(StatusCode::ACCEPTED);
    let refused = second;
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(StatusCode::TOO_MANY_REQUESTS, "too_many_transactions");
    explorer.submit(&two).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_exchange_serves_its_chain_to_anyone_once_it_is_attached() {
    let exchange = TestExchange::start().await;
    let ask = || Request::get("/v1/chain/head").body(Body::empty()).expect("a request");
    exchange.send(ask()).await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "chain_not_served");
    let state = ChainState::new(Arc::new(MemoryChain::default()), Submissions::Closed, ChainLimits::default(), exchange.stop.clone());
    let channels = Channels::new(crate::node::channel("main", state, Arc::default()), []);
    let router = channels::attach(exchange.router.clone(), channels);
    assert_eq!(send(&router, ask()).await.expect(StatusCode::OK)["origin"], ORIGIN);
}
