//! The books: what the database refuses by itself, and what a recomputation finds.

use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Hash, Money, SealingSecret, SigningKey, Statement, Timestamp,
    ids::{AccountId, AgreementId, JobId, JournalEntryId, OrderId},
    split::rule_digest,
    statements::{Agreement, Hold, PartyPin, Refund, Release, SealedShareDigest, Security, SplitShare, UsageReceipt},
};
use entrepot_exchange_domain::{
    escrow::EscrowState,
    job::{Job, JobLimits, JobParty, JobState, JobTerms, RefundReason},
    journal::Entry,
    receipt::shares_of,
};
use entrepot_exchange_store::{
    Store, StoreError, Tx,
    books::{BooksReport, verify_books},
    escrow::{self, Movement},
    job::{self, JobOrigin},
    journal, receipt, statements,
};
use sqlx::{ConnectOptions as _, Executor as _, sqlite::SqliteConnectOptions};
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp(1_000_000);
const PRICE: i64 = 501;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn euro(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "EUR".parse().expect("a currency") }
}

struct Books {
    store: Store,
    exchange: Did,
    consumer: Did,
    ids: AtomicU64,
    folder: TempDir,
}

macro_rules! in_tx {
    ($books:expr, |$tx:ident| $body:expr) => {
        $books.store.run_tx("test", |$tx| Box::pin(async move { $body })).await
    };
}

