//! `/v1/participants`

use crate::harness::{Person, TestExchange};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use entrepot_chain_statement::{Envelope, statements::Role};
use entrepot_exchange_market::participant::{BootstrapError, bootstrap_operator};
use serde_json::json;

#[tokio::test]
async fn who_enrols_waits_for_an_operator_and_then_gets_tokens() {
    let exchange = TestExchange::start().await;
    let lender = Person::new(1, &[Role::Provider, Role::Consumer]);
    let enrolled = exchange.post_anonymously("/v1/participants", &json!({ "envelope": lender.sign(&lender.enrolment()) })).await;
    let enrolled = enrolled.expect(StatusCode::ACCEPTED);
    assert_eq!((&enrolled["state"], &enrolled["did"]), (&json!("pending"), &json!(lender.did())));

    let refused = exchange.ask_token(&exchange.assertion(&lender, "a")).await;
    let problem = refused.expect_problem(StatusCode::UNAUTHORIZED, "participant_not_approved");
    assert_eq!(problem["error"], "invalid_client");

    let pending = exchange.get(&exchange.operator, "/v1/participants?state=pending").await.expect(StatusCode::OK);
    assert_eq!(pending["items"][0]["did"], json!(lender.did()));
    let approval = format!("/v1/participants/{}/approval", lender.did());
    let approved = exchange.post(&exchange.operator, &approval, &json!({})).await.expect(StatusCode::OK);
    assert_eq!(approved["state"], "approved");

    let seen = exchange.get(&lender, &format!("/v1/participants/{}", lender.did())).await.expect(StatusCode::OK);
    assert_eq!(seen["roles"], json!(["provider", "consumer"]));
}

#[tokio::test]
async fn enrolling_again_with_the_same_statement_changes_nothing_and_with_another_is_refused() {
    let exchange = TestExchange::start().await;
    let lender = Person::new(1, &[Role::Provider]);
    let envelope = json!({ "envelope": lender.sign(&lender.enrolment()) });
    exchange.post_anonymously("/v1/participants", &envelope).await.expect(StatusCode::ACCEPTED);
    exchange.post_anonymously("/v1/participants", &envelope).await.expect(StatusCode::ACCEPTED);
    let mut other = lender.enrolment();
    other.roles = vec![Role::Operator];
    let other = json!({ "envelope": lender.sign(&other) });
    exchange.post_anonymously("/v1/participants", &other).await.expect_problem(StatusCode::CONFLICT, "participant_exists");
}

#[tokio::test]
async fn a_stranger_that_repeats_its_enrolment_leaves_nothing_behind() {
    let exchange = TestExchange::start().await;
    let lender = Person::new(1, &[Role::Provider]);
    let enrol = async |envelope: &Envelope, key: &str| {
        let request = Request::post("/v1/participants").header("idempotency-key", key).header("content-type", "application/json");
        exchange.send(request.body(Body::from(json!({ "envelope": envelope }).to_string())).expect("a request")).await
    };
    let envelope = lender.sign(&lender.enrolment());
    let mut changed = lender.enrolment();
    changed.name = "Another name".to_owned();
    let changed = lender.sign(&changed);
    enrol(&envelope, "first").await.expect(StatusCode::ACCEPTED);
    assert_eq!(enrol(&envelope, "first").await.headers["idempotent-replayed"], "true");
    enrol(&changed, "first").await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused");
    // Another key finds what is there, and is forgotten.
    enrol(&envelope, "second").await.expect(StatusCode::ACCEPTED);
    enrol(&changed, "second").await.expect_problem(StatusCode::CONFLICT, "participant_exists");
}

#[tokio::test]
async fn an_enrolment_counts_only_if_its_own_participant_signed_it() {
    let exchange = TestExchange::start().await;
    let (lender, stranger) = (Person::new(1, &[Role::Provider]), Person::new(2, &[Role::Provider]));
    let forged = Envelope::sign(&lender.enrolment(), &stranger.key, [1; 32]).expect("it signs");
    let refused = exchange.post_anonymously("/v1/participants", &json!({ "envelope": forged })).await;
    refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");

    let mut altered = serde_json::to_value(lender.sign(&lender.enrolment())).expect("JSON");
    altered["signatures"][0]["sig"] = altered["signatures"][0]["leaf_sig"].clone();
    let refused = exchange.post_anonymously("/v1/participants", &json!({ "envelope": altered })).await;
    refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");

    let grant = stranger.sign(&stranger.grant(entrepot_chain_statement::statements::WorkerRole::Data));
    let refused = exchange.post_anonymously("/v1/participants", &json!({ "envelope": grant })).await;
    refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");
}

#[tokio::test]
async fn an_enrolment_that_breaks_a_rule_says_which() {
    let exchange = TestExchange::start().await;
    let lender = Person::new(1, &[Role::Provider]);
    let mut enrolment = lender.enrolment();
    enrolment.name = "x".repeat(101);
    let refused = exchange.post_anonymously("/v1/participants", &json!({ "envelope": lender.sign(&enrolment) })).await;
    refused.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "participant_name");
}

#[tokio::test]
async fn only_operators_approve_and_see_who_is_pending() {
    let exchange = TestExchange::start().await;
    let (consumer, pending) = (exchange.consumer(1).await, Person::new(2, &[Role::Provider]));
    exchange
        .post_anonymously("/v1/participants", &json!({ "envelope": pending.sign(&pending.enrolment()) }))
        .await
        .expect(StatusCode::ACCEPTED);
    let approval = format!("/v1/participants/{}/approval", pending.did());
    exchange.post(&consumer, &approval, &json!({})).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
    exchange.get(&consumer, "/v1/participants?state=pending").await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
    let one = format!("/v1/participants/{}", pending.did());
    exchange.get(&consumer, &one).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    exchange.get(&exchange.operator, &one).await.expect(StatusCode::OK);
    let nobody = format!("/v1/participants/{}/approval", Person::new(9, &[]).did());
    exchange.post(&exchange.operator, &nobody, &json!({})).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn pages_hold_everybody_once() {
    let exchange = TestExchange::start().await;
    for seed in 1..=4 {
        exchange.consumer(seed).await;
    }
    let reader = exchange.consumer(5).await;
    let (mut seen, mut path) = (Vec::new(), "/v1/participants?limit=2".to_owned());
    loop {
        let page = exchange.get(&reader, &path).await.expect(StatusCode::OK);
        let items = page["items"].as_array().expect("items");
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["did"].as_str().expect("a did").to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/participants?limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 6, "five consumers and the operator");
    assert!(seen.is_sorted_by(|a, b| a < b));
}

#[tokio::test]
async fn there_is_one_first_operator() {
    let exchange = TestExchange::start().await;
    let again = exchange.operator.sign(&exchange.operator.enrolment());
    assert!(bootstrap_operator(&exchange.market, &again).await.is_ok(), "the same one may be set up again");
    let second = Person::new(7, &[Role::Operator]);
    let refused = bootstrap_operator(&exchange.market, &second.sign(&second.enrolment())).await;
    assert!(matches!(refused, Err(BootstrapError::OperatorExists)), "{refused:?}");
    let provider = Person::new(8, &[Role::Provider]);
    let refused = bootstrap_operator(&exchange.market, &provider.sign(&provider.enrolment())).await;
    assert!(matches!(refused, Err(BootstrapError::NotOperator)), "{refused:?}");
}
