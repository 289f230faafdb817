//! The OpenAPI document is generated, committed, and the same. `ENTREPOT_REGENERATE=1` writes it anew.

use entrepot_api_server::router::openapi_json;
use serde_json::Value;
use std::{fs, path::Path};

#[test]
fn the_committed_document_is_what_the_routes_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi.json");
    let generated = openapi_json();
    if std::env::var_os("ENTREPOT_REGENERATE").is_some() {
        fs::write(&file, &generated).expect("the document is written");
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == generated, "api/openapi.json is not what the routes say: run this test with ENTREPOT_REGENERATE=1 and commit it");
}

#[test]
fn every_operation_is_named_once_tells_its_refusals_and_every_post_takes_a_key() {
    let document: Value = serde_json::from_str(&openapi_json()).expect("JSON");
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = operation["operationId"].as_str().unwrap_or_default();
            assert!(!name.is_empty() && names.insert(name.to_owned()), "{method} {path}: {name:?}");
            if path.starts_with("/v1/") {
                assert!(operation["responses"].get("default").is_some(), "{method} {path} does not tell its refusals");
            }
            // A transaction of the chain is its own key.
            if method == "post" && path != "/v1/token" && !path.ends_with("/chain/transactions") {
                let parameters = operation["parameters"].as_array().expect("parameters");
                assert!(parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key"), "{path}");
            }
        }
    }
}

#[test]
fn every_schema_that_is_named_is_there() {
    let text = openapi_json();
    let document: Value = serde_json::from_str(&text).expect("JSON");
    for (_, rest) in text.match_indices("\"#/components/schemas/").map(|(at, found)| text.split_at(at + found.len())) {
        let name = rest.split('"').next().unwrap_or_default();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is missing");
    }
}
