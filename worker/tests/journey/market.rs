//! The participants' side: keys, files, and the statements they sign.

use crate::exchange::{Connected, Exchange};
use entrepot_api_wire::v1::{self, from_worker::Message as FromWorkerMessage, to_worker::Message as ToWorkerMessage};
use entrepot_chain_log::NoteSigner;
use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Hash, Money, SealingSecret, SigningKey, Statement, Timestamp,
    ids::{AgreementId, DatasetId, GrantId, JobId, OrderId, ProductId},
    key::KeyFile,
    split::rule_digest,
    statements::{
        Agreement, Bounds, ColumnRule, ColumnUse, DataProduct, DatasetDescription, DatasetPolicy, Hold, Order, PartyPin, ProductTable,
        Release, Security, SplitAmount, SplitShare, WorkerGrant, WorkerRole,
    },
};
use entrepot_worker::{WorkerError, config::WorkerConfig, frames::ChildProgram};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub const SQL: &str = "SELECT l.addr_state, COUNT(*), AVG(l.int_rate), AVG(b.annual_inc) FROM lender.loans l \
                       JOIN bureau.credit b ON l.customer = b.customer WHERE l.term = 'term_36' GROUP BY l.addr_state";
pub const STATES: [&str; 4] = ["CA", "NY", "TX", "WY"];
pub const MINIMUM_GROUP: u32 = 5;
pub const ORIGIN: &str = "entrepot/main";
const HOUR: i64 = 3_600_000;

pub fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

pub fn sign<S: Statement>(statement: &S, signers: &[&SigningKey]) -> Envelope {
    let mut envelope = Envelope::sign(statement, signers[0], [3; 32]).expect("it can be signed");
    signers[1..].iter().for_each(|signer| envelope.countersign(signer).expect("it can be signed"));
    envelope
}

/// A row of the two tables before they were split.
pub struct Person {
    pub customer: String,
    pub lender: Option<(String, String, i64)>,
    pub bureau: Option<i64>,
}

/// People of whom each side knows only some; the last state has too few for its group to be shown.
fn people(seed: u64) -> Vec<Person> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let person = |number| {
        let dice: [u32; 5] = std::array::from_fn(|_| rng.next_u32() % 100);
        let state = if number % 97 == 0 { "WY" } else { STATES[dice[0] as usize % 3] };
        let term = if dice[1] < 70 { "term_36" } else { "term_60" };
        let rate = 500 + i64::from(rng.next_u32() % 2_500);
        let income = 10_000 + i64::from(rng.next_u32() % 200_000);
        Person {
            customer: format!("c{number:05}"),
            lender: (dice[2] < 90).then(|| (state.to_owned(), term.to_owned(), rate)),
            bureau: (dice[3] < 90).then_some(income),
        }
    };
    (0..300).map(person).collect()
}

pub struct Participant {
    pub key: SigningKey,
    pub worker: KeyFile,
    pub grant: Envelope,
    pub config: WorkerConfig,
}

/// Three participants with a worker each, a consumer, and an exchange that the test plays.
pub struct Market {
    pub folder: tempfile::TempDir,
    pub exchange: Exchange,
    pub participants: [Participant; 3],
    pub consumer: SigningKey,
    pub sealing: SealingSecret,
    pub people: Vec<Person>,
    pub log: NoteSigner,
}

fn rule(uses: &[ColumnUse], domain: Option<&[&str]>, bounds: Option<(i64, i64)>) -> ColumnRule {
    ColumnRule {
        uses: uses.iter().copied().collect(),
        domain: domain.map(|values| values.iter().map(|value| (*value).to_owned()).collect()),
        bounds: bounds.map(|(minimum, maximum)| Bounds { minimum, maximum }),
    }
}

