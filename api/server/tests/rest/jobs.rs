//! `/v1/jobs`

use crate::trade::{Trade, ciphertext};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use entrepot_chain_log::bundle::ReceiptBundle;
use entrepot_chain_statement::ids::JobId;
use entrepot_exchange_market::workforce::WorkerEvent;
use serde_json::{Value, json};
use std::time::Duration;

/// Follows a job to its end: ids and data of its events.
async fn follow(trade: &Trade, job_id: &JobId, last_event_id: Option<&str>) -> Vec<(u64, Value)> {
    let token = trade.exchange.token(&trade.consumer).await;
    let mut request = Request::get(format!("/v1/jobs/{job_id}/events")).header("authorization", format!("Bearer {token}"));
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let reply = trade.exchange.send(request.body(Body::empty()).expect("a request")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let text = String::from_utf8(reply.body.to_vec()).expect("text");
    let field = |event: &str, name: &str| event.lines().find_map(|line| line.strip_prefix(name).map(|rest| rest.trim().to_owned()));
    let events = text.split("\n\n").filter(|event| event.contains("data:"));
    events
        .map(|event| {
            let id = field(event, "id:").expect("an id").parse().expect("a number");
            (id, serde_json::from_str(&field(event, "data:").expect("data")).expect("JSON"))
        })
        .collect()
}

#[tokio::test]
async fn a_job_is_followed_from_the_queue_to_its_delivery() {
    let trade = Trade::start(3).await;
    let (_, job_id) = trade.placed().await;
    assert_eq!(trade.job(&job_id).await["state"], "queued");
    // Followed while it runs: the stream ends when the job does.
    let (events, ()) = tokio::join!(follow(&trade, &job_id, None), trade.compute(&job_id));
    let kinds: Vec<_> = events.iter().map(|(_, note)| note["kind"].as_str().expect("a kind").to_owned()).collect();
    let expected = [
        "queued",
        "dispatched",
        "running",
        "finished",
        "finished",
        "finished",
        "released",
        "share_delivered",
        "share_delivered",
        "share_delivered",
        "delivered",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(events.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (1..=11).collect::<Vec<_>>());
    // Again from the middle, and from the end.
    assert_eq!(follow(&trade, &job_id, Some("6")).await, events[6..]);
    assert_eq!(follow(&trade, &job_id, Some("11")).await, []);
    let job = trade.job(&job_id).await;
    assert_eq!((&job["state"], &job["attempt"]), (&json!("delivered"), &json!(1)));
}

#[tokio::test]
async fn following_ends_when_the_exchange_stops() {
    let trade = Trade::start(3).await;
    let (_, job_id) = trade.placed().await;
    let stop = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        trade.exchange.stop.cancel();
    };
    let (events, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(5), follow(&trade, &job_id, None)), stop);
    assert_eq!(events.expect("it ends").len(), 1, "the job is still queued");
}

#[tokio::test]
async fn a_last_event_id_that_is_none_is_refused() {
    let trade = Trade::start(3).await;
    let (_, job_id) = trade.placed().await;
    let token = trade.exchange.token(&trade.consumer).await;
    for id in ["x", "-1", "1.5", "99999999999999999999"] {
        let request = Request::get(format!("/v1/jobs/{job_id}/events")).header("authorization", format!("Bearer {token}"));
        let reply = trade.exchange.send(request.header("last-event-id", id).body(Body::empty()).expect("a request")).await;
        reply.expect_problem(StatusCode::BAD_REQUEST, "invalid_last_event_id");
    }
}

#[tokio::test]
async fn the_sealed_result_is_the_consumers_alone_and_only_once_it_is_there() {
    let trade = Trade::start(3).await;
    let (_, job_id) = trade.placed().await;
    let path = format!("/v1/jobs/{job_id}/result");
    trade.exchange.get(&trade.consumer, &path).await.expect_problem(StatusCode::CONFLICT, "result_not_ready");
    trade.compute(&job_id).await;
    let result = trade.exchange.get(&trade.consumer, &path).await.expect(StatusCode::OK);
    let shares: Vec<_> = result["shares"].as_array().expect("shares").iter().map(|share| share["ciphertext"].clone()).collect();
    assert_eq!(shares, [0, 1, 2].map(|share| json!(STANDARD.encode(ciphertext(share)))));
    let stranger = trade.exchange.consumer(6).await;
    for other in [&trade.cast.lender, &trade.exchange.operator, &stranger] {
        trade.exchange.get(other, &path).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn a_job_and_its_receipt_are_seen_by_those_who_take_part() {
    let trade = Trade::start(3).await;
    let (order_id, job_id) = trade.placed().await;
    trade.compute(&job_id).await;
    let stranger = trade.exchange.consumer(6).await;
    for path in [format!("/v1/jobs/{job_id}"), format!("/v1/jobs/{job_id}/receipt"), format!("/v1/orders/{order_id}")] {
        for insider in [&trade.consumer, &trade.cast.lender, &trade.cast.bureau, &trade.cast.compute] {
            trade.exchange.get(insider, &path).await.expect(StatusCode::OK);
        }
        trade.exchange.get(&stranger, &path).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    }
    trade.exchange.get(&stranger, &format!("/v1/jobs/{job_id}/events")).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    let reply = trade.exchange.get(&trade.cast.lender, &format!("/v1/jobs/{job_id}/receipt")).await;
    let bundle = ReceiptBundle::from_json(&reply.body).expect("a bundle");
    assert_eq!(bundle.entries.len(), 13);
}

#[tokio::test]
async fn a_refusal_is_told_with_the_workers_reason() {
    let trade = Trade::start(3).await;
    let (_, job_id) = trade.placed().await;
    trade.round().await;
    let (code, detail) = ("policy_forbids".to_owned(), "my own policy forbids it".to_owned());
    trade.hear(&trade.cast.bureau, WorkerEvent::WorkRefused { job_id: job_id.clone(), attempt: 1, code, detail }).await;
    let job = trade.job(&job_id).await;
    assert_eq!((&job["state"], &job["reason"]), (&json!("refunded"), &json!("worker_refused")));
    assert_eq!(job["failure"], json!({ "party": 1, "code": "policy_forbids", "detail": "my own policy forbids it" }));
    let path = format!("/v1/jobs/{job_id}/result");
    trade.exchange.get(&trade.consumer, &path).await.expect_problem(StatusCode::CONFLICT, "job_refunded");
    let reply = trade.exchange.get(&trade.consumer, &format!("/v1/jobs/{job_id}/receipt")).await;
    let bundle = ReceiptBundle::from_json(&reply.body).expect("a bundle");
    assert!(bundle.entries.iter().any(|entry| entry.name == "refund"));
}
