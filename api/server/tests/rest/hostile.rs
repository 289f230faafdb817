//! What strangers and mistakes send. Every answer is a problem that says what is wrong; none is a 5xx.

use crate::harness::{Person, Reply, TestExchange};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use entrepot_chain_statement::statements::Role;
use serde_json::{Value, json};

async fn post_raw(exchange: &TestExchange, person: &Person, path: &str, media_type: &str, body: impl Into<Body>) -> Reply {
    let token = exchange.token(person).await;
    let request = Request::post(path)
        .header("authorization", format!("Bearer {token}"))
        .header("idempotency-key", exchange.fresh_key())
        .header("content-type", media_type);
    exchange.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn bodies_that_are_not_what_was_asked_for_are_refused_with_a_reason() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let worker = lender.worker.did();
    let post = async |body: &str| post_raw(&exchange, &lender, "/v1/datasets", "application/json", body.to_owned()).await;
    for malformed in ["{", "nul", "{\"name\":\"loans\"", "\u{0}", "{\"name\": 'loans'}", "{\"name\":\"loans\",}"] {
        post(malformed).await.expect_problem(StatusCode::BAD_REQUEST, "malformed_json");
    }
    let wrong = [
        json!({ "name": "loans" }),
        json!({ "name": "loans", "worker": worker, "extra": 1 }),
        json!({ "name": 1, "worker": worker }),
        json!({ "name": ["loans"], "worker": worker }),
        json!({ "name": "loans", "worker": "did:key:z6Mk" }),
        json!({ "name": "loans", "worker": null }),
        json!([]),
        json!(["loans", worker]),
        json!("loans"),
    ];
    for body in wrong {
        let problem = post(&body.to_string()).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
        assert!(problem["hint"].is_string());
    }
    post("").await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
    let twice = format!("{{\"name\":\"a\",\"name\":\"b\",\"worker\":\"{worker}\"}}");
    post(&twice).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
}

#[tokio::test]
async fn a_body_is_bounded_in_size_depth_and_type() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let big = format!("{{\"name\":\"{}\"}}", "x".repeat(1024 * 1024));
    let refused = post_raw(&exchange, &lender, "/v1/datasets", "application/json", big.clone()).await;
    refused.expect_problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");
    // Without a length beforehand, too.
    let chunks: Vec<Result<String, std::io::Error>> = vec![Ok(big.clone()), Ok(big)];
    let stream = Body::from_stream(futures::stream::iter(chunks));
    let refused = post_raw(&exchange, &lender, "/v1/datasets", "application/json", stream).await;
    refused.expect_problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large");

    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let refused = post_raw(&exchange, &lender, "/v1/datasets", "application/json", deep).await;
    refused.expect_problem(StatusCode::BAD_REQUEST, "json_too_deep");
    for media_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let refused = post_raw(&exchange, &lender, "/v1/datasets", media_type, "{\"name\":\"loans\"}").await;
        refused.expect_problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
    }
}

#[tokio::test]
async fn what_comes_back_is_short_however_long_the_input_was() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let long = json!({ "name": "x".repeat(500_000), "worker": "y".repeat(400_000) }).to_string();
    let reply = post_raw(&exchange, &lender, "/v1/datasets", "application/json", long).await;
    assert!(reply.body.len() < 2000, "{}", reply.body.len());
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let unknown = json!({ "z".repeat(500_000): 1 }).to_string();
    let reply = post_raw(&exchange, &lender, "/v1/datasets", "application/json", unknown).await;
    assert!(reply.body.len() < 2000, "{}", reply.body.len());
}

#[tokio::test]
async fn broken_envelopes_are_refused_wherever_one_is_taken() {
    let exchange = TestExchange::start().await;
    let lender = exchange.provider(1).await;
    let id = exchange.described(&lender, "loans").await;
    let good = serde_json::to_value(lender.sign(&lender.enrolment())).expect("JSON");
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed
    };
    let broken = [
        json!({}),
        json!(null),
        json!("envelope"),
        with("payload", json!("%%%")),
        with("salt", json!("AA==")),
        with("signatures", json!([])),
        with("signatures", json!(vec![good["signatures"][0].clone(); 100])),
        with("extra", json!(1)),
        with("payloadType", json!("application/vnd.entrepot.nonsense.v1+json")),
        with("payload", json!("e30=")),
    ];
    let paths =
        ["/v1/participants".to_owned(), "/v1/worker-grants".to_owned(), "/v1/products".to_owned(), format!("/v1/datasets/{id}/rights")];
    for path in paths {
        for envelope in &broken {
            let body = json!({ "envelope": envelope }).to_string();
            let reply = post_raw(&exchange, &lender, &path, "application/json", body).await;
            assert!(matches!(reply.status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY), "{path} {envelope} {reply:?}");
            assert!(reply.json()["code"].is_string());
        }
    }
}

