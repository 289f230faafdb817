//! Whom a worker answers at all.

use super::rig::{ORIGIN, Rig};
use entrepot_api_wire::hello_to_sign;
use entrepot_chain_log::NoteSigner;
use entrepot_chain_statement::{SigningKey, statements::Role};
use entrepot_tests::{
    hostile::{Guise, HostileExchange},
    market::Cast,
    member::Member,
    worker::WorkerHome,
};
use rand_core::OsRng;

/// So many connections show that the worker gave up those before.
const DIALS: usize = 3;

async fn challenged_and_greeted(guise: Guise) -> (usize, usize) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let log = NoteSigner::log(ORIGIN, SigningKey::generate(&mut OsRng)).expect("a name");
    let exchange = HostileExchange::start(home.path(), &log.public().to_string(), guise).await;
    let cast = Cast::new();
    let worker = WorkerHome::prepare(home.path(), "worker-compute", &cast.compute, &exchange.pinned, &cast.trusted(), None);
    let _process = worker.start(None);
    if guise == Guise::Configured {
        exchange.greeting(&worker.key.signing.did()).await;
        return exchange.after_dials(&worker.key.signing.did(), 1).await;
    }
    exchange.after_dials(&worker.key.signing.did(), DIALS).await
}

#[tokio::test]
async fn a_challenge_is_answered_for_the_configured_exchange_alone() {
    assert_eq!(challenged_and_greeted(Guise::Configured).await, (1, 1));
    let (challenged, greeted) = challenged_and_greeted(Guise::OtherIdentity).await;
    assert!(challenged >= DIALS - 1, "the worker heard {challenged} challenges");
    assert_eq!(greeted, 0, "it answered another exchange's challenge");
}

#[tokio::test]
async fn a_certificate_other_than_the_pinned_one_hears_nothing() {
    assert_eq!(challenged_and_greeted(Guise::OtherCertificate).await, (0, 0));
}

#[tokio::test]
async fn the_answer_to_one_exchange_is_of_no_use_at_another() {
    let rig = Rig::start().await;
    let greeting = rig.exchange.greeting(&rig.dids[0]).await;
    let signed = |exchange: &str, nonce: &[u8]| {
        let message = hello_to_sign(exchange, &greeting.hello.worker, nonce);
        rig.dids[0].verify(&message, &greeting.hello.signature)
    };
    let here = rig.exchange.identity.did();
    assert!(signed(here.as_str(), &greeting.nonce));
    assert!(!signed(Member::new("Another exchange", Role::Operator).did().as_str(), &greeting.nonce));
    assert!(!signed(here.as_str(), &[0; 32]));
}
