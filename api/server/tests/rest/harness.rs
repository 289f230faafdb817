//! An exchange with a clock that tests move, and participants with keys that speak to it.

use crate::memory_log::MemoryLog;
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entrepot_api_server::{AppState, ambient::SystemEntropy, router, workforce::Registry};
use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Hash, Money, SealingSecret, SigningKey, Statement, Timestamp,
    ids::{DatasetId, GrantId, ProductId},
    statements::{
        ColumnDescription, ColumnKind, ColumnProfile, ColumnRule, ColumnUse, DataProduct, DatasetDescription, DatasetPolicy,
        ParticipantEnrolment, ProductTable, Right, RightsRecord, RightsRegistration, Role, SplitShare, WorkerGrant, WorkerRole,
    },
};
use entrepot_exchange_domain::{Clock, job::JobLimits};
use entrepot_exchange_market::{Bell, Market, dataset, participant};
use entrepot_exchange_store::Store;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub const BEGIN: Timestamp = Timestamp(1_800_000_000_000);
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A clock that stands still until it is moved.
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

/// A participant's keys.
pub struct Person {
    pub key: SigningKey,
    pub worker: SigningKey,
    pub witness: SigningKey,
    seed: u8,
    roles: Vec<Role>,
}

impl Person {
    pub fn new(seed: u8, roles: &[Role]) -> Self {
        let key = |purpose: u8| SigningKey::from_seed(&[seed.wrapping_mul(8).wrapping_add(purpose); 32]);
        Self { key: key(1), worker: key(2), witness: key(3), seed, roles: roles.to_vec() }
    }

    pub fn did(&self) -> Did {
        self.key.did()
    }

    pub fn enrolment(&self) -> ParticipantEnrolment {
        ParticipantEnrolment {
            participant: self.did(),
            name: format!("Participant {}", self.seed),
            roles: self.roles.clone(),
            sealing_key: SealingSecret::from_bytes(&[self.seed; 32]).public(),
            issued_at: BEGIN,
        }
    }

    pub fn grant(&self, role: WorkerRole) -> WorkerGrant {
        WorkerGrant {
            grant_id: GrantId::compose(BEGIN, [self.seed; 10]),
            participant: self.did(),
            worker: self.worker.did(),
            witness: self.witness.did(),
            role,
            not_before: BEGIN,
            expires_at: BEGIN.plus_ms(30 * DAY_MS),
        }
    }

