//! Bad input to a running market: each time a clear, typed refusal; nothing is lost and nothing half done.

use entrepot_chain_statement::statements::Role;
use entrepot_tests::{
    books,
    consumer::Contract,
    market::{CREDIT_MINOR, Market},
    member::{Member, now},
    offer::{self, PRICE_MINOR},
    sample,
    session::{Session, assertion_claims, client_assertion, jwt},
};
use serde_json::json;

#[tokio::test]
async fn requests_that_make_no_sense_change_nothing() {
    let mut market = Market::start().await;
    let contract = market.agree().await;
    bodies(&market.consumer).await;
    tokens(&market).await;
    others_things(&market, &contract).await;
    queries(&market).await;
    orders(&mut market).await;
    let listed = market.consumer.get("/v1/orders").await.ok();
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "only the one that was bought in `orders`: {listed}");
    assert_eq!(books::balance(&market).await, CREDIT_MINOR - PRICE_MINOR);
    books::verify(&market);
}

async fn bodies(consumer: &Session) {
    let raw = async |bytes: &[u8]| consumer.post_bytes("/v1/quotes", "application/json", bytes.to_vec()).await;
    raw(b"{\"sql\": ").await.refused(400, "malformed_json");
    raw(b"{\"sql\": \"SELECT 1\", \"unknown\": 1}").await.refused(400, "invalid_input");
    raw(b"{\"sql\": 1, \"product_id\": []}").await.refused(400, "invalid_input");
    raw(&[b'['; 100_000]).await.refused(400, "json_too_deep");
    raw(&vec![b' '; 2 * 1024 * 1024]).await.refused(413, "body_too_large");
    consumer.post_bytes("/v1/quotes", "text/plain", b"{}".to_vec()).await.refused(415, "unsupported_media_type");
    let long = json!({"product_id": "product_00000000000000000000000000", "sql": "x".repeat(900_000)});
    assert!(consumer.post("/v1/quotes", &long).await.status.is_client_error());
    let keyless = consumer.request(reqwest::Method::POST, "/v1/quotes").json(&json!({}));
    Session::answer(keyless).await.refused(400, "idempotency_key_missing");
}

async fn tokens(market: &Market) {
    let exchange = market.exchange.info.did.to_string();
    let (consumer, lender) = (&market.cast.consumer, &market.cast.lender);
    let anonymous = Session::anonymous(&market.exchange.info.rest);
    anonymous.get("/v1/orders").await.refused(401, "token_missing");

    // Assertions, each with one thing wrong.
    let spoilt = |field: &str, value: serde_json::Value| {
        let mut claims = assertion_claims(consumer, &exchange);
        claims[field] = value;
        client_assertion(&consumer.key.signing, &claims)
    };
    let seconds = now().0 / 1000;
    let old = spoilt("exp", json!(seconds - 3_600));
    let text = spoilt("exp", json!("tomorrow"));
    let elsewhere = spoilt("aud", json!(lender.did()));
    let another = spoilt("sub", json!(lender.did()));
    let borrowed = client_assertion(&lender.key.signing, &assertion_claims(consumer, &exchange));
    let unsigned = jwt(&json!({"alg": "none", "typ": "JWT"}), &assertion_claims(consumer, &exchange), |_| Vec::new());
    let symmetric = jwt(&json!({"alg": "HS256", "typ": "JWT"}), &assertion_claims(consumer, &exchange), |_| vec![0; 32]);
    for assertion in [old, text, elsewhere, another, borrowed, unsigned, symmetric, "a.b.c".to_owned()] {
        let answer = anonymous.token_for(&assertion).await;
        assert_eq!(answer.status.as_u16(), 401, "{}", answer.body);
        assert_eq!(answer.body["error"], "invalid_client", "{}", answer.body);
    }
    let once = client_assertion(&consumer.key.signing, &assertion_claims(consumer, &exchange));
    anonymous.token_for(&once).await.ok();
    assert_eq!(anonymous.token_for(&once).await.code(), "assertion_replayed");

    // Access tokens: an assertion is none, and the exchange's own does not survive a change.
    let genuine = market.consumer.token();
    let claims_start = genuine.find('.').expect("a JWT") + 1;
    let mut changed = genuine.to_owned();
    let other = if &changed[claims_start..=claims_start] == "A" { "B" } else { "A" };
    changed.replace_range(claims_start..=claims_start, other);
    let unsigned = jwt(&json!({"alg": "none", "typ": "at+jwt"}), &assertion_claims(consumer, "entrepot"), |_| Vec::new());
    for token in [client_assertion(&consumer.key.signing, &assertion_claims(consumer, &exchange)), changed, unsigned, "x".repeat(5_000)] {
        assert_eq!(anonymous.with_token(&token).get("/v1/orders").await.status.as_u16(), 401);
    }
}

