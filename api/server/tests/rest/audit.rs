//! `/v1/audit`: for regulators alone.

use crate::harness::{BEGIN, Cast, DAY_MS, Person, TestExchange};
use axum::http::StatusCode;
use entrepot_chain_statement::{
    Envelope, SealingSecret,
    ids::{AgreementId, OrderId},
    statements::{Agreement, Order, PartyPin, Role, Security, WorkerRole},
};
use entrepot_exchange_market::{anchoring, audit::AuditTrace};
use serde_json::{Value, json};

const SQL: &str = "SELECT l.state, COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.state";

/// An exchange with a regulator and one order that was placed and logged; says the order's and its job's id.
async fn traded() -> (TestExchange, Person, Cast, String, String) {
    let exchange = TestExchange::start().await;
    let regulator = Person::new(9, &[Role::Regulator]);
    exchange.admit(&regulator).await;
    let (cast, consumer) = (exchange.cast().await, exchange.consumer(4).await);
    exchange.post(&cast.lender, "/v1/products", &json!({ "envelope": cast.signed() })).await.expect(StatusCode::CREATED);
    let credit = json!({ "participant": consumer.did(), "money": { "amount_minor": "9000", "currency": "EUR" } });
    exchange.post(&exchange.operator, "/v1/credits", &credit).await.expect(StatusCode::CREATED);
    let pin = |person: &Person, role| PartyPin {
        participant: person.did(),
        worker: person.worker.did(),
        grant: person.sign(&person.grant(role)).statement_hash(),
    };
    let agreement = consumer.sign(&Agreement {
        agreement_id: AgreementId::compose(BEGIN, [5; 10]),
        product: cast.signed().statement_hash(),
        consumer: consumer.did(),
        sealing_key: SealingSecret::from_bytes(&[4; 32]).public(),
        exchange: exchange.market.exchange_did(),
        parties: vec![pin(&cast.lender, WorkerRole::Data), pin(&cast.bureau, WorkerRole::Data), pin(&cast.compute, WorkerRole::Compute)],
        security: Security::SemiHonest,
        price_per_query: cast.product.price_per_query.clone(),
        split: cast.product.split.clone(),
        quota_queries: cast.product.quota_queries,
        issued_at: BEGIN,
        expires_at: BEGIN.plus_ms(DAY_MS),
    });
    exchange.post(&consumer, "/v1/agreements", &json!({ "envelope": agreement })).await.expect(StatusCode::CREATED);
    let order = consumer.sign(&Order {
        order_id: OrderId::compose(BEGIN, [6; 10]),
        agreement: agreement.statement_hash(),
        sql: SQL.to_owned(),
        plan: entrepot_mpc_plan::plan(SQL, &cast.product).expect("a plan").hash(),
        sequence: 1,
        price: cast.product.price_per_query.clone(),
        issued_at: BEGIN,
        expires_at: BEGIN.plus_ms(DAY_MS / 2),
    });
    let placed = exchange.post(&consumer, "/v1/orders", &json!({ "envelope": order })).await.expect(StatusCode::CREATED);
    anchoring::anchor_due(&exchange.market).await.expect("a round");
    let id = |name: &str| placed[name].as_str().expect("an id").to_owned();
    let (order, job) = (id("order_id"), id("job_id"));
    (exchange, regulator, cast, order, job)
}

