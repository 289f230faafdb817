//! Named, retried transactions with group commit.
//!
//! There is one writing connection. Each transaction runs alone, in a savepoint; when it ends well and others are queued for the
//! connection, they run first, and one COMMIT (one fsync) then ends them all. Nobody is told of success before that COMMIT. When it
//! fails, every member is undone and runs again by itself, so that one transaction's violated constraint is nobody else's.
//!
//! A caller may be dropped at any await. What it left half done is rolled back by whoever takes the connection next; a COMMIT once
//! begun is never dropped, because its outcome decides whether running again would act twice.

use crate::{Store, StoreError};
use sqlx::{Executor as _, SqliteConnection};
use std::{future::Future, marker::PhantomData, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};

/// How often a transaction is tried.
const ATTEMPTS_MAX: u32 = 4;
/// Pause before the second try; doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// Transactions of one COMMIT.
const BATCH_MAX: u32 = 256;

/// What a transaction's closure returns: `Box::pin(async move { … })`.
pub type TxFuture<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;

/// A running transaction. Derefs to the connection; `'env` is what the closure may borrow.
pub struct Tx<'env> {
    writer: OwnedMutexGuard<Writer>,
    env: PhantomData<&'env ()>,
}

impl std::ops::Deref for Tx<'_> {
    type Target = SqliteConnection;
    fn deref(&self) -> &SqliteConnection {
        &self.writer.connection
    }
}

impl std::ops::DerefMut for Tx<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.writer.connection
    }
}

/// How a batch ended; none while it is open.
type Outcome = Option<Result<(), Arc<sqlx::Error>>>;

/// The transactions that the next COMMIT will end.
struct Batch {
    members: u32,
    outcome: watch::Sender<Outcome>,
}

/// The writing connection and what is pending on it.
pub(crate) struct Writer {
    connection: SqliteConnection,
    batch: Option<Batch>,
    /// Set while a savepoint or a control statement is under way: whoever finds it set undoes what a dropped caller left.
    dirty: bool,
    closed: bool,
}

impl Writer {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self { connection, batch: None, dirty: false, closed: false }
    }

    /// Opens the batch if none is open, then the caller's savepoint.
    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.closed {
            return Err(StoreError::Closed);
        }
        if self.dirty {
            self.abandon(sqlx::Error::WorkerCrashed).await;
        }
        self.dirty = true;
        if self.batch.is_none() {
            self.connection.execute("BEGIN IMMEDIATE").await?;
            self.batch = Some(Batch { members: 0, outcome: watch::Sender::new(None) });
        }
        self.connection.execute("SAVEPOINT member").await?;
        Ok(())
    }

    /// Makes the savepoint part of the batch and says where its outcome will be known.
    async fn join_batch(&mut self) -> Result<watch::Receiver<Outcome>, StoreError> {
        self.connection.execute("RELEASE member").await?;
        self.dirty = false;
        let batch = self.batch.as_mut().ok_or(StoreError::Closed)?;
        batch.members += 1;
        Ok(batch.outcome.subscribe())
    }

    /// Undoes the savepoint alone; gives the lock back if nobody else is in the batch.
    async fn leave_batch(&mut self) -> Result<(), StoreError> {
        if self.batch.as_ref().is_some_and(|batch| batch.members > 0) {
            self.connection.execute("ROLLBACK TO member; RELEASE member").await?;
        } else {
            self.connection.execute("ROLLBACK").await?;
            self.batch = None;
        }
        self.dirty = false;
        Ok(())
    }

    /// Undoes everything that is not committed and tells the members.
    async fn abandon(&mut self, why: sqlx::Error) {
        // Fails when SQLite has rolled back by itself already, which is what is wanted.
        let _already = self.connection.execute("ROLLBACK").await;
        self.dirty = false;
        if let Some(batch) = self.batch.take() {
            batch.outcome.send_replace(Some(Err(Arc::new(why))));
        }
    }

    async fn commit(&mut self) {
        if self.dirty {
            return self.abandon(sqlx::Error::WorkerCrashed).await;
        }
        if self.batch.is_none() {
            return;
        }
        match self.connection.execute("COMMIT").await {
            Ok(_) => {
                if let Some(batch) = self.batch.take() {
                    metrics::histogram!("entrepot_store_commit_members").record(f64::from(batch.members));
                    batch.outcome.send_replace(Some(Ok(())));
                }
            }
            Err(error) => self.abandon(error).await,
        }
    }

    pub(crate) async fn close(&mut self) {
        self.commit().await;
        self.closed = true;
        // Truncates the write-ahead log, so that the file alone is a whole database.
        let _kept = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            batch.outcome.send_replace(Some(Err(Arc::new(sqlx::Error::WorkerCrashed))));
        }
    }
}

