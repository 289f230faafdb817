//! `/v1/token`, `/.well-known`, and what access tokens are refused for.

use crate::harness::{BEGIN, Person, Reply, TestExchange, jwt};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entrepot_chain_statement::{SigningKey, statements::Role};
use serde_json::{Value, json};

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

async fn list_with(exchange: &TestExchange, authorization: &str) -> Reply {
    let request = Request::get("/v1/participants").header("authorization", authorization).body(Body::empty());
    exchange.send(request.expect("a request")).await
}

#[tokio::test]
async fn a_token_says_who_and_what_and_checks_against_the_published_key() {
    let exchange = TestExchange::start().await;
    let consumer = exchange.consumer(1).await;
    let token = exchange.token(&consumer).await;
    let parts: Vec<_> = token.split('.').collect();
    assert_eq!(decode(parts[0]), json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": exchange.market.exchange_did() }));
    let claims = decode(parts[1]);
    assert_eq!(claims["iss"], json!(exchange.market.exchange_did()));
    assert_eq!((&claims["sub"], &claims["aud"], &claims["roles"]), (&json!(consumer.did()), &json!("entrepot"), &json!(["consumer"])));
    assert_eq!(claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat"), 900);

    let request = Request::get("/.well-known/jwks.json").body(Body::empty()).expect("a request");
    let jwks = exchange.send(request).await.expect(StatusCode::OK);
    let public = URL_SAFE_NO_PAD.decode(jwks["keys"][0]["x"].as_str().expect("x")).expect("base64url");
    let key = ed25519_dalek::VerifyingKey::from_bytes(&public.try_into().expect("32 bytes")).expect("a key");
    let signature = URL_SAFE_NO_PAD.decode(parts[2]).expect("base64url");
    let signature = ed25519_dalek::Signature::from_slice(&signature).expect("a signature");
    assert!(key.verify_strict(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).is_ok());
}

#[tokio::test]
async fn the_metadata_says_how_to_get_tokens() {
    let exchange = TestExchange::start().await;
    let request = Request::get("/.well-known/oauth-authorization-server").body(Body::empty()).expect("a request");
    let metadata = exchange.send(request).await.expect(StatusCode::OK);
    assert_eq!(metadata["issuer"], json!(exchange.market.exchange_did()));
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(["private_key_jwt"]));
}

#[tokio::test]
async fn an_assertion_is_used_once() {
    let exchange = TestExchange::start().await;
    let consumer = exchange.consumer(1).await;
    let assertion = exchange.assertion(&consumer, "once");
    exchange.ask_token(&assertion).await.expect(StatusCode::OK);
    exchange.ask_token(&assertion).await.expect_problem(StatusCode::UNAUTHORIZED, "assertion_replayed");
    // While anything of it could still be accepted, it stays refused.
    exchange.clock.forward(80_000);
    exchange.ask_token(&assertion).await.expect_problem(StatusCode::UNAUTHORIZED, "assertion_replayed");
    exchange.clock.forward(20_000);
    exchange.ask_token(&assertion).await.expect_problem(StatusCode::UNAUTHORIZED, "token_expired");
}

#[tokio::test]
async fn assertions_of_every_wrong_kind_are_refused() {
    let exchange = TestExchange::start().await;
    let (consumer, other) = (exchange.consumer(1).await, exchange.consumer(2).await);
    let now = BEGIN.0 / 1000;
    let with = |change: &dyn Fn(&mut Value)| {
        let mut claims = exchange.assertion_claims(&consumer, &exchange.fresh_key());
        change(&mut claims);
        jwt(&json!({ "alg": "EdDSA", "typ": "JWT" }), &claims, &consumer.key)
    };
    let good = exchange.assertion_claims(&consumer, "good");
    let cases = [
        ("token_audience", with(&|claims| claims["aud"] = json!(other.did()))),
        ("token_malformed", with(&|claims| claims["exp"] = json!((now + 60).to_string()))),
        ("token_malformed", with(&|claims| drop(claims.as_object_mut().expect("claims").remove("exp")))),
        ("token_malformed", with(&|claims| drop(claims.as_object_mut().expect("claims").remove("jti")))),
        ("token_malformed", with(&|claims| drop(claims.as_object_mut().expect("claims").remove("sub")))),
        ("token_malformed", with(&|claims| drop(claims.as_object_mut().expect("claims").remove("aud")))),
        ("token_malformed", with(&|claims| claims["jti"] = json!("x".repeat(129)))),
        ("token_malformed", with(&|claims| claims["iss"] = json!("did:web:example.org"))),
        ("token_issuer", with(&|claims| claims["sub"] = json!(other.did()))),
        ("token_expired", with(&|claims| (claims["iat"], claims["exp"]) = (json!(now - 200), json!(now - 100)))),
        ("token_lifetime", with(&|claims| claims["exp"] = json!(now + 3600))),
        ("token_lifetime", with(&|claims| (claims["iat"], claims["exp"]) = (json!(now + 100), json!(now + 160)))),
        ("token_lifetime", with(&|claims| (claims["iat"], claims["exp"]) = (json!(i64::MIN), json!(i64::MAX)))),
        ("token_algorithm", jwt(&json!({ "alg": "none" }), &good, &consumer.key)),
        ("token_algorithm", jwt(&json!({ "alg": "HS256" }), &good, &consumer.key)),
        ("token_type", jwt(&json!({ "alg": "EdDSA", "typ": "at+jwt" }), &good, &consumer.key)),
        ("token_malformed", jwt(&json!({ "alg": "EdDSA", "crit": ["b64"], "b64": false }), &good, &consumer.key)),
        ("token_signature", jwt(&json!({ "alg": "EdDSA" }), &good, &other.key)),
        ("token_malformed", "a.b".to_owned()),
        ("token_malformed", String::new()),
        ("token_malformed", "x".repeat(10_000)),
    ];
    for (code, assertion) in cases {
        let problem = exchange.ask_token(&assertion).await.expect_problem(StatusCode::UNAUTHORIZED, code);
        assert_eq!(problem["error"], "invalid_client");
    }
    // A key inside the token is not looked at.
    let header =
        json!({ "alg": "EdDSA", "jwk": { "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(other.did().public_bytes()) } });
    exchange.ask_token(&jwt(&header, &good, &other.key)).await.expect_problem(StatusCode::UNAUTHORIZED, "token_signature");
    exchange.ask_token(&jwt(&json!({ "alg": "EdDSA" }), &good, &consumer.key)).await.expect(StatusCode::OK);
}

#[tokio::test]
async fn the_token_form_is_checked() {
    let exchange = TestExchange::start().await;
    let ask = |form: &'static str, media_type: &'static str| {
        let request = Request::post("/v1/token").header("content-type", media_type).body(Body::from(form)).expect("a request");
        exchange.send(request)
    };
    let form = "application/x-www-form-urlencoded";
    ask("grant_type=client_credentials", form).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_input");
    let other = "grant_type=password&client_assertion_type=x&client_assertion=y";
    ask(other, form).await.expect_problem(StatusCode::BAD_REQUEST, "unsupported_grant_type");
    let other = "grant_type=client_credentials&client_assertion_type=x&client_assertion=y";
    ask(other, form).await.expect_problem(StatusCode::BAD_REQUEST, "unsupported_assertion_type");
    ask("{}", "application/json").await.expect_problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type");
}

#[tokio::test]
async fn access_tokens_of_every_wrong_kind_are_refused() {
    let exchange = TestExchange::start().await;
    let consumer = exchange.consumer(1).await;
    let (now, did) = (BEGIN.0 / 1000, exchange.market.exchange_did());
    let exchange_key = SigningKey::from_seed(&[250; 32]);
    let claims =
        json!({ "iss": did, "sub": consumer.did(), "aud": "entrepot", "iat": now, "exp": now + 900, "jti": "x", "roles": ["operator"] });
    let header = json!({ "alg": "EdDSA", "typ": "at+jwt" });
    let with = |field: &str, value: Value| {
        let mut changed = claims.clone();
        changed[field] = value;
        jwt(&header, &changed, &exchange_key)
    };
    let good = jwt(&header, &claims, &exchange_key);
    list_with(&exchange, &format!("Bearer {good}")).await.expect(StatusCode::OK);

    let unsigned =
        format!("{}.", jwt(&json!({ "alg": "none", "typ": "at+jwt" }), &claims, &exchange_key).rsplit_once('.').expect("three parts").0);
    let cases = [
        ("token_audience", with("aud", json!("elsewhere"))),
        ("token_issuer", with("iss", json!(consumer.did()))),
        ("token_expired", with("exp", json!(now - 31))),
        ("token_malformed", with("exp", json!("soon"))),
        ("token_malformed", with("roles", json!("operator"))),
        ("token_malformed", with("roles", json!(["emperor"]))),
        ("token_lifetime", with("exp", json!(now + 90_000))),
        ("token_type", jwt(&json!({ "alg": "EdDSA", "typ": "JWT" }), &claims, &exchange_key)),
        ("token_type", jwt(&json!({ "alg": "EdDSA" }), &claims, &exchange_key)),
        ("token_algorithm", unsigned),
        ("token_signature", jwt(&header, &claims, &consumer.key)),
        ("token_audience", exchange.assertion(&consumer, "an assertion is no access token")),
    ];
    for (code, token) in cases {
        let reply = list_with(&exchange, &format!("Bearer {token}")).await;
        assert!(reply.headers.contains_key("www-authenticate"), "{code}");
        let problem = reply.json();
        // An assertion fails at whichever of its differences is looked at first.
        assert!(problem["code"] == code || problem["code"] == "token_signature", "wanted {code}, got {problem}");
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    list_with(&exchange, "Basic YTpi").await.expect_problem(StatusCode::UNAUTHORIZED, "token_malformed");
    list_with(&exchange, "Bearer").await.expect_problem(StatusCode::UNAUTHORIZED, "token_malformed");
    let none = Request::get("/v1/participants").body(Body::empty()).expect("a request");
    exchange.send(none).await.expect_problem(StatusCode::UNAUTHORIZED, "token_missing");
}

#[tokio::test]
async fn a_token_lasts_a_quarter_of_an_hour() {
    let exchange = TestExchange::start().await;
    let consumer = exchange.consumer(1).await;
    let token = format!("Bearer {}", exchange.token(&consumer).await);
    exchange.clock.forward(15 * 60 * 1000);
    list_with(&exchange, &token).await.expect(StatusCode::OK);
    exchange.clock.forward(31_000);
    list_with(&exchange, &token).await.expect_problem(StatusCode::UNAUTHORIZED, "token_expired");
}

#[tokio::test]
async fn a_stranger_gets_no_token_and_leaves_no_trace() {
    let exchange = TestExchange::start().await;
    let stranger = Person::new(9, &[Role::Operator]);
    exchange.ask_token(&exchange.assertion(&stranger, "x")).await.expect_problem(StatusCode::UNAUTHORIZED, "participant_not_approved");
}
