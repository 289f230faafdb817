//! What keeps one job from getting in the way of others, and old things from staying for ever.

use crate::world::{PRICE, World, in_tx};
use entrepot_chain_statement::Hash;
use entrepot_exchange_domain::job::{JobState, RefundReason};
use entrepot_exchange_market::{jobs, workforce::WorkerEvent};
use entrepot_exchange_store::{
    idempotency::{self, KeptAnswer},
    job,
};

#[tokio::test]
async fn a_job_beyond_what_its_workers_may_run_waits_and_is_not_failed() {
    let world = World::ready().await;
    world.give(10 * PRICE).await;
    let limit = world.market.job_limits.worker_jobs_max;
    let mut jobs = Vec::new();
    for _ in 0..limit + 2 {
        jobs.push(world.placed().await.1.job_id);
    }
    world.round().await;
    let dispatched = async |world: &World| {
        let mut dispatched = Vec::new();
        for id in &jobs {
            if world.state(id).await == "dispatched" {
                dispatched.push(id.clone());
            }
        }
        dispatched
    };
    assert_eq!(dispatched(&world).await.len(), limit);
    world.round().await;
    assert_eq!(dispatched(&world).await.len(), limit, "a further round changes nothing");
    while let Some(id) = dispatched(&world).await.first() {
        world.finish(id).await;
        for party in 0..2 {
            world.hear(party, world.shares(id, party)).await;
        }
        world.round().await;
    }
    for id in &jobs {
        assert_eq!(world.state(id).await, "delivered");
        assert_eq!(world.job(id).await.state.attempt(), 1);
    }
    world.books().await;
}

#[tokio::test]
async fn a_worker_that_says_busy_is_sent_less_and_every_job_is_delivered() {
    let world = World::ready().await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(world.placed().await.1.job_id);
    }
    world.round().await;
    // The second worker runs one job at a time and has no place for the others.
    for id in &jobs[1..] {
        let detail = "this worker runs as many jobs as it may".to_owned();
        world.hear(1, WorkerEvent::WorkFailed { job_id: id.clone(), attempt: 1, code: "busy".to_owned(), detail }).await;
    }
    world.clock.forward(10_000);
    let mut left = jobs;
    while !left.is_empty() {
        world.round().await;
        let mut dispatched = Vec::new();
        for (index, id) in left.iter().enumerate() {
            if world.state(id).await == "dispatched" {
                dispatched.push(index);
            }
        }
        let [only] = dispatched[..] else { panic!("{} are dispatched at once", dispatched.len()) };
        world.finish(&left.remove(only)).await;
    }
    world.books().await;
}

#[tokio::test]
async fn a_busy_worker_is_sent_as_many_jobs_as_it_took_on() {
    let world = World::ready().await;
    let mut jobs = Vec::new();
    for _ in 0..5 {
        jobs.push(world.placed().await.1.job_id);
    }
    world.round().await;
    for id in &jobs[..2] {
        world.hear(1, WorkerEvent::WorkAccepted { job_id: id.clone(), attempt: 1 }).await;
    }
    let busy = WorkerEvent::WorkFailed { job_id: jobs[2].clone(), attempt: 1, code: "busy".to_owned(), detail: String::new() };
    world.hear(1, busy).await;
    world.clock.forward(10_000);
    // The other two were on their way; as long as they are, the worker has its two.
    for done in &jobs[..2] {
        world.finish(done).await;
        world.round().await;
        assert_eq!(world.state(&jobs[2]).await, "queued");
    }
    world.finish(&jobs[3]).await;
    world.round().await;
    assert_eq!(world.state(&jobs[2]).await, "dispatched");
}

#[tokio::test]
async fn a_job_that_cannot_be_driven_stops_no_other() {
    let world = World::ready().await;
    world.workers.disconnect(&world.worker(1));
    let (_, spoilt) = world.placed().await;
    let (_, refunded) = world.placed().await;
    // The first was given back, and says that it waits: it can neither be dispatched nor given back again.
    let (market, caller, order_id) = (&*world.market, &world.consumer.did(), &spoilt.order_id);
    let waiting = &world.job(&spoilt.job_id).await;
    in_tx!(market, |tx| jobs::cancel(tx, market, caller, order_id)).expect("cancelled");
    let saved = in_tx!(market, |tx| job::save(tx, waiting, 2, market.now()));
    assert!(saved.expect("written"));
    world.clock.forward(world.market.job_limits.queued_ms);
    world.round().await;
    let state = world.job(&refunded.job_id).await.state;
    assert_eq!(state, JobState::Refunded { reason: RefundReason::WorkersUnavailable, attempts: 0 });
    world.connect(1).await;
    let (_, next) = world.placed().await;
    world.round().await;
    assert_eq!(world.state(&next.job_id).await, "dispatched");
    assert_eq!(world.state(&spoilt.job_id).await, "queued");
}

#[tokio::test]
async fn an_answer_is_given_again_for_a_week_and_then_forgotten() {
    let world = World::new().await;
    let (market, answer) = (&*world.market, &KeptAnswer { request: Hash([1; 32]), status: 201, body: "{}".to_owned() });
    in_tx!(market, |tx| idempotency::keep(tx, "did:key:somebody", "key", answer, market.now())).expect("kept");
    let find =
        async || idempotency::find(&mut market.store.reader().await.expect("a reader"), "did:key:somebody", "key").await.expect("rows");
    world.clock.forward(jobs::ANSWERS_KEPT_MS);
    world.driver.forget().await;
    assert_eq!(find().await.as_ref(), Some(answer));
    world.clock.forward(1);
    world.driver.forget().await;
    assert_eq!(find().await, None);
}
