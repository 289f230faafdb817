//! A whole small market: an exchange, a lender, a bureau, a compute party, a consumer and a regulator, on sample data of its own.

use crate::{
    exchange::Exchange,
    member::Member,
    offer::{self, Described, money},
    process::{PATIENCE, Process},
    sample,
    session::Session,
    worker::{DatasetFiles, PinnedExchange, WorkerHome},
};
use entrepot_chain_statement::{
    Did, Envelope,
    statements::{DataProduct, DatasetPolicy, ProductTable, Role},
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};
use tempfile::TempDir;

/// Credit the consumer begins with.
pub const CREDIT_MINOR: i64 = 10_000_000;

/// A worker and its process.
pub struct Worker {
    /// Its files and keys.
    pub home: WorkerHome,
    /// Its process.
    pub process: Process,
}

/// The participants.
pub struct Cast {
    /// Provider of `lender.loans`.
    pub lender: Member,
    /// Provider of `bureau.credit`.
    pub bureau: Member,
    /// Owner of the third worker.
    pub compute: Member,
    /// Buys.
    pub consumer: Member,
    /// Audits.
    pub regulator: Member,
}

impl Cast {
    /// New participants.
    pub fn new() -> Self {
        Self {
            lender: Member::new("Lender", Role::Provider),
            bureau: Member::new("Bureau", Role::Provider),
            compute: Member::new("Compute", Role::ComputeParty),
            consumer: Member::new("Consumer", Role::Consumer),
            regulator: Member::new("Regulator", Role::Regulator),
        }
    }

    /// Whom the workers trust.
    pub fn trusted(&self) -> Vec<Did> {
        [&self.lender, &self.bureau, &self.compute, &self.consumer].map(Member::did).to_vec()
    }

    /// The workers' owners, by party.
    pub fn working(&self) -> [&Member; 3] {
        [&self.lender, &self.bureau, &self.compute]
    }
}

impl Default for Cast {
    fn default() -> Self {
        Self::new()
    }
}

/// The two datasets of the sample.
pub fn sample_files() -> [DatasetFiles; 2] {
    [
        DatasetFiles { name: "loans", csv: sample::lender_csv(), policy: sample::lender_policy() },
        DatasetFiles { name: "credit", csv: sample::bureau_csv(), policy: sample::bureau_policy() },
    ]
}

/// Prepares the three workers in `home`. Their own policies accept the cast's compute party.
pub fn prepare_workers(home: &Path, cast: &Cast, pinned: &PinnedExchange) -> [WorkerHome; 3] {
    let files = sample_files().map(|file| DatasetFiles { policy: prepare_policy(cast, file.policy), ..file });
    let trust = cast.trusted();
    [
        WorkerHome::prepare(home, "worker-lender", &cast.lender, pinned, &trust, Some(&files[0])),
        WorkerHome::prepare(home, "worker-bureau", &cast.bureau, pinned, &trust, Some(&files[1])),
        WorkerHome::prepare(home, "worker-compute", &cast.compute, pinned, &trust, None),
    ]
}

/// A policy of the sample that accepts the cast's compute party.
pub fn prepare_policy(cast: &Cast, mut policy: DatasetPolicy) -> DatasetPolicy {
    policy.compute_parties.insert(cast.compute.did());
    policy
}

/// Where a market's parts reach the exchange; another address lets a proxy listen in.
#[derive(Default)]
pub struct Detour {
    /// Instead of the control plane: address and PEM file.
    pub grpc: Option<(String, PathBuf)>,
    /// Instead of REST.
    pub rest: Option<String>,
}

/// A running market.
pub struct Market {
    /// The exchange.
    pub exchange: Exchange,
    /// The workers, by party.
    pub workers: Vec<Worker>,
    /// The participants.
    pub cast: Cast,
    /// Sessions of the lender, the bureau and the compute party.
    pub owners: Vec<Session>,
    /// The consumer's session.
    pub consumer: Session,
    /// The regulator's session.
    pub regulator: Session,
    /// The operator's session.
    pub operator: Session,
    /// The product on sale, with every signature.
    pub product: Envelope,
    folder: TempDir,
}

