//! An exchange on a real database with workers that do what a test says.

use crate::log::MemoryLog;
use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Hash, Money, SealingSecret, SigningKey, Statement, Timestamp,
    ids::{AgreementId, DatasetId, GrantId, JobId, OrderId, ProductId},
    statements::{
        Agreement, ColumnDescription, ColumnKind, ColumnProfile, ColumnRule, ColumnUse, DataProduct, DatasetDescription, DatasetPolicy,
        Order, ParticipantEnrolment, PartyPin, ProductTable, Quote, Right, RightsRecord, RightsRegistration, Role, SealedShareDigest,
        Security, SplitShare, UsageReceipt, WorkerGrant, WorkerRole,
    },
};
use entrepot_exchange_domain::{
    Clock,
    job::{Job, JobLimits, Note},
    receipt::shares_of,
};
use entrepot_exchange_market::{
    Bell, Entropy, Market, Workforce, agree, credit, dataset,
    jobs::JobDriver,
    order::{self, OrderError, PlacedOrder},
    participant, product, quote, worker_grant,
    workforce::{ConnectedWorker, SendError, WorkOrder, WorkerCommand, WorkerEvent},
};
use entrepot_exchange_store::{Store, account, books, job, journal};
use rand_core::{OsRng, RngCore};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};
use tempfile::TempDir;

pub const BEGIN: Timestamp = Timestamp(1_800_000_000_000);
pub const DAY_MS: i64 = 86_400_000;
/// Queries that the product allows a consumer.
pub const QUOTA: u32 = 20;
pub const PRICE: i64 = 2_501;
pub const SQL: &str = "SELECT l.state, COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.state";

pub struct HandClock(AtomicI64);

impl HandClock {
    pub fn forward(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::Relaxed);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        OsRng.fill_bytes(bytes);
    }
}

/// Workers that are connected when a test says so, and whose letters it reads.
#[derive(Default)]
pub struct Script {
    connected: Mutex<BTreeMap<Did, ConnectedWorker>>,
    sent: Mutex<Vec<(Did, WorkerCommand)>>,
}

impl Script {
    /// Everything sent since the last call.
    pub fn take(&self) -> Vec<(Did, WorkerCommand)> {
        std::mem::take(&mut self.sent.lock().expect("unpoisoned"))
    }

    /// The work orders sent since the last call; anything else is dropped.
    pub fn work_orders(&self) -> Vec<(Did, WorkOrder)> {
        let orders = self.take().into_iter();
        orders.filter_map(|(to, command)| if let WorkerCommand::WorkOrder(order) = command { Some((to, *order)) } else { None }).collect()
    }

    pub fn disconnect(&self, worker: &Did) {
        self.connected.lock().expect("unpoisoned").remove(worker);
    }
}

impl Workforce for Script {
    fn connected(&self) -> Vec<ConnectedWorker> {
        self.connected.lock().expect("unpoisoned").values().cloned().collect()
    }
    fn find(&self, worker: &Did) -> Option<ConnectedWorker> {
        self.connected.lock().expect("unpoisoned").get(worker).cloned()
    }
    fn send(&self, worker: &Did, command: WorkerCommand) -> Result<(), SendError> {
        if self.find(worker).is_none() {
            return Err(SendError::NotConnected);
        }
        self.sent.lock().expect("unpoisoned").push((worker.clone(), command));
        Ok(())
    }
}

pub struct Person {
    pub key: SigningKey,
    pub worker: SigningKey,
    seed: u8,
    role: Role,
}

impl Person {
    pub fn new(seed: u8, role: Role) -> Self {
        let key = |purpose: u8| SigningKey::from_seed(&[seed * 8 + purpose; 32]);
        Self { key: key(1), worker: key(2), seed, role }
    }

    pub fn did(&self) -> Did {
        self.key.did()
    }

    pub fn sign<S: Statement>(&self, statement: &S) -> Envelope {
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        Envelope::sign(statement, &self.key, salt).expect("it signs")
    }