/// Commits in a task of its own: a dropped caller must not drop a COMMIT.
async fn commit_detached(mut writer: OwnedMutexGuard<Writer>) -> OwnedMutexGuard<Writer> {
    let lock = OwnedMutexGuard::mutex(&writer).clone();
    let task = tokio::spawn(async move {
        writer.commit().await;
        writer
    });
    match task.await {
        Ok(writer) => writer,
        // The task panicked: its guard is gone, and the flag it left makes the next holder roll back.
        Err(_) => lock.lock_owned().await,
    }
}

/// Ends batches for callers that do not wait with the lock in hand. Ends when the last store is dropped.
pub(crate) async fn commit_when_asked(writer: Arc<Mutex<Writer>>, mut requests: mpsc::Receiver<()>) {
    while requests.recv().await.is_some() {
        // The lock is fair: whoever queued before this joins the batch.
        writer.lock().await.commit().await;
    }
}

async fn outcome_of(mut batch: watch::Receiver<Outcome>) -> Result<(), StoreError> {
    let outcome = batch.wait_for(Option::is_some).await.map_err(|_| StoreError::Closed)?;
    match outcome.as_ref() {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(StoreError::Commit(error.clone())),
        None => Err(StoreError::Closed),
    }
}

/// Why an attempt ended.
enum Failure<E> {
    /// The closure refused; its changes are undone.
    Refused(E),
    /// The database did; nothing of it is committed.
    Store(StoreError),
}

impl<E> From<StoreError> for Failure<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether the failure was somebody else's: a lock, a fellow member's constraint, a dropped caller.
fn may_run_again(error: &StoreError) -> bool {
    match error {
        StoreError::Commit(cause) => error.is_busy() || matches!(&**cause, sqlx::Error::Database(_) | sqlx::Error::WorkerCrashed),
        _ => error.is_busy(),
    }
}

impl Store {
    /// Runs `f` in a transaction and returns once it is durable. `f` may run several times and must have no effect but on the
    /// database; when it returns an error, nothing of it stays. Never call this inside `f`, and wait for nothing else there: every
    /// other writer is waiting.
    ///
    /// ```ignore
    /// store.run_tx("datasets.record_description", |tx| Box::pin(async move { dataset::describe(tx, id, &description).await })).await
    /// ```
    pub async fn run_tx<'env, T, E, F>(&self, name: &'static str, f: F) -> Result<T, E>
    where
        T: Send,
        E: From<StoreError> + Send,
        F: for<'t> Fn(&'t mut Tx<'env>) -> TxFuture<'t, T, E> + Send + Sync,
    {
        let mut pause = RETRY_PAUSE;
        for attempt in 1.. {
            match self.attempt(&f, attempt > 1).await {
                Ok(value) => {
                    metrics::counter!("entrepot_store_transactions_total", "name" => name, "outcome" => "committed").increment(1);
                    return Ok(value);
                }
                Err(Failure::Refused(error)) => {
                    metrics::counter!("entrepot_store_transactions_total", "name" => name, "outcome" => "refused").increment(1);
                    return Err(error);
                }
                Err(Failure::Store(error)) => {
                    metrics::counter!("entrepot_store_transactions_total", "name" => name, "outcome" => "failed").increment(1);
                    tracing::warn!(name, attempt, error = &error as &dyn std::error::Error, "a transaction failed");
                    if attempt >= ATTEMPTS_MAX || !may_run_again(&error) {
                        return Err(error.into());
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Err(StoreError::Closed.into())
    }

    async fn attempt<'env, T, E, F>(&self, f: &F, alone: bool) -> Result<T, Failure<E>>
    where
        F: for<'t> Fn(&'t mut Tx<'env>) -> TxFuture<'t, T, E>,
    {
        let mut writer = self.writer.clone().lock_owned().await;
        if alone && writer.batch.is_some() {
            writer = commit_detached(writer).await;
        }
        writer.begin().await?;
        let mut tx = Tx { writer, env: PhantomData };
        let result = f(&mut tx).await;
        let mut writer = tx.writer;
        let value = match result {
            Ok(value) => value,
            Err(refusal) => {
                writer.leave_batch().await?;
                return Err(Failure::Refused(refusal));
            }
        };
        let outcome = writer.join_batch().await?;
        if alone || writer.batch.as_ref().is_some_and(|batch| batch.members >= BATCH_MAX) {
            drop(commit_detached(writer).await);
        } else {
            drop(writer);
            // A full channel holds a request that was not answered yet: it will find this member too.
            let _asked_already = self.commits.try_send(());
        }
        outcome_of(outcome).await?;
        Ok(value)
    }
}
