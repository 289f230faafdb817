//! Jobs from dispatch to delivery, with everything that can go wrong in between.

use crate::world::{DAY_MS, PRICE, World, in_tx};
use entrepot_chain_statement::{
    Hash,
    statements::{Release, UsageReceipt},
};
use entrepot_exchange_domain::{
    Refusal,
    job::{JobState, Note, RefundReason},
};
use entrepot_exchange_market::{
    deliver, jobs,
    product::{self, StateChange},
    workforce::{WorkerCommand, WorkerEvent},
};

async fn reason(world: &World, id: &entrepot_chain_statement::ids::JobId) -> Option<RefundReason> {
    match world.job(id).await.state {
        JobState::Refunded { reason, .. } => Some(reason),
        _ => None,
    }
}

fn failed(id: &entrepot_chain_statement::ids::JobId, attempt: u32) -> WorkerEvent {
    WorkerEvent::WorkFailed { job_id: id.clone(), attempt, code: "peer_lost".to_owned(), detail: "the bureau went away".to_owned() }
}

#[tokio::test]
async fn an_order_is_computed_paid_and_delivered() {
    let world = World::ready().await;
    let (agreement, placed) = world.placed().await;
    let id = &placed.job_id;
    world.round().await;
    let orders = world.workers.work_orders();
    assert_eq!(orders.len(), 3);
    for (party, (to, order)) in orders.iter().enumerate() {
        assert_eq!(*to, world.worker(party));
        assert_eq!((usize::from(order.party), order.attempt), (party, 1));
        assert_eq!(order.agreement.statement_hash(), agreement.statement_hash());
        assert_eq!(order.peer_addresses[1], "127.0.0.1:9001");
        order.hold.verify_signed_by(&world.market.exchange_did()).expect("signed by the exchange");
        for (grant, person) in order.grants.iter().zip(&world.bound) {
            grant.verify_signed_by(&person.did()).expect("signed by the participant");
        }
    }
    for party in 0..3 {
        world.hear(party, WorkerEvent::WorkAccepted { job_id: id.clone(), attempt: 1 }).await;
    }
    assert_eq!(world.state(id).await, "running");
    world.workers.take();
    world.finish(id).await;
    assert_eq!(world.state(id).await, "released");
    let sent = world.workers.take();
    assert_eq!(sent.len(), 3);
    for (_, command) in sent {
        let WorkerCommand::HandOverShares { release, .. } = command else { panic!("{command:?}") };
        let release: Release = release.open_signed_by([&world.market.exchange_did()]).expect("signed by the exchange");
        assert_eq!(release.split.iter().map(|part| part.amount.amount_minor).sum::<i64>(), PRICE);
    }
    // Two of three suffice.
    world.hear(0, world.shares(id, 0)).await;
    assert_eq!(world.state(id).await, "released");
    world.hear(2, world.shares(id, 2)).await;
    assert_eq!(world.state(id).await, "delivered");
    let mut reader = world.market.store.reader().await.expect("a reader");
    let result = deliver::result(&mut reader, &world.consumer.did(), id).await.expect("a result");
    assert_eq!(result.shares.iter().map(|share| share.ciphertext.clone()).collect::<Vec<_>>(), [0, 1, 2].map(World::ciphertext));
    assert!(deliver::result(&mut reader, &world.bound[0].did(), id).await.is_err());
    let paid: Vec<i64> = [
        world.balance(&world.bound[0].did()).await,
        world.balance(&world.bound[1].did()).await,
        world.balance(&world.bound[2].did()).await,
    ]
    .into();
    assert_eq!(paid, [1_126, 1_125, 250], "45 % each and 10 % of 2501; the unit left over goes to the first of the largest fractions");
    let report = world.books().await;
    assert_eq!(report.currencies[0].released_minor, PRICE);
}

#[tokio::test]
async fn the_bundle_holds_everything_that_was_signed_and_only_its_people_see_it() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    world.round().await;
    world.finish(&placed.job_id).await;
    for viewer in [world.consumer.did(), world.bound[0].did(), world.bound[2].did()] {
        let bundle = deliver::receipt_bundle(&world.market, Some(&viewer), &placed.job_id).await.expect("a bundle");
        let mut names: Vec<_> = bundle.entries.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        let expected = [
            "agreement",
            "grant-0",
            "grant-1",
            "grant-2",
            "hold",
            "order",
            "product",
            "receipt-0",
            "receipt-1",
            "receipt-2",
            "release",
            "rights-0",
            "rights-1",
        ];
        assert_eq!(names, expected);
        assert!(bundle.entries.iter().all(|entry| entry.proof.is_none()), "the log is idle");
    }
    let stranger = world.market.exchange_did();
    let refused = deliver::receipt_bundle(&world.market, Some(&stranger), &placed.job_id).await.expect_err("foreign");
    assert_eq!(refused.code(), "not_found");
}