async fn others_things(market: &Market, contract: &Contract) {
    let stranger = market.exchange.enrol(&Member::new("Stranger", Role::Consumer)).await;
    let quote = market.quote(sample::SQL).await;
    let agreement: entrepot_chain_statement::statements::Agreement = contract.agreement.open().expect("our own agreement");
    for path in [format!("/v1/quotes/{}", quote.quote_id), format!("/v1/agreements/{}", agreement.agreement_id)] {
        market.consumer.get(&path).await.ok();
        stranger.get(&path).await.refused(404, "not_found");
    }
    // An order under another's agreement.
    let order = offer::order(&contract.agreement, sample::SQL, quote.plan, 1, offer::money(PRICE_MINOR));
    let forged = market.cast.lender.sign(&order);
    assert!(stranger.post("/v1/orders", &json!({"envelope": forged})).await.status.is_client_error());
    stranger.get("/v1/admin/stuck-jobs").await.refused(403, "role_missing");
    let credit = json!({"participant": market.cast.consumer.did(), "money": offer::money(1)});
    market.consumer.post("/v1/credits", &credit).await.refused(403, "role_missing");
}

async fn queries(market: &Market) {
    let ask = async |sql: &str| {
        let body = json!({"product_id": market.offered().product_id, "sql": sql});
        market.consumer.post("/v1/quotes", &body).await
    };
    // A column without a rule, a use that the rule does not name, a row instead of a total.
    for (from, to) in
        [("SUM(b.income)", "SUM(b.delinquencies)"), ("SUM(b.income)", "AVG(b.customer)"), ("GROUP BY l.region", "GROUP BY l.term")]
    {
        let sql =
            sample::SQL.replace(from, to).replace("SELECT l.region", if to.contains("term") { "SELECT l.term" } else { "SELECT l.region" });
        let answer = ask(&sql).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (422, "policy_forbids"), "{sql}: {}", answer.body);
        assert!(answer.body["hint"].is_string(), "{}", answer.body);
    }
    for sql in ["", "SELECT", "DROP TABLE orders", "SELECT * FROM lender.loans", "'"] {
        assert_eq!(ask(sql).await.status.as_u16(), 422, "{sql}");
    }
}

/// One order is bought; everything around it is refused.
async fn orders(market: &mut Market) {
    let plan = market.quote(sample::SQL).await.plan;
    let mut contract = market.agree().await;
    let order = market.next_order(&mut contract, sample::SQL, plan);
    let body = json!({"envelope": order});
    let first = market.consumer.post_with_key("/v1/orders", &body, "the-key").await.ok();
    assert_eq!(market.consumer.post_with_key("/v1/orders", &body, "the-key").await.ok(), first, "the same key, the same answer");
    let next = market.next_order(&mut contract, sample::SQL, plan);
    let other = json!({"envelope": next});
    market.consumer.post_with_key("/v1/orders", &other, "the-key").await.refused(422, "idempotency_key_reused");
    market.consumer.post("/v1/orders", &body).await.refused(409, "order_exists");

    let later = offer::order(&contract.agreement, sample::SQL, plan, 9, offer::money(PRICE_MINOR));
    let cheaper = offer::order(&contract.agreement, sample::SQL, plan, 2, offer::money(1));
    for (order, status, code) in [(later, 409, "order_sequence_wrong"), (cheaper, 422, "order_price_wrong")] {
        let signed = market.cast.consumer.sign(&order);
        market.consumer.post("/v1/orders", &json!({"envelope": signed})).await.refused(status, code);
    }
    let job_id = first["job_id"].as_str().expect("a job id").to_owned();
    assert_eq!(market.finished(&job_id).await["state"], "delivered");
}

#[tokio::test]
async fn a_file_that_is_not_what_was_registered_is_refused_by_name_and_paid_back() {
    let market = Market::start().await;
    let plan = market.quote(sample::SQL).await.plan;
    let mut contract = market.agree().await;
    let file = market.workers[0].home.folder.join("data.csv");
    let genuine = sample::lender_csv();
    let first_row = genuine.lines().nth(1).expect("a row");
    let bad = [
        ("csv_wrong_columns", genuine.replacen("region", "area", 1)),
        ("csv_bad_number", genuine.replacen(first_row, &first_row.replace('.', "point"), 1)),
        ("csv_duplicate_keys", format!("{genuine}{first_row}\n")),
        ("csv_field_too_long", genuine.replacen("region-", &"x".repeat(1_000_000), 1)),
        ("dataset_changed", genuine.lines().filter(|line| *line != first_row).map(|line| format!("{line}\n")).collect()),
    ];
    for (code, csv) in bad {
        std::fs::write(&file, csv).expect("the file");
        let job_id = market.place(&market.next_order(&mut contract, sample::SQL, plan)).await;
        let job = market.finished(&job_id).await;
        assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("refunded"), &json!(code)), "{job}");
        let detail = job["failure"]["detail"].as_str().expect("a detail");
        assert!(!detail.contains(&sample::customers()[0].key) && detail.len() < 500, "{detail}");
        assert_eq!(books::balance(&market).await, CREDIT_MINOR);
    }
    std::fs::write(&file, genuine).expect("the file");
    let job_id = market.place(&market.next_order(&mut contract, sample::SQL, plan)).await;
    assert_eq!(market.finished(&job_id).await["state"], "delivered");
    books::verify(&market);
}
