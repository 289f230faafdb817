//! Orders settled a second: placed, dispatched, accepted, three receipts, paid out; every step durable. Beside the machine's own syncs.

#[path = "../tests/market/log.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod log;
#[path = "../tests/market/world.rs"]
#[expect(dead_code, unused_imports, reason = "the tests use the rest")]
mod world;

use entrepot_benches::{Figure, Machine};
use entrepot_exchange_domain::job::JobLimits;
use entrepot_exchange_market::workforce::WorkerEvent;
use futures::stream::{self, StreamExt};
use std::time::Instant;
use world::{PRICE, World};

const ORDERS: usize = 1_000;
/// Consumers and workers that wait for an answer at the same time.
const AT_ONCE: usize = 64;
const RUNS: usize = 3;

/// Seconds to settle all orders in a new market.
async fn settle() -> f64 {
    let limits = JobLimits { worker_jobs_max: ORDERS, ..JobLimits::default() };
    let world = World::with(ORDERS as u32, limits).await;
    world.connect_all().await;
    world.give(ORDERS as i64 * PRICE).await;
    let agreements: Vec<_> =
        stream::iter(0..ORDERS).map(|_| async { world.agree(&world.agreement()).await }).buffer_unordered(AT_ONCE).collect().await;
    let start = Instant::now();
    let place = |agreement| {
        let order = world.order(agreement, 1);
        let world = &world;
        async move { world.try_place(&order).await.expect("placed").job_id }
    };
    let jobs: Vec<_> = stream::iter(&agreements).map(place).buffer_unordered(AT_ONCE).collect().await;
    while world.workers.work_orders().is_empty() {
        world.round().await;
    }
    let run = |job_id| {
        let world = &world;
        async move {
            // The driver takes so many jobs in a round.
            while world.state(job_id).await == "queued" {
                world.round().await;
            }
            for party in 0..3 {
                world.hear(party, WorkerEvent::WorkAccepted { job_id: job_id.clone(), attempt: 1 }).await;
            }
            world.finish(job_id).await;
            assert_eq!(world.state(job_id).await, "released");
        }
    };
    stream::iter(&jobs).map(run).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let seconds = start.elapsed().as_secs_f64();
    world.books().await;
    seconds
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let seconds = (0..RUNS).map(|_| runtime.block_on(settle())).fold(f64::INFINITY, f64::min);
    let reference = Machine::measure().fsyncs;
    let conditions = format!(
        "{ORDERS} orders, {AT_ONCE} at a time, eight transactions each, SQLite with synchronous=FULL, workers' signatures checked, no network; reference: one sync an order"
    );
    Figure { name: "market.settle", value: ORDERS as f64 / seconds, unit: "orders/s", reference, conditions: &conditions }.print();
}