    fn enrolment(&self) -> ParticipantEnrolment {
        ParticipantEnrolment {
            participant: self.did(),
            name: format!("Participant {}", self.seed),
            roles: vec![self.role],
            sealing_key: SealingSecret::from_bytes(&[self.seed; 32]).public(),
            issued_at: BEGIN,
        }
    }

    fn grant(&self) -> WorkerGrant {
        WorkerGrant {
            grant_id: GrantId::compose(BEGIN, [self.seed; 10]),
            participant: self.did(),
            worker: self.worker.did(),
            witness: SigningKey::from_seed(&[self.seed * 8 + 3; 32]).did(),
            role: if self.role == Role::Provider { WorkerRole::Data } else { WorkerRole::Compute },
            not_before: BEGIN,
            expires_at: BEGIN.plus_ms(30 * DAY_MS),
        }
    }
}

/// Runs a use case in a transaction of the world's market.
macro_rules! in_tx {
    ($market:expr, |$tx:ident| $call:expr) => {
        $market.store.run_tx("test", |$tx| Box::pin(async move { $call.await })).await
    };
}
pub(crate) use in_tx;

pub struct World {
    pub market: Arc<Market>,
    pub clock: Arc<HandClock>,
    pub workers: Arc<Script>,
    /// Holds nothing until a test anchors.
    pub log: Arc<MemoryLog>,
    pub driver: Arc<JobDriver>,
    /// Lender, bureau, compute party.
    pub bound: [Person; 3],
    pub consumer: Person,
    pub product: DataProduct,
    pub product_hash: Hash,
    file: std::path::PathBuf,
    _folder: TempDir,
}

impl World {
    /// Everyone admitted, the product active, workers away, the consumer without a cent.
    pub async fn new() -> Self {
        Self::with(QUOTA, JobLimits::default()).await
    }

