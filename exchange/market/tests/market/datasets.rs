//! What workers say of datasets.

use crate::world::{World, in_tx};
use entrepot_exchange_domain::dataset::DatasetState;
use entrepot_exchange_market::{
    dataset::{DatasetListener, register},
    workforce::{WorkerCommand, WorkerEvent, WorkerListener as _},
};
use entrepot_exchange_store::dataset;

#[tokio::test]
async fn a_busy_worker_is_asked_again_and_not_taken_at_its_word() {
    let world = World::ready().await;
    let (market, provider, worker) = (&*world.market, &world.bound[0].did(), &world.worker(0));
    let dataset_id = in_tx!(market, |tx| register(tx, market, provider, "more", worker)).expect("asked for").dataset_id;
    let connected = world.market.workforce.find(worker).expect("it is connected");
    let listener = DatasetListener::new(world.market.clone());
    let refused = |code: &str| WorkerEvent::DatasetRefused { dataset_id: dataset_id.clone(), code: code.to_owned(), detail: String::new() };
    listener.received(&connected, &refused("busy")).await;
    let state =
        async || dataset::find(&mut market.store.reader().await.expect("a reader"), &dataset_id).await.expect("rows").expect("it").state;
    assert_eq!(state().await, DatasetState::Describing);
    world.workers.take();
    listener.connected(&connected).await;
    let asked = world.workers.take();
    assert!(matches!(&asked[..], [(_, WorkerCommand::DescribeDataset { dataset_id: again, .. })] if *again == dataset_id));
    listener.received(&connected, &refused("unknown_dataset")).await;
    assert_ne!(state().await, DatasetState::Describing);
}
