//! Statements reach the log in order, once, whatever happens on the way.

use crate::world::{World, in_tx};
use entrepot_chain_log::TlogProof;
use entrepot_chain_statement::{
    Envelope, Hash, Statement,
    ids::{JobId, OrderId},
    statements::Refund,
};
use entrepot_exchange_domain::{evidence::StatementKind, job::JobLimits};
use entrepot_exchange_market::{Notary as _, anchoring, anchoring::Anchored, workforce::WorkerEvent};
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

#[tokio::test]
async fn whichever_way_a_job_ends_the_ledger_takes_all_that_was_signed() {
    let world = World::with(4, JobLimits::default()).await;
    world.give(10 * crate::world::PRICE).await;
    world.connect_all().await;
    let agreement = world.agree(&world.agreement()).await;
    let failed = |id: &JobId, attempt| {
        let (code, detail) = ("peer_lost".to_owned(), "the bureau went away".to_owned());
        WorkerEvent::WorkFailed { job_id: id.clone(), attempt, code, detail }
    };
    let mut jobs = Vec::new();
    for sequence in 1..=4 {
        let placed = world.try_place(&world.order(&agreement, sequence)).await.expect("placed");
        jobs.push((placed.order_id, placed.job_id));
    }
    let cancel = async |at: usize| {
        let (market, caller, order_id): (_, _, &OrderId) = (&*world.market, &world.consumer.did(), &jobs[at].0);
        in_tx!(market, |tx| entrepot_exchange_market::jobs::cancel(tx, market, caller, order_id)).expect("cancelled");
    };
    let receive = async |id: &JobId, attempt: u32, party: usize| {
        let receipt = world.receipt(&world.job(id).await, attempt, party);
        world.hear(party, world.finished(&receipt, party)).await;
    };
    // Before any worker was asked.
    cancel(3).await;
    world.round().await;
    let [(_, paid), (_, cancelled), (_, disputed), _] = &jobs[..] else { panic!("four jobs") };
    // A receipt, then a failure; a second attempt is paid for; the first worker repeats itself and comes late.
    receive(paid, 1, 0).await;
    world.hear(1, failed(paid, 1)).await;
    // A receipt, a cancellation, and a receipt that comes too late.
    receive(cancelled, 1, 0).await;
    cancel(1).await;
    receive(cancelled, 1, 1).await;
    let again = async |id: &JobId| {
        for _ in 0..10 {
            if world.state(id).await != "queued" {
                return;
            }
            world.clock.forward(1_000);
            world.round().await;
        }
        panic!("it is not sent again");
    };
    again(paid).await;
    receive(paid, 1, 2).await;
    world.finish(paid).await;
    receive(paid, 1, 0).await;
    // Receipts that contradict each other, until no attempt is left.
    for attempt in 1..=3 {
        again(disputed).await;
        for party in 0..3 {
            let mut receipt = world.receipt(&world.job(disputed).await, attempt, party);
            receipt.shares[0].ciphertext = Hash([party as u8; 32]);
            world.hear(party, world.finished(&receipt, party)).await;
        }
    }
    let states = [world.state(paid).await, world.state(cancelled).await, world.state(disputed).await, world.state(&jobs[3].1).await];
    assert_eq!(states, ["released", "refunded", "refunded", "refunded"]);
    let announced = waiting(&world).await;
    assert!(announced > 20, "{announced}");
    assert_eq!(anchor(&world).await, Anchored { logged: announced, rejected: 0, failed: false });
}
