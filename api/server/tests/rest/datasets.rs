//! `/v1/datasets`

use crate::harness::{TestExchange, description};
use axum::http::StatusCode;
use entrepot_chain_log::{Decided, Status, TrustFile, verify_certificate};
use entrepot_chain_statement::{Hash, ids::DatasetId};
use entrepot_exchange_market::{anchoring, dataset};
use entrepot_exchange_store::statements;
use serde_json::json;

async fn state(exchange: &TestExchange, who: &crate::harness::Person, id: &DatasetId) -> serde_json::Value {
    exchange.get(who, &format!("/v1/datasets/{id}")).await.expect(StatusCode::OK)
}

#[tokio::test]
async fn a_dataset_is_described_registered_and_certified() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let body = json!({ "name": "loans", "worker": lender.worker.did() });
    let asked = exchange.post(&lender, "/v1/datasets", &body).await.expect(StatusCode::ACCEPTED);
    assert_eq!(asked["state"], "describing");
    let id: DatasetId = asked["dataset_id"].as_str().expect("an id").parse().expect("an id");

    dataset::record_description(&exchange.market, &id, &lender.worker.did(), Ok(description(1))).await.expect("kept");
    let seen = state(&exchange, &lender, &id).await;
    assert_eq!(seen["state"], "described");
    assert_eq!(seen["description"], serde_json::to_value(description(1)).expect("JSON"));

    let envelope = lender.sign(&exchange.rights(&lender, "loans", &id));
    let rights = format!("/v1/datasets/{id}/rights");
    let registered = exchange.post(&lender, &rights, &json!({ "envelope": envelope })).await.expect(StatusCode::CREATED);
    assert_eq!((&registered["state"], &registered["rights"]), (&json!("registered"), &json!(envelope.statement_hash())));
    let certificate = exchange.get(&lender, &format!("/v1/datasets/{id}/certificate")).await.expect(StatusCode::OK);
    assert_eq!(certificate["format"], "entrepot.certificate.v1");
    assert_eq!(certificate["entries"][0]["envelope"], serde_json::to_value(&envelope).expect("JSON"));
    assert!(certificate["entries"][0]["proof"].is_null());

    let (hash, now) = (&envelope.statement_hash(), exchange.market.now());
    let logged = exchange.market.store.run_tx("logged", |tx| Box::pin(async move { statements::logged(tx, hash, 0, now).await }));
    logged.await.expect("noted");
    assert_eq!(state(&exchange, &lender, &id).await["state"], "certified");
}

#[tokio::test]
async fn a_logged_certificate_shows_by_the_genesis_alone_that_it_was_decided() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let body = json!({ "name": "loans", "worker": lender.worker.did() });
    let asked = exchange.post(&lender, "/v1/datasets", &body).await.expect(StatusCode::ACCEPTED);
    let id: DatasetId = asked["dataset_id"].as_str().expect("an id").parse().expect("an id");
    dataset::record_description(&exchange.market, &id, &lender.worker.did(), Ok(description(1))).await.expect("kept");
    let envelope = lender.sign(&exchange.rights(&lender, "loans", &id));
    exchange.post(&lender, &format!("/v1/datasets/{id}/rights"), &json!({ "envelope": envelope })).await.expect(StatusCode::CREATED);
    assert!(anchoring::anchor_due(&exchange.market).await.expect("a round").logged > 0);

    let certificate = exchange.get(&lender, &format!("/v1/datasets/{id}/certificate")).await.expect(StatusCode::OK);
    let trust = json!({
        "format": "entrepot.trust.v1",
        "log": { "origin": crate::memory_log::ORIGIN, "key": exchange.log.key() },
        "validators": [],
        "channel": { "genesis": exchange.log.genesis().digest() },
        "witnesses": [],
        "quorum": 1,
        "exchange": exchange.market.exchange_did(),
        "participants": [lender.did()],
    });
    let trust = TrustFile::from_json(trust.to_string().as_bytes()).expect("a trust file");
    let report = verify_certificate(certificate.to_string().as_bytes(), &trust).expect("is read");
    assert_eq!((report.status, report.decided), (Status::Unwitnessed { k: 0, n: 0, quorum: 1 }, Some(Decided { k: 1, n: 1 })));
}