impl Books {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&folder.path().join("books.db")).await.expect("a store");
        Self { store, exchange: key(250).did(), consumer: key(4).did(), ids: AtomicU64::new(0), folder }
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        bytes
    }

    /// Plants rows as no code of ours would: no foreign keys, no group commit.
    async fn plant(&self, sql: &str) -> Result<(), sqlx::Error> {
        let options = SqliteConnectOptions::new().filename(self.folder.path().join("books.db")).foreign_keys(false);
        let mut connection = options.connect().await?;
        connection.execute(sqlx::AssertSqlSafe(sql.to_owned())).await.map(drop)
    }

    /// Runs SQL as a use case would.
    async fn run(&self, sql: &'static str) -> Result<(), StoreError> {
        in_tx!(self, |tx| (&mut **tx).execute(sql).await.map(drop).map_err(StoreError::from))
    }

    async fn post(&self, tx: &mut Tx<'_>, entry: &Entry, job: Option<&JobId>) -> Result<JournalEntryId, StoreError> {
        let id = JournalEntryId::compose(NOW, self.random());
        journal::post(tx, entry, (&id, job), &|| AccountId::compose(NOW, self.random()), NOW).await?;
        Ok(id)
    }

    async fn credit(&self, amount: i64) {
        let entry = &Entry::credit(&self.exchange, &self.consumer, &euro(amount)).expect("an entry");
        in_tx!(self, |tx| self.post(tx, entry, None).await).expect("booked");
    }

    async fn keep(&self, tx: &mut Tx<'_>, statement: &impl Statement) -> Result<Hash, StoreError> {
        self.keep_by(tx, &key(250), statement).await
    }

    async fn keep_by(&self, tx: &mut Tx<'_>, signer: &SigningKey, statement: &impl Statement) -> Result<Hash, StoreError> {
        let mut salt = [0; 32];
        salt[..10].copy_from_slice(&self.random());
        statements::insert(tx, &Envelope::sign(statement, signer, salt).expect("it signs"), NOW).await
    }

    fn agreement(&self, agreement_id: &AgreementId) -> Agreement {
        Agreement {
            agreement_id: agreement_id.clone(),
            product: Hash([1; 32]),
            consumer: self.consumer.clone(),
            sealing_key: SealingSecret::from_bytes(&[6; 32]).public(),
            exchange: self.exchange.clone(),
            parties: (1..=3)
                .map(|seed| PartyPin { participant: key(seed).did(), worker: key(seed + 10).did(), grant: Hash([seed; 32]) })
                .collect(),
            security: Security::SemiHonest,
            price_per_query: euro(PRICE),
            split: rule(),
            quota_queries: 2,
            issued_at: NOW,
            expires_at: NOW.plus_ms(1_000),
        }
    }

    /// Plants other statements about the one job in this state; `act` names the column that points at the statement.
    async fn plant_statement(&self, (state, act): (&str, &str), signer: u8, change: impl FnOnce(&Job, &escrow::EscrowRow) -> Signable) {
        let mut reader = self.store.reader().await.expect("a reader");
        let (id,): (String,) = sqlx::query_as(sqlx::AssertSqlSafe(format!("SELECT job_id FROM escrows WHERE state = '{state}'")))
            .fetch_one(&mut *reader)
            .await
            .expect("one such job");
        let job_id: JobId = id.parse().expect("a job id");
        let job = job::find(&mut reader, &job_id).await.expect("rows").expect("a job").job;
        let escrow = escrow::find(&mut reader, &job_id).await.expect("rows").expect("an escrow");
        drop(reader);
        let (statement, signer) = (&change(&job, &escrow), &key(signer));
        let hash = in_tx!(self, |tx| match statement {
            Signable::Hold(hold) => self.keep_by(tx, signer, hold).await,
            Signable::Refund(refund) => self.keep_by(tx, signer, refund).await,
            Signable::Release(release) => self.keep_by(tx, signer, release).await,
        });
        let hash = hash.expect("kept");
        self.plant(&format!(
            "DROP TRIGGER escrows_once; DROP TRIGGER escrows_stay; UPDATE escrows SET {act} = '{hash}' WHERE job_id = '{job_id}'"
        ))
        .await
        .expect("planted");
    }

    /// A job whose price is set aside, under parents that exist in name only.
    async fn held(&self) -> Job {
        let job_id = JobId::compose(NOW, self.random());
        let order_id = OrderId::compose(NOW, self.random());
        let agreement_id = AgreementId::compose(NOW, self.random());
        let consumer = &self.consumer;
        self.plant(&format!(
            "INSERT OR IGNORE INTO participants (did, name, roles, sealing_key, state, enrolment, enrolment_hash, enrolled_at_ms) \
             VALUES ('{consumer}', 'n', '[]', '', 'approved', '', '', 0); \
             INSERT INTO agreements VALUES ('{agreement_id}', '{agreement_id}', 'product', '{consumer}', 0, 0); \
             INSERT INTO orders VALUES ('{order_id}', '{order_id}', '{agreement_id}', '{consumer}', 1, '{job_id}', 0)"
        ))
        .await
        .expect("planted");
        let (consumer_key, agreement) = (&key(4), &self.agreement(&agreement_id));
        let agreement = in_tx!(self, |tx| self.keep_by(tx, consumer_key, agreement).await).expect("kept");
        let terms = JobTerms { agreement, ..terms(job_id) };
        let job = Job { state: JobState::new(NOW, &terms, &JobLimits::default()), terms };
        let new = &job;
        let origin = JobOrigin { order_id: &order_id, agreement_id: &agreement_id, consumer, sequence: 1 };
        let entry = &Entry::hold(&self.exchange, consumer, &euro(PRICE)).expect("an entry");
        in_tx!(self, |tx| {
            job::insert(tx, new, origin, NOW).await?;
            let (job_id, order, agreement) = (new.terms.job_id.clone(), new.terms.order, new.terms.agreement);
            let consumer = new.terms.consumer.clone();
            let statement = self.keep(tx, &Hold { job_id, order, agreement, consumer, amount: euro(PRICE), held_at: NOW }).await?;
            let entry = self.post(tx, entry, Some(&new.terms.job_id)).await?;
            let movement = Movement { entry: &entry, statement: &statement };
            escrow::hold(tx, &new.terms.job_id, &euro(PRICE), movement, NOW).await
        })
        .expect("held");
        job
    }

    async fn save(&self, tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
        let version = job::find(tx, &job.terms.job_id).await?.expect("a job").version;
        assert!(job::save(tx, job, version, NOW).await?);
        assert!(!job::save(tx, job, version, NOW).await?, "a version is good for one change");
        Ok(())
    }

    async fn release(&self, job: &Job) -> Result<(), StoreError> {
        let (entry, split) = &Entry::release(&self.exchange, &euro(PRICE), &rule()).expect("an entry");
        let job_id = &job.terms.job_id;
        in_tx!(self, |tx| {
            let mut receipts = [Hash([0; 32]); 3];
            for (party, hash) in (0u8..).zip(receipts.iter_mut()) {
                *hash = self.keep(tx, &usage(job, party)).await?;
                receipt::insert(tx, job_id, (1, party), hash, NOW).await?;
            }
            let hold = escrow::find(tx, job_id).await?.expect("an escrow").hold;
            let (order, receipts_named) = (job.terms.order, receipts.to_vec());
            let release = Release {
                job_id: job_id.clone(),
                order,
                hold,
                receipts: receipts_named,
                amount: euro(PRICE),
                split: split.clone(),
                split_rule: rule_digest(&job.terms.agreement, &rule()),
                released_at: NOW,
            };
            let statement = self.keep(tx, &release).await?;
            let entry = self.post(tx, entry, Some(job_id)).await?;
            escrow::close(tx, job_id, EscrowState::Released, Movement { entry: &entry, statement: &statement }, NOW).await?;
            let state = JobState::Delivered { attempt: 1, receipts, shares: [Hash([1; 32]); 3] };
            self.save(tx, &Job { terms: job.terms.clone(), state }).await
        })
    }

    async fn refund(&self, job: &Job) -> Result<(), StoreError> {
        let entry = &Entry::refund(&self.exchange, &self.consumer, &euro(PRICE)).expect("an entry");
        let job_id = &job.terms.job_id;
        in_tx!(self, |tx| {
            let hold = escrow::find(tx, job_id).await?.expect("an escrow").hold;
            let (order, reason) = (job.terms.order, "cancelled".to_owned());
            let refund = Refund { job_id: job_id.clone(), order, hold, amount: euro(PRICE), reason, refunded_at: NOW };
            let statement = self.keep(tx, &refund).await?;
            let entry = self.post(tx, entry, Some(job_id)).await?;
            escrow::close(tx, job_id, EscrowState::Refunded, Movement { entry: &entry, statement: &statement }, NOW).await?;
            let state = JobState::Refunded { reason: RefundReason::Cancelled, attempts: 0 };
            self.save(tx, &Job { terms: job.terms.clone(), state }).await
        })
    }

    async fn verify(&self) -> BooksReport {
        verify_books(&self.store).await.expect("rows")
    }

    /// One job held, one paid, one refunded.
    async fn busy() -> Self {
        let books = Self::new().await;
        books.credit(10 * PRICE).await;
        books.held().await;
        let paid = books.held().await;
        books.release(&paid).await.expect("paid");
        let refunded = books.held().await;
        books.refund(&refunded).await.expect("refunded");
        books
    }
}

