//! Every POST may be sent again.

use crate::harness::{Person, TestExchange};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use entrepot_chain_statement::statements::{Role, WorkerRole};
use serde_json::json;

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_has_no_second_effect() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let body = json!({ "name": "loans", "worker": lender.worker.did() });
    let first = exchange.post_with_key(&lender, "/v1/datasets", &body, "k1").await;
    assert!(!first.headers.contains_key("idempotent-replayed"));
    for _ in 0..3 {
        let again = exchange.post_with_key(&lender, "/v1/datasets", &body, "k1").await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
    let all = exchange.get(&lender, "/v1/datasets").await.expect(StatusCode::OK);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_participant() {
    let exchange = TestExchange::start().await;
    let (lender, bureau) = (exchange.provider(1).await, exchange.provider(2).await);
    let body = |name: &str, who: &Person| json!({ "name": name, "worker": who.worker.did() });
    let ask = async |who, body: &serde_json::Value| exchange.post_with_key(who, "/v1/datasets", body, "k1").await;
    ask(&lender, &body("loans", &lender)).await.expect(StatusCode::ACCEPTED);
    ask(&lender, &body("other", &lender)).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
    let grant = json!({ "envelope": lender.sign(&lender.grant(WorkerRole::Data)) });
    let elsewhere = exchange.post_with_key(&lender, "/v1/worker-grants", &grant, "k1").await;
    elsewhere.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
    ask(&bureau, &body("loans", &bureau)).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let exchange = TestExchange::start().await;
    let lender = Person::new(1, &[Role::Provider]);
    exchange.admit(&lender).await;
    let body = json!({ "name": "loans", "worker": lender.worker.did() });
    let refused = exchange.post_with_key(&lender, "/v1/datasets", &body, "k1").await;
    refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "no_worker_grant");
    exchange.grant(&lender, WorkerRole::Data).await;
    exchange.post_with_key(&lender, "/v1/datasets", &body, "k1").await.expect(StatusCode::ACCEPTED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_repetitions_at_once_have_one_effect() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let body = json!({ "name": "loans", "worker": lender.worker.did() });
    let replies = futures::future::join_all((0..20).map(|_| exchange.post_with_key(&lender, "/v1/datasets", &body, "k1"))).await;
    let mut answers = std::collections::BTreeSet::new();
    for reply in replies {
        if reply.status == StatusCode::CONFLICT {
            assert_eq!(reply.headers["retry-after"], "1");
            reply.expect_problem(StatusCode::CONFLICT, "idempotency_in_flight");
        } else {
            answers.insert(reply.expect(StatusCode::ACCEPTED).to_string());
        }
    }
    assert_eq!(answers.len(), 1);
    let all = exchange.get(&lender, "/v1/datasets").await.expect(StatusCode::OK);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_post_without_a_sound_key_is_refused() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let token = exchange.token(&lender).await;
    let post = |key: Option<&str>| {
        let mut request = Request::post("/v1/datasets").header("authorization", format!("Bearer {token}"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        exchange.send(request.body(Body::from("{}")).expect("a request"))
    };
    post(None).await.expect_problem(StatusCode::BAD_REQUEST, "idempotency_key_missing");
    for key in ["", "a b", &"x".repeat(65)] {
        post(Some(key)).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_idempotency_key");
    }
}