    pub async fn with(quota_queries: u32, limits: JobLimits) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("exchange.db");
        let (clock, workers) = (Arc::new(HandClock(AtomicI64::new(BEGIN.0))), Arc::new(Script::default()));
        let log = Arc::new(MemoryLog::default());
        let market = Arc::new(open(&file, clock.clone(), workers.clone(), log.clone(), limits).await);
        let bound = [Person::new(1, Role::Provider), Person::new(2, Role::Provider), Person::new(3, Role::ComputeParty)];
        let consumer = Person::new(4, Role::Consumer);
        let operator = Person::new(5, Role::Operator);
        participant::bootstrap_operator(&market, &operator.sign(&operator.enrolment())).await.expect("an operator");
        for person in bound.iter().chain([&consumer]) {
            admit(&market, &operator, person).await;
        }
        for person in &bound {
            let (grant, did, now) = (&person.sign(&person.grant()), &person.did(), market.now());
            in_tx!(market, |tx| worker_grant::submit(tx, now, did, grant)).expect("a grant");
        }
        let first = table(&market, "lender.loans", &bound[0], &bound[2]).await;
        let second = table(&market, "bureau.credit", &bound[1], &bound[2]).await;
        let product = DataProduct { quota_queries, ..product(&market, vec![first, second], &bound) };
        let mut signed = bound[0].sign(&product);
        signed.countersign(&bound[1].key).expect("it signs");
        signed.countersign(&bound[2].key).expect("it signs");
        let (lender, envelope, around) = (&bound[0].did(), &signed, &*market);
        in_tx!(market, |tx| product::propose(tx, around, lender, envelope)).expect("an active product");
        let driver = Arc::new(JobDriver::new(market.clone()));
        let product_hash = signed.statement_hash();
        Self { market, clock, workers, log, driver, bound, consumer, product, product_hash, file, _folder: folder }
    }

    /// With workers connected and money for ten queries.
    pub async fn ready() -> Self {
        let world = Self::new().await;
        world.give(10 * PRICE).await;
        world.connect_all().await;
        world
    }

    pub async fn connect_all(&self) {
        for party in 0..3 {
            self.connect(party).await;
        }
    }

    /// As after a crash: everything in memory is gone, the database is not, nobody is connected.
    pub async fn restart(&mut self) {
        self.market.store.close().await;
        let limits = self.market.job_limits;
        self.workers = Arc::new(Script::default());
        self.market = Arc::new(open(&self.file, self.clock.clone(), self.workers.clone(), self.log.clone(), limits).await);
        self.driver = Arc::new(JobDriver::new(self.market.clone()));
    }

    pub async fn give(&self, amount_minor: i64) {
        let (market, to, money) = (&*self.market, &self.consumer.did(), &euro(amount_minor));
        in_tx!(market, |tx| credit::credit(tx, market, to, money)).expect("credit");
    }

    pub fn worker(&self, party: usize) -> Did {
        self.bound[party].worker.did()
    }

    pub async fn connect(&self, party: usize) {
        use entrepot_exchange_market::workforce::WorkerListener;
        let (person, grant) = (&self.bound[party], self.bound[party].grant());
        let connected = ConnectedWorker {
            worker: grant.worker,
            participant: person.did(),
            role: grant.role,
            grant_id: grant.grant_id,
            grant: person.sign(&person.grant()).statement_hash(),
            witness: grant.witness,
            grant_expires_at: grant.expires_at,
            peer_address: format!("127.0.0.1:{}", 9_000 + party),
            version: "test".to_owned(),
            checkpoint_size: 0,
        };
        self.workers.connected.lock().expect("unpoisoned").insert(connected.worker.clone(), connected.clone());
        self.driver.connected(&connected).await;
    }

    pub async fn quote(&self) -> Quote {
        let (market, caller, id) = (&*self.market, &self.consumer.did(), &self.product.product_id);
        let envelope = in_tx!(market, |tx| quote::quote(tx, market, caller, id, SQL)).expect("a quote");
        envelope.open_signed_by([&market.exchange_did()]).expect("signed by the exchange")
    }

    pub fn agreement(&self) -> Agreement {
        let pin = |person: &Person| PartyPin {
            participant: person.did(),
            worker: person.worker.did(),
            grant: person.sign(&person.grant()).statement_hash(),
        };
        let mut random = [0; 10];
        OsRng.fill_bytes(&mut random);
        Agreement {
            agreement_id: AgreementId::compose(self.market.now(), random),
            product: self.product_hash,
            consumer: self.consumer.did(),
            sealing_key: SealingSecret::from_bytes(&[4; 32]).public(),
            exchange: self.market.exchange_did(),
            parties: self.bound.iter().map(pin).collect(),
            security: Security::SemiHonest,
            price_per_query: self.product.price_per_query.clone(),
            split: self.product.split.clone(),
            quota_queries: self.product.quota_queries,
            issued_at: self.market.now(),
            expires_at: self.market.now().plus_ms(DAY_MS),
        }
    }

    pub async fn agree(&self, agreement: &Agreement) -> Envelope {
        let (market, caller, envelope) = (&*self.market, &self.consumer.did(), self.consumer.sign(agreement));
        let sent = &envelope;
        in_tx!(market, |tx| agree::agree(tx, market, caller, sent)).expect("agreed");
        envelope
    }

    pub fn order(&self, agreement: &Envelope, sequence: u64) -> Order {
        let mut random = [0; 10];
        OsRng.fill_bytes(&mut random);
        Order {
            order_id: OrderId::compose(self.market.now(), random),
            agreement: agreement.statement_hash(),
            sql: SQL.to_owned(),
            plan: entrepot_mpc_plan::plan(SQL, &self.product).expect("a plan").hash(),
            sequence,
            price: euro(PRICE),
            issued_at: self.market.now(),
            expires_at: self.market.now().plus_ms(DAY_MS / 2),
        }
    }

    pub async fn try_place(&self, order: &Order) -> Result<PlacedOrder, OrderError> {
        let (market, caller, envelope) = (&*self.market, &self.consumer.did(), &self.consumer.sign(order));
        in_tx!(market, |tx| order::order(tx, market, caller, envelope))
    }

    /// An agreement and its first order, placed.
    pub async fn placed(&self) -> (Envelope, PlacedOrder) {
        let agreement = self.agree(&self.agreement()).await;
        let placed = self.try_place(&self.order(&agreement, 1)).await.expect("placed");
        (agreement, placed)
    }

    pub async fn round(&self) {
        self.driver.round().await.expect("a round");
    }

    pub async fn job(&self, id: &JobId) -> Job {
        job::find(&mut self.market.store.reader().await.expect("a reader"), id).await.expect("rows").expect("a job").job
    }

    pub async fn state(&self, id: &JobId) -> &'static str {
        self.job(id).await.state.name()
    }

    pub async fn notes(&self, id: &JobId) -> Vec<Note> {
        let mut reader = self.market.store.reader().await.expect("a reader");
        job::events(&mut reader, id, 0, 1_000).await.expect("rows").into_iter().map(|event| event.note).collect()
    }

    pub async fn hear(&self, party: usize, event: WorkerEvent) {
        self.driver.hear(&self.worker(party), &event).await.expect("heard");
    }

    pub fn ciphertext(share: u8) -> Vec<u8> {
        vec![share + 1; 100]
    }

    /// What party `party` truthfully says about an attempt.
    pub fn receipt(&self, job: &Job, attempt: u32, party: usize) -> UsageReceipt {
        let (terms, pin, index) = (&job.terms, &job.terms.parties[party], u8::try_from(party).expect("a party"));
        UsageReceipt {
            job_id: terms.job_id.clone(),
            attempt,
            agreement: terms.agreement,
            order: terms.order,
            consumer: terms.consumer.clone(),
            plan: terms.plan,
            party: index,
            participant: pin.participant.clone(),
            worker: pin.worker.clone(),
            security: Security::SemiHonest,
            input_commitment: pin.commitment,
            rows_input: if party < 2 { 9_800 } else { 0 },
            shares: shares_of(index).map(|share| SealedShareDigest { share, ciphertext: Hash::of(&[&Self::ciphertext(share)]) }).to_vec(),
            transcript: Hash([index; 32]),
            finished_at: self.market.now(),
        }
    }

    pub fn finished(&self, receipt: &UsageReceipt, signer: usize) -> WorkerEvent {
        let receipt_of = Envelope::sign(receipt, &self.bound[signer].worker, [9; 32]).expect("it signs");
        WorkerEvent::WorkFinished { job_id: receipt.job_id.clone(), attempt: receipt.attempt, receipt: receipt_of }
    }

    /// All three parties send truthful receipts for the present attempt.
    pub async fn finish(&self, id: &JobId) {
        for party in 0..3 {
            let job = self.job(id).await;
            let receipt = self.receipt(&job, job.state.attempt(), party);
            self.hear(party, self.finished(&receipt, party)).await;
        }
    }

    pub fn shares(&self, id: &JobId, party: usize) -> WorkerEvent {
        let shares = shares_of(u8::try_from(party).expect("a party")).map(|share| (share, Self::ciphertext(share))).to_vec();
        WorkerEvent::SharesHandedOver { job_id: id.clone(), shares }
    }

    pub async fn balance(&self, who: &Did) -> i64 {
        let mut reader = self.market.store.reader().await.expect("a reader");
        account::available(&mut reader, who, &euro(1).currency).await.expect("rows")
    }

    pub async fn entries(&self, id: &JobId) -> Vec<&'static str> {
        let mut reader = self.market.store.reader().await.expect("a reader");
        journal::of_job(&mut reader, id).await.expect("rows").into_iter().map(|entry| entry.kind.name()).collect()
    }

    /// Recomputes the books and panics if anything is wrong.
    pub async fn books(&self) -> books::BooksReport {
        let report = books::verify_books(&self.market.store).await.expect("rows");
        assert!(report.is_right(), "{report:#?}");
        report
    }
}

