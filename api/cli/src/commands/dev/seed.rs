//! Fills the sample market, step by step, as its participants would.

use super::{
    Arguments,
    cast::{Cast, Member},
    processes::Processes,
    validators,
};
use crate::{
    client::Client,
    commands::{
        admin, serve,
        trust::{self, Exchange},
    },
    exit::{ExitCode, Failure},
    files,
    output::Output,
};
use entrepot_chain_log::TrustFile;
use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Money, Statement, ids,
    key::KeyFile,
    statements::{
        DataProduct, DatasetDescription, DatasetPolicy, ParticipantEnrolment, ProductTable, Right, RightsRecord, RightsRegistration, Role,
        SplitShare, WorkerGrant, WorkerRole,
    },
};
use rand_core::OsRng;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    str::FromStr,
    time::Duration,
};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a seeding step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// ISO 4217's code for testing.
const CURRENCY: &str = "XTS";

/// Signed-in clients of the participants.
pub struct Market {
    operator: Client,
    lender: Client,
    bureau: Client,
    compute: Client,
}

pub async fn start_exchange(
    arguments: &Arguments,
    home: &Path,
    cast: &Cast,
    processes: &mut Processes,
    output: &Output,
) -> Result<Exchange, Failure> {
    output.step("Starting the exchange");
    let data_dir = home.join("exchange");
    let enrolment = envelope(&enrolment(&cast.operator), &cast.operator.key)?;
    let enrolment_path = cast.operator.home.join("enrolment.json");
    files::write_public(&enrolment_path, &enrolment.to_json())?;
    let config = match arguments.validators {
        1 => None,
        count => Some(validators::start(count, home, &data_dir, cast, processes, output).await?),
    };
    admin::bootstrap(&serve::Settings::of(Some(&data_dir), config.as_deref())?, &enrolment_path).await?;
    let text = |path: &Path| path.display().to_string();
    let (data_dir_text, config) = (text(&data_dir), config.as_deref().map(text));
    let mut command = vec!["serve", "--data-dir", &data_dir_text];
    command.extend(["--rest-listen", &arguments.rest_listen, "--grpc-listen", &arguments.grpc_listen]);
    command.extend(config.iter().flat_map(|config| ["--founding", "--config", config]));
    processes.start("exchange", &command)?;
    let path = data_dir.join("exchange.json");
    processes.wait_for_file("exchange", &path).await?;
    Exchange::read(&path)
}

pub async fn enrol(exchange: &Exchange, cast: &Cast, output: &Output) -> Result<Market, Failure> {
    output.step("Enrolling the participants; the operator approves them");
    let public = Client::new(&exchange.rest, None)?;
    let operator = Client::new(&exchange.rest, None)?.sign_in(exchange.did.as_str(), &cast.operator.key).await?;
    for member in cast.enrolling() {
        let signed = envelope(&enrolment(member), &member.key)?;
        public.post("/v1/participants", &json!({"envelope": signed})).await?;
        operator.post(&format!("/v1/participants/{}/approval", member.did()), &json!({})).await?;
    }
    let sign_in = |member: &Member| {
        let key = files::read_key(&member.home.join("key.json"));
        async move { Client::new(&exchange.rest, None)?.sign_in(exchange.did.as_str(), &key?).await }
    };
    Ok(Market {
        operator,
        lender: sign_in(&cast.lender).await?,
        bureau: sign_in(&cast.bureau).await?,
        compute: sign_in(&cast.compute).await?,
    })
}

pub async fn start_workers(
    arguments: &Arguments,
    home: &Path,
    cast: &Cast,
    exchange: &Exchange,
    market: &Market,
    processes: &mut Processes,
    output: &Output,
) -> Result<Vec<WorkerGrant>, Failure> {
    output.step("Granting and starting three workers");
    let mut grants = Vec::new();
    let sessions = [&market.lender, &market.bureau, &market.compute];
    let names = ["worker-lender", "worker-bureau", "worker-compute"];
    for (((member, client), name), peer_listen) in cast.working().into_iter().zip(sessions).zip(names).zip(free_addresses::<3>()?) {
        let folder = home.join(name);
        let key = KeyFile::generate(&mut OsRng);
        files::write_secret(&folder.join("key.json"), key.to_json().as_bytes())?;
        let role = if member.role == Role::Provider { WorkerRole::Data } else { WorkerRole::Compute };
        let now = files::now();
        let grant = WorkerGrant {
            grant_id: ids::GrantId::compose(now, files::random()),
            participant: member.did(),
            worker: key.signing.did(),
            witness: key.witness.did(),
            role,
            not_before: now,
            expires_at: now.plus_ms(30 * DAY_MS),
        };
        let signed = envelope(&grant, &member.key)?;
        files::write_public(&folder.join("grant.json"), &signed.to_json())?;
        client.post("/v1/worker-grants", &json!({"envelope": signed})).await?;
        let configuration = worker_configuration(arguments, &folder, member, cast, exchange, peer_listen)?;
        let path = folder.join("worker.toml");
        files::write_public(&path, configuration.to_string().as_bytes())?;
        processes.start(name, &["work", "--config", &path.display().to_string()])?;
        grants.push(grant);
    }
    Ok(grants)
}