#[tokio::test]
async fn nothing_is_dispatched_until_every_worker_is_there() {
    let world = World::ready().await;
    world.workers.disconnect(&world.worker(1));
    let (_, placed) = world.placed().await;
    world.round().await;
    assert_eq!(world.state(&placed.job_id).await, "queued");
    world.connect(1).await;
    world.round().await;
    assert_eq!(world.state(&placed.job_id).await, "dispatched");
}

#[tokio::test]
async fn orders_of_an_agreement_run_one_after_the_other() {
    let world = World::ready().await;
    let (agreement, first) = world.placed().await;
    let second = world.try_place(&world.order(&agreement, 2)).await.expect("placed");
    world.round().await;
    world.round().await;
    assert_eq!((world.state(&first.job_id).await, world.state(&second.job_id).await), ("dispatched", "queued"));
    // A failed attempt keeps its turn.
    world.hear(0, failed(&first.job_id, 1)).await;
    world.round().await;
    assert_eq!((world.state(&first.job_id).await, world.state(&second.job_id).await), ("queued", "queued"));
    world.clock.forward(1_000);
    world.round().await;
    world.finish(&first.job_id).await;
    world.round().await;
    assert_eq!((world.state(&first.job_id).await, world.state(&second.job_id).await), ("released", "dispatched"));
}

#[tokio::test]
async fn an_agreement_that_expires_between_order_and_dispatch_is_refunded() {
    let world = World::ready().await;
    world.workers.disconnect(&world.worker(2));
    let (_, placed) = world.placed().await;
    world.clock.forward(DAY_MS);
    world.connect(2).await;
    world.round().await;
    assert_eq!(reason(&world, &placed.job_id).await, Some(RefundReason::AgreementExpired));
    assert!(world.workers.work_orders().is_empty());
    assert_eq!(world.balance(&world.consumer.did()).await, 10 * PRICE);
    assert_eq!(world.entries(&placed.job_id).await, ["hold", "refund"]);
    world.books().await;
}

#[tokio::test]
async fn a_withdrawn_product_refunds_what_waits() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    let (market, lender, product_id) = (&*world.market, &world.bound[0].did(), &world.product.product_id);
    in_tx!(market, |tx| product::change_state(tx, market, lender, product_id, StateChange::Withdraw)).expect("withdrawn");
    world.round().await;
    assert_eq!(reason(&world, &placed.job_id).await, Some(RefundReason::ProductWithdrawn));
    world.books().await;
}

#[tokio::test]
async fn a_refusal_refunds_and_stops_the_others() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    world.round().await;
    world.workers.take();
    let refused = WorkerEvent::WorkRefused {
        job_id: placed.job_id.clone(),
        attempt: 1,
        code: "policy_forbids".to_owned(),
        detail: "my own policy forbids it".to_owned(),
    };
    world.hear(1, refused).await;
    assert_eq!(reason(&world, &placed.job_id).await, Some(RefundReason::WorkerRefused));
    let stopped: Vec<_> = world.workers.take().into_iter().map(|(to, _)| to).collect();
    assert_eq!(stopped, [world.worker(0), world.worker(2)]);
    let notes = world.notes(&placed.job_id).await;
    assert!(notes.iter().any(|note| matches!(note, Note::Refused { party: 1, complaint, .. } if complaint.code == "policy_forbids")));
    world.books().await;
}

#[tokio::test]
async fn three_failed_attempts_refund() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    for attempt in 1..=3 {
        world.round().await;
        assert_eq!(world.job(&placed.job_id).await.state.attempt(), attempt);
        world.hear(0, failed(&placed.job_id, attempt)).await;
        world.clock.forward(10_000);
    }
    assert_eq!(reason(&world, &placed.job_id).await, Some(RefundReason::AttemptsExhausted));
    assert_eq!(world.balance(&world.consumer.did()).await, 10 * PRICE);
    world.books().await;
}

#[tokio::test]
async fn deadlines_alone_lead_to_the_next_attempt_and_then_to_a_refund() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    for _ in 0..3 {
        world.round().await;
        assert_eq!(world.state(&placed.job_id).await, "dispatched");
        world.clock.forward(world.market.job_limits.dispatched_ms);
        world.round().await;
        world.clock.forward(10_000);
    }
    assert_eq!(reason(&world, &placed.job_id).await, Some(RefundReason::AttemptsExhausted));
    world.books().await;
}