async fn open(file: &std::path::Path, clock: Arc<HandClock>, workers: Arc<Script>, log: Arc<MemoryLog>, job_limits: JobLimits) -> Market {
    Market {
        store: Store::open(file).await.expect("a store"),
        clock,
        entropy: Arc::new(SystemEntropy),
        exchange: Arc::new(SigningKey::from_seed(&[250; 32])),
        notary: log,
        workforce: workers,
        job_limits,
        bell: Bell::default(),
    }
}

pub fn euro(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "EUR".parse().expect("a currency") }
}

async fn admit(market: &Market, operator: &Person, person: &Person) {
    let (now, envelope) = (market.now(), &person.sign(&person.enrolment()));
    in_tx!(market, |tx| participant::enrol(tx, now, envelope)).expect("enrolled");
    let (operator, did) = (&operator.did(), &person.did());
    in_tx!(market, |tx| participant::approve(tx, now, operator, did)).expect("approved");
}

fn description(seed: u8) -> DatasetDescription {
    let column = |name: &str| ColumnDescription {
        name: name.to_owned(),
        column: ColumnKind::Text,
        profile: ColumnProfile { distinct: 50, low: None, high: None },
    };
    DatasetDescription { rows: 9_800, columns: vec![column("customer"), column("state")], commitment: Hash([seed; 32]) }
}

