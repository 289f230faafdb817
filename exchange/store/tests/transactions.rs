//! Named transactions and group commit, on a real file.

use entrepot_chain_statement::Timestamp;
use entrepot_exchange_store::{Store, StoreError, Tx, outbox};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1);

struct Database {
    folder: TempDir,
    store: Store,
}

async fn database() -> Database {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(&folder.path().join("exchange.db")).await.expect("a store");
    Database { folder, store }
}

async fn announce(tx: &mut Tx<'_>, text: &str) -> Result<(), StoreError> {
    outbox::insert(tx, "test", text, &[], NOW).await
}

async fn announced(store: &Store) -> Vec<String> {
    let mut reader = store.reader().await.expect("a reader");
    outbox::due(&mut reader, "test", NOW).await.expect("rows").into_iter().map(|row| row.payload).collect()
}

/// Violates a constraint that SQLite checks only at COMMIT.
async fn break_at_commit(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut **tx).await?;
    let orphan = "INSERT INTO product_consumers (product_id, consumer) VALUES ('nobody', 'nobody')";
    sqlx::query(orphan).execute(&mut **tx).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_closure_refuses_leaves_nothing() {
    let db = database().await;
    let refused: Result<(), StoreError> = db
        .store
        .run_tx("refused", |tx| {
            Box::pin(async move {
                announce(tx, "half").await?;
                Err(StoreError::Corrupt { what: "test" })
            })
        })
        .await;
    assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
    db.store.run_tx("kept", |tx| Box::pin(async move { announce(tx, "whole").await })).await.expect("commits");
    assert_eq!(announced(&db.store).await, ["whole"]);
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let db = database().await;
    let mut reader = db.store.reader().await.expect("a reader");
    let written = sqlx::query("DELETE FROM outbox").execute(&mut *reader).await;
    assert!(written.is_err());
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening() {
    let db = database().await;
    db.store.run_tx("kept", |tx| Box::pin(async move { announce(tx, "kept").await })).await.expect("commits");
    db.store.close().await;
    assert!(matches!(db.store.run_tx("late", |tx| Box::pin(async move { announce(tx, "late").await })).await, Err(StoreError::Closed)));
    let again = Store::open(&db.folder.path().join("exchange.db")).await.expect("a store");
    assert_eq!(announced(&again).await, ["kept"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_all_commit_and_each_once() {
    let db = database().await;
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let text = &format!("{number:03}");
                store.run_tx("many", |tx| Box::pin(async move { announce(tx, text).await })).await
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("commits");
    }
    let mut found = announced(&db.store).await;
    found.sort();
    assert_eq!(found, (0..100).map(|number| format!("{number:03}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_that_breaks_a_constraint_at_commit_takes_nobody_with_it() {
    let db = database().await;
    let tasks: Vec<_> = (0..40u32)
        .map(|number| {
            let store = db.store.clone();
            tokio::spawn(async move {
                let text = &format!("{number:03}");
                let breaks = number % 10 == 7;
                let outcome: Result<(), StoreError> = store
                    .run_tx("some break", |tx| {
                        Box::pin(async move {
                            announce(tx, text).await?;
                            if breaks { break_at_commit(tx).await } else { Ok(()) }
                        })
                    })
                    .await;
                (breaks, outcome)
            })
        })
        .collect();
    for task in tasks {
        let (breaks, outcome) = task.await.expect("no panic");
        assert_eq!(outcome.is_err(), breaks, "{outcome:?}");
    }
    let found = announced(&db.store).await;
    assert_eq!(found.len(), 36);
    assert!(found.iter().all(|text| !text.ends_with('7')), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_caller_is_undone_and_blocks_nobody() {
    let db = database().await;
    let store = db.store.clone();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let dropped = tokio::spawn(async move {
        let begun = &begun;
        store
            .run_tx("dropped", |tx| {
                Box::pin(async move {
                    announce(tx, "half").await?;
                    if let Some(begun) = begun.lock().expect("a lock").take() {
                        begun.send(()).expect("somebody waits");
                    }
                    std::future::pending::<Result<(), StoreError>>().await
                })
            })
            .await
    });
    has_begun.await.expect("it begins");
    dropped.abort();
    assert!(dropped.await.expect_err("it was dropped").is_cancelled());
    db.store.run_tx("next", |tx| Box::pin(async move { announce(tx, "whole").await })).await.expect("commits");
    assert_eq!(announced(&db.store).await, ["whole"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_caller_takes_no_acknowledged_neighbour_with_it() {
    let db = database().await;
    let mut survivors = Vec::new();
    for round in 0..30u64 {
        let (keeps, leaves) = (db.store.clone(), db.store.clone());
        let text = format!("{round:03}");
        survivors.push(text.clone());
        let keeper = tokio::spawn(async move {
            let text = &text;
            keeps.run_tx("keeps", |tx| Box::pin(async move { announce(tx, text).await })).await
        });
        let leaver = tokio::spawn(async move {
            leaves
                .run_tx("leaves", |tx| {
                    Box::pin(async move {
                        announce(tx, "leaver").await?;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        Ok::<_, StoreError>(())
                    })
                })
                .await
        });
        tokio::time::sleep(Duration::from_millis(round % 6)).await;
        leaver.abort();
        let _whatever_became_of_it = leaver.await;
        keeper.await.expect("no panic").expect("commits");
    }
    let mut found = announced(&db.store).await;
    found.retain(|text| text != "leaver");
    found.sort();
    assert_eq!(found, survivors);
}

#[tokio::test]
async fn a_panic_in_a_closure_is_undone() {
    let db = database().await;
    let store = db.store.clone();
    let panicked = tokio::spawn(async move {
        store
            .run_tx("panics", |tx| {
                Box::pin(async move {
                    announce(tx, "half").await?;
                    if true {
                        panic!("on purpose");
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await
    })
    .await;
    assert!(panicked.expect_err("it panicked").is_panic());
    db.store.run_tx("next", |tx| Box::pin(async move { announce(tx, "whole").await })).await.expect("commits");
    assert_eq!(announced(&db.store).await, ["whole"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_processs_lock_is_waited_for() {
    let db = database().await;
    let other = Store::open(&db.folder.path().join("exchange.db")).await.expect("a second store on the same file");
    let tries = Arc::new(AtomicU32::new(0));
    let (holds, counted) = (other.clone(), tries.clone());
    let holder = tokio::spawn(async move {
        holds
            .run_tx("holds", |tx| {
                Box::pin(async move {
                    announce(tx, "first").await?;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok::<_, StoreError>(())
                })
            })
            .await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let counted = &counted;
    db.store
        .run_tx("waits", |tx| {
            Box::pin(async move {
                counted.fetch_add(1, Ordering::Relaxed);
                announce(tx, "second").await
            })
        })
        .await
        .expect("commits");
    holder.await.expect("no panic").expect("commits");
    assert_eq!(announced(&db.store).await, ["first", "second"]);
    assert!(tries.load(Ordering::Relaxed) >= 1);
}