type Change = fn(&mut UsageReceipt);

#[tokio::test]
async fn a_receipt_that_lies_pays_nobody() {
    let changes: [Change; 6] = [
        |r| r.order = Hash([1; 32]),
        |r| r.plan = Hash([1; 32]),
        |r| r.input_commitment = Some(Hash([77; 32])),
        |r| r.shares[0].ciphertext = Hash([1; 32]),
        |r| r.shares.truncate(1),
        |r| r.attempt = 2,
    ];
    for change in changes {
        let world = World::ready().await;
        let (_, placed) = world.placed().await;
        world.round().await;
        for party in 0..3 {
            let job = world.job(&placed.job_id).await;
            let mut receipt = world.receipt(&job, 1, party);
            if party == 0 {
                change(&mut receipt);
            }
            let WorkerEvent::WorkFinished { job_id, receipt, .. } = world.finished(&receipt, party) else { unreachable!() };
            world.hear(party, WorkerEvent::WorkFinished { job_id, attempt: 1, receipt }).await;
        }
        assert_eq!(world.state(&placed.job_id).await, "queued");
        assert_eq!(world.entries(&placed.job_id).await, ["hold"]);
        world.books().await;
    }
}

#[tokio::test]
async fn a_receipt_signed_by_another_worker_fails_the_attempt() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    world.round().await;
    let job = world.job(&placed.job_id).await;
    let forged = world.finished(&world.receipt(&job, 1, 0), 1);
    world.hear(0, forged).await;
    assert_eq!(world.state(&placed.job_id).await, "queued");
    world.books().await;
}

#[tokio::test]
async fn a_worker_speaks_for_itself_and_for_its_own_jobs_alone() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    world.round().await;
    let before = world.job(&placed.job_id).await;
    let stranger = world.consumer.worker.did();
    for event in [failed(&placed.job_id, 1), world.shares(&placed.job_id, 0), world.finished(&world.receipt(&before, 1, 0), 0)] {
        world.driver.hear(&stranger, &event).await.expect("harmless");
    }
    let nowhere = entrepot_chain_statement::ids::JobId::compose(world.market.now(), [7; 10]);
    world.hear(0, failed(&nowhere, 1)).await;
    world.hear(0, WorkerEvent::CheckpointRefused { known_size: 1, code: "x".to_owned() }).await;
    assert_eq!(world.job(&placed.job_id).await, before);
}

#[tokio::test]
async fn everything_said_twice_or_late_changes_nothing() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    let id = &placed.job_id;
    world.round().await;
    for _ in 0..2 {
        world.finish(id).await;
    }
    for _ in 0..2 {
        for party in 0..3 {
            world.hear(party, world.shares(id, party)).await;
        }
    }
    let (state, notes) = (world.job(id).await.state, world.notes(id).await);
    assert_eq!(state.name(), "delivered");
    world.finish(id).await;
    world.hear(0, failed(id, 1)).await;
    world.hear(1, WorkerEvent::WorkAccepted { job_id: id.clone(), attempt: 1 }).await;
    world.clock.forward(DAY_MS);
    world.round().await;
    assert_eq!((world.job(id).await.state, world.notes(id).await), (state, notes));
    assert_eq!(world.entries(id).await, ["hold", "release"]);
    world.books().await;
}

#[tokio::test]
async fn a_worker_that_connects_again_gets_what_is_outstanding() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    let id = &placed.job_id;
    world.round().await;
    world.workers.take();
    world.connect(1).await;
    let again = world.workers.work_orders();
    assert!(again.iter().any(|(to, order)| *to == world.worker(1) && order.attempt == 1));
    world.finish(id).await;
    world.workers.take();
    world.connect(2).await;
    let asked = world.workers.take();
    assert!(matches!(asked.as_slice(), [(to, WorkerCommand::HandOverShares { .. })] if *to == world.worker(2)));
    // Once its shares are here nothing is outstanding any more.
    for party in 0..2 {
        world.hear(party, world.shares(id, party)).await;
    }
    world.connect(2).await;
    assert!(world.workers.take().is_empty());
}