impl Market {
    /// Starts and seeds a market.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let exchange = Exchange::start(folder.path()).await;
        Self::open(folder, exchange, Detour::default()).await
    }

    /// Seeds a market on a running exchange.
    pub async fn open(folder: TempDir, exchange: Exchange, detour: Detour) -> Self {
        let mut exchange = exchange;
        if let Some(rest) = detour.rest {
            exchange.info.rest = rest;
        }
        let (url, ca) = detour.grpc.unwrap_or_else(|| (exchange.info.grpc.clone(), exchange.info.grpc_ca.clone()));
        let pinned = PinnedExchange { url, ca, did: exchange.info.did.clone(), log_key: exchange.info.log_key.clone() };
        let cast = Cast::new();
        let mut owners = Vec::new();
        for member in cast.working() {
            owners.push(exchange.enrol(member).await);
        }
        let (consumer, regulator) = (exchange.enrol(&cast.consumer).await, exchange.enrol(&cast.regulator).await);
        let operator = exchange.session(&exchange.operator).await;
        let mut workers = Vec::new();
        for (home, owner) in prepare_workers(folder.path(), &cast, &pinned).into_iter().zip(&owners) {
            owner.post("/v1/worker-grants", &json!({"envelope": home.grant})).await.ok();
            let process = home.start(None);
            workers.push(Worker { home, process });
        }
        let product = publish(&exchange, &cast, &owners, &workers).await;
        let credit = json!({"participant": cast.consumer.did(), "money": money(CREDIT_MINOR)});
        operator.post("/v1/credits", &credit).await.ok();
        Self { exchange, workers, cast, owners, consumer, regulator, operator, product, folder }
    }

    /// The market's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The product's statement.
    pub fn offered(&self) -> DataProduct {
        self.product.open().expect("our own product")
    }

    /// The workers' files, by party.
    pub fn homes(&self) -> [&WorkerHome; 3] {
        [&self.workers[0].home, &self.workers[1].home, &self.workers[2].home]
    }

    /// Signs everybody in again: tokens last minutes.
    pub async fn renew_sessions(&mut self) {
        self.consumer = self.exchange.session(&self.cast.consumer).await;
        self.regulator = self.exchange.session(&self.cast.regulator).await;
        self.operator = self.exchange.session(&self.exchange.operator).await;
    }
}

async fn publish(exchange: &Exchange, cast: &Cast, owners: &[Session], workers: &[Worker]) -> Envelope {
    let mut tables = Vec::new();
    for (party, (schema, file)) in ["lender", "bureau"].into_iter().zip(sample_files()).enumerate() {
        tables.push(register(cast, party, schema, &file, &owners[party], &workers[party].home).await);
    }
    let product = offer::product(tables, &cast.compute.did(), &exchange.info.did);
    let mut signed = cast.lender.sign(&product);
    owners[0].post("/v1/products", &json!({"envelope": signed})).await.ok();
    for (member, owner) in [(&cast.bureau, &owners[1]), (&cast.compute, &owners[2])] {
        signed.countersign(&member.key.signing).expect("countersigning");
        owner.post(&format!("/v1/products/{}/signatures", product.product_id), &json!({"envelope": signed})).await.ok();
    }
    signed
}

async fn register(cast: &Cast, party: usize, schema: &str, file: &DatasetFiles, owner: &Session, worker: &WorkerHome) -> ProductTable {
    let provider = cast.working()[party];
    let body = json!({"name": file.name, "worker": worker.key.signing.did()});
    // The worker may still be dialling.
    let accepted = wait_for(async || Some(owner.post("/v1/datasets", &body).await).filter(|answer| answer.status.is_success())).await.ok();
    let id = accepted["dataset_id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/datasets/{id}");
    let found = state_of(owner, &path, "described").await;
    let description = serde_json::from_value(found["description"].clone()).expect("a description");
    let described = Described { dataset_id: id.parse().expect("a dataset id"), name: file.name, description };
    let rights = provider.sign(&described.rights(provider, worker));
    owner.post(&format!("{path}/rights"), &json!({"envelope": rights})).await.ok();
    state_of(owner, &path, "certified").await;
    described.table(schema, provider, &rights, &file.policy, &cast.compute.did())
}

async fn state_of(session: &Session, path: &str, state: &str) -> Value {
    wait_for(async || {
        let document = session.get(path).await.ok();
        (document["state"] == state).then_some(document)
    })
    .await
}

/// Asks again and again until there is an answer.
pub async fn wait_for<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "it did not come");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
