//! The books, whatever happens around them.

use crate::world::{PRICE, World, euro, in_tx};
use entrepot_exchange_domain::Refusal;
use entrepot_exchange_market::credit;
use entrepot_exchange_store::{StoreError, books};
use sqlx::Executor as _;

async fn raw(world: &World, sql: &'static str) -> Result<(), String> {
    world
        .market
        .store
        .run_tx("test.raw", |tx| Box::pin(async move { (&mut **tx).execute(sql).await.map(drop).map_err(StoreError::from) }))
        .await
        .map_err(|error: StoreError| format!("{error:?}"))
}

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

#[tokio::test]
async fn the_database_itself_refuses_what_would_spoil_the_books() {
    let world = World::ready().await;
    let (_, placed) = world.placed().await;
    world.round().await;
    world.finish(&placed.job_id).await;
    let refused = [
        "UPDATE postings SET amount_minor = 1",
        "DELETE FROM postings",
        "UPDATE journal_entries SET kind = 'credit'",
        "DELETE FROM journal_entries",
        "DELETE FROM accounts",
        "UPDATE accounts SET owner = 'somebody else'",
        "UPDATE accounts SET balance_minor = -1 WHERE kind = 'available'",
        "INSERT INTO postings SELECT entry_id, 50, account_id, 5 FROM postings LIMIT 1",
        "INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_x', 'credit', 'EUR', 0)",
        "UPDATE escrows SET state = 'refunded'",
        "UPDATE escrows SET amount_minor = 1",
        "DELETE FROM escrows",
        "UPDATE receipts SET party = 0",
        // Unbalanced, and in another currency: both postings are there when the entry comes.
        "INSERT INTO postings SELECT 'entry_y', 0, account_id, 5 FROM accounts WHERE kind = 'available' LIMIT 1; \
         INSERT INTO postings SELECT 'entry_y', 1, account_id, -4 FROM accounts WHERE kind = 'issuance' LIMIT 1; \
         INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_y', 'credit', 'EUR', 0)",
        "INSERT INTO postings SELECT 'entry_z', 0, account_id, 5 FROM accounts WHERE kind = 'available' LIMIT 1; \
         INSERT INTO postings SELECT 'entry_z', 1, account_id, -5 FROM accounts WHERE kind = 'issuance' LIMIT 1; \
         INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_z', 'credit', 'USD', 0)",
        // An overdraft.
        "INSERT INTO postings SELECT 'entry_o', 0, account_id, -100000000 FROM accounts WHERE kind = 'available' LIMIT 1; \
         INSERT INTO postings SELECT 'entry_o', 1, account_id, 100000000 FROM accounts WHERE kind = 'issuance' LIMIT 1; \
         INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_o', 'credit', 'EUR', 0)",
        // A posting whose entry never comes fails at the end of the transaction.
        "INSERT INTO postings SELECT 'entry_never', 0, account_id, 5 FROM accounts LIMIT 1",
    ];
    for sql in refused {
        raw(&world, sql).await.expect_err(sql);
    }
    world.books().await;
}

#[tokio::test]
async fn a_planted_fault_is_found() {
    let faults = [
        ("UPDATE accounts SET balance_minor = balance_minor + 1 WHERE kind = 'available'", "balance is not the sum"),
        ("DROP TRIGGER postings_stay; UPDATE postings SET amount_minor = amount_minor + 1 WHERE line = 1", "does not sum to zero"),
        ("DROP TRIGGER escrows_once; DROP TRIGGER escrows_stay; UPDATE escrows SET amount_minor = amount_minor - 1", "hold is not in the journal"),
        ("UPDATE jobs SET state = 'refunded' WHERE state = 'released'", "job and escrow disagree"),
        ("DELETE FROM receipts WHERE party = 2", "not exactly one receipt of each party"),
        (
            "DROP TRIGGER journal_entries_remain; PRAGMA defer_foreign_keys = ON; DROP TRIGGER postings_remain; \
             DELETE FROM postings WHERE entry_id = (SELECT entry_id FROM journal_entries WHERE kind = 'credit'); \
             DELETE FROM journal_entries WHERE kind = 'credit'",
            "balance is not the sum",
        ),
    ];
    for (sql, found) in faults {
        let world = World::ready().await;
        let (_, placed) = world.placed().await;
        world.round().await;
        world.finish(&placed.job_id).await;
        world.books().await;
        raw(&world, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let report = books::verify_books(&world.market.store).await.expect("rows");
        assert!(report.faults.iter().any(|fault| fault.contains(found)), "{sql}: {report:#?}");
    }
}