#[tokio::test]
async fn every_id_that_is_not_yours_looks_like_one_that_is_not_there() {
    let exchange = TestExchange::start().await;
    let cast = exchange.cast().await;
    let hidden = exchange.described(&cast.lender, "hidden").await;
    exchange.post(&cast.lender, "/v1/products", &json!({ "envelope": cast.lender.sign(&cast.product) })).await.expect(StatusCode::CREATED);
    let stranger = Person::new(8, &[Role::Provider, Role::Consumer, Role::ComputeParty]);
    exchange.admit(&stranger).await;
    let grant = cast.lender.grant(entrepot_chain_statement::statements::WorkerRole::Data).grant_id;
    let product = &cast.product.product_id;
    let absent = |id: &str| format!("{}{}", &id[..id.len() - 1], if id.ends_with('0') { '1' } else { '0' });
    let read = [
        ("/v1/worker-grants/{}", grant.to_string()),
        ("/v1/datasets/{}", hidden.to_string()),
        ("/v1/datasets/{}/certificate", hidden.to_string()),
        ("/v1/products/{}", product.to_string()),
    ];
    for (path, id) in read {
        let foreign = exchange.get(&stranger, &path.replace("{}", &id)).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
        let missing = exchange.get(&stranger, &path.replace("{}", &absent(&id))).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
        assert_eq!((&foreign["detail"], &foreign["hint"]), (&missing["detail"], &missing["hint"]), "{path}");
        for nonsense in ["x", "%00", "..%2f..", "product_", &"9".repeat(3000)] {
            exchange.get(&stranger, &path.replace("{}", nonsense)).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
        }
    }
    let write = [
        (format!("/v1/datasets/{hidden}/rights"), json!({ "envelope": stranger.sign(&exchange.rights(&stranger, "hidden", &hidden)) })),
        (format!("/v1/products/{product}/signatures"), json!({ "envelope": stranger.sign(&cast.product) })),
        (format!("/v1/products/{product}/pause"), json!({})),
        (format!("/v1/products/{product}/resume"), json!({})),
        (format!("/v1/products/{product}/withdraw"), json!({})),
    ];
    for (path, body) in write {
        exchange.post(&stranger, &path, &body).await.expect_problem(StatusCode::NOT_FOUND, "not_found");
    }
}

#[tokio::test]
async fn unknown_paths_methods_and_queries_are_problems_too() {
    let exchange = TestExchange::start().await;
    let consumer = exchange.consumer(1).await;
    let plain = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
        exchange.send(request)
    };
    plain(Method::GET, "/v2/anything").await.expect_problem(StatusCode::NOT_FOUND, "no_such_path");
    let reply = plain(Method::DELETE, "/v1/participants").await;
    assert!(reply.headers.contains_key("allow"));
    reply.expect_problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
    for query in ["limit=0", "limit=201", "limit=-1", "limit=x", "cursor=%25", "unknown=1", "state=emperor", "limit=1&limit=2"] {
        let reply = exchange.get(&consumer, &format!("/v1/participants?{query}")).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(reply.json()["code"].is_string());
    }
}

#[tokio::test]
async fn every_answer_has_safe_headers_and_a_request_id() {
    let exchange = TestExchange::start().await;
    let get = |id: &str| {
        let request = Request::get("/livez").header("x-request-id", id).body(Body::empty()).expect("a request");
        exchange.send(request)
    };
    let reply = get("my-trace_1").await;
    assert_eq!(reply.headers["x-request-id"], "my-trace_1");
    for (name, value) in [("x-content-type-options", "nosniff"), ("cache-control", "no-store"), ("x-frame-options", "DENY")] {
        assert_eq!(reply.headers[name], value);
    }
    for hostile in ["", "a b", "a;b", &"x".repeat(65)] {
        let reply = get(hostile).await;
        let id = reply.headers["x-request-id"].to_str().expect("text").to_owned();
        assert!(id != hostile && id.len() == 36, "{id}");
    }
}

#[tokio::test]
async fn methods_that_strangers_invent_are_one_figure() {
    let exchange = TestExchange::start().await;
    for method in ["INVENTED1", "INVENTED2"] {
        let request = Request::builder().method(method).uri("/livez").body(Body::empty()).expect("a request");
        exchange.send(request).await.expect_problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed");
    }
    let metrics = exchange.send(Request::get("/metrics").body(Body::empty()).expect("a request")).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("method=\"other\"") && !text.contains("INVENTED"), "{text}");
}
