//! A consumer who buys, and workers who do what a test says.

use crate::harness::{BEGIN, Cast, DAY_MS, Person, Reply, TestExchange};
use axum::http::StatusCode;
use entrepot_chain_statement::{
    Did, Envelope, Hash, Money, SealingSecret, Timestamp,
    ids::{AgreementId, JobId, OrderId},
    statements::{Agreement, Order, PartyPin, SealedShareDigest, Security, UsageReceipt, WorkerRole},
};
use entrepot_exchange_domain::receipt::shares_of;
use entrepot_exchange_market::{
    Market, Workforce,
    jobs::JobDriver,
    workforce::{ConnectedWorker, SendError, WorkerCommand, WorkerEvent},
};
use entrepot_exchange_store::job;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

pub const PRICE: i64 = 5_000;
pub const SQL: &str = "SELECT l.state, COUNT(*) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer GROUP BY l.state";

/// Workers that are always there and read nothing.
struct Present(Vec<ConnectedWorker>);

impl Workforce for Present {
    fn connected(&self) -> Vec<ConnectedWorker> {
        self.0.clone()
    }
    fn find(&self, worker: &Did) -> Option<ConnectedWorker> {
        self.0.iter().find(|connected| connected.worker == *worker).cloned()
    }
    fn send(&self, _worker: &Did, _command: WorkerCommand) -> Result<(), SendError> {
        Ok(())
    }
}

pub struct Trade {
    pub exchange: TestExchange,
    pub cast: Cast,
    pub consumer: Person,
    pub product_hash: Hash,
    driver: JobDriver,
    ids: AtomicU64,
}

impl Trade {
    /// The product active, the consumer with money for `queries`.
    pub async fn start(queries: i64) -> Self {
        let exchange = TestExchange::start().await;
        let cast = exchange.cast().await;
        let signed = cast.signed();
        exchange.post(&cast.lender, "/v1/products", &json!({ "envelope": signed })).await.expect(StatusCode::CREATED);
        let consumer = exchange.consumer(4).await;
        let workers = [(&cast.lender, WorkerRole::Data), (&cast.bureau, WorkerRole::Data), (&cast.compute, WorkerRole::Compute)];
        let workers = workers.map(|(person, role)| connected(person, role)).to_vec();
        let market = Market { workforce: Arc::new(Present(workers)), ..(*exchange.market).clone() };
        let driver = JobDriver::new(Arc::new(market));
        let product_hash = signed.statement_hash();
        let trade = Self { exchange, cast, consumer, product_hash, driver, ids: AtomicU64::new(1) };
        if queries > 0 {
            trade.credit(queries * PRICE).await.expect(StatusCode::CREATED);
        }
        trade
    }

    pub fn now(&self) -> Timestamp {
        self.exchange.market.now()
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        bytes
    }

    pub async fn credit(&self, amount_minor: i64) -> Reply {
        let money = Money { amount_minor, currency: "EUR".parse().expect("a currency") };
        let body = json!({ "participant": self.consumer.did(), "money": money });
        self.exchange.post(&self.exchange.operator, "/v1/credits", &body).await
    }

    pub async fn balance(&self, person: &Person) -> i64 {
        let account = self.exchange.get(person, "/v1/account").await.expect(StatusCode::OK);
        let available = account["balances"].as_array().expect("balances").iter().find(|balance| balance["kind"] == "available").cloned();
        available.map_or(0, |balance| balance["balance_minor"].as_str().expect("text").parse().expect("a number"))
    }

    pub fn agreement(&self) -> Agreement {
        let parties =
            [(&self.cast.lender, WorkerRole::Data), (&self.cast.bureau, WorkerRole::Data), (&self.cast.compute, WorkerRole::Compute)];
        let pin = |(person, role): (&Person, WorkerRole)| PartyPin {
            participant: person.did(),
            worker: person.worker.did(),
            grant: person.sign(&person.grant(role)).statement_hash(),
        };
        let product = &self.cast.product;
        Agreement {
            agreement_id: AgreementId::compose(self.now(), self.random()),
            product: self.product_hash,
            consumer: self.consumer.did(),
            sealing_key: SealingSecret::from_bytes(&[4; 32]).public(),
            exchange: product.exchange.clone(),
            parties: parties.map(pin).to_vec(),
            security: Security::SemiHonest,
            price_per_query: product.price_per_query.clone(),
            split: product.split.clone(),
            quota_queries: product.quota_queries,
            issued_at: self.now(),
            expires_at: self.now().plus_ms(DAY_MS),
        }
    }

