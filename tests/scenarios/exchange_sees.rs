//! What the exchange sees: everything it receives, sends, stores and logs while a job runs holds no customer, no cell, no share, no key.

use entrepot_chain_statement::key::KeyFile;
use entrepot_chain_statement::statements::Role;
use entrepot_tests::{
    exchange::Exchange,
    market::{Detour, Market},
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
    let places = seen(&market, &recording);
    assert_eq!(found(&secrets, &places), Vec::<String>::new());

    // The recording did hold the job: the exchange knows its id, and the sealed shares passed.
    assert!(!found(&[Secret::text(&job_id)], &places).is_empty());
    assert!(recording.len() > 10_000);

    // And the search is no formality: what is planted is found, in traffic and in files.
    plant(&market).await;
    let customer = [Secret::text(&sample::customers()[0].key)];
    let places = seen(&market, &recording);
    let planted = found(&customer, &places);
    assert!(planted.iter().any(|place| place.ends_with("its traffic")), "{planted:?}");
    assert!(planted.iter().any(|place| place.contains("exchange/")), "{planted:?}");
}

/// Tells the exchange a customer's key, as the name of a new participant.
async fn plant(market: &Market) {
    let gossip = Member::new(&sample::customers()[0].key, Role::Consumer);
    market.consumer.post("/v1/participants", &json!({"envelope": gossip.sign(&gossip.enrolment())})).await.ok();
}
