//! The books, whatever happens around them.

use crate::world::{PRICE, World, euro, in_tx};
use entrepot_exchange_domain::Refusal;
use entrepot_exchange_market::credit;

#[tokio::test]
async fn credit_is_for_approved_participants_and_for_amounts_that_are_some() {
    let world = World::new().await;
    let market = &*world.market;
    for (to, amount, code) in [
        (world.consumer.did(), 0, "amount_out_of_range"),
        (world.consumer.did(), -5, "amount_out_of_range"),
        (world.consumer.did(), i64::MAX, "amount_out_of_range"),
        (market.exchange_did(), 5, "participant_not_approved"),
    ] {
        let (to, money) = (&to, &euro(amount));
        assert_eq!(in_tx!(market, |tx| credit::credit(tx, market, to, money)).expect_err("refused").code(), code);
    }
    assert_eq!(world.books().await.entries, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_orders_at_once_never_overdraw() {
    let world = std::sync::Arc::new(World::new().await);
    world.give(5 * PRICE).await;
    let mut placing = Vec::new();
    for _ in 0..20 {
        let agreement = world.agree(&world.agreement()).await;
        let (order, world) = (world.order(&agreement, 1), world.clone());
        placing.push(tokio::spawn(async move { world.try_place(&order).await }));
    }
    let (mut taken, mut refused) = (0, 0);
    for task in placing {
        match task.await.expect("no panic") {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!(error.code(), "insufficient_balance");
                refused += 1;
            }
        }
    }
    assert_eq!((taken, refused), (5, 15));
    assert_eq!(world.balance(&world.consumer.did()).await, 0);
    assert_eq!(world.books().await.currencies[0].held_minor, 5 * PRICE);
}
