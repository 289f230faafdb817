//! `/v1/log`: what anyone may read, in the formats of C2SP.

use crate::{
    harness::{Reply, TestExchange},
    memory_log::ORIGIN,
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use entrepot_chain_log::{SignedCheckpoint, TlogProof, leaf_hash, merkle::verify_consistency};
use entrepot_chain_statement::Hash;
use entrepot_exchange_market::anchoring;

async fn get(exchange: &TestExchange, path: &str) -> Reply {
    exchange.send(Request::get(path).body(Body::empty()).expect("a request")).await
}

/// The text of an answer.
fn text(reply: Reply) -> String {
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    assert!(reply.headers["content-type"].to_str().is_ok_and(|kind| kind.starts_with("text/plain")));
    String::from_utf8(reply.body.to_vec()).expect("text")
}

fn checkpoint(reply: Reply) -> SignedCheckpoint {
    text(reply).parse().expect("a checkpoint")
}

#[tokio::test]
async fn an_empty_log_has_no_checkpoint() {
    let exchange = TestExchange::start().await;
    get(&exchange, "/v1/log/checkpoint").await.expect_problem(StatusCode::NOT_FOUND, "no_checkpoint");
    get(&exchange, "/v1/log/proof/0").await.expect_problem(StatusCode::NOT_FOUND, "no_proof");
}

#[tokio::test]
async fn anyone_can_check_what_is_logged_without_a_token() {
    let exchange = TestExchange::start().await;
    exchange.provider(1).await;
    anchoring::anchor_due(&exchange.market).await.expect("a round");
    let first = checkpoint(get(&exchange, "/v1/log/checkpoint").await);
    exchange.provider(2).await;
    exchange.provider(3).await;
    anchoring::anchor_due(&exchange.market).await.expect("a round");
    let second = checkpoint(get(&exchange, "/v1/log/checkpoint").await);
    for signed in [&first, &second] {
        signed.verify_log(ORIGIN, exchange.log.key()).expect("the log signed");
    }
    assert_eq!((first.checkpoint().size, second.checkpoint().size), (1, 3));
    assert_eq!(checkpoint(get(&exchange, "/v1/log/checkpoint?size=1").await), first);

    for path in ["/v1/log/proof/0", "/v1/log/proof/0?size=1", "/v1/log/proof/2?size=3"] {
        let proof: TlogProof = text(get(&exchange, path).await).parse().expect("a proof");
        let by_leaf = format!("/v1/log/proof/{}", leaf(&exchange, proof.index).await);
        proof.verify_entry(&leaf(&exchange, proof.index).await.0).expect("leads to the root");
        let again: TlogProof = text(get(&exchange, &by_leaf).await).parse().expect("a proof");
        assert_eq!(again.index, proof.index);
    }
    let body = get(&exchange, "/v1/log/consistency?from=1&to=3").await.expect(StatusCode::OK);
    let path: Vec<Hash> = serde_json::from_value(body["proof"].clone()).expect("hashes");
    let (one, two) = (first.checkpoint(), second.checkpoint());
    verify_consistency((one.size, &one.root), (two.size, &two.root), &path).expect("it only grew");
}

#[tokio::test]
async fn tiles_are_for_anyone_and_for_ever() {
    let exchange = TestExchange::start().await;
    for seed in 1..=3 {
        exchange.provider(seed).await;
    }
    anchoring::anchor_due(&exchange.market).await.expect("a round");
    let tile = async |path: &str| get(&exchange, &format!("/v1/log/tile/{path}")).await;
    let (entries, hashes) = (tile("entries/000.p/3").await, tile("0/000.p/3").await);
    assert_eq!((entries.status, hashes.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(entries.headers["content-type"], "application/octet-stream");
    assert!(entries.headers["cache-control"].to_str().is_ok_and(|rule| rule.contains("immutable")));
    for index in 0..3 {
        let leaf = leaf(&exchange, index as u64).await;
        assert_eq!(entries.body[index * 34..][..34], [&[0, 32], &leaf.0[..]].concat());
        assert_eq!(hashes.body[index * 32..][..32], leaf_hash(&leaf.0).0);
    }
    for path in ["0/000", "0/000.p/4", "1/000.p/1", "0/x001/000", "entries/0", "data/000", "0/000.p/256", "0", "..%2f..%2fkeys"] {
        tile(path).await.expect_problem(StatusCode::NOT_FOUND, "no_such_tile");
    }
}

async fn leaf(exchange: &TestExchange, index: u64) -> Hash {
    let mut reader = exchange.market.store.reader().await.expect("a reader");
    let row = entrepot_exchange_store::statements::find_by_index(&mut reader, index).await.expect("rows");
    row.expect("a statement").leaf
}

#[tokio::test]
async fn what_the_log_does_not_have_is_refused_by_name() {
    let exchange = TestExchange::start().await;
    exchange.provider(1).await;
    anchoring::anchor_due(&exchange.market).await.expect("a round");
    let unknown = format!("/v1/log/proof/{}", "0".repeat(64));
    let cases = [
        ("/v1/log/checkpoint?size=2", StatusCode::NOT_FOUND, "no_checkpoint"),
        ("/v1/log/checkpoint?size=-1", StatusCode::BAD_REQUEST, "invalid_query"),
        ("/v1/log/checkpoint?sizes=1", StatusCode::BAD_REQUEST, "invalid_query"),
        ("/v1/log/proof/1", StatusCode::NOT_FOUND, "no_proof"),
        ("/v1/log/proof/0?size=0", StatusCode::NOT_FOUND, "no_proof"),
        ("/v1/log/proof/18446744073709551615", StatusCode::NOT_FOUND, "no_proof"),
        ("/v1/log/proof/18446744073709551616", StatusCode::NOT_FOUND, "not_found"),
        ("/v1/log/proof/x", StatusCode::NOT_FOUND, "not_found"),
        (&unknown, StatusCode::NOT_FOUND, "no_proof"),
        ("/v1/log/consistency?from=1&to=2", StatusCode::BAD_REQUEST, "invalid_range"),
        ("/v1/log/consistency?from=1&to=0", StatusCode::BAD_REQUEST, "invalid_range"),
        ("/v1/log/consistency?from=1", StatusCode::BAD_REQUEST, "invalid_query"),
    ];
    for (path, status, code) in cases {
        get(&exchange, path).await.expect_problem(status, code);
    }
    exchange.log.set_down(true);
    get(&exchange, "/v1/log/checkpoint").await.expect_problem(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable");
}
