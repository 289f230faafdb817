//! `entrepot serve`: the exchange in one process.

use crate::{
    adapters::{FolderBackups, NodeNotary},
    commands::dev::stop_signal,
    exchange_keys::ExchangeKeys,
    exit::{ExitCode, Failure, Outcome},
    output::Output,
    settings, tracing_setup,
};
use clap::Args;
use entrepot_api_server::{
    AppState,
    ambient::{SystemClock, SystemEntropy},
    backup, router, serve, tls,
    workforce::{self, Registry},
};
use entrepot_chain_node::{Node, NodeConfig, NodeKeys, SoleMember};
use entrepot_chain_statement::SigningKey;
use entrepot_exchange_domain::{Clock, job::JobLimits};
use entrepot_exchange_market::{
    Bell, Market, anchoring,
    dataset::DatasetListener,
    jobs::JobDriver,
    witnesses::{self, WitnessListener},
    workforce::WorkerListener,
};
use entrepot_exchange_store::Store;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long what is under way may take to end after a stop signal.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Arguments {
    /// A TOML file with the settings below, in snake case.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of keys, database and chain; made at the first start.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where REST listens [default: 127.0.0.1:8080]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    rest_listen: Option<String>,
    /// Where workers dial in [default: 127.0.0.1:8081]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    grpc_listen: Option<String>,
    /// Read and check the settings, then stop.
    #[arg(long)]
    check_config: bool,
}

/// The settings, merged.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of keys, database and chain.
    pub data_dir: PathBuf,
    /// Where REST listens.
    #[serde(default = "rest_default")]
    pub rest_listen: SocketAddr,
    /// Where workers dial in.
    #[serde(default = "grpc_default")]
    pub grpc_listen: SocketAddr,
    /// Host names and addresses in the control plane's own certificate, made at the first start.
    #[serde(default = "names_default")]
    pub grpc_names: Vec<String>,
    /// TLS for REST; plain HTTP without it, which belongs behind a proxy or on one machine.
    pub rest_tls: Option<RestTls>,
    /// The channel whose log receipts go to.
    #[serde(default = "channel_default")]
    pub channel: String,
}

/// PEM files for REST.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestTls {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

fn rest_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn grpc_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8081))
}

fn names_default() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

fn channel_default() -> String {
    "main".to_owned()
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let mut flags = toml::Table::new();
        if let Some(data_dir) = &self.data_dir {
            flags.insert("data_dir".to_owned(), data_dir.display().to_string().into());
        }
        for (name, value) in [("rest_listen", &self.rest_listen), ("grpc_listen", &self.grpc_listen)] {
            if let Some(value) = value {
                flags.insert(name.to_owned(), value.clone().into());
            }
        }
        let settings: Settings = settings::load(self.config.as_deref(), flags)?;
        let named = |text: &str| {
            !text.is_empty() && text.len() <= 63 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !named(&settings.channel) {
            return Err(Failure::bad_input("`channel` is a name of 1 to 63 characters of a-z, 0-9 and -"));
        }
        Ok(settings)
    }
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    let settings = arguments.settings()?;
    if arguments.check_config {
        if let Some(pem) = &settings.rest_tls {
            tls::server_config(&pem.certificate, &pem.key).map_err(Failure::bad_input)?;
        }
        output.result("the configuration is valid", &json!({"valid": true}));
        return Ok(());
    }
    tracing_setup::start(output.json);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stop_signal().await;
        stopping.cancel();
    });
    let exchange = Exchange::open(&settings).await?;
    exchange.run(&settings, stop).await
}

/// An open exchange: everything but its listeners.
pub struct Exchange {
    keys: ExchangeKeys,
    pub market: Arc<Market>,
    node: Node,
    registry: Arc<Registry>,
}

