//! What the exchange sees: everything it receives, sends, stores and logs while a job runs holds no customer, no cell, no share, no key.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::key::KeyFile;
use entrepot_chain_statement::statements::Role;
use entrepot_tests::{
    exchange::Exchange,
    market::{Detour, Market, Worker},
    member::Member,
    recorder::{Recording, Secret, files_below, record_http, record_tls, search},
    sample,
};
use serde_json::json;

async fn recorded_market() -> (Market, Recording) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let exchange = Exchange::start(folder.path()).await;
    let recording = Recording::default();
    let address = |url: &str| url.split("://").last().expect("an address").trim_end_matches('/').to_owned();
    let certificate = folder.path().join("recorder.pem");
    let grpc = record_tls(address(&exchange.info.grpc), &exchange.info.grpc_ca, &certificate, recording.clone()).await;
    let rest = record_http(address(&exchange.info.rest), recording.clone()).await;
    let detour = Detour { grpc: Some((format!("https://{grpc}"), certificate)), rest: Some(format!("http://{rest}")) };
    (Market::open(folder, exchange, detour).await, recording)
}

/// Every customer, every cell that could not stand anywhere by chance, every total, every private key.
fn secrets(market: &Market) -> Vec<Secret> {
    let mut secrets = Vec::new();
    for customer in sample::customers() {
        secrets.push(Secret::text(&customer.key));
        secrets.extend(customer.income.map(|income| Secret::number(income.unsigned_abs())));
    }
    secrets
        .extend(sample::expected().values().filter(|group| group.count > 0).map(|group| Secret::number(group.income_sum.unsigned_abs())));
    let cast = &market.cast;
    let members = [&cast.lender, &cast.bureau, &cast.compute, &cast.consumer, &cast.regulator, &market.exchange.operator];
    let keys = members.map(|member| (member.name.clone(), &member.key)).into_iter();
    let workers = market.workers.iter().map(|worker| (worker.home.name.clone(), &worker.home.key));
    for (name, key) in keys.chain(workers) {
        secrets.extend(key_secrets(&name, key));
    }
    secrets
}

fn key_secrets(name: &str, key: &KeyFile) -> [Secret; 3] {
    [
        Secret::bytes(format!("{name}'s signing seed"), &key.signing.seed()[..]),
        Secret::bytes(format!("{name}'s witness seed"), &key.witness.seed()[..]),
        Secret::bytes(format!("{name}'s sealing secret"), &key.sealing.to_bytes()[..]),
    ]
}

/// All that the exchange has seen so far.
fn seen(market: &Market, recording: &Recording) -> Vec<(String, Vec<u8>)> {
    let traffic = recording.raw().into_iter().map(|bytes| ("its traffic".to_owned(), bytes));
    let bodies = recording.bodies().into_iter().map(|bytes| ("a message body".to_owned(), bytes));
    let files = files_below(&market.exchange.data_dir).into_iter().map(|(path, bytes)| (path.display().to_string(), bytes));
    let log = ("its log".to_owned(), market.exchange.process.log().into_bytes());
    traffic.chain(bodies).chain(files).chain([log]).collect()
}

fn found(secrets: &[Secret], places: &[(String, Vec<u8>)]) -> Vec<String> {
    search(secrets, places.iter().map(|(place, bytes)| (place.clone(), &bytes[..])))
}

#[tokio::test]
async fn the_exchange_sees_no_customer_no_cell_no_share_and_no_key() {
    let (market, recording) = recorded_market().await;
    let quote = market.quote(sample::SQL).await;
    let mut contract = market.agree().await;
    let order = market.next_order(&mut contract, sample::SQL, quote.plan);
    let job_id = market.place(&order).await;
    assert_eq!(market.finished(&job_id).await["state"], "delivered");
    let opened = market.open_result(&job_id).await;

    let mut secrets = secrets(&market);
    // A share is noise: any eight of its numbers in a row stand nowhere by chance.
    secrets.extend(opened.shares.iter().flat_map(|share| share.chunks(64)).map(|part| Secret::bytes("an unsealed share", part)));
    let (places, logs) = (seen(&market, &recording), logs(&market));

    // The search is no formality: each kind of secret is told to the exchange afterwards, and must be found, in traffic and in files.
    let customer = &sample::customers()[0].key;
    let income = sample::customers().iter().find_map(|customer| customer.income).expect("somebody earns").unsigned_abs();
    let (share, worker) = (&opened.shares[0][..64], &market.workers[0].home);
    let planted = [
        (customer.clone(), format!("the text {customer}")),
        (income.to_string(), format!("the number {income}")),
        (BASE64_STANDARD.encode(share), "an unsealed share".to_owned()),
        (hex::encode(&worker.key.signing.seed()[..]), format!("{}'s signing seed", worker.name)),
    ];
    for (gossip, _) in &planted {
        plant(&market, gossip).await;
    }
    let spoilt = seen(&market, &recording);

    assert_eq!(found(&secrets, &places), Vec::<String>::new());
    // The recording did hold the job: the exchange knows its id, and the sealed shares passed.
    assert!(!found(&[Secret::text(&job_id)], &places).is_empty());
    assert!(recording.len() > 10_000);
    // Nor do the workers write down what they compute with.
    assert_eq!(found(&secrets, &logs), Vec::<String>::new());
    assert_eq!(found(&[Secret::text(&job_id)], &logs).len(), 3);

    let planted_places = found(&secrets, &spoilt);
    for (_, what) in &planted {
        for place in ["its traffic", "exchange/"] {
            let is_found = planted_places.iter().any(|found| found.starts_with(what.as_str()) && found.contains(place));
            assert!(is_found, "{what} in {place}: {planted_places:#?}");
        }
    }
}

/// What the workers wrote down.
fn logs(market: &Market) -> Vec<(String, Vec<u8>)> {
    let log = |worker: &Worker| (format!("the log of {}", worker.home.name), worker.process.log().into_bytes());
    market.workers.iter().map(log).collect()
}

/// Tells the exchange something as the name of a new participant.
async fn plant(market: &Market, gossip: &str) {
    let gossip = Member::new(gossip, Role::Consumer);
    market.consumer.post("/v1/participants", &json!({"envelope": gossip.sign(&gossip.enrolment())})).await.ok();
}