/// What the exchange signs about a job's money.
enum Signable {
    Hold(Hold),
    Refund(Refund),
    Release(Release),
}

fn rule() -> Vec<SplitShare> {
    let share = |(seed, points)| SplitShare { participant: key(seed).did(), share: BasisPoints::new(points).expect("a share") };
    [(1, 4_500), (2, 4_500), (3, 1_000)].map(share).to_vec()
}

fn terms(job_id: JobId) -> JobTerms {
    let party = |seed: u8| JobParty {
        participant: key(seed).did(),
        worker: key(seed + 10).did(),
        commitment: None,
        rows_max: 10,
        grant_expires_at: NOW.plus_ms(1_000),
    };
    JobTerms {
        order: Hash::of(&[job_id.as_str().as_bytes()]),
        job_id,
        agreement: Hash([2; 32]),
        consumer: key(4).did(),
        plan: Hash([3; 32]),
        security: Security::SemiHonest,
        parties: [party(1), party(2), party(3)],
        order_expires_at: NOW.plus_ms(1_000),
        agreement_expires_at: NOW.plus_ms(1_000),
    }
}

fn usage(job: &Job, party: u8) -> UsageReceipt {
    let (terms, pin) = (&job.terms, &job.terms.parties[usize::from(party)]);
    UsageReceipt {
        job_id: terms.job_id.clone(),
        attempt: 1,
        agreement: terms.agreement,
        order: terms.order,
        consumer: terms.consumer.clone(),
        plan: terms.plan,
        party,
        participant: pin.participant.clone(),
        worker: pin.worker.clone(),
        security: terms.security,
        input_commitment: None,
        rows_input: 0,
        shares: shares_of(party).map(|share| SealedShareDigest { share, ciphertext: Hash([1; 32]) }).to_vec(),
        transcript: Hash([party; 32]),
        finished_at: NOW,
    }
}