#[tokio::test]
async fn a_restart_at_any_point_goes_on_where_it_was() {
    let mut world = World::ready().await;
    let (_, placed) = world.placed().await;
    let id = &placed.job_id;
    world.restart().await;
    for party in 0..3 {
        world.connect(party).await;
    }
    world.round().await;
    assert_eq!(world.state(id).await, "dispatched");
    // The work orders are lost with the process; whoever connects gets them.
    world.restart().await;
    for party in 0..3 {
        world.connect(party).await;
    }
    let last: Vec<_> = world.workers.work_orders();
    for party in 0..3 {
        let whole =
            last.iter().any(|(to, order)| *to == world.worker(party) && order.peer_addresses.iter().all(|address| !address.is_empty()));
        assert!(whole, "party {party} has every address");
    }
    let job = world.job(id).await;
    world.hear(0, world.finished(&world.receipt(&job, 1, 0), 0)).await;
    world.restart().await;
    for party in 0..3 {
        world.connect(party).await;
    }
    let outstanding: Vec<_> = world.workers.work_orders().into_iter().map(|(to, _)| to).collect();
    assert_eq!(outstanding, [world.worker(1), world.worker(2)], "the first has sent its receipt");
    world.finish(id).await;
    assert_eq!(world.state(id).await, "released");
    world.restart().await;
    world.connect(0).await;
    assert!(matches!(world.workers.take().as_slice(), [(_, WorkerCommand::HandOverShares { .. })]));
    world.hear(0, world.shares(id, 0)).await;
    world.hear(1, world.shares(id, 1)).await;
    assert_eq!(world.state(id).await, "delivered");
    world.books().await;
}

#[tokio::test]
async fn a_ciphertext_that_no_receipt_names_is_not_kept() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    let id = &placed.job_id;
    world.round().await;
    world.finish(id).await;
    let wrong = vec![(0, b"garbage".to_vec()), (1, World::ciphertext(0)), (2, Vec::new())];
    world.hear(0, WorkerEvent::SharesHandedOver { job_id: id.clone(), shares: wrong }).await;
    assert_eq!(world.state(id).await, "released");
    // The good one beside a bad one of the same number is found.
    let mixed = vec![(0, b"garbage".to_vec()), (0, World::ciphertext(0)), (1, World::ciphertext(1)), (2, World::ciphertext(2))];
    world.hear(0, WorkerEvent::SharesHandedOver { job_id: id.clone(), shares: mixed }).await;
    assert_eq!(world.state(id).await, "delivered");
    let mut reader = world.market.store.reader().await.expect("a reader");
    let result = deliver::result(&mut reader, &world.consumer.did(), id).await.expect("a result");
    assert_eq!(result.shares[0].ciphertext, World::ciphertext(0));
}

#[tokio::test]
async fn cancelling_refunds_once_and_not_after_the_release() {
    let world = World::ready().await;
    let (agreement, placed) = world.placed().await;
    world.round().await;
    world.workers.take();
    let (market, caller, order_id) = (&*world.market, &world.consumer.did(), &placed.order_id);
    let row = in_tx!(market, |tx| jobs::cancel(tx, market, caller, order_id)).expect("cancelled");
    assert_eq!(row.state, "refunded");
    jobs::tell_workers(market, &placed.job_id).await.expect("told");
    assert_eq!(world.workers.take().len(), 3);
    assert_eq!(in_tx!(market, |tx| jobs::cancel(tx, market, caller, order_id)).expect_err("over").code(), "order_over");
    assert_eq!(world.entries(&placed.job_id).await, ["hold", "refund"]);
    // A receipt that comes late is ignored.
    world.hear(0, world.finished(&world.receipt(&world.job(&placed.job_id).await, 1, 0), 0)).await;
    assert_eq!(world.state(&placed.job_id).await, "refunded");

    let second = world.try_place(&world.order(&agreement, 2)).await.expect("placed");
    world.round().await;
    world.finish(&second.job_id).await;
    let order_id = &second.order_id;
    assert_eq!(in_tx!(market, |tx| jobs::cancel(tx, market, caller, order_id)).expect_err("over").code(), "order_over");
    let stranger = &world.bound[0].did();
    assert_eq!(in_tx!(market, |tx| jobs::cancel(tx, market, stranger, order_id)).expect_err("foreign").code(), "not_found");
    world.books().await;
}

#[tokio::test]
async fn the_driver_runs_by_itself_and_wakes_on_the_bell() {
    let world = World::ready().await;
    let driver = world.driver.clone();
    let running = tokio::spawn(async move { driver.run().await });
    let (_, placed) = world.placed().await;
    world.market.bell.ring();
    let dispatched = async {
        while world.state(&placed.job_id).await != "dispatched" {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), dispatched).await.expect("dispatched");
    running.abort();
}
