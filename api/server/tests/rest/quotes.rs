//! `/v1/quotes`

use crate::trade::{SQL, Trade};
use axum::http::StatusCode;
use entrepot_chain_statement::{Envelope, statements::Quote};
use serde_json::json;

#[tokio::test]
async fn a_quote_is_signed_by_the_exchange_and_seen_by_whoever_asked() {
    let trade = Trade::start(0).await;
    let body = json!({ "product_id": trade.cast.product.product_id, "sql": SQL });
    let answer = trade.exchange.post(&trade.consumer, "/v1/quotes", &body).await.expect(StatusCode::CREATED);
    let envelope: Envelope = serde_json::from_value(answer["envelope"].clone()).expect("an envelope");
    let quote: Quote = envelope.open_signed_by([&trade.exchange.market.exchange_did()]).expect("signed by the exchange");
    assert_eq!((quote.price, quote.sql.as_str()), (trade.cast.product.price_per_query.clone(), SQL));
    for (pin, grant) in quote.parties.iter().zip(answer["grants"].as_array().expect("grants")) {
        let grant: Envelope = serde_json::from_value(grant.clone()).expect("an envelope");
        assert_eq!(grant.statement_hash(), pin.grant);
        grant.verify_signed_by(&pin.participant).expect("signed by the participant");
    }
    let path = format!("/v1/quotes/{}", quote.quote_id);
    assert_eq!(trade.exchange.get(&trade.consumer, &path).await.expect(StatusCode::OK), answer);
    let other = trade.exchange.consumer(6).await;
    for stranger in [&other, &trade.cast.lender, &trade.exchange.operator] {
        trade.exchange.get(stranger, &path).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn a_forbidden_column_names_the_rule_that_forbids_it() {
    let trade = Trade::start(0).await;
    let sql = "SELECT l.customer, COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.customer";
    let body = json!({ "product_id": trade.cast.product.product_id, "sql": sql });
    let problem = trade.exchange.post(&trade.consumer, "/v1/quotes", &body).await;
    let problem = problem.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "policy_forbids");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("column_use_group")), "{problem}");
    assert!(problem["hint"].is_string());
}

#[tokio::test]
async fn hostile_queries_are_refused_and_not_repeated_at_length() {
    let trade = Trade::start(0).await;
    for sql in ["", "SELECT", "'; DROP TABLE orders; --", "SELECT * FROM lender.loans", &"(".repeat(100_000), &"x".repeat(500_000), "\u{0}"]
    {
        let body = json!({ "product_id": trade.cast.product.product_id, "sql": sql });
        let reply = trade.exchange.post(&trade.consumer, "/v1/quotes", &body).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{sql:.40}");
        assert!(reply.body.len() < 3_000);
    }
    let foreign = json!({ "product_id": format!("product_{}", "0".repeat(26)), "sql": SQL });
    trade.exchange.post(&trade.consumer, "/v1/quotes", &foreign).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    let wrong = json!({ "product_id": "order_1", "sql": SQL });
    trade.exchange.post(&trade.consumer, "/v1/quotes", &wrong).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
    trade.exchange.post(&trade.cast.lender, "/v1/quotes", &foreign).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
}