#[tokio::test]
async fn busy_books_are_right_to_the_cent() {
    let report = Books::busy().await.verify().await;
    assert!(report.is_right(), "{report:#?}");
    let [euro] = report.currencies.as_slice() else { panic!("{report:#?}") };
    assert_eq!((euro.held_minor, euro.released_minor, euro.refunded_minor, euro.set_aside_minor), (PRICE, PRICE, PRICE, 3 * PRICE));
    assert_eq!((euro.issued_minor, euro.available_minor, euro.escrow_minor), (10 * PRICE, 9 * PRICE, PRICE));
    assert_eq!((report.entries, report.jobs), (6, 3));
}

#[tokio::test]
async fn an_escrow_is_closed_once_and_one_way() {
    let books = Books::new().await;
    books.credit(10 * PRICE).await;
    for release_first in [true, false] {
        let job = books.held().await;
        if release_first { books.release(&job).await } else { books.refund(&job).await }.expect("closed");
        books.release(&job).await.expect_err("closed");
        books.refund(&job).await.expect_err("closed");
    }
    assert!(books.verify().await.is_right());
}

#[tokio::test]
async fn nobody_spends_more_than_there_is() {
    let books = Books::new().await;
    books.credit(PRICE - 1).await;
    let (books, entry) = (&books, &Entry::hold(&books.exchange, &books.consumer, &euro(PRICE)).expect("an entry"));
    // The job is not there either, but the overdraft is refused first.
    let refused = in_tx!(books, |tx| books.post(tx, entry, Some(&JobId::compose(NOW, [9; 10]))).await).expect_err("overdrawn");
    assert!(format!("{refused:?}").contains("no_overdraft"), "{refused:?}");
    assert!(books.verify().await.is_right());
}

#[tokio::test]
async fn the_database_itself_refuses_what_would_spoil_the_books() {
    let books = Books::busy().await;
    let refused = [
        "UPDATE postings SET amount_minor = 1",
        "DELETE FROM postings",
        "UPDATE journal_entries SET kind = 'credit'",
        "DELETE FROM journal_entries",
        "DELETE FROM accounts",
        "UPDATE accounts SET owner = 'somebody else'",
        "UPDATE accounts SET balance_minor = -1 WHERE kind = 'available'",
        "INSERT INTO accounts VALUES ('account_rich', 'available', 'me', 'EUR', 1000, 0)",
        "INSERT INTO postings SELECT entry_id, 50, account_id, 5 FROM postings LIMIT 1",
        "INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_x', 'credit', 'EUR', 0)",
        "UPDATE escrows SET state = 'refunded' WHERE state = 'released'",
        "UPDATE escrows SET state = 'released' WHERE state = 'held'",
        "UPDATE escrows SET amount_minor = 1",
        "DELETE FROM escrows",
        "UPDATE receipts SET party = 0",
        "INSERT INTO postings SELECT 'entry_y', 0, account_id, 5 FROM accounts WHERE kind = 'available' LIMIT 1; \
         INSERT INTO postings SELECT 'entry_y', 1, account_id, -4 FROM accounts WHERE kind = 'issuance' LIMIT 1; \
         INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_y', 'credit', 'EUR', 0)",
        "INSERT INTO postings SELECT 'entry_z', 0, account_id, 5 FROM accounts WHERE kind = 'available' LIMIT 1; \
         INSERT INTO postings SELECT 'entry_z', 1, account_id, -5 FROM accounts WHERE kind = 'issuance' LIMIT 1; \
         INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_z', 'credit', 'USD', 0)",
        "INSERT INTO postings SELECT 'entry_o', 0, account_id, -100000000 FROM accounts WHERE kind = 'available' LIMIT 1; \
         INSERT INTO postings SELECT 'entry_o', 1, account_id, 100000000 FROM accounts WHERE kind = 'issuance' LIMIT 1; \
         INSERT INTO journal_entries (entry_id, kind, currency, created_at_ms) VALUES ('entry_o', 'credit', 'EUR', 0)",
        // Its entry never comes: the end of the transaction refuses it.
        "INSERT INTO postings SELECT 'entry_never', 0, account_id, 5 FROM accounts LIMIT 1",
    ];
    for sql in refused {
        books.run(sql).await.expect_err(sql);
    }
    let report = books.verify().await;
    assert!(report.is_right(), "{report:#?}");
}

