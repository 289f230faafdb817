//! `/v1/orders`

use crate::{
    harness::DAY_MS,
    trade::{PRICE, Trade},
};
use axum::http::StatusCode;
use entrepot_chain_statement::{Hash, Money};
use entrepot_exchange_store::books::verify_books;
use serde_json::json;

#[tokio::test]
async fn an_order_sets_its_price_aside_and_is_listed() {
    let trade = Trade::start(3).await;
    let (order_id, job_id) = trade.placed().await;
    assert_eq!(trade.balance(&trade.consumer).await, 2 * PRICE);
    let one = trade.exchange.get(&trade.consumer, &format!("/v1/orders/{order_id}")).await.expect(StatusCode::OK);
    assert_eq!((&one["job_id"], &one["state"], &one["sequence"]), (&json!(job_id), &json!("queued"), &json!("1")));
    let page = trade.exchange.get(&trade.consumer, "/v1/orders").await.expect(StatusCode::OK);
    assert_eq!(page["items"], json!([one]));
    let agreements = trade.exchange.get(&trade.consumer, "/v1/agreements").await.expect(StatusCode::OK);
    assert_eq!(agreements["items"][0]["next_sequence"], "2");
}

#[tokio::test]
async fn one_key_charges_once_whatever_is_sent_under_it() {
    let trade = Trade::start(3).await;
    let agreement = trade.agree().await;
    let order = json!({ "envelope": trade.consumer.sign(&trade.order(&agreement, 1)) });
    let post = |body: serde_json::Value| {
        let trade = &trade;
        async move { trade.exchange.post_with_key(&trade.consumer, "/v1/orders", &body, "the-key").await }
    };
    let first = post(order.clone()).await.expect(StatusCode::CREATED);
    for _ in 0..3 {
        assert_eq!(post(order.clone()).await.expect(StatusCode::CREATED), first);
    }
    let other = json!({ "envelope": trade.consumer.sign(&trade.order(&agreement, 2)) });
    post(other).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
    // The same order under another key is the same order, too.
    trade.exchange.post(&trade.consumer, "/v1/orders", &order).await.expect_problem(StatusCode::CONFLICT, "order_exists");
    assert_eq!(trade.balance(&trade.consumer).await, 2 * PRICE);
}

#[tokio::test]
async fn many_keys_at_once_for_one_order_charge_once() {
    let trade = Trade::start(3).await;
    let agreement = trade.agree().await;
    let order = json!({ "envelope": trade.consumer.sign(&trade.order(&agreement, 1)) });
    let replies = futures::future::join_all((0..10).map(|_| trade.exchange.post(&trade.consumer, "/v1/orders", &order))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == StatusCode::CREATED).count(), 1);
    assert!(replies.iter().all(|reply| matches!(reply.status, StatusCode::CREATED | StatusCode::CONFLICT)));
    assert_eq!(trade.balance(&trade.consumer).await, 2 * PRICE);
}

#[tokio::test]
async fn too_small_a_balance_takes_nothing_and_says_what_is_missing() {
    let trade = Trade::start(0).await;
    trade.credit(PRICE - 1).await.expect(StatusCode::CREATED);
    let agreement = trade.agree().await;
    let order = trade.order(&agreement, 1);
    let problem = trade.place(&order).await.expect_problem(StatusCode::PAYMENT_REQUIRED, "insufficient_balance");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("5000") && detail.contains("4999")), "{problem}");
    assert_eq!(trade.balance(&trade.consumer).await, PRICE - 1);
    trade.credit(1).await.expect(StatusCode::CREATED);
    trade.place(&order).await.expect(StatusCode::CREATED);
}