    pub fn sign<S: Statement>(&self, statement: &S) -> Envelope {
        Envelope::sign(statement, &self.key, [self.seed; 32]).expect("it signs")
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Asserts a problem of this status and code, in full dress.
    #[track_caller]
    pub fn expect_problem(self, status: StatusCode, code: &str) -> Value {
        assert_eq!(self.headers.get("content-type").map(|value| value.as_bytes()), Some(&b"application/problem+json"[..]), "{self:?}");
        let problem = self.json();
        assert_eq!((self.status, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert_eq!(problem["status"], status.as_u16());
        assert_eq!(problem["type"], format!("urn:entrepot:problem:{code}"));
        assert_eq!(problem["request_id"].as_str(), self.headers.get("x-request-id").and_then(|id| id.to_str().ok()));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        problem
    }
}

/// Sends a request and reads the answer to its end.
pub async fn send(router: &Router, request: Request<Body>) -> Reply {
    let response = router.clone().oneshot(request).await.expect("the router never fails");
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
    Reply { status: parts.status, headers: parts.headers, body }
}

/// An exchange.
pub struct TestExchange {
    pub router: Router,
    pub market: Arc<Market>,
    pub clock: Arc<HandClock>,
    /// Holds nothing until a test anchors.
    pub log: Arc<MemoryLog>,
    pub operator: Person,
    /// Ends streams.
    pub stop: CancellationToken,
    keys: AtomicU64,
    _folder: TempDir,
}

impl TestExchange {
    /// With its first operator.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(HandClock(AtomicI64::new(BEGIN.0)));
        let log = Arc::new(MemoryLog::default());
        let market = Arc::new(Market {
            store: Store::open(&folder.path().join("exchange.db")).await.expect("a store"),
            clock: clock.clone(),
            entropy: Arc::new(SystemEntropy),
            exchange: Arc::new(SigningKey::from_seed(&[250; 32])),
            notary: log.clone(),
            workforce: Arc::new(Registry::default()),
            job_limits: JobLimits::default(),
            bell: Bell::default(),
        });
        let operator = Person::new(0, &[Role::Operator]);
        participant::bootstrap_operator(&market, &operator.sign(&operator.enrolment())).await.expect("an operator");
        let stop = CancellationToken::new();
        let app = AppState::new(market.clone(), stop.clone()).expect("a sound state");
        Self { router: router::router(app), market, clock, log, operator, stop, keys: AtomicU64::new(0), _folder: folder }
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        send(&self.router, request).await
    }

    pub fn fresh_key(&self) -> String {
        format!("test-key-{}", self.keys.fetch_add(1, Ordering::Relaxed))
    }

    /// An access token of an approved participant.
    pub async fn token(&self, person: &Person) -> String {
        let reply = self.ask_token(&self.assertion(person, &self.fresh_key())).await;
        reply.expect(StatusCode::OK)["access_token"].as_str().expect("a token").to_owned()
    }

    pub async fn ask_token(&self, assertion: &str) -> Reply {
        let form = format!(
            "grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion={assertion}"
        );
        let request = Request::post("/v1/token").header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form)).expect("a request")).await
    }

    /// Claims of a good assertion.
    pub fn assertion_claims(&self, person: &Person, jti: &str) -> Value {
        let now = self.clock.now().0 / 1000;
        json!({ "iss": person.did(), "sub": person.did(), "aud": self.market.exchange_did(), "iat": now, "exp": now + 60, "jti": jti })
    }

    pub fn assertion(&self, person: &Person, jti: &str) -> String {
        jwt(&json!({ "alg": "EdDSA", "typ": "JWT" }), &self.assertion_claims(person, jti), &person.key)
    }

    pub async fn get(&self, person: &Person, path: &str) -> Reply {
        let token = self.token(person).await;
        let request = Request::get(path).header("authorization", format!("Bearer {token}"));
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    pub async fn post(&self, person: &Person, path: &str, body: &Value) -> Reply {
        self.post_with_key(person, path, body, &self.fresh_key()).await
    }

    pub async fn post_with_key(&self, person: &Person, path: &str, body: &Value, key: &str) -> Reply {
        let token = self.token(person).await;
        let request = Request::post(path)
            .header("authorization", format!("Bearer {token}"))
            .header("idempotency-key", key)
            .header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// A POST without a token, as an enrolment is.
    pub async fn post_anonymously(&self, path: &str, body: &Value) -> Reply {
        let request = Request::post(path).header("idempotency-key", self.fresh_key()).header("content-type", "application/json");
        self.send(request.body(Body::from(body.to_string())).expect("a request")).await
    }

    /// Enrols and approves.
    pub async fn admit(&self, person: &Person) {
        let envelope = person.sign(&person.enrolment());
        self.post_anonymously("/v1/participants", &json!({ "envelope": envelope })).await.expect(StatusCode::ACCEPTED);
        let path = format!("/v1/participants/{}/approval", person.did());
        self.post(&self.operator, &path, &json!({})).await.expect(StatusCode::OK);
    }

    /// Submits the person's grant for its worker.
    pub async fn grant(&self, person: &Person, role: WorkerRole) {
        let envelope = person.sign(&person.grant(role));
        self.post(person, "/v1/worker-grants", &json!({ "envelope": envelope })).await.expect(StatusCode::CREATED);
    }

    /// An admitted provider with a data worker.
    pub async fn provider(&self, seed: u8) -> Person {
        let person = Person::new(seed, &[Role::Provider]);
        self.admit(&person).await;
        self.grant(&person, WorkerRole::Data).await;
        person
    }

    /// An admitted compute party with a worker.
    pub async fn compute_party(&self, seed: u8) -> Person {
        let person = Person::new(seed, &[Role::ComputeParty]);
        self.admit(&person).await;
        self.grant(&person, WorkerRole::Compute).await;
        person
    }

    /// An admitted consumer.
    pub async fn consumer(&self, seed: u8) -> Person {
        let person = Person::new(seed, &[Role::Consumer]);
        self.admit(&person).await;
        person
    }

    /// A dataset that the worker has described.
    pub async fn described(&self, provider: &Person, name: &str) -> DatasetId {
        let body = json!({ "name": name, "worker": provider.worker.did() });
        let asked = self.post(provider, "/v1/datasets", &body).await.expect(StatusCode::ACCEPTED);
        let id: DatasetId = asked["dataset_id"].as_str().expect("an id").parse().expect("an id");
        dataset::record_description(&self.market, &id, &provider.worker.did(), Ok(description(provider.seed))).await.expect("kept");
        id
    }

    pub fn rights(&self, provider: &Person, name: &str, id: &DatasetId) -> RightsRegistration {
        RightsRegistration {
            dataset_id: id.clone(),
            name: name.to_owned(),
            holder: provider.did(),
            right: Right::Hold,
            record: RightsRecord::Initial,
            worker: provider.worker.did(),
            description: description(provider.seed),
            issued_at: BEGIN,
        }
    }

    /// A dataset whose right is registered, and the registration's statement hash.
    pub async fn registered(&self, provider: &Person, name: &str) -> (DatasetId, Hash) {
        let id = self.described(provider, name).await;
        let envelope = provider.sign(&self.rights(provider, name, &id));
        let path = format!("/v1/datasets/{id}/rights");
        self.post(provider, &path, &json!({ "envelope": envelope })).await.expect(StatusCode::CREATED);
        (id, envelope.statement_hash())
    }

    /// Two providers with registered datasets, a compute party, and a product of theirs that nobody has signed.
    pub async fn cast(&self) -> Cast {
        let (lender, bureau, compute) = (self.provider(1).await, self.provider(2).await, self.compute_party(3).await);
        let loans = self.registered(&lender, "loans").await;
        let credit = self.registered(&bureau, "credit").await;
        let share = |who: &Person, points| SplitShare { participant: who.did(), share: BasisPoints::new(points).expect("a share") };
        let product = DataProduct {
            product_id: ProductId::compose(BEGIN, [1; 10]),
            title: "Default rate by state".to_owned(),
            tables: vec![table("lender.loans", &lender, loans, &compute), table("bureau.credit", &bureau, credit, &compute)],
            compute_party: compute.did(),
            exchange: self.market.exchange_did(),
            consumers: BTreeSet::new(),
            price_per_query: Money { amount_minor: 5000, currency: "EUR".parse().expect("a currency") },
            split: vec![share(&lender, 4500), share(&bureau, 4500), share(&compute, 1000)],
            quota_queries: 10,
            issued_at: BEGIN,
            expires_at: BEGIN.plus_ms(20 * DAY_MS),
        };
        Cast { lender, bureau, compute, product }
    }
}

/// Everyone whom a product binds, and the product.
pub struct Cast {
    pub lender: Person,
    pub bureau: Person,
    pub compute: Person,
    pub product: DataProduct,
}

impl Cast {
    /// The product with everybody's signature.
    pub fn signed(&self) -> Envelope {
        let mut envelope = self.lender.sign(&self.product);
        envelope.countersign(&self.bureau.key).expect("it signs");
        envelope.countersign(&self.compute.key).expect("it signs");
        envelope
    }
}

/// What the worker of `seed` says of its data.
pub fn description(seed: u8) -> DatasetDescription {
    let column = |name: &str| ColumnDescription {
        name: name.to_owned(),
        column: ColumnKind::Text,
        profile: ColumnProfile { distinct: 50, low: None, high: None },
    };
    DatasetDescription { rows: 9800, columns: vec![column("customer"), column("state")], commitment: Hash([seed; 32]) }
}

fn table(name: &str, provider: &Person, (dataset_id, rights): (DatasetId, Hash), compute: &Person) -> ProductTable {
    let rule = |uses: &[ColumnUse], domain: Option<&[&str]>| ColumnRule {
        uses: uses.iter().copied().collect(),
        domain: domain.map(|values| values.iter().map(|value| (*value).to_owned()).collect()),
        bounds: None,
    };
    ProductTable {
        table: name.to_owned(),
        dataset_id,
        provider: provider.did(),
        rights,
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

/// A JWT with any header and claims.
pub fn jwt(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    format!("{message}.{signature}")
}