#[tokio::test]
async fn a_planted_fault_is_found() {
    let faults = [
        ("UPDATE accounts SET balance_minor = balance_minor + 1 WHERE kind = 'available'", "balance is not the sum"),
        ("DROP TRIGGER postings_stay; UPDATE postings SET amount_minor = amount_minor + 1 WHERE line = 1", "does not sum to zero"),
        (
            "DROP TRIGGER escrows_once; DROP TRIGGER escrows_stay; UPDATE escrows SET amount_minor = amount_minor - 1",
            "hold is not in the journal with its amount",
        ),
        ("UPDATE jobs SET state = 'refunded' WHERE state = 'delivered'", "job and escrow disagree"),
        ("UPDATE jobs SET state = 'queued' WHERE state = 'refunded'", "job and escrow disagree"),
        ("DELETE FROM receipts WHERE party = 2", "not exactly one receipt of each party"),
        ("DROP TRIGGER escrows_remain; DELETE FROM escrows WHERE state = 'held'", "job without escrow"),
        ("DROP TRIGGER postings_remain; DELETE FROM postings WHERE line = 0", "does not sum to zero"),
        ("DROP TRIGGER journal_entries_remain; DELETE FROM journal_entries WHERE kind = 'credit'", "posting without entry"),
        ("DROP TRIGGER journal_entries_remain; DELETE FROM journal_entries WHERE position = 2", "gap in the positions"),
        (
            "DROP TRIGGER escrows_once; UPDATE escrows SET closing_hash = (SELECT hold_hash FROM escrows WHERE state = 'held') WHERE state = 'refunded'",
            "refund is not a statement that the exchange signed",
        ),
        (
            // One receiver's part goes to another: every sum is still right, the signed split is not.
            "DROP TRIGGER postings_stay; UPDATE postings SET account_id = (SELECT account_id FROM postings AS other \
             WHERE other.entry_id = postings.entry_id AND other.line = 3) WHERE line = 1 \
             AND entry_id IN (SELECT entry_id FROM journal_entries WHERE kind = 'release'); \
             UPDATE accounts SET balance_minor = (SELECT COALESCE(SUM(amount_minor), 0) FROM postings WHERE postings.account_id = accounts.account_id)",
            "what was paid is not the split that was signed",
        ),
        (
            // Everything sums up, and the wrong account paid.
            "PRAGMA ignore_check_constraints = 1; DROP TRIGGER postings_stay; UPDATE postings SET account_id = (SELECT account_id FROM accounts \
             WHERE kind = 'available' AND account_id <> postings.account_id LIMIT 1) WHERE line = 0 \
             AND entry_id = (SELECT hold_entry FROM escrows WHERE state = 'held'); \
             UPDATE accounts SET balance_minor = (SELECT COALESCE(SUM(amount_minor), 0) FROM postings WHERE postings.account_id = accounts.account_id)",
            "what was set aside is not the consumer's price",
        ),
        (
            "DROP TRIGGER postings_stay; UPDATE postings SET account_id = (SELECT account_id FROM accounts \
             WHERE kind = 'available' AND account_id <> postings.account_id LIMIT 1) WHERE line = 1 \
             AND entry_id = (SELECT closing_entry FROM escrows WHERE state = 'refunded'); \
             UPDATE accounts SET balance_minor = (SELECT COALESCE(SUM(amount_minor), 0) FROM postings WHERE postings.account_id = accounts.account_id)",
            "what was given back is not the consumer's price",
        ),
    ];
    for (sql, found) in faults {
        let books = Books::busy().await;
        books.plant(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let report = books.verify().await;
        assert!(report.faults.iter().any(|fault| fault.contains(found)), "{sql}: {report:#?}");
    }
}

#[tokio::test]
async fn a_planted_statement_is_found() {
    type Plant = (&'static str, &'static str, u8, fn(&Job, &escrow::EscrowRow) -> Signable, &'static str);
    fn hold(job: &Job) -> Hold {
        let JobTerms { job_id, order, agreement, consumer, .. } = job.terms.clone();
        Hold { job_id, order, agreement, consumer, amount: euro(PRICE), held_at: Timestamp(2) }
    }
    fn refund(job: &Job, escrow: &escrow::EscrowRow) -> Refund {
        let JobTerms { job_id, order, .. } = job.terms.clone();
        Refund { job_id, order, hold: escrow.hold, amount: euro(PRICE), reason: "cancelled".to_owned(), refunded_at: Timestamp(2) }
    }
    fn release(job: &Job, escrow: &escrow::EscrowRow) -> Release {
        let JobTerms { job_id, order, agreement, .. } = job.terms.clone();
        let (_, receipts) = job.state.paid_for().expect("it was paid");
        let split = entrepot_chain_statement::split::split(&euro(PRICE), &rule()).expect("a whole");
        let (receipts, split_rule) = (receipts.to_vec(), rule_digest(&agreement, &rule()));
        Release { job_id, order, hold: escrow.hold, receipts, amount: euro(PRICE), split, split_rule, released_at: Timestamp(2) }
    }
    const EXCHANGE: u8 = 250;
    const STRANGER: u8 = 66;
    const OTHER: Hash = Hash([9; 32]);
    let plants: [Plant; 12] = [
        ("held", "hold_hash", EXCHANGE, |j, _| Signable::Hold(hold(j)), ""),
        ("held", "hold_hash", STRANGER, |j, _| Signable::Hold(hold(j)), "hold is not a statement that the exchange signed"),
        ("held", "hold_hash", EXCHANGE, |j, _| Signable::Hold(Hold { agreement: Hash([9; 32]), ..hold(j) }), "signed hold is about"),
        ("refunded", "closing_hash", EXCHANGE, |j, e| Signable::Refund(refund(j, e)), ""),
        ("refunded", "closing_hash", STRANGER, |j, e| Signable::Refund(refund(j, e)), "refund is not a statement that the exchange signed"),
        ("refunded", "closing_hash", EXCHANGE, |j, e| Signable::Refund(Refund { order: OTHER, ..refund(j, e) }), "signed refund is"),
        ("released", "closing_hash", EXCHANGE, |j, e| Signable::Release(release(j, e)), ""),
        (
            "released",
            "closing_hash",
            STRANGER,
            |j, e| Signable::Release(release(j, e)),
            "release is not a statement that the exchange signed",
        ),
        ("released", "closing_hash", EXCHANGE, |j, e| Signable::Release(Release { order: OTHER, ..release(j, e) }), "signed release is"),
        (
            "released",
            "closing_hash",
            EXCHANGE,
            |j, e| {
                let mut changed = release(j, e);
                changed.split[0].amount.amount_minor -= 1;
                changed.split[1].amount.amount_minor += 1;
                Signable::Release(changed)
            },
            "signed split is not the agreement's",
        ),
        ("released", "closing_hash", EXCHANGE, |j, e| Signable::Release(Release { split_rule: OTHER, ..release(j, e) }), "signed split is"),
        (
            "released",
            "closing_hash",
            EXCHANGE,
            |j, e| Signable::Release(Release { receipts: Vec::new(), ..release(j, e) }),
            "exactly one receipt",
        ),
    ];
    for (state, column, signer, change, found) in plants {
        let books = Books::busy().await;
        books.plant_statement((state, column), signer, change).await;
        let faults = books.verify().await.faults;
        if found.is_empty() {
            assert_eq!(faults, Vec::<String>::new(), "{state}: another honest statement");
        } else {
            assert!(faults.iter().any(|fault| fault.contains(found)), "{found}: {faults:#?}");
        }
    }
    let books = Books::busy().await;
    let strangers = "UPDATE jobs SET consumer = (SELECT owner FROM accounts WHERE kind = 'escrow')";
    books.plant(strangers).await.expect("planted");
    let faults = books.verify().await.faults;
    assert!(faults.iter().any(|fault| fault.contains("agreement is not signed by the job's consumer")), "{faults:#?}");
}
