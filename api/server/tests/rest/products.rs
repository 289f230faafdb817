//! `/v1/products`

use crate::harness::{BEGIN, DAY_MS, Person, TestExchange};
use axum::http::StatusCode;
use entrepot_chain_statement::{
    Envelope, Hash,
    statements::{DataProduct, Role},
};
use entrepot_exchange_store::statements;
use serde_json::{Value, json};

/// A way in which a product differs from a good one.
type Change<'a> = &'a dyn Fn(&mut DataProduct);

fn envelope(envelope: &Envelope) -> Value {
    json!({ "envelope": envelope })
}

#[tokio::test]
async fn a_product_is_active_once_everyone_whom_it_binds_has_signed() {
    let exchange = TestExchange::start().await;
    let (cast, consumer) = (exchange.cast().await, exchange.consumer(4).await);
    let one = format!("/v1/products/{}", cast.product.product_id);
    let signatures = format!("{one}/signatures");

    let first = cast.lender.sign(&cast.product);
    let proposed = exchange.post(&cast.lender, "/v1/products", &envelope(&first)).await.expect(StatusCode::CREATED);
    assert_eq!(proposed["state"], "proposed");
    exchange.get(&consumer, &one).await.expect_problem(StatusCode::NOT_FOUND, "not_found");

    let mut second = first.clone();
    second.countersign(&cast.bureau.key).expect("it signs");
    let signed = exchange.post(&cast.bureau, &signatures, &envelope(&second)).await.expect(StatusCode::OK);
    assert_eq!(
        (&signed["state"], &signed["parties"][1]["signed"], &signed["parties"][2]["signed"]),
        (&json!("proposed"), &json!(true), &json!(false))
    );

    // The third signs the first envelope: the exchange gathers what each brings.
    let mut third = first;
    third.countersign(&cast.compute.key).expect("it signs");
    let active = exchange.post(&cast.compute, &signatures, &envelope(&third)).await.expect(StatusCode::OK);
    assert_eq!(active["state"], "active");
    let complete = Envelope::from_json(active["envelope"].to_string().as_bytes()).expect("an envelope");
    let bound = [cast.lender.did(), cast.bureau.did(), cast.compute.did()];
    assert_eq!(complete.open_signed_by::<DataProduct>(&bound).expect("signed by all"), cast.product);

    exchange.get(&consumer, &one).await.expect(StatusCode::OK);
    let mut reader = exchange.market.store.reader().await.expect("a reader");
    let logged = statements::find(&mut reader, &complete.statement_hash()).await.expect("rows").expect("it goes to the log");
    assert_eq!(logged.envelope.signatures().len(), 3);
}

#[tokio::test]
async fn a_product_with_every_signature_is_active_at_once_and_may_be_sent_again() {
    let exchange = TestExchange::start().await;
    let cast = exchange.cast().await;
    let all = envelope(&cast.signed());
    for _ in 0..2 {
        let active = exchange.post(&cast.lender, "/v1/products", &all).await.expect(StatusCode::CREATED);
        assert_eq!(active["state"], "active");
    }
    let mut other = cast.product.clone();
    other.title = "Another".to_owned();
    let taken = envelope(&cast.lender.sign(&other));
    exchange.post(&cast.lender, "/v1/products", &taken).await.expect_problem(StatusCode::CONFLICT, "id_taken");
}

#[tokio::test]
async fn a_product_is_signed_by_those_whom_it_binds_and_nobody_else() {
    let exchange = TestExchange::start().await;
    let cast = exchange.cast().await;
    let stranger = exchange.provider(5).await;
    let strangers = envelope(&stranger.sign(&cast.product));
    exchange.post(&stranger, "/v1/products", &strangers).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "product_signers");
    let mut with_stranger = cast.lender.sign(&cast.product);
    with_stranger.countersign(&stranger.key).expect("it signs");
    let sent = envelope(&with_stranger);
    exchange.post(&cast.lender, "/v1/products", &sent).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "product_signers");
    let others = envelope(&cast.bureau.sign(&cast.product));
    exchange.post(&cast.lender, "/v1/products", &others).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");
    let consumer = exchange.consumer(6).await;
    exchange.post(&consumer, "/v1/products", &others).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");

    let mut forged = serde_json::to_value(cast.signed()).expect("JSON");
    forged["signatures"][1]["sig"] = forged["signatures"][0]["sig"].clone();
    let sent = json!({ "envelope": forged });
    exchange.post(&cast.lender, "/v1/products", &sent).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");
}

