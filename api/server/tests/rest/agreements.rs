//! `/v1/agreements`

use crate::trade::Trade;
use axum::http::StatusCode;
use entrepot_chain_statement::Money;
use serde_json::json;

#[tokio::test]
async fn an_agreement_is_seen_by_those_whom_it_binds_and_nobody_else() {
    let trade = Trade::start(0).await;
    let agreement = trade.consumer.sign(&trade.agreement());
    let body = json!({ "envelope": agreement });
    let made = trade.exchange.post(&trade.consumer, "/v1/agreements", &body).await.expect(StatusCode::CREATED);
    assert_eq!((&made["next_sequence"], &made["used_queries"]), (&json!("1"), &json!(0)));
    assert_eq!(made["statement_hash"], agreement.statement_hash().to_string());
    let path = format!("/v1/agreements/{}", made["agreement_id"].as_str().expect("an id"));
    for insider in [&trade.consumer, &trade.cast.lender, &trade.cast.bureau, &trade.cast.compute, &trade.exchange.operator] {
        assert_eq!(trade.exchange.get(insider, &path).await.expect(StatusCode::OK), made);
        let page = trade.exchange.get(insider, "/v1/agreements").await.expect(StatusCode::OK);
        assert_eq!(page["items"], json!([made]));
    }
    let stranger = trade.exchange.consumer(6).await;
    trade.exchange.get(&stranger, &path).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    assert_eq!(trade.exchange.get(&stranger, "/v1/agreements").await.expect(StatusCode::OK)["items"], json!([]));
}

#[tokio::test]
async fn terms_of_ones_own_are_refused() {
    let trade = Trade::start(0).await;
    let mut cheaper = trade.agreement();
    cheaper.price_per_query = Money { amount_minor: 1, currency: cheaper.price_per_query.currency };
    let body = json!({ "envelope": trade.consumer.sign(&cheaper) });
    let problem = trade.exchange.post(&trade.consumer, "/v1/agreements", &body).await;
    problem.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "agreement_terms_differ");

    let forged = json!({ "envelope": trade.cast.lender.sign(&trade.agreement()) });
    let problem = trade.exchange.post(&trade.consumer, "/v1/agreements", &forged).await;
    problem.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");

    let good = json!({ "envelope": trade.consumer.sign(&trade.agreement()) });
    trade.exchange.post(&trade.cast.lender, "/v1/agreements", &good).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
    let other = trade.exchange.consumer(6).await;
    trade.exchange.post(&other, "/v1/agreements", &good).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");
}
