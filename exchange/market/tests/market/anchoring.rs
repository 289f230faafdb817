//! Statements reach the log in order, once, whatever happens on the way.

use crate::world::{World, in_tx};
use entrepot_chain_log::TlogProof;
use entrepot_chain_statement::{Envelope, Hash, Statement, statements::Refund};
use entrepot_exchange_domain::evidence::StatementKind;
use entrepot_exchange_market::{Notary as _, anchoring, anchoring::Anchored};
use entrepot_exchange_store::{
    outbox,
    statements::{self, ANCHOR_TOPIC, LogState, StatementRow},
};

async fn anchor(world: &World) -> Anchored {
    anchoring::anchor_due(&world.market).await.expect("a round")
}

async fn statement(world: &World, hash: &Hash) -> StatementRow {
    statements::find(&mut world.market.store.reader().await.expect("a reader"), hash).await.expect("rows").expect("a statement")
}

async fn waiting(world: &World) -> usize {
    let far = world.market.now().plus_ms(i64::MAX / 4);
    outbox::due(&mut world.market.store.reader().await.expect("a reader"), ANCHOR_TOPIC, far).await.expect("rows").len()
}

#[tokio::test]
async fn what_was_signed_is_logged_in_order_and_proved() {
    let world = World::ready().await;
    let (agreement, placed) = world.placed().await;
    // Three grants, two rights, the product, the agreement, the order, the hold.
    assert_eq!(waiting(&world).await, 9);
    assert_eq!(anchor(&world).await, Anchored { logged: 9, rejected: 0, failed: false });
    assert_eq!(anchor(&world).await, Anchored::default(), "once");
    let row = statement(&world, &agreement.statement_hash()).await;
    assert_eq!((row.kind, &row.state), (StatementKind::Agreement, &LogState::Logged { index: 6 }));
    let proof: TlogProof = world.log.proof(&row.leaf).await.expect("answers").expect("is there").parse().expect("a proof");
    proof.verify_entry(&row.leaf.0).expect("leads to the root");
    proof.checkpoint.verify_log(crate::log::ORIGIN, world.log.key()).expect("the log signed");
    assert!(statement(&world, &row.statement_hash).await.created_at <= world.market.now());
    let _job = placed.job_id;
}

#[tokio::test]
async fn statements_of_kinds_that_are_not_logged_are_kept() {
    let world = World::ready().await;
    let quote = world.quote().await;
    anchor(&world).await;
    let mut reader = world.market.store.reader().await.expect("a reader");
    let subject = entrepot_exchange_domain::evidence::Subject {
        kind: entrepot_exchange_domain::evidence::SubjectKind::Quote,
        id: quote.quote_id.to_string(),
    };
    let rows = statements::about(&mut reader, &subject).await.expect("rows");
    assert_eq!(rows.iter().map(|row| row.state.clone()).collect::<Vec<_>>(), [LogState::Kept]);
}

#[tokio::test]
async fn a_log_that_is_down_delays_and_loses_nothing() {
    let world = World::new().await;
    world.log.set_down(true);
    let before = waiting(&world).await;
    assert_eq!(anchor(&world).await, Anchored { logged: 0, rejected: 0, failed: true });
    assert_eq!(anchor(&world).await, Anchored::default(), "not before its time, and nobody overtakes");
    world.clock.forward(250);
    assert!(anchor(&world).await.failed, "again, after a pause");
    world.log.set_down(false);
    assert_eq!(anchor(&world).await, Anchored::default(), "the second pause is longer");
    world.clock.forward(500);
    assert_eq!(anchor(&world).await.logged, 1, "the first alone shows that the log is back");
    assert_eq!(anchor(&world).await.logged, before - 1);
    assert_eq!(waiting(&world).await, 0);
}

#[tokio::test]
async fn an_answer_that_got_lost_is_given_again() {
    let mut world = World::new().await;
    // The log has them all; the exchange died before it wrote that down.
    let far = world.market.now();
    let rows = outbox::due(&mut world.market.store.reader().await.expect("a reader"), ANCHOR_TOPIC, far).await.expect("rows");
    for row in &rows {
        let row = statement(&world, &row.payload.parse().expect("a hash")).await;
        let leaf = entrepot_exchange_market::notary::NotaryLeaf::of(&row.envelope);
        world.log.submit(&[leaf]).await.expect("logged");
    }
    world.restart().await;
    assert_eq!(anchor(&world).await.logged, rows.len());
    for (index, row) in (0..).zip(&rows) {
        let found = statement(&world, &row.payload.parse().expect("a hash")).await;
        assert_eq!(found.state, LogState::Logged { index });
    }
    assert_eq!(world.log.checkpoint().await.expect("answers").expect("is there").size, rows.len() as u64);
}

#[tokio::test]
async fn a_rejection_is_recorded_with_its_reason_and_holds_up_nobody() {
    let world = World::new().await;
    let refund = Refund {
        job_id: entrepot_chain_statement::ids::JobId::compose(world.market.now(), [1; 10]),
        order: Hash([1; 32]),
        hold: Hash([2; 32]),
        amount: crate::world::euro(5),
        reason: "cancelled".to_owned(),
        refunded_at: world.market.now(),
    };
    // A signature over the leaf that is another leaf's: whoever let this in would be a defect, and the ledger sees it.
    let signed = Envelope::sign(&refund, &world.bound[0].key, [1; 32]).expect("signs");
    let other = Envelope::sign(&refund, &world.bound[0].key, [2; 32]).expect("signs");
    let json = String::from_utf8(signed.to_json()).expect("text");
    let (right, wrong) = (leaf_signature(&json), leaf_signature(&String::from_utf8(other.to_json()).expect("text")));
    let forged = Envelope::from_json(json.replace(&right, &wrong).as_bytes()).expect("an envelope by its form");
    let (market, envelope) = (&*world.market, &forged);
    in_tx!(market, |tx| statements::insert(tx, envelope, market.now())).expect("kept");
    let (agreement, before) = (world.agree(&world.agreement()).await, waiting(&world).await);
    let done = anchor(&world).await;
    assert_eq!((done.logged, done.rejected), (before - 1, 1));
    let LogState::Rejected { reason } = statement(&world, &forged.statement_hash()).await.state else { panic!("not rejected") };
    assert!(reason.starts_with("bad_signature: "), "{reason}");
    assert!(matches!(statement(&world, &agreement.statement_hash()).await.state, LogState::Logged { .. }));
    assert_eq!(Refund::PAYLOAD_TYPE, forged.payload_type());
}

fn leaf_signature(json: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    value["signatures"][0]["leaf_sig"].as_str().expect("a signature").to_owned()
}