fn ids(trace: &Value) -> Vec<&str> {
    trace["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["id"].as_str()).collect()
}

#[tokio::test]
async fn a_regulator_traces_from_dataset_to_money_and_back() {
    let (exchange, regulator, cast, order, job) = traded().await;
    let down = exchange.get(&regulator, &format!("/v1/audit/trace/{}", cast.product.tables[0].dataset_id)).await.expect(StatusCode::OK);
    let up = exchange.get(&regulator, &format!("/v1/audit/trace/{job}")).await.expect(StatusCode::OK);
    for id in [order.as_str(), job.as_str(), cast.product.product_id.as_str(), cast.product.tables[0].dataset_id.as_str()] {
        assert!(ids(&down).contains(&id) && ids(&up).contains(&id), "{id}");
    }
    let entry = up["nodes"].as_array().expect("nodes").iter().find(|node| node["kind"] == "journal-entry").expect("money");
    assert_eq!(entry["of"], "hold");
    let from_money = exchange.get(&regulator, &format!("/v1/audit/trace/{}", entry["id"].as_str().expect("an id"))).await;
    assert!(ids(&from_money.expect(StatusCode::OK)).contains(&job.as_str()));
    let edge = json!({ "from": job, "relation": "runs", "to": order });
    assert!(up["edges"].as_array().expect("edges").contains(&edge), "{up}");
    let statement = up["nodes"].as_array().expect("nodes").iter().find(|node| node["of"] == "order").expect("a statement");
    assert_eq!((&statement["kind"], &statement["state"]), (&json!("statement"), &json!("logged")));
    let leaf = exchange.get(&regulator, &format!("/v1/audit/trace/{}", statement["leaf"].as_str().expect("a leaf"))).await;
    assert!(ids(&leaf.expect(StatusCode::OK)).contains(&job.as_str()));
}

#[tokio::test]
async fn nobody_but_a_regulator_is_answered() {
    let (exchange, regulator, cast, _, job) = traded().await;
    let paths = [
        format!("/v1/audit/trace/{job}"),
        format!("/v1/audit/bundle/{job}"),
        "/v1/audit/events".to_owned(),
        "/v1/audit/consistency?from=1&to=1".to_owned(),
    ];
    for path in &paths {
        for person in [&cast.lender, &cast.compute, &exchange.operator] {
            exchange.get(person, path).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
        }
        let anonymous = axum::http::Request::get(path).body(axum::body::Body::empty()).expect("a request");
        exchange.send(anonymous).await.expect_problem(StatusCode::UNAUTHORIZED, "token_missing");
    }
    let unknown = format!("/v1/audit/trace/job_{}", "0".repeat(26));
    exchange.get(&regulator, &unknown).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    exchange.get(&regulator, "/v1/audit/trace/nonsense").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_id");
    exchange.get(&regulator, "/v1/audit/bundle/%27%20OR%201").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_id");
}

#[tokio::test]
async fn events_since_a_checkpoint_come_in_pages() {
    let (exchange, regulator, _, _, _) = traded().await;
    let mut path = "/v1/audit/events?since=2&limit=3".to_owned();
    let mut found = Vec::new();
    loop {
        let page = exchange.get(&regulator, &path).await.expect(StatusCode::OK);
        let items = page["items"].as_array().expect("items").clone();
        assert!(items.len() <= 3);
        found.extend(items.iter().map(|item| item["leaf_index"].as_str().expect("an index").parse::<u64>().expect("a number")));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/audit/events?since=2&limit=3&cursor={cursor}"),
            None => break,
        }
    }
    // Three grants, two rights, product, agreement, order, hold.
    assert_eq!(found, (2..9).collect::<Vec<_>>());
    for bad in ["/v1/audit/events?cursor=AA", "/v1/audit/events?cursor=%25"] {
        assert_eq!(exchange.get(&regulator, bad).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    exchange.get(&regulator, "/v1/audit/events?limit=0").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_limit");
    exchange.get(&regulator, "/v1/audit/events?sinse=0").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_query");
}

#[tokio::test]
async fn a_bundle_is_downloaded_whole_and_signed() {
    let (exchange, regulator, _, _, job) = traded().await;
    let reply = exchange.get(&regulator, &format!("/v1/audit/bundle/{job}")).await;
    assert!(reply.headers["content-disposition"].to_str().is_ok_and(|value| value.starts_with("attachment")));
    let bundle = reply.expect(StatusCode::OK);
    let envelope: Envelope = serde_json::from_value(bundle["trace"].clone()).expect("an envelope");
    let said: AuditTrace = envelope.open_signed_by([&exchange.market.exchange_did()]).expect("signed by the exchange");
    assert_eq!(said.start, job);
    // The job rests on a hold, an order, an agreement, a product, two rights and three grants.
    let entries = bundle["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 9);
    assert!(entries.iter().all(|entry| entry["proof"].as_str().is_some_and(|proof| proof.starts_with("c2sp.org/tlog-proof@v1\n"))));
}

#[tokio::test]
async fn two_checkpoints_are_proved_to_be_of_one_log() {
    let (exchange, regulator, _, _, _) = traded().await;
    exchange.provider(7).await;
    anchoring::anchor_due(&exchange.market).await.expect("a round");
    let found = exchange.get(&regulator, "/v1/audit/consistency?from=9&to=10").await.expect(StatusCode::OK);
    assert_eq!((&found["from"]["size"], &found["to"]["size"]), (&json!("9"), &json!("10")));
    assert!(found["proof"].as_array().is_some_and(|proof| !proof.is_empty()));
    let bad = exchange.get(&regulator, "/v1/audit/consistency?from=10&to=9").await;
    bad.expect_problem(StatusCode::BAD_REQUEST, "invalid_range");
    let bad = exchange.get(&regulator, "/v1/audit/consistency?from=8&to=9").await;
    bad.expect_problem(StatusCode::NOT_FOUND, "no_checkpoint");
}

#[tokio::test]
async fn a_job_past_its_deadline_is_shown_to_operators() {
    let (exchange, regulator, _, _, job) = traded().await;
    let path = "/v1/admin/stuck-jobs";
    let stuck = exchange.get(&exchange.operator, path).await.expect(StatusCode::OK);
    assert_eq!(stuck["items"], json!([]));
    // Nobody drives jobs here, so time alone makes it stuck.
    exchange.clock.forward(10 * DAY_MS);
    let stuck = exchange.get(&exchange.operator, path).await.expect(StatusCode::OK);
    assert_eq!((&stuck["items"][0]["job_id"], &stuck["items"][0]["state"]), (&json!(job), &json!("queued")));
    exchange.get(&regulator, path).await.expect_problem(StatusCode::FORBIDDEN, "role_missing");
}
