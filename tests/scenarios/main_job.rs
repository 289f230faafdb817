//! Buy a computation, get the right numbers, see the money move, check the receipts.

use entrepot_tests::{
    books,
    market::{CREDIT_MINOR, Market, wait_for},
    offer::{PRICE_MINOR, SPLIT},
    sample,
};
use serde_json::{Value, json};

/// The receipt bundle of a job, once everything in it is logged.
async fn logged_bundle(market: &Market, job_id: &str) -> Value {
    wait_for(async || {
        let bundle = market.consumer.get(&format!("/v1/jobs/{job_id}/receipt")).await.ok();
        let entries = bundle["entries"].as_array().expect("entries");
        entries.iter().all(|entry| entry["proof"].is_string()).then_some(bundle)
    })
    .await
}

#[tokio::test]
async fn a_job_gives_the_right_numbers_moves_the_money_and_leaves_receipts() {
    let market = Market::start().await;
    let quote = market.quote(sample::SQL).await;
    assert_eq!(quote.price.amount_minor, PRICE_MINOR);
    assert!(quote.leakage.iter().any(|line| line.contains("common")), "{:?}", quote.leakage);

    let mut contract = market.agree().await;
    let order = market.next_order(&mut contract, sample::SQL, quote.plan);
    let job_id = market.place(&order).await;
    let job = market.finished(&job_id).await;
    assert_eq!(job["state"], "delivered", "{job}");

    let opened = market.open_result(&job_id).await;
    let (large, small): (Vec<_>, Vec<_>) = sample::expected().into_iter().partition(|(_, group)| group.count >= sample::MINIMUM_GROUP);
    assert_eq!(opened.groups, large.into_iter().collect());
    assert_eq!(opened.withheld, small.len() as u64);

    the_money_moved(&market, &job_id).await;
    the_receipts_hold(&market, &job_id).await;
    the_regulator_sees_it(&market, &job_id, &order.leaf().to_string()).await;
}

async fn the_money_moved(market: &Market, job_id: &str) {
    assert_eq!(books::balance(market).await, CREDIT_MINOR - PRICE_MINOR);
    for (owner, points) in market.owners.iter().zip(SPLIT) {
        let account = owner.get("/v1/account").await.ok();
        let share = PRICE_MINOR * i64::from(points) / 10_000;
        assert_eq!(account["balances"][0]["balance_minor"], share.to_string(), "{account}");
    }
    let journal = market.consumer.get(&format!("/v1/journal?job={job_id}")).await.ok();
    assert!(!journal["items"].as_array().expect("items").is_empty());
    books::verify(market);
}

async fn the_receipts_hold(market: &Market, job_id: &str) {
    let bundle = logged_bundle(market, job_id).await;
    let trust = market.trust();
    let verified = wait_for(async || Some(market.verify(&bundle, &trust)).filter(|verified| verified.state() == "witnessed")).await;
    assert_eq!(verified.code, 0, "{}", verified.report);

    // Nobody but the validator is trusted: true, but the log could show others another history.
    let mut alone = trust.clone();
    alone["witnesses"] = json!([]);
    assert_eq!(market.verify(&bundle, &alone).state(), "unwitnessed");

    // The same file, checked with somebody else's keys.
    let mut stranger = trust.clone();
    stranger["exchange"] = trust["participants"][0].clone();
    assert_eq!(market.verify(&bundle, &stranger).code, 4);
    every_changed_character_is_found(market, &bundle, &trust);
}

/// Changes one character of each envelope and each proof.
fn every_changed_character_is_found(market: &Market, bundle: &Value, trust: &Value) {
    for (at, entry) in bundle["entries"].as_array().expect("entries").iter().enumerate() {
        let texts = [("payload", entry["envelope"]["payload"].as_str()), ("salt", entry["envelope"]["salt"].as_str())];
        for (field, text) in texts {
            let mut changed = bundle.clone();
            changed["entries"][at]["envelope"][field] = change(text.expect("text")).into();
            assert_ne!(market.verify(&changed, trust).code, 0, "{field} of {}", entry["name"]);
        }
        let mut changed = bundle.clone();
        changed["entries"][at]["proof"] = change(entry["proof"].as_str().expect("a proof")).into();
        assert_ne!(market.verify(&changed, trust).state(), "witnessed", "proof of {}", entry["name"]);
    }
}

/// Another text of the same length: a base-64 digit in the middle becomes another.
fn change(text: &str) -> String {
    let middle = text.len() / 2;
    let at = text[middle..].find(|c: char| c.is_ascii_alphanumeric()).map_or(0, |found| middle + found);
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

async fn the_regulator_sees_it(market: &Market, job_id: &str, leaf: &str) {
    let from_job = market.regulator.get(&format!("/v1/audit/trace/{job_id}")).await.ok();
    let text = from_job.to_string();
    let product = market.offered();
    for id in [product.product_id.as_str(), product.tables[0].dataset_id.as_str(), job_id] {
        assert!(text.contains(id), "{id} is not in {text}");
    }
    for id in [product.tables[1].dataset_id.as_str(), leaf] {
        let back = market.regulator.get(&format!("/v1/audit/trace/{id}")).await.ok().to_string();
        assert!(back.contains(job_id), "{job_id} is not in {back}");
    }
    let bundle = market.regulator.get(&format!("/v1/audit/bundle/{job_id}")).await.ok();
    assert!(bundle.to_string().contains(job_id));
    market.consumer.get(&format!("/v1/audit/trace/{job_id}")).await.refused(403, "forbidden");
}
