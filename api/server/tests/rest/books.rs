//! `/v1/account`, `/v1/journal`, `/v1/credits`

use crate::trade::{PRICE, Trade};
use axum::http::StatusCode;
use serde_json::{Value, json};

fn sums_to_zero(entry: &Value) -> bool {
    let postings = entry["postings"].as_array().expect("postings");
    postings.iter().map(|posting| posting["amount_minor"].as_str().expect("text").parse::<i64>().expect("a number")).sum::<i64>() == 0
}

#[tokio::test]
async fn whoever_takes_part_sees_every_movement_of_the_job_and_strangers_none() {
    let trade = Trade::start(2).await;
    let (_, job_id) = trade.placed().await;
    trade.compute(&job_id).await;
    let path = format!("/v1/journal?job={job_id}");
    for insider in [&trade.consumer, &trade.cast.lender, &trade.cast.compute] {
        let page = trade.exchange.get(insider, &path).await.expect(StatusCode::OK);
        let items = page["items"].as_array().expect("items");
        assert_eq!(items.iter().map(|entry| entry["kind"].as_str()).collect::<Vec<_>>(), [Some("hold"), Some("release")]);
        assert!(items.iter().all(sums_to_zero));
        assert_eq!(items[1]["postings"].as_array().map(Vec::len), Some(4), "escrow and three receivers");
    }
    let stranger = trade.exchange.consumer(6).await;
    assert_eq!(trade.exchange.get(&stranger, &path).await.expect(StatusCode::OK)["items"], json!([]));
    // The consumer's own list has its credit, too; the lender's has not.
    let own = trade.exchange.get(&trade.consumer, "/v1/journal").await.expect(StatusCode::OK);
    assert_eq!(own["items"].as_array().map(Vec::len), Some(3));
    let lenders = trade.exchange.get(&trade.cast.lender, "/v1/journal").await.expect(StatusCode::OK);
    assert_eq!(lenders["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(trade.balance(&trade.cast.lender).await, PRICE * 45 / 100);
    assert_eq!(trade.balance(&trade.consumer).await, PRICE);
}

#[tokio::test]
async fn the_journal_comes_in_pages_that_hold_each_entry_once() {
    let trade = Trade::start(1).await;
    for _ in 0..4 {
        trade.credit(1).await.expect(StatusCode::CREATED);
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/journal?limit=2".to_owned());
    loop {
        let page = trade.exchange.get(&trade.consumer, &path).await.expect(StatusCode::OK);
        seen.extend(page["items"].as_array().expect("items").iter().map(|entry| entry["entry_id"].to_string()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/journal?limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 5);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    for query in ["job=x", "job=order_1", "limit=0", "other=1"] {
        assert_eq!(trade.exchange.get(&trade.consumer, &format!("/v1/journal?{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn only_the_operator_gives_credit_and_only_in_sane_amounts() {
    let trade = Trade::start(0).await;
    let body = |amount: Value, currency: &str| json!({ "participant": trade.consumer.did(), "money": { "amount_minor": amount, "currency": currency } });
    let good = body(json!("5"), "EUR");
    trade.exchange.post(&trade.consumer, "/v1/credits", &good).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
    let operator = &trade.exchange.operator;
    for amount in [json!("0"), json!("-5"), json!("9223372036854775807")] {
        let refused = trade.exchange.post(operator, "/v1/credits", &body(amount, "EUR")).await;
        refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "amount_out_of_range");
    }
    for (amount, currency) in
        [(json!(5), "EUR"), (json!("05"), "EUR"), (json!("5.0"), "EUR"), (json!("5"), "eur"), (json!("9223372036854775808"), "EUR")]
    {
        let refused = trade.exchange.post(operator, "/v1/credits", &body(amount, currency)).await;
        refused.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
    }
    let nobody = json!({ "participant": trade.exchange.market.exchange_did(), "money": { "amount_minor": "5", "currency": "EUR" } });
    let refused = trade.exchange.post(operator, "/v1/credits", &nobody).await;
    refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "participant_not_approved");
    trade.exchange.post(operator, "/v1/credits", &good).await.expect(StatusCode::CREATED);
    assert_eq!(trade.balance(&trade.consumer).await, 5);
}
