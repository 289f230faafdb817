//! What the exchange hands out is checked by strangers.

use crate::world::{Person, World};
use entrepot_chain_log::{
    Decided, Status, TrustFile, TrustedLog, consortium::TrustedChannel, trust::TrustFormat, verify_certificate, verify_receipt,
};
use entrepot_exchange_market::{anchoring, dataset, deliver};

#[tokio::test]
async fn what_is_handed_out_shows_by_the_genesis_alone_that_it_was_decided() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    // Two checkpoints: what was ordered, and what came of it.
    for step in 0..2 {
        if step == 1 {
            world.round().await;
            world.finish(&placed.job_id).await;
        }
        assert!(anchoring::anchor_due(&world.market).await.expect("a round").logged > 0);
    }
    let trust = TrustFile {
        format: TrustFormat::V1,
        log: TrustedLog { origin: crate::log::ORIGIN.to_owned(), key: world.log.key().clone() },
        validators: Vec::new(),
        channel: Some(TrustedChannel { genesis: world.log.genesis().digest(), since: None }),
        witnesses: Vec::new(),
        quorum: 1,
        exchange: world.market.exchange_did(),
        participants: world.bound.iter().chain([&world.consumer]).map(Person::did).collect(),
    };
    let receipt = deliver::receipt_bundle(&world.market, None, &placed.job_id).await.expect("a bundle");
    let certificate = dataset::certificate(&world.market, None, &world.product.tables[0].dataset_id).await.expect("a certificate");
    let as_json = |document: serde_json::Result<Vec<u8>>| document.expect("JSON");
    for report in [
        verify_receipt(&as_json(serde_json::to_vec(&receipt)), &trust),
        verify_certificate(&as_json(serde_json::to_vec(&certificate)), &trust),
    ] {
        let report = report.expect("is read");
        let failed: Vec<_> = report.checks.iter().filter(|check| !check.ok).collect();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!((report.status, report.decided), (Status::Unwitnessed { k: 0, n: 0, quorum: 1 }, Some(Decided { k: 1, n: 1 })));
    }
}
