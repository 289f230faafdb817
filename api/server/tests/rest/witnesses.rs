//! `/v1/log/witnesses` and `/v1/log/cosignatures`: who cosigns without being a worker.

use crate::harness::{DAY_MS, Reply, TestExchange};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use entrepot_chain_log::{NoteSigner, SignedCheckpoint, cosignature_vkey};
use entrepot_chain_statement::SigningKey;
use entrepot_exchange_market::anchoring;
use serde_json::{Value, json};

struct Key(SigningKey);

impl Key {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_seed(&[seed; 32]))
    }

    fn input(&self) -> Value {
        json!({"witness": self.0.did()})
    }

    fn line(&self, checkpoint: &SignedCheckpoint) -> String {
        let signer = NoteSigner::cosigner(self.0.did().as_str(), self.0.clone()).expect("a name");
        checkpoint.cosign(&signer, 7).to_string()
    }
}

async fn newest(exchange: &TestExchange) -> SignedCheckpoint {
    anchoring::anchor_due(&exchange.market).await.expect("a round");
    let reply = exchange.send(Request::get("/v1/log/checkpoint").body(Body::empty()).expect("a request")).await;
    String::from_utf8(reply.body.to_vec()).expect("text").parse().expect("a checkpoint")
}

/// Without a token.
async fn bring(exchange: &TestExchange, size: u64, line: &str) -> Reply {
    let body = json!({"size": size.to_string(), "cosignature": line}).to_string();
    let request = Request::put("/v1/log/cosignatures").header(header::CONTENT_TYPE, "application/json");
    exchange.send(request.body(Body::from(body)).expect("a request")).await
}

#[tokio::test]
async fn an_enrolled_witness_needs_no_token_to_bring_its_cosignature() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let (key, checkpoint) = (Key::new(90), newest(&exchange).await);
    let line = key.line(&checkpoint);
    bring(&exchange, 1, &line).await.expect_problem(StatusCode::FORBIDDEN, "unknown_witness");
    exchange.post(&lender, "/v1/log/witnesses", &key.input()).await.expect(StatusCode::CREATED);
    for _ in 0..2 {
        let kept = bring(&exchange, 1, &line).await.expect(StatusCode::OK);
        assert_eq!((&kept["participant"], &kept["size"]), (&json!(lender.did()), &json!("1")));
    }
    assert_eq!(newest(&exchange).await.cosigned_at(&cosignature_vkey(&key.0.did())), Ok(Some(7)));
}

#[tokio::test]
async fn what_is_no_cosignature_of_this_log_is_refused_by_name() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let (key, checkpoint) = (Key::new(90), newest(&exchange).await);
    exchange.post(&lender, "/v1/log/witnesses", &key.input()).await.expect(StatusCode::CREATED);
    let line = key.line(&checkpoint);
    bring(&exchange, 2, &line).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "wrong_cosignature");
    let forged = Key::new(91).line(&checkpoint).replace(Key::new(91).0.did().as_str(), key.0.did().as_str());
    bring(&exchange, 1, &forged).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "wrong_cosignature");
    for line in ["", "x", "— lender AAAA", &format!("{line}\n{line}"), &"a".repeat(2000)] {
        bring(&exchange, 1, line).await.expect_problem(StatusCode::BAD_REQUEST, "malformed_cosignature");
    }
}

#[tokio::test]
async fn a_participant_has_one_witness_and_replaces_it_once_it_is_silent_for_a_day() {
    let exchange = TestExchange::start().await;
    let (lender, bureau) = (exchange.provider(1).await, exchange.provider(2).await);
    let enrol = async |person, key: &Key| exchange.post(person, "/v1/log/witnesses", &key.input()).await;
    let (first, second) = (Key::new(90), Key::new(91));
    enrol(&lender, &first).await.expect(StatusCode::CREATED);
    enrol(&lender, &first).await.expect(StatusCode::CREATED);
    enrol(&lender, &second).await.expect_problem(StatusCode::CONFLICT, "witness_exists");
    // Naming somebody's key keeps nobody out.
    let known = enrol(&bureau, &first).await.expect(StatusCode::CREATED);
    assert_eq!(known["participant"], json!(lender.did()));
    exchange.clock.forward(DAY_MS);
    enrol(&lender, &second).await.expect(StatusCode::CREATED);
    let checkpoint = newest(&exchange).await;
    let size = checkpoint.checkpoint().size;
    bring(&exchange, size, &first.line(&checkpoint)).await.expect_problem(StatusCode::FORBIDDEN, "unknown_witness");
    bring(&exchange, size, &second.line(&checkpoint)).await.expect(StatusCode::OK);
    let own = json!({"witness": lender.did()});
    exchange.post(&lender, "/v1/log/witnesses", &own).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "shared_key");
}
