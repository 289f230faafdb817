//! The exchange tells the parties where to find each other, and may stand in between.

use super::{
    impostor::{Heard, Papers, answer, dial, relay_and_change},
    rig::{Outcome, Rig},
};
use entrepot_api_wire::v1::{AbortWork, to_worker};
use entrepot_chain_statement::SigningKey;
use entrepot_tests::{
    hostile::Trade,
    recorder::{Recording, Secret, record_http, search},
    sample,
};
use rand_core::OsRng;
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A handshake that is broken off is shorter.
const HANDSHAKE_BYTES_MAX: usize = 8 * 1024;
/// Two points of 32 bytes for every customer of either side pass in the intersection alone.
const COMPUTATION_BYTES_MIN: usize = 400 * 2 * 32;
/// Customers whose every trace is looked for.
const CUSTOMERS_SOUGHT: usize = 5;
/// Beyond the handshake and within the intersection.
const PLACE_CHANGED: usize = 4_000;
const READY: &[u8] = b"\0\0\0\x05ready";

fn secrets() -> Vec<Secret> {
    let known_to_both = sample::customers().into_iter().filter(|customer| customer.loan.is_some() && customer.income.is_some());
    known_to_both
        .take(CUSTOMERS_SOUGHT)
        .flat_map(|c| [Secret::text(&c.key), Secret::number(c.income.expect("filtered").unsigned_abs())])
        .collect()
}

fn found_in(recording: &Recording, secrets: &[Secret]) -> Vec<String> {
    let streams = recording.raw();
    search(secrets, streams.iter().enumerate().map(|(n, bytes)| (format!("stream {n}"), &bytes[..])))
}

async fn abort(rig: &Rig, party: usize, trade: &Trade) {
    let (job_id, attempt) = (trade.job_id.to_string(), trade.attempt);
    let abort = AbortWork { job_id, attempt, code: "test".to_owned() };
    rig.exchange.send(&rig.dids[party], to_worker::Message::AbortWork(abort)).await;
}

/// The lender is sent to an impostor in the bureau's place.
async fn meets_an_impostor(rig: &Rig, papers: Papers, what: &str) {
    let heard = Heard::default();
    let recording = Recording::default();
    let mut trade = rig.next_trade();
    trade.peer_addresses[1] = record_http(answer(papers, Arc::clone(&heard)).await, recording.clone()).await;
    for party in 0..3 {
        rig.send(party, &trade).await;
    }
    assert_eq!(rig.outcome(0, &trade).await, Outcome::Failed("peer_wrong_key".to_owned()), "{what}");
    for party in [1, 2] {
        abort(rig, party, &trade).await;
        assert!(matches!(rig.outcome(party, &trade).await, Outcome::Failed(_)), "{what}: party {party}");
    }
    let heard = heard.lock().expect("no panic while locked");
    assert!(!heard.is_empty() && heard.iter().all(Result::is_err), "{what}: {heard:?}");
    assert!((1..HANDSHAKE_BYTES_MAX).contains(&recording.len()), "{what}: {} bytes", recording.len());
    let sought = [secrets(), vec![Secret::text(trade.job_id.as_str())]].concat();
    assert_eq!(found_in(&recording, &sought), [] as [String; 0], "{what}");
}

#[tokio::test]
async fn an_impostor_at_a_partys_address_learns_nothing() {
    let rig = Rig::start().await;
    let key = SigningKey::generate(&mut OsRng);
    meets_an_impostor(&rig, Papers::of(&key), "a key of its own").await;
    // The bureau's certificate is no secret: it shows it to whoever dials.
    let line = dial(&rig.trade.peer_addresses[1], Papers::of(&key)).await;
    let stolen = line.get_ref().1.peer_certificates().expect("it showed one")[0].clone().into_owned();
    assert_eq!(stolen.windows(32).filter(|bytes| *bytes == rig.dids[1].public_bytes()).count(), 1, "the bureau's certificate");
    meets_an_impostor(&rig, Papers { certificate: stolen, ..Papers::of(&key) }, "the bureau's certificate without its key").await;

    // Another genuine party is an impostor in this place, too.
    let mut misled = rig.next_trade();
    misled.peer_addresses.swap(1, 2);
    rig.send(0, &misled).await;
    assert_eq!(rig.outcome(0, &misled).await, Outcome::Failed("peer_wrong_key".to_owned()));
    assert_eq!(rig.run(&rig.next_trade()).await.len(), 3, "and with the true addresses it runs");
}

#[tokio::test]
async fn an_impostor_that_dials_is_not_let_in() {
    let rig = Rig::start().await;
    // The lender is kept out of its own job, and somebody comes in its name.
    let trade = Trade { time_ms: 5_000, ..rig.trade.clone() };
    for party in [1, 2] {
        rig.send(party, &trade).await;
    }
    let hello = json!({"job_id": trade.job_id, "attempt": trade.attempt, "order": trade.order.statement_hash(), "from": 0}).to_string();
    let frame = [&(hello.len() as u32).to_be_bytes()[..], hello.as_bytes()].concat();
    let come_as = async |key: &SigningKey| {
        let mut line = dial(&trade.peer_addresses[1], Papers::of(key)).await;
        line.write_all(&frame).await.expect("the line is open");
        line.flush().await.expect("the line is open");
        let mut said = [0; READY.len()];
        let listened = tokio::time::timeout(Duration::from_secs(2), line.read_exact(&mut said)).await;
        matches!(listened, Ok(Ok(_))).then_some(said)
    };
    assert_eq!(come_as(&SigningKey::generate(&mut OsRng)).await, None, "a stranger");
    assert_eq!(come_as(&rig.workers[2].key.signing).await, None, "another party");
    // What kept them out was the key alone.
    assert_eq!(come_as(&rig.workers[0].key.signing).await.as_ref().map(|said| &said[..]), Some(READY));
    for party in [1, 2] {
        assert!(matches!(rig.outcome(party, &trade).await, Outcome::Failed(_)), "party {party}");
    }
}

#[tokio::test]
async fn who_relays_the_parties_sees_ciphertext() {
    let rig = Rig::start().await;
    let recording = Recording::default();
    let mut trade = rig.trade.clone();
    for party in [1, 2] {
        trade.peer_addresses[party] = record_http(rig.trade.peer_addresses[party].clone(), recording.clone()).await;
    }
    assert_eq!(rig.run(&trade).await.len(), 3);
    assert!(recording.len() > COMPUTATION_BYTES_MIN, "the whole computation passed: {} bytes", recording.len());
    assert_eq!(found_in(&recording, &secrets()), [] as [String; 0]);
    let files = [sample::lender_csv(), sample::bureau_csv()].concat();
    let in_plain = search(&secrets(), [("the files".to_owned(), files.as_bytes())]);
    assert_eq!(in_plain.len(), secrets().len(), "what is sought is what the parties hold");
}

#[tokio::test]
async fn a_byte_changed_between_parties_ends_the_attempt_and_not_the_job() {
    let rig = Rig::start().await;
    let mut trade = rig.trade.clone();
    trade.peer_addresses[1] = relay_and_change(rig.trade.peer_addresses[1].clone(), PLACE_CHANGED).await;
    for (party, outcome) in rig.outcomes(&trade).await.into_iter().enumerate() {
        assert_eq!(outcome, Outcome::Failed("peer_lost".to_owned()), "party {party}");
    }
    assert_eq!(rig.run(&Trade { attempt: 2, ..rig.trade.clone() }).await.len(), 3);
}
