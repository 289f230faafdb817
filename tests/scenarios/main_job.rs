//! Buy a computation, get the right numbers, see the money move, check the receipts.

use entrepot_chain_log::{Checkpoint, SignedCheckpoint, merkle::verify_consistency};
use entrepot_chain_statement::{Envelope, Hash};
use entrepot_tests::{
    books,
    market::{CREDIT_MINOR, Market, wait_for},
    offer::{PRICE_MINOR, SPLIT},
    sample,
};
use serde_json::{Value, json};

/// The receipt bundle of a job, once everything in it is logged and witnessed.
async fn witnessed_bundle(market: &Market, job_id: &str, trust: &Value) -> Value {
    wait_for(async || {
        let bundle = market.consumer.get(&format!("/v1/jobs/{job_id}/receipt")).await.ok();
        let verified = market.verify(&bundle, trust);
        assert_eq!(verified.code, 0, "{}", verified.report);
        (verified.state() == "witnessed").then_some(bundle)
    })
    .await
}

#[tokio::test]
async fn a_job_gives_the_right_numbers_moves_the_money_and_leaves_receipts() {
    let market = Market::start().await;
    let quote = market.quote(sample::SQL).await;
    assert_eq!(quote.price.amount_minor, PRICE_MINOR);
    assert!(quote.leakage.iter().any(|line| line.contains("common")), "{:?}", quote.leakage);

    let before = checkpoint(&market).await;
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
    the_regulator_sees_it(&market, &job_id, &order).await;
    the_log_only_grew(&market, &before, &order).await;
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
    let trust = market.trust();
    let bundle = witnessed_bundle(market, job_id, &trust).await;

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

/// Changes one character of each envelope, and one of each line of each proof.
fn every_changed_character_is_found(market: &Market, bundle: &Value, trust: &Value) {
    let entries = bundle["entries"].as_array().expect("entries");
    for (at, entry) in entries.iter().enumerate() {
        let name = &entry["name"];
        for field in ["payload", "salt"] {
            let mut changed = bundle.clone();
            changed["entries"][at]["envelope"][field] = change(entry["envelope"][field].as_str().expect("text")).into();
            assert_ne!(market.verify(&changed, trust).code, 0, "{field} of {name}");
        }
        let proof = entry["proof"].as_str().expect("a proof");
        let lines: Vec<&str> = proof.lines().collect();
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('—')) {
            let mut changed_lines = lines.clone();
            let changed_line = change(line);
            changed_lines[number] = &changed_line;
            let mut changed = bundle.clone();
            changed["entries"][at]["proof"] = format!("{}\n", changed_lines.join("\n")).into();
            assert_ne!(market.verify(&changed, trust).code, 0, "line {number} of the proof of {name}: {line}");
        }
        // Two of three cosignatures would do; so all of them.
        let spoilt = lines.iter().map(|line| if line.starts_with('—') { spoil_signature(line) } else { (*line).to_owned() });
        let mut changed = bundle.clone();
        changed["entries"][at]["proof"] = format!("{}\n", spoilt.collect::<Vec<_>>().join("\n")).into();
        assert_ne!(market.verify(&changed, trust).state(), "witnessed", "signatures of the proof of {name}");
    }
}

/// A note's signature line with one digit of the signature changed.
fn spoil_signature(line: &str) -> String {
    let (name, signature) = line.rsplit_once(' ').expect("a name and a signature");
    format!("{name} {}", change(signature))
}

/// Another text of the same length: a base-64 digit in the middle becomes another.
fn change(text: &str) -> String {
    let middle = text.len() / 2;
    let at = text[middle..].find(|c: char| c.is_ascii_alphanumeric()).map_or(0, |found| middle + found);
    let other = if &text[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

/// The newest checkpoint.
async fn checkpoint(market: &Market) -> Checkpoint {
    let note = market.regulator.get("/v1/log/checkpoint").await.ok();
    let signed: SignedCheckpoint = note.as_str().expect("a text").parse().expect("a checkpoint");
    signed.checkpoint().clone()
}

async fn the_regulator_sees_it(market: &Market, job_id: &str, order: &Envelope) {
    let trace = async |id: &str| market.regulator.get(&format!("/v1/audit/trace/{id}")).await.ok().to_string();
    let journal = market.regulator.get(&format!("/v1/journal?job={job_id}")).await.ok();
    let entry = journal["items"][0]["entry_id"].as_str().expect("an entry").to_owned();
    let product = market.offered();
    let job = market.consumer.get(&format!("/v1/jobs/{job_id}")).await.ok();
    let agreement = job["agreement_id"].as_str().expect("an id").to_owned();
    let dataset = product.tables[0].dataset_id.as_str();
    let from_job = trace(job_id).await;
    for id in [product.product_id.as_str(), dataset, &agreement, &entry] {
        assert!(from_job.contains(id), "{id} is not in {from_job}");
    }
    for id in [dataset, &agreement, &entry, &order.leaf().to_string()] {
        let back = trace(id).await;
        assert!(back.contains(job_id), "{job_id} is not in {back}");
    }

    let bundle = market.regulator.get(&format!("/v1/audit/bundle/{job_id}")).await.ok();
    let signed: Envelope = serde_json::from_value(bundle["trace"].clone()).expect("an envelope");
    signed.verify_signed_by(&market.exchange.info.did).expect("signed by the exchange");
    assert!(String::from_utf8_lossy(signed.payload()).contains(job_id));
    market.consumer.get(&format!("/v1/audit/trace/{job_id}")).await.refused(403, "role_missing");
}

/// What was logged since `before` is listed, and the log only grew.
async fn the_log_only_grew(market: &Market, before: &Checkpoint, order: &Envelope) {
    let after = checkpoint(market).await;
    assert!(after.size > before.size);
    let events = market.regulator.get(&format!("/v1/audit/events?since={}&limit=200", before.size)).await.ok();
    let leaves: Vec<&Value> = events["items"].as_array().expect("items").iter().map(|event| &event["leaf"]).collect();
    assert!(leaves.contains(&&json!(order.leaf())), "{leaves:?}");

    let path = format!("/v1/audit/consistency?from={}&to={}", before.size, after.size);
    let answer = market.regulator.get(&path).await.ok();
    let proof: Vec<Hash> = serde_json::from_value(answer["proof"].clone()).expect("hashes");
    verify_consistency((before.size, &before.root), (after.size, &after.root), &proof).expect("the log only grew");
    let other = Hash::of(&[b"another history"]);
    verify_consistency((before.size, &other), (after.size, &after.root), &proof).expect_err("the proof says nothing of another history");
}