fn worker_configuration(
    arguments: &Arguments,
    folder: &Path,
    member: &Member,
    cast: &Cast,
    exchange: &Exchange,
    peer_listen: SocketAddr,
) -> Result<toml::Table, Failure> {
    let trust: Vec<String> = cast.enrolling().iter().filter(|m| m.role != Role::Regulator).map(|m| m.did().to_string()).collect();
    let path = |name: &str| folder.join(name).display().to_string();
    let mut table = toml::Table::new();
    for (key, value) in [
        ("exchange", exchange.grpc.clone()),
        ("exchange_ca", exchange.grpc_ca.clone()),
        ("exchange_did", exchange.did.to_string()),
        ("log_key", exchange.log_key.to_string()),
        ("participant", member.did().to_string()),
        ("key", path("key.json")),
        ("grant", path("grant.json")),
        ("data_dir", path("state")),
        ("peer_listen", peer_listen.to_string()),
    ] {
        table.insert(key.to_owned(), value.into());
    }
    table.insert("trust".to_owned(), trust.into());
    if let Some((name, file)) = dataset_of(member) {
        let policy = policy(arguments, member, cast)?;
        let text = serde_json::to_string_pretty(&policy).map_err(anyhow::Error::from)?;
        files::write_public(&folder.join("policy.json"), text.as_bytes())?;
        let data = fs::canonicalize(arguments.samples.join(file)).map_err(|error| {
            Failure::bad_input(format!("{}/{file}: {error}; name the folder with --samples", arguments.samples.display()))
        })?;
        let mut dataset = toml::Table::new();
        dataset.insert("path".to_owned(), data.display().to_string().into());
        dataset.insert("policy".to_owned(), path("policy.json").into());
        let datasets: toml::Table = [(name.to_owned(), dataset.into())].into_iter().collect();
        table.insert("datasets".to_owned(), datasets.into());
    }
    Ok(table)
}

/// Addresses that were free a moment ago. Fixed, so that a worker that is started again is found where it was.
pub fn free_addresses<const N: usize>() -> Result<[SocketAddr; N], Failure> {
    // All at once, so that no address comes twice.
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0"));
    let addresses = listeners.iter().map(|listener| listener.as_ref().ok()?.local_addr().ok()).collect::<Option<Vec<_>>>();
    addresses
        .and_then(|found| found.try_into().ok())
        .ok_or_else(|| Failure::new(ExitCode::Failed, "there are no free ports on this machine"))
}

/// The dataset's name and file of a provider.
fn dataset_of(member: &Member) -> Option<(&'static str, &'static str)> {
    match member.short {
        "lender" => Some(("loans", "lender.csv")),
        "bureau" => Some(("credit", "bureau.csv")),
        _ => None,
    }
}

fn policy(arguments: &Arguments, member: &Member, cast: &Cast) -> Result<DatasetPolicy, Failure> {
    let path = arguments.samples.join("policies").join(format!("{}.json", member.short));
    let mut policy: DatasetPolicy =
        serde_json::from_slice(&files::read(&path)?).map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))?;
    policy.compute_parties = BTreeSet::from([cast.compute.did()]);
    Ok(policy)
}

pub async fn offer(
    arguments: &Arguments,
    cast: &Cast,
    exchange: &Exchange,
    market: &Market,
    grants: &[WorkerGrant],
    output: &Output,
) -> Result<String, Failure> {
    let mut tables = Vec::new();
    for ((member, client), grant) in [(&cast.lender, &market.lender), (&cast.bureau, &market.bureau)].into_iter().zip(grants) {
        let policy = policy(arguments, member, cast)?;
        tables.push(register(member, client, grant, policy, output).await?);
    }
    output.step("Publishing a product, signed by lender, bureau and compute party");
    let now = files::now();
    let share = |member: &Member, points| SplitShare { participant: member.did(), share: points };
    let points = |n| BasisPoints::new(n).ok_or_else(|| Failure::bad_input("a share of the split is too large"));
    let product = DataProduct {
        product_id: ids::ProductId::compose(now, files::random()),
        title: "Loans with credit history".to_owned(),
        tables,
        compute_party: cast.compute.did(),
        exchange: exchange.did.clone(),
        consumers: BTreeSet::new(),
        price_per_query: money(2_500)?,
        split: vec![share(&cast.lender, points(4_500)?), share(&cast.bureau, points(4_500)?), share(&cast.compute, points(1_000)?)],
        quota_queries: 100,
        issued_at: now,
        expires_at: now.plus_ms(30 * DAY_MS),
    };
    let signed = envelope(&product, &cast.lender.key)?;
    market.lender.post("/v1/products", &json!({"envelope": signed})).await?;
    for (member, client) in [(&cast.bureau, &market.bureau), (&cast.compute, &market.compute)] {
        let mut countersigned = signed.clone();
        countersigned.countersign(&member.key.signing).map_err(Failure::bad_input)?;
        client.post(&format!("/v1/products/{}/signatures", product.product_id), &json!({"envelope": countersigned})).await?;
    }
    Ok(product.product_id.to_string())
}