async fn table(market: &Market, name: &str, provider: &Person, compute: &Person) -> ProductTable {
    let (did, worker) = (&provider.did(), &provider.worker.did());
    let dataset_name = name.split_once('.').expect("schema and table").1;
    let row = in_tx!(market, |tx| dataset::register(tx, market, did, dataset_name, worker)).expect("asked for");
    let id: DatasetId = row.dataset_id;
    dataset::record_description(market, &id, worker, Ok(description(provider.seed))).await.expect("described");
    let rights = RightsRegistration {
        dataset_id: id.clone(),
        name: dataset_name.to_owned(),
        holder: provider.did(),
        right: Right::Hold,
        record: RightsRecord::Initial,
        worker: worker.clone(),
        description: description(provider.seed),
        issued_at: BEGIN,
    };
    let (now, envelope, dataset_id) = (market.now(), &provider.sign(&rights), &id);
    in_tx!(market, |tx| dataset::submit_rights(tx, now, did, dataset_id, envelope)).expect("registered");
    let rule = |uses: &[ColumnUse], domain: Option<&[&str]>| ColumnRule {
        uses: uses.iter().copied().collect(),
        domain: domain.map(|values| values.iter().map(|value| (*value).to_owned()).collect()),
        bounds: None,
    };
    ProductTable {
        table: name.to_owned(),
        rights: envelope.statement_hash(),
        dataset_id: id,
        provider: provider.did(),
        commitment: Hash([provider.seed; 32]),
        columns: vec![("customer".to_owned(), ColumnKind::Text), ("state".to_owned(), ColumnKind::Text)],
        policy: DatasetPolicy {
            columns: BTreeMap::from([
                ("customer".to_owned(), rule(&[ColumnUse::Join], None)),
                ("state".to_owned(), rule(&[ColumnUse::Group], Some(&["AL", "NY"]))),
            ]),
            minimum_group: 10,
            rows_max: 20_000,
            compute_parties: BTreeSet::from([compute.did()]),
        },
    }
}

fn product(market: &Market, tables: Vec<ProductTable>, bound: &[Person; 3]) -> DataProduct {
    let share = |who: &Person, points| SplitShare { participant: who.did(), share: BasisPoints::new(points).expect("a share") };
    DataProduct {
        product_id: ProductId::compose(BEGIN, [1; 10]),
        title: "Default rate by state".to_owned(),
        tables,
        compute_party: bound[2].did(),
        exchange: market.exchange_did(),
        consumers: BTreeSet::new(),
        price_per_query: euro(PRICE),
        split: vec![share(&bound[0], 4_500), share(&bound[1], 4_500), share(&bound[2], 1_000)],
        quota_queries: QUOTA,
        issued_at: BEGIN,
        expires_at: BEGIN.plus_ms(20 * DAY_MS),
    }
}
