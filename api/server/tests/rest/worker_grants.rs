//! `/v1/worker-grants`

use crate::harness::{BEGIN, DAY_MS, TestExchange};
use axum::http::StatusCode;
use entrepot_chain_statement::{
    Envelope, Timestamp,
    statements::{Role, WorkerRole},
};
use serde_json::json;

#[tokio::test]
async fn a_grant_is_the_participants_own_and_goes_to_the_log() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let envelope = lender.sign(&lender.grant(WorkerRole::Data));
    let id = lender.grant(WorkerRole::Data).grant_id;
    let seen = exchange.get(&lender, &format!("/v1/worker-grants/{id}")).await.expect(StatusCode::OK);
    assert_eq!(seen["statement_hash"], envelope.statement_hash().to_string());
    assert_eq!(seen["worker"], json!(lender.worker.did()));

    let mut reader = exchange.market.store.reader().await.expect("a reader");
    let waiting = entrepot_exchange_store::outbox::due(&mut reader, "anchor", BEGIN).await.expect("rows");
    assert!(waiting.iter().any(|row| row.payload == envelope.statement_hash().to_string()), "{waiting:?}");
}

#[tokio::test]
async fn submitting_a_grant_again_changes_nothing_and_another_under_its_id_is_refused() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let again = json!({ "envelope": lender.sign(&lender.grant(WorkerRole::Data)) });
    exchange.post(&lender, "/v1/worker-grants", &again).await.expect(StatusCode::CREATED);
    let mut other = lender.grant(WorkerRole::Data);
    other.expires_at = BEGIN.plus_ms(DAY_MS);
    let other = json!({ "envelope": lender.sign(&other) });
    exchange.post(&lender, "/v1/worker-grants", &other).await.expect_problem(StatusCode::CONFLICT, "id_taken");
    let all = exchange.get(&lender, "/v1/worker-grants").await.expect(StatusCode::OK);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_grant_of_somebody_else_or_against_the_rules_is_refused() {
    let exchange = TestExchange::start().await;
    let (lender, bureau) = (exchange.provider(1).await, exchange.provider(2).await);
    let submit = async |envelope: Envelope| exchange.post(&lender, "/v1/worker-grants", &json!({ "envelope": envelope })).await;
    submit(bureau.sign(&bureau.grant(WorkerRole::Data))).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "not_your_statement");
    submit(bureau.sign(&lender.grant(WorkerRole::Data))).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");
    let mut grant = lender.grant(WorkerRole::Compute);
    grant.grant_id = entrepot_chain_statement::ids::GrantId::compose(BEGIN, [77; 10]);
    submit(lender.sign(&grant)).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "grant_role");
    grant.role = WorkerRole::Data;
    (grant.not_before, grant.expires_at) = (Timestamp(0), BEGIN);
    submit(lender.sign(&grant)).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "grant_expired");
    (grant.not_before, grant.expires_at, grant.worker) = (BEGIN, BEGIN.plus_ms(1), lender.did());
    submit(lender.sign(&grant)).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "grant_shared_key");
}

#[tokio::test]
async fn anothers_grant_does_not_exist_but_for_regulators() {
    let exchange = TestExchange::start().await;
    let (lender, bureau) = (exchange.provider(1).await, exchange.provider(2).await);
    let regulator = crate::harness::Person::new(3, &[Role::Regulator]);
    exchange.admit(&regulator).await;
    let path = format!("/v1/worker-grants/{}", lender.grant(WorkerRole::Data).grant_id);
    exchange.get(&bureau, &path).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    exchange.get(&regulator, &path).await.expect(StatusCode::OK);
    let seen = exchange.get(&bureau, "/v1/worker-grants").await.expect(StatusCode::OK);
    assert_eq!(seen["items"].as_array().map(Vec::len), Some(1), "its own");
}