async fn register(
    member: &Member,
    client: &Client,
    grant: &WorkerGrant,
    policy: DatasetPolicy,
    output: &Output,
) -> Result<ProductTable, Failure> {
    let (name, _) = dataset_of(member).ok_or_else(|| Failure::bad_input("no dataset"))?;
    output.step(&format!("Registering {}.{name}: its worker describes it, {} approves and signs", member.short, member.name));
    let accepted = client.post("/v1/datasets", &json!({"name": name, "worker": grant.worker})).await?;
    let id = field(&accepted, "dataset_id")?;
    let described = wait_for(client, &format!("/v1/datasets/{id}"), "described").await?;
    let description: DatasetDescription =
        serde_json::from_value(described["description"].clone()).map_err(|error| Failure::bad_input(format!("description: {error}")))?;
    let rights = RightsRegistration {
        dataset_id: ids::DatasetId::from_str(&id).map_err(Failure::bad_input)?,
        name: name.to_owned(),
        holder: member.did(),
        right: Right::Hold,
        record: RightsRecord::Initial,
        worker: grant.worker.clone(),
        description: description.clone(),
        issued_at: files::now(),
    };
    let dataset_id = rights.dataset_id.clone();
    let signed = envelope(&rights, &member.key)?;
    client.post(&format!("/v1/datasets/{id}/rights"), &json!({"envelope": signed})).await?;
    wait_for(client, &format!("/v1/datasets/{id}"), "certified").await?;
    Ok(ProductTable {
        table: format!("{}.{name}", member.short),
        dataset_id,
        provider: member.did(),
        rights: signed.statement_hash(),
        commitment: description.commitment,
        columns: description.columns.into_iter().map(|column| (column.name, column.column)).collect(),
        policy,
    })
}

pub async fn credit(cast: &Cast, market: &Market, output: &Output) -> Result<(), Failure> {
    output.step("The operator issues test credit to the consumer");
    let body = json!({"participant": cast.consumer.did(), "money": money(100_000)?});
    market.operator.post("/v1/credits", &body).await.map(drop)
}

/// The trust file of everyone here: keys known beforehand, because all of them were made here.
pub fn trust(cast: &Cast, exchange: &Exchange, grants: &[WorkerGrant]) -> Result<TrustFile, Failure> {
    let participants: Vec<Did> = cast.enrolling().iter().map(|member| member.did()).collect();
    trust::compose(exchange, &participants, grants, None)
}

async fn wait_for(client: &Client, path: &str, state: &str) -> Result<Value, Failure> {
    let deadline = tokio::time::Instant::now() + STEP_TIMEOUT;
    loop {
        let document = client.get(path).await?;
        match document["state"].as_str() {
            Some(found) if found == state => return Ok(document),
            Some("refused") => return Err(Failure::new(ExitCode::Refused, format!("{path} was refused: {document}"))),
            _ if tokio::time::Instant::now() > deadline => {
                return Err(Failure::new(ExitCode::Failed, format!("{path} did not become {state}: {document}")));
            }
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn enrolment(member: &Member) -> ParticipantEnrolment {
    ParticipantEnrolment {
        participant: member.did(),
        name: member.name.to_owned(),
        roles: vec![member.role],
        sealing_key: member.key.sealing.public(),
        issued_at: files::now(),
    }
}

fn envelope<S: Statement>(statement: &S, key: &KeyFile) -> Result<Envelope, Failure> {
    Envelope::sign(statement, &key.signing, files::random()).map_err(Failure::bad_input)
}

fn money(amount_minor: i64) -> Result<Money, Failure> {
    Ok(Money { amount_minor, currency: CURRENCY.parse().map_err(Failure::bad_input)? })
}

fn field(document: &Value, name: &str) -> Result<String, Failure> {
    let text = document[name].as_str().ok_or_else(|| Failure::new(ExitCode::Failed, format!("the exchange's answer has no `{name}`")))?;
    Ok(text.to_owned())
}