#[tokio::test]
async fn a_signature_is_over_exactly_the_proposed_product() {
    let exchange = TestExchange::start().await;
    let cast = exchange.cast().await;
    exchange.post(&cast.lender, "/v1/products", &envelope(&cast.lender.sign(&cast.product))).await.expect(StatusCode::CREATED);
    let signatures = format!("/v1/products/{}/signatures", cast.product.product_id);
    let mut other = cast.product.clone();
    other.price_per_query.amount_minor = 1;
    let sent = envelope(&cast.bureau.sign(&other));
    exchange.post(&cast.bureau, &signatures, &sent).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "invalid_envelope");
    let stranger = exchange.provider(5).await;
    let sent = envelope(&stranger.sign(&cast.product));
    exchange.post(&stranger, &signatures, &sent).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
}

#[tokio::test]
async fn a_product_holds_what_was_registered_and_names_who_is_enrolled() {
    let exchange = TestExchange::start().await;
    let cast = exchange.cast().await;
    let outsider = Person::new(9, &[Role::ComputeParty]);
    let propose = async |change: &dyn Fn(&mut DataProduct)| {
        let mut product = cast.product.clone();
        change(&mut product);
        exchange.post(&cast.lender, "/v1/products", &envelope(&cast.lender.sign(&product))).await
    };
    let refused: [(&str, Change<'_>); 9] = [
        ("product_exchange", &|p| p.exchange = cast.lender.did()),
        ("product_not_registered", &|p| p.tables[1].commitment = Hash([0; 32])),
        ("product_not_registered", &|p| p.tables[1].rights = Hash([0; 32])),
        ("product_not_registered", &|p| p.tables[1].dataset_id = entrepot_chain_statement::ids::DatasetId::compose(BEGIN, [9; 10])),
        ("product_split", &|p| drop(p.split.pop())),
        ("product_policy", &|p| p.tables[0].policy.minimum_group = 1),
        ("product_compute_party", &|p| p.compute_party = cast.bureau.did()),
        ("product_participant", &|p| {
            p.compute_party = outsider.did();
            for table in &mut p.tables {
                table.policy.compute_parties.insert(outsider.did());
            }
        }),
        ("product_participant", &|p| p.split[2].participant = outsider.did()),
    ];
    for (code, change) in refused {
        propose(change).await.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, code);
    }
    exchange.clock.forward(31 * DAY_MS);
    let late = propose(&|p| p.expires_at = BEGIN.plus_ms(60 * DAY_MS)).await;
    late.expect_problem(StatusCode::UNPROCESSABLE_ENTITY, "no_worker_grant");
}

#[tokio::test]
async fn whom_it_binds_can_pause_resume_and_withdraw() {
    let exchange = TestExchange::start().await;
    let (cast, consumer) = (exchange.cast().await, exchange.consumer(4).await);
    exchange.post(&cast.lender, "/v1/products", &envelope(&cast.signed())).await.expect(StatusCode::CREATED);
    let path = |action: &str| format!("/v1/products/{}/{action}", cast.product.product_id);
    let nothing = json!({});
    exchange.post(&consumer, &path("pause"), &nothing).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    exchange.post(&cast.bureau, &path("resume"), &nothing).await.expect_problem(StatusCode::CONFLICT, "product_state");
    assert_eq!(exchange.post(&cast.bureau, &path("pause"), &nothing).await.expect(StatusCode::OK)["state"], "paused");
    exchange.post(&cast.lender, &path("resume"), &nothing).await.expect_problem(StatusCode::CONFLICT, "product_paused_by_other");
    assert_eq!(exchange.post(&cast.bureau, &path("resume"), &nothing).await.expect(StatusCode::OK)["state"], "active");
    assert_eq!(exchange.post(&cast.compute, &path("withdraw"), &nothing).await.expect(StatusCode::OK)["state"], "withdrawn");
    for action in ["pause", "resume", "withdraw"] {
        exchange.post(&cast.lender, &path(action), &nothing).await.expect_problem(StatusCode::CONFLICT, "product_state");
    }
}

#[tokio::test]
async fn a_product_expires_and_one_for_named_consumers_is_hidden_from_others() {
    let exchange = TestExchange::start().await;
    let (mut cast, named, other) = (exchange.cast().await, exchange.consumer(4).await, exchange.consumer(5).await);
    cast.product.consumers.insert(named.did());
    exchange.post(&cast.lender, "/v1/products", &envelope(&cast.signed())).await.expect(StatusCode::CREATED);
    let one = format!("/v1/products/{}", cast.product.product_id);
    exchange.get(&other, &one).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    let count = async |who| exchange.get(who, "/v1/products").await.expect(StatusCode::OK)["items"].as_array().map(Vec::len);
    assert_eq!((count(&named).await, count(&other).await, count(&cast.compute).await), (Some(1), Some(0), Some(1)));
    exchange.clock.forward(20 * DAY_MS);
    assert_eq!(exchange.get(&named, &one).await.expect(StatusCode::OK)["state"], "expired");
}