impl Exchange {
    /// Opens keys, database and chain of a data folder; makes what is missing.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        fs::create_dir_all(&settings.data_dir)
            .map_err(|error| Failure::bad_input(format!("cannot make {}: {error}", settings.data_dir.display())))?;
        let keys = ExchangeKeys::open(&settings.data_dir, &settings.grpc_names)?;
        let copy = |key: &SigningKey| SigningKey::from_seed(&key.seed());
        let node = Node::open(
            node_config(settings),
            NodeKeys { log: copy(&keys.log.signing), cosigning: copy(&keys.exchange.witness) },
            SoleMember::default(),
        )
        .map_err(anyhow::Error::from)?;
        let store = Store::open(&database(&settings.data_dir)).await.map_err(anyhow::Error::from)?;
        let registry = Arc::new(Registry::default());
        let market = Arc::new(Market {
            store,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            exchange: Arc::new(copy(&keys.exchange.signing)),
            notary: Arc::new(NodeNotary::new(node.clone(), copy(&keys.exchange.signing))),
            workforce: registry.clone(),
            job_limits: JobLimits::default(),
            bell: Bell::default(),
        });
        Ok(Self { keys, market, node, registry })
    }

    /// Listens, drives jobs, anchors, gathers cosignatures, until `stop`.
    async fn run(self, settings: &Settings, stop: CancellationToken) -> Outcome {
        let rest_tls = settings.rest_tls.as_ref().map(|pem| tls::server_config(&pem.certificate, &pem.key)).transpose();
        let rest_tls = rest_tls.map_err(Failure::bad_input)?;
        let scheme = if rest_tls.is_some() { "https" } else { "http" };
        let rest = listen(settings.rest_listen, "rest_listen").await?;
        let grpc = listen(settings.grpc_listen, "grpc_listen").await?;
        let description = self.describe(settings, scheme, &rest, &grpc)?;
        let app = AppState::new(self.market.clone()).map_err(anyhow::Error::from)?;
        let driver = Arc::new(JobDriver::new(self.market.clone()));
        let listeners: Vec<Arc<dyn WorkerListener>> =
            vec![Arc::new(DatasetListener::new(self.market.clone())), driver.clone(), Arc::new(WitnessListener::new(self.market.clone()))];
        let tasks = TaskTracker::new();
        let backups = FolderBackups::new(&settings.data_dir, &database(&settings.data_dir), self.market.store.clone(), self.node.clone());
        let routes = backup::attach(router::router(app), Arc::new(backups));
        tasks.spawn(serve::serve(rest, routes, rest_tls, serve::Patience::default(), stop.clone()));
        let (market, certificate, key) = (self.market.clone(), self.keys.grpc_certificate.clone(), self.keys.grpc_key.clone());
        let (registry, grpc_stop) = (self.registry.clone(), stop.clone());
        tasks.spawn(async move {
            if let Err(error) = workforce::serve(grpc, &certificate, &key, market, registry, listeners, grpc_stop.clone()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "the control plane failed");
                grpc_stop.cancel();
            }
        });
        until(&tasks, &stop, async move { driver.run().await });
        let market = self.market.clone();
        until(&tasks, &stop, async move { anchoring::run(&market).await });
        let market = self.market.clone();
        until(&tasks, &stop, async move { witnesses::run(&market).await });
        self.publish(settings, &description)?;
        tracing::info!(rest = %description["rest"], grpc = %description["grpc"], exchange = %self.market.exchange_did(), "the exchange is open");
        let failure = self.watch(&stop).await;
        tasks.close();
        if tokio::time::timeout(STOP_TIMEOUT, tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        self.close().await;
        tracing::info!("the exchange is closed");
        failure
    }

    /// Lets go of database and chain.
    pub async fn close(&self) {
        self.node.close().await;
        self.market.store.close().await;
    }

    /// Waits for `stop`; a chain that can no longer write ends the process instead of serving without evidence.
    async fn watch(&self, stop: &CancellationToken) -> Outcome {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    if let Some(why) = self.node.failure() {
                        stop.cancel();
                        return Err(Failure::new(ExitCode::Failed, format!("the chain stopped: {why}")));
                    }
                }
            }
        }
    }

    /// What others must know beforehand to trust this exchange: its identity, its log, its certificate.
    fn describe(&self, settings: &Settings, scheme: &str, rest: &TcpListener, grpc: &TcpListener) -> Result<Value, Failure> {
        let port = |listener: &TcpListener| listener.local_addr().map_err(anyhow::Error::from);
        let certificate = fs::canonicalize(&self.keys.grpc_certificate).map_err(anyhow::Error::from)?;
        Ok(json!({
            "did": self.market.exchange_did(),
            "rest": format!("{scheme}://{}", port(rest)?),
            "grpc": format!("https://{}", port(grpc)?),
            "grpc_ca": certificate,
            "origin": origin(settings),
            "log_key": self.node.log_vkey().to_string(),
            "validator": self.node.validator_vkey().to_string(),
        }))
    }

    /// Renamed into place once the listeners are open: whoever waits for the file can connect.
    fn publish(&self, settings: &Settings, description: &Value) -> Outcome {
        let path = settings.data_dir.join("exchange.json");
        let partial = settings.data_dir.join("exchange.json.partial");
        let text = serde_json::to_string_pretty(description).map_err(anyhow::Error::from)?;
        fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path)).map_err(anyhow::Error::from)?;
        Ok(())
    }
}

fn until(tasks: &TaskTracker, stop: &CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    let stop = stop.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    });
}

async fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::bad_input(format!("cannot listen on {address} ({setting}): {error}; choose another port, or 0 for a free one"))
    })
}

/// The log's name.
fn origin(settings: &Settings) -> String {
    format!("entrepot/{}", settings.channel)
}

/// The database file of a data folder.
pub fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("exchange.sqlite")
}

/// Where and what this exchange's node is.
pub fn node_config(settings: &Settings) -> NodeConfig {
    NodeConfig { path: settings.data_dir.join("chain"), origin: origin(settings), clock: Arc::new(|| SystemClock.now()) }
}

/// The settings of a data folder without its configuration file: for tools that look after it.
pub fn settings_of(data_dir: &Path, config: Option<&Path>) -> Result<Settings, Failure> {
    let flags = [("data_dir".to_owned(), data_dir.display().to_string().into())].into_iter().collect();
    settings::load(config, flags)
}