#[tokio::test]
async fn a_wrong_plan_price_sequence_or_agreement_is_refused_by_name() {
    let trade = Trade::start(3).await;
    let agreement = trade.agree().await;
    let place = |change: fn(&mut entrepot_chain_statement::statements::Order)| {
        let mut order = trade.order(&agreement, 1);
        change(&mut order);
        let trade = &trade;
        async move { trade.place(&order).await }
    };
    place(|o| o.plan = Hash([1; 32])).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "order_plan_wrong");
    let cheap = place(|o| o.price = Money { amount_minor: 1, currency: o.price.currency.clone() }).await;
    cheap.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "order_price_wrong");
    let replay = place(|o| o.sequence = 7).await.expect_problem(StatusCode::CONFLICT, "order_sequence_wrong");
    assert!(replay["hint"].as_str().is_some_and(|hint| hint.contains("sequence 1")), "{replay}");
    place(|o| o.agreement = Hash([1; 32])).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "agreement_unknown");
    place(|o| o.sql = "SELECT 1".to_owned()).await.expect(StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(trade.balance(&trade.consumer).await, 3 * PRICE);
}

#[tokio::test]
async fn the_quota_ends_an_agreement() {
    let trade = Trade::start(20).await;
    let agreement = trade.agree().await;
    for sequence in 1..=10 {
        trade.place(&trade.order(&agreement, sequence)).await.expect(StatusCode::CREATED);
    }
    trade.place(&trade.order(&agreement, 11)).await.expect_problem(StatusCode::CONFLICT, "quota_spent");
}

#[tokio::test]
async fn an_agreement_that_expired_takes_no_order_and_refunds_what_waits() {
    let trade = Trade::start(3).await;
    let agreement = trade.agree().await;
    let placed = trade.place(&trade.order(&agreement, 1)).await.expect(StatusCode::CREATED);
    let job_id = placed["job_id"].as_str().expect("an id").parse().expect("an id");
    trade.exchange.clock.forward(DAY_MS);
    let mut late = trade.order(&agreement, 2);
    late.expires_at = late.issued_at.plus_ms(1_000);
    trade.place(&late).await.expect_problem(StatusCode::CONFLICT, "agreement_expired");
    trade.round().await;
    let job = trade.job(&job_id).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("refunded"), &json!("agreement_expired")));
    assert_eq!(trade.balance(&trade.consumer).await, 3 * PRICE);
    assert!(verify_books(&trade.exchange.market.store).await.expect("rows").is_right());
}

#[tokio::test]
async fn an_order_is_cancelled_once_by_its_consumer_and_not_after_it_is_paid() {
    let trade = Trade::start(3).await;
    let (order_id, job_id) = trade.placed().await;
    let path = format!("/v1/orders/{order_id}/cancel");
    let stranger = trade.exchange.consumer(6).await;
    for other in [&stranger, &trade.cast.lender, &trade.exchange.operator] {
        trade.exchange.post(other, &path, &json!({})).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    }
    let cancelled = trade.exchange.post_with_key(&trade.consumer, &path, &json!({}), "cancel-1").await.expect(StatusCode::OK);
    assert_eq!(cancelled["state"], "refunded");
    let again = trade.exchange.post_with_key(&trade.consumer, &path, &json!({}), "cancel-1").await.expect(StatusCode::OK);
    assert_eq!(again, cancelled);
    trade.exchange.post(&trade.consumer, &path, &json!({})).await.expect_problem(StatusCode::CONFLICT, "order_over");
    assert_eq!(trade.balance(&trade.consumer).await, 3 * PRICE);
    assert_eq!(trade.job(&job_id).await["reason"], "cancelled");

    let (order_id, job_id) = trade.placed().await;
    trade.compute(&job_id).await;
    let path = format!("/v1/orders/{order_id}/cancel");
    trade.exchange.post(&trade.consumer, &path, &json!({})).await.expect_problem(StatusCode::CONFLICT, "order_over");
    assert_eq!(trade.balance(&trade.consumer).await, 2 * PRICE);
    assert!(verify_books(&trade.exchange.market.store).await.expect("rows").is_right());
}