fn policy(rules: Vec<(&str, ColumnRule)>) -> DatasetPolicy {
    DatasetPolicy {
        columns: rules.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect::<BTreeMap<_, _>>(),
        minimum_group: MINIMUM_GROUP,
        rows_max: 1_000,
        compute_parties: BTreeSet::from([key(3).did()]),
    }
}

pub fn policies() -> [DatasetPolicy; 2] {
    [
        policy(vec![
            ("customer", rule(&[ColumnUse::Join], None, None)),
            ("term", rule(&[ColumnUse::Filter], None, None)),
            ("addr_state", rule(&[ColumnUse::Group], Some(&STATES), None)),
            ("int_rate", rule(&[ColumnUse::Aggregate], None, Some((0, 10_000)))),
        ]),
        policy(vec![
            ("customer", rule(&[ColumnUse::Join], None, None)),
            ("annual_inc", rule(&[ColumnUse::Aggregate], None, Some((0, 1_000_000)))),
        ]),
    ]
}

impl Market {
    pub async fn open() -> Self {
        Self::open_with(Exchange::start(key(5)).await)
    }

    pub fn open_with(exchange: Exchange) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let people = people(1);
        let (mut loans, mut credit) = ("customer,term,addr_state,int_rate\n".to_owned(), "customer,annual_inc\n".to_owned());
        for Person { customer, lender, bureau } in &people {
            if let Some((state, term, rate)) = lender {
                writeln!(loans, "{customer},{term},{state},{}.{:02}", rate / 100, rate % 100).expect("a string");
            }
            if let Some(income) = bureau {
                writeln!(credit, "{customer},{income}").expect("a string");
            }
        }
        let log = NoteSigner::log(ORIGIN, key(6)).expect("a name");
        let participants = [0u8, 1, 2].map(|party| {
            let home = folder.path().join(format!("worker-{party}"));
            fs::create_dir(&home).expect("it is new");
            let path = |name: &str| -> PathBuf { home.join(name) };
            let owner = key(party + 1);
            let worker = KeyFile::generate(&mut ChaCha20Rng::seed_from_u64(party.into()));
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path("worker.key")).expect("new");
            std::io::Write::write_all(&mut file, worker.to_json().as_bytes()).expect("it can be written");
            let grant = WorkerGrant {
                grant_id: GrantId::compose(now(), [party; 10]),
                participant: owner.did(),
                worker: worker.signing.did(),
                witness: worker.witness.did(),
                role: if party < 2 { WorkerRole::Data } else { WorkerRole::Compute },
                not_before: now().plus_ms(-HOUR),
                expires_at: now().plus_ms(HOUR),
            };
            let grant = sign(&grant, &[&owner]);
            fs::write(path("grant.json"), grant.to_json()).expect("it can be written");
            fs::write(path("ca.pem"), &exchange.certificate).expect("it can be written");
            let mut table: toml::Table = toml::from_str(&format!(
                "exchange = '{}'\nexchange_ca = '{}'\nexchange_did = '{}'\nparticipant = '{}'\nlog_key = '{}'\nkey = '{}'\ngrant = '{}'\n\
                 data_dir = '{}'\npeer_listen = '127.0.0.1:0'\ntrust = {:?}",
                exchange.url,
                path("ca.pem").display(),
                exchange.key.did(),
                owner.did(),
                log.public(),
                path("worker.key").display(),
                path("grant.json").display(),
                path("data").display(),
                [1, 2, 3, 4].map(|seed| key(seed).did().to_string()),
            ))
            .expect("it is TOML");
            if party < 2 {
                let name = ["loans", "credit"][usize::from(party)];
                fs::write(path("data.csv"), [&loans, &credit][usize::from(party)]).expect("it can be written");
                fs::write(path("policy.json"), serde_json::to_vec(&policies()[usize::from(party)]).expect("JSON"))
                    .expect("it can be written");
                let dataset =
                    format!("[datasets.{name}]\npath = '{}'\npolicy = '{}'", path("data.csv").display(), path("policy.json").display());
                table.extend(dataset.parse::<toml::Table>().expect("it is TOML"));
            }
            Participant { key: owner, worker, grant, config: table.try_into().expect("every key is known") }
        });
        Self { folder, exchange, participants, consumer: key(4), sealing: SealingSecret::from_bytes(&[8; 32]), people, log }
    }

    /// Starts a party's worker; it runs until the token is cancelled.
    pub fn start(&self, party: usize) -> (CancellationToken, JoinHandle<Result<(), WorkerError>>) {
        let shutdown = CancellationToken::new();
        let child = ChildProgram { program: env!("CARGO_BIN_EXE_entrepot-frames-child").into(), arguments: Vec::new() };
        let worker = entrepot_worker::run_with(self.participants[party].config.clone(), child, shutdown.clone());
        (shutdown, tokio::spawn(worker))
    }

    /// Starts all three workers and waits for their hellos, by party.
    pub async fn start_all(&mut self) -> [Connected; 3] {
        for party in 0..3 {
            self.start(party);
        }
        let mut arrived = Vec::new();
        for _ in 0..3 {
            arrived.push(self.exchange.arrival().await);
        }
        let order = self.participants.each_ref().map(|participant| participant.worker.signing.did());
        arrived.sort_by_key(|connected| order.iter().position(|worker| *worker == connected.worker));
        arrived.try_into().unwrap_or_else(|_| unreachable!("three came"))
    }

    fn did(&self, party: usize) -> Did {
        self.participants[party].key.did()
    }

    /// Has a worker describe its dataset.
    pub async fn describe(&self, party: usize, worker: &mut Connected) -> (DatasetId, DatasetDescription) {
        let dataset_id = DatasetId::compose(Timestamp(1), [party as u8; 10]);
        let name = ["loans", "credit"][party].to_owned();
        worker.say(ToWorkerMessage::DescribeDataset(v1::DescribeDataset { dataset_id: dataset_id.to_string(), name })).await;
        match worker.answer().await {
            FromWorkerMessage::DatasetDescribed(described) => {
                assert_eq!(described.dataset_id, dataset_id.as_str());
                (dataset_id, serde_json::from_slice(&described.description).expect("it is a description"))
            }
            other => panic!("{other:?}"),
        }
    }

    pub async fn product(&self, workers: &mut [Connected; 3]) -> DataProduct {
        let mut tables = Vec::new();
        for (party, policy) in policies().into_iter().enumerate() {
            let (dataset_id, description) = self.describe(party, &mut workers[party]).await;
            tables.push(ProductTable {
                table: ["lender.loans", "bureau.credit"][party].to_owned(),
                dataset_id,
                provider: self.did(party),
                rights: Hash([party as u8; 32]),
                commitment: description.commitment,
                columns: description.columns.into_iter().map(|column| (column.name, column.column)).collect(),
                policy,
            });
        }
        let share = |party, points| SplitShare { participant: self.did(party), share: BasisPoints::new(points).expect("at most all") };
        DataProduct {
            product_id: ProductId::compose(now(), [1; 10]),
            title: "Rates by state".into(),
            tables,
            compute_party: self.did(2),
            exchange: self.exchange.key.did(),
            consumers: BTreeSet::new(),
            price_per_query: Money { amount_minor: 1_001, currency: "EUR".parse().expect("three letters") },
            split: vec![share(0, 5_000), share(1, 4_000), share(2, 1_000)],
            quota_queries: 3,
            issued_at: now(),
            expires_at: now().plus_ms(HOUR),
        }
    }

    /// The consumer's agreement and its order of this number.
    pub fn order(&self, product: &DataProduct, sequence: u64) -> Deal {
        let owners: Vec<_> = self.participants.iter().map(|participant| &participant.key).collect();
        let product_envelope = sign(product, &owners);
        let pins = self.participants.iter().map(|participant| PartyPin {
            participant: participant.key.did(),
            worker: participant.worker.signing.did(),
            grant: participant.grant.statement_hash(),
        });
        let agreement = Agreement {
            agreement_id: AgreementId::compose(Timestamp(1), [1; 10]),
            product: product_envelope.statement_hash(),
            consumer: self.consumer.did(),
            sealing_key: self.sealing.public(),
            exchange: product.exchange.clone(),
            parties: pins.collect(),
            security: Security::SemiHonest,
            price_per_query: product.price_per_query.clone(),
            split: product.split.clone(),
            quota_queries: product.quota_queries,
            issued_at: product.issued_at,
            expires_at: product.expires_at,
        };
        let agreement = sign(&agreement, &[&self.consumer]);
        let order = Order {
            order_id: OrderId::compose(Timestamp(1), [sequence as u8; 10]),
            agreement: agreement.statement_hash(),
            sql: SQL.into(),
            plan: entrepot_mpc_plan::plan(SQL, product).expect("the product allows it").hash(),
            sequence,
            price: product.price_per_query.clone(),
            issued_at: product.issued_at,
            expires_at: product.expires_at,
        };
        let order = sign(&order, &[&self.consumer]);
        self.deal(product.clone(), product_envelope, agreement, order, JobId::compose(Timestamp(1), [sequence as u8; 10]))
    }

    pub fn deal(&self, product: DataProduct, product_envelope: Envelope, agreement: Envelope, order: Envelope, job_id: JobId) -> Deal {
        let hold = Hold {
            job_id: job_id.clone(),
            order: order.statement_hash(),
            agreement: agreement.statement_hash(),
            consumer: self.consumer.did(),
            amount: product.price_per_query.clone(),
            held_at: product.issued_at,
        };
        let hold = sign(&hold, &[&self.exchange.key]);
        Deal { product, product_envelope, agreement, order, hold, job_id }
    }

    pub fn work_order(&self, deal: &Deal, attempt: u32, party: usize, workers: &[Connected; 3]) -> ToWorkerMessage {
        ToWorkerMessage::WorkOrder(v1::WorkOrder {
            job_id: deal.job_id.to_string(),
            attempt,
            party: party as u32,
            product: deal.product_envelope.to_json(),
            agreement: deal.agreement.to_json(),
            order: deal.order.to_json(),
            hold: deal.hold.to_json(),
            grants: self.participants.iter().map(|participant| participant.grant.to_json()).collect(),
            peer_addresses: workers.iter().map(|worker| worker.peer_address.clone()).collect(),
            deadline_ms: now().plus_ms(60_000).0,
        })
    }

    pub async fn dispatch(&self, deal: &Deal, attempt: u32, workers: &[Connected; 3]) {
        for (party, worker) in workers.iter().enumerate() {
            worker.say(self.work_order(deal, attempt, party, workers)).await;
        }
    }

    pub fn release(&self, deal: &Deal, receipts: &[Envelope], signer: &SigningKey) -> Vec<u8> {
        let amount = |minor| Money { amount_minor: minor, currency: deal.product.price_per_query.currency.clone() };
        let split = [501, 400, 100].into_iter().enumerate();
        let release = Release {
            job_id: deal.job_id.clone(),
            order: deal.order.statement_hash(),
            hold: deal.hold.statement_hash(),
            receipts: receipts.iter().map(Envelope::statement_hash).collect(),
            amount: deal.product.price_per_query.clone(),
            split: split.map(|(party, minor)| SplitAmount { participant: self.did(party), amount: amount(minor) }).collect(),
            split_rule: rule_digest(&deal.agreement.statement_hash(), &deal.product.split),
            released_at: now(),
        };
        sign(&release, &[signer]).to_json()
    }
}

/// Everything of an order, signed.
pub struct Deal {
    pub product: DataProduct,
    pub product_envelope: Envelope,
    pub agreement: Envelope,
    pub order: Envelope,
    pub hold: Envelope,
    pub job_id: JobId,
}