    pub async fn agree(&self) -> Envelope {
        let envelope = self.consumer.sign(&self.agreement());
        self.exchange.post(&self.consumer, "/v1/agreements", &json!({ "envelope": envelope })).await.expect(StatusCode::CREATED);
        envelope
    }

    pub fn order(&self, agreement: &Envelope, sequence: u64) -> Order {
        Order {
            order_id: OrderId::compose(self.now(), self.random()),
            agreement: agreement.statement_hash(),
            sql: SQL.to_owned(),
            plan: entrepot_mpc_plan::plan(SQL, &self.cast.product).expect("a plan").hash(),
            sequence,
            price: self.cast.product.price_per_query.clone(),
            issued_at: self.now(),
            expires_at: self.now().plus_ms(DAY_MS / 2),
        }
    }

    pub async fn place(&self, order: &Order) -> Reply {
        let envelope = self.consumer.sign(order);
        self.exchange.post(&self.consumer, "/v1/orders", &json!({ "envelope": envelope })).await
    }

    /// An agreement with one placed order: order id and job id.
    pub async fn placed(&self) -> (String, JobId) {
        let agreement = self.agree().await;
        let placed = self.place(&self.order(&agreement, 1)).await.expect(StatusCode::CREATED);
        assert_eq!(placed["state"], "queued");
        let text = |name: &str| placed[name].as_str().expect("text").to_owned();
        (text("order_id"), text("job_id").parse().expect("an id"))
    }

    pub async fn round(&self) {
        self.driver.round().await.expect("a round");
    }

    pub async fn job(&self, job_id: &JobId) -> Value {
        self.exchange.get(&self.consumer, &format!("/v1/jobs/{job_id}")).await.expect(StatusCode::OK)
    }

    pub async fn hear(&self, person: &Person, event: WorkerEvent) {
        self.driver.hear(&person.worker.did(), &event).await.expect("heard");
    }

    /// Dispatches, sends three truthful receipts, and then the sealed shares.
    pub async fn compute(&self, job_id: &JobId) {
        self.round().await;
        let found = job::find(&mut self.exchange.market.store.reader().await.expect("a reader"), job_id).await;
        let job = found.expect("rows").expect("a job").job;
        let people = [&self.cast.lender, &self.cast.bureau, &self.cast.compute];
        for (party, person) in (0u8..).zip(people) {
            let receipt = UsageReceipt {
                job_id: job_id.clone(),
                attempt: job.state.attempt(),
                agreement: job.terms.agreement,
                order: job.terms.order,
                consumer: job.terms.consumer.clone(),
                plan: job.terms.plan,
                party,
                participant: person.did(),
                worker: person.worker.did(),
                security: Security::SemiHonest,
                input_commitment: job.terms.parties[usize::from(party)].commitment,
                rows_input: if party < 2 { 9_800 } else { 0 },
                shares: shares_of(party).map(|share| SealedShareDigest { share, ciphertext: Hash::of(&[&ciphertext(share)]) }).to_vec(),
                transcript: Hash([party; 32]),
                finished_at: self.now(),
            };
            let envelope = Envelope::sign(&receipt, &person.worker, [party; 32]).expect("it signs");
            self.hear(person, WorkerEvent::WorkFinished { job_id: job_id.clone(), attempt: receipt.attempt, receipt: envelope }).await;
        }
        for (party, person) in (0u8..).zip(people) {
            let shares = shares_of(party).map(|share| (share, ciphertext(share))).to_vec();
            self.hear(person, WorkerEvent::SharesHandedOver { job_id: job_id.clone(), shares }).await;
        }
    }
}

pub fn ciphertext(share: u8) -> Vec<u8> {
    vec![share + 1; 64]
}

fn connected(person: &Person, role: WorkerRole) -> ConnectedWorker {
    let grant = person.grant(role);
    ConnectedWorker {
        worker: grant.worker.clone(),
        participant: person.did(),
        role,
        grant_id: grant.grant_id.clone(),
        grant: person.sign(&grant).statement_hash(),
        witness: grant.witness,
        grant_expires_at: BEGIN.plus_ms(30 * DAY_MS),
        peer_address: "127.0.0.1:9000".to_owned(),
        version: "test".to_owned(),
        checkpoint_size: 0,
    }
}