#[tokio::test]
async fn only_a_provider_with_a_granted_worker_registers_datasets() {
    let exchange = TestExchange::start().await;
    let (lender, bureau, consumer) = (exchange.provider(1).await, exchange.provider(2).await, exchange.consumer(3).await);
    let ask = async |who, name: &str, worker| exchange.post(who, "/v1/datasets", &json!({ "name": name, "worker": worker })).await;
    ask(&consumer, "loans", lender.worker.did()).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
    ask(&lender, "loans", bureau.worker.did()).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "no_worker_grant");
    for name in ["", "Loans", "lo ans", "9", &"x".repeat(64)] {
        ask(&lender, name, lender.worker.did()).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "dataset_name");
    }
    ask(&lender, "loans", lender.worker.did()).await.expect(StatusCode::ACCEPTED);
    ask(&lender, "loans", lender.worker.did()).await.expect_problem(StatusCode::CONFLICT, "dataset_exists");
    ask(&bureau, "loans", bureau.worker.did()).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_worker_that_refuses_says_why_and_the_name_is_free_again() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let body = json!({ "name": "loans", "worker": lender.worker.did() });
    let asked = exchange.post(&lender, "/v1/datasets", &body).await.expect(StatusCode::ACCEPTED);
    let id: DatasetId = asked["dataset_id"].as_str().expect("an id").parse().expect("an id");
    let refusal = Err(("unknown_dataset".to_owned(), format!("no dataset loans\u{7}{}", "x".repeat(10_000))));
    dataset::record_description(&exchange.market, &id, &lender.worker.did(), refusal).await.expect("kept");
    let seen = state(&exchange, &lender, &id).await;
    assert_eq!((&seen["state"], &seen["refusal"]["code"]), (&json!("refused"), &json!("unknown_dataset")));
    let detail = seen["refusal"]["detail"].as_str().expect("a detail");
    assert!(detail.len() == 500 && !detail.contains('\u{7}'));
    exchange.post(&lender, "/v1/datasets", &body).await.expect(StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_worker_says_no_more_than_agreed_and_nothing_of_others_or_twice() {
    let exchange = TestExchange::start().await;
    let (lender, bureau) = (exchange.provider(1).await, exchange.provider(2).await);
    let ask = async |name: &str| {
        let body = json!({ "name": name, "worker": lender.worker.did() });
        let asked = exchange.post(&lender, "/v1/datasets", &body).await.expect(StatusCode::ACCEPTED);
        asked["dataset_id"].as_str().expect("an id").parse::<DatasetId>().expect("an id")
    };
    let record = async |id: &DatasetId, who: &crate::harness::Person, answer| {
        dataset::record_description(&exchange.market, id, &who.worker.did(), answer).await.expect("taken");
        state(&exchange, &lender, id).await
    };
    let first = ask("first").await;
    assert_eq!(record(&first, &bureau, Ok(description(2))).await["state"], "describing", "not its dataset");
    assert_eq!(record(&first, &lender, Ok(description(1))).await["state"], "described");
    let mut other = description(1);
    other.commitment = Hash([99; 32]);
    assert_eq!(record(&first, &lender, Ok(other)).await["description"]["commitment"], json!(Hash([1; 32])), "the first answer stays");

    let second = ask("second").await;
    let mut exact = description(1);
    exact.rows = 9857;
    let seen = record(&second, &lender, Ok(exact)).await;
    assert_eq!((&seen["state"], &seen["refusal"]["code"]), (&json!("refused"), &json!("description_too_exact")));

    let third = ask("third").await;
    let seen = record(&third, &lender, Err(("<script>".to_owned(), String::new()))).await;
    assert_eq!(seen["refusal"]["code"], "worker_refused");
}

#[tokio::test]
async fn a_registration_says_exactly_what_was_described_and_is_signed_by_the_provider() {
    let exchange = TestExchange::start().await;
    let (lender, bureau) = (exchange.provider(1).await, exchange.provider(2).await);
    let id = exchange.described(&lender, "loans").await;
    let path = format!("/v1/datasets/{id}/rights");
    let good = exchange.rights(&lender, "loans", &id);

    let mut other = good.clone();
    other.description.commitment = Hash([9; 32]);
    let sent = json!({ "envelope": lender.sign(&other) });
    exchange.post(&lender, &path, &sent).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "rights_mismatch");
    let forged = json!({ "envelope": bureau.sign(&good) });
    exchange.post(&lender, &path, &forged).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");
    let sent = json!({ "envelope": lender.sign(&good) });
    exchange.post(&bureau, &path, &sent).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    let certificate = format!("/v1/datasets/{id}/certificate");
    exchange.get(&lender, &certificate).await.expect_problem(StatusCode::CONFLICT, "dataset_state");

    exchange.post(&lender, &path, &sent).await.expect(StatusCode::CREATED);
    exchange.post(&lender, &path, &sent).await.expect(StatusCode::CREATED);
    let mut later = good;
    later.issued_at = later.issued_at.plus_ms(1);
    let sent = json!({ "envelope": lender.sign(&later) });
    exchange.post(&lender, &path, &sent).await.expect_problem(StatusCode::CONFLICT, "dataset_state");
}

#[tokio::test]
async fn others_see_a_dataset_once_it_is_registered() {
    let exchange = TestExchange::start().await;
    let (lender, consumer) = (exchange.provider(1).await, exchange.consumer(2).await);
    let hidden = exchange.described(&lender, "hidden").await;
    let (shown, _) = exchange.registered(&lender, "shown").await;
    exchange.get(&consumer, &format!("/v1/datasets/{hidden}")).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    exchange.get(&consumer, &format!("/v1/datasets/{hidden}/certificate")).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    exchange.get(&consumer, &format!("/v1/datasets/{shown}")).await.expect(StatusCode::OK);
    let count = async |who| exchange.get(who, "/v1/datasets").await.expect(StatusCode::OK)["items"].as_array().map(Vec::len);
    assert_eq!(count(&consumer).await, Some(1));
    assert_eq!(count(&lender).await, Some(2));
    assert_eq!(count(&exchange.operator).await, Some(2));
}
