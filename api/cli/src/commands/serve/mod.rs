//! `entrepot serve`: the exchange in one process.

mod settings;
mod tasks;

pub use settings::{RestTls, Settings};

use crate::{
    adapters::{FolderBackups, NodeNotary, served},
    channels::{self, Channels, Ends, Founded},
    commands::dev::stop_signal,
    exchange_keys::ExchangeKeys,
    exit::{Failure, Outcome},
    files,
    output::Output,
    tracing_setup,
};
use clap::Args;
use entrepot_api_server::{
    AppState,
    ambient::{SystemClock, SystemEntropy},
    backup,
    chain::Submissions,
    channels as routes_of, router, serve, tls,
    workforce::{self, Registry},
};
use entrepot_chain_statement::SigningKey;
use entrepot_exchange_market::{
    Bell, Market, anchoring,
    dataset::DatasetListener,
    jobs::JobDriver,
    witnesses::{self, WitnessListener},
    workforce::WorkerListener,
};
use entrepot_exchange_store::Store;
use serde_json::{Value, json};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tasks::Tasks;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[derive(Args)]
pub struct Arguments {
    /// A TOML file with the settings below, in snake case.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of keys, database and channels; made at the first start.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where REST listens [default: 127.0.0.1:8080]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    rest_listen: Option<String>,
    /// Where workers dial in [default: 127.0.0.1:8081]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    grpc_listen: Option<String>,
    /// With [consortium], at the first start: the exchange's keys are new and never signed anything in this channel, so it votes at once. If
    /// that is not true it may sign two things where one is allowed, which every other member keeps as evidence against it.
    #[arg(long)]
    founding: bool,
    /// Read and check the settings, then stop.
    #[arg(long)]
    check_config: bool,
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
        if self.founding {
            flags.insert("consortium".to_owned(), toml::Table::from_iter([("founding".to_owned(), true.into())]).into());
        }
        Settings::read(self.config.as_deref(), flags)
    }
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    let settings = arguments.settings()?;
    if arguments.check_config {
        if let Some(pem) = &settings.rest_tls {
            tls::server_config(&pem.certificate, &pem.key).map_err(Failure::bad_input)?;
        }
        output.result("the configuration is valid", &json!({"valid": true, "settings": settings}));
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
    /// The market's channel, first, and those that this process serves besides.
    channels: Channels,
    registry: Arc<Registry>,
}

impl Exchange {
    /// Opens keys, database and channels of a data folder; makes what is missing.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        files::make_private_folder(&settings.data_dir)?;
        let keys = ExchangeKeys::open(&settings.data_dir, &settings.grpc_names)?;
        keys.check_names(&settings.grpc_names)?;
        let founded = founded(settings, &keys)?;
        let channels = Channels::open(founded, &settings.data_dir, &keys.seat(), settings.consortium.as_ref()).await?;
        Self::on(settings, keys, channels).await
    }

    /// The same without a part in any channel: for whoever looks after the database.
    pub async fn open_aside(settings: &Settings) -> Result<Self, Failure> {
        files::make_private_folder(&settings.data_dir)?;
        let keys = ExchangeKeys::open(&settings.data_dir, &settings.grpc_names)?;
        let channels = Channels::open_aside(founded(settings, &keys)?, &settings.data_dir, &keys.seat())?;
        Self::on(settings, keys, channels).await
    }

    async fn on(settings: &Settings, keys: ExchangeKeys, channels: Channels) -> Result<Self, Failure> {
        let copy = |key: &SigningKey| SigningKey::from_seed(&key.seed());
        let node = channels.first().node.clone();
        let store = Store::open(&database(&settings.data_dir)).await.map_err(anyhow::Error::from)?;
        let registry = Arc::new(Registry::default());
        let market = Arc::new(Market {
            store,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            exchange: Arc::new(copy(&keys.exchange.signing)),
            notary: Arc::new(NodeNotary::new(node, copy(&keys.exchange.signing))),
            workforce: registry.clone(),
            job_limits: settings.job_limits.limits(),
            bell: Bell::default(),
        });
        Ok(Self { keys, market, channels, registry })
    }

    /// Listens, drives jobs, anchors, gathers cosignatures, until `stop`.
    async fn run(self, settings: &Settings, stop: CancellationToken) -> Outcome {
        let rest_tls = settings.rest_tls.as_ref().map(|pem| tls::server_config(&pem.certificate, &pem.key)).transpose();
        let rest_tls = rest_tls.map_err(Failure::bad_input)?;
        let published = settings.data_dir.join("exchange.json");
        withdraw(&published)?;
        let rest = listen(settings.rest_listen, "rest_listen").await?;
        let grpc = listen(settings.grpc_listen, "grpc_listen").await?;
        let description = self.describe(settings, &rest, &grpc)?;
        let app = AppState::new(self.market.clone(), stop.clone()).map_err(anyhow::Error::from)?;
        let database = database(&settings.data_dir);
        let backups = FolderBackups::open(&settings.data_dir, &database, self.market.store.clone(), self.channels.open.clone())?;
        let routes = backup::attach(router::router(app), Arc::new(backups));

        let tasks = Tasks::new(stop);
        let stop = tasks.stop.clone();
        let Channels { open, mesh } = &self.channels;
        let served = served(open, mesh.as_ref(), Submissions::Open, stop.clone());
        let routes = match served {
            Some(channels) => routes_of::attach(routes, channels),
            None => routes,
        };
        let rest_stop = stop.clone();
        tasks.spawn("REST", async move {
            serve::serve(rest, routes, rest_tls, serve::Patience::default(), rest_stop).await;
            Ok(())
        });
        let driver = Arc::new(JobDriver::new(self.market.clone()));
        let control_plane = self.control_plane(grpc, driver.clone(), stop.clone());
        tasks.spawn("the control plane", control_plane);
        tasks.spawn_until_stop("the jobs' driver", async move { driver.run().await });
        let market = self.market.clone();
        tasks.spawn_until_stop("the anchoring", async move { anchoring::run(&market).await });
        let market = self.market.clone();
        tasks.spawn_until_stop("the gathering of cosignatures", async move { witnesses::run(&market).await });
        tasks.spawn("the chain", channels::watch(self.channels.open.clone(), Ends::WithFirst, stop.clone()));

        publish(&published, &description)?;
        tracing::info!(rest = %description["rest"], grpc = %description["grpc"], exchange = %self.market.exchange_did(), "the exchange is open");
        stop.cancelled().await;
        let outcome = tasks.end().await;
        self.close().await;
        tracing::info!("the exchange is closed");
        outcome
    }

    /// Serves workers.
    fn control_plane(
        &self,
        listener: TcpListener,
        driver: Arc<JobDriver>,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), anyhow::Error>> + Send + use<> {
        let (market, registry) = (self.market.clone(), self.registry.clone());
        let (certificate, key) = (self.keys.grpc_certificate.clone(), self.keys.grpc_key.clone());
        let listeners: Vec<Arc<dyn WorkerListener>> =
            vec![Arc::new(DatasetListener::new(market.clone())), driver, Arc::new(WitnessListener::new(market.clone()))];
        async move { Ok(workforce::serve(listener, &certificate, &key, market, registry, listeners, stop).await?) }
    }

    /// Lets go of database and channels.
    pub async fn close(&self) {
        self.channels.close().await;
        self.market.store.close().await;
    }

    /// What others must know beforehand to trust this exchange: its identity, its log, its certificate.
    fn describe(&self, settings: &Settings, rest: &TcpListener, grpc: &TcpListener) -> Result<Value, Failure> {
        let scheme = if settings.rest_tls.is_some() { "https" } else { "http" };
        let url = |given: &Option<String>, setting: &str, scheme: &str, listener: &TcpListener| {
            let address = listener.local_addr().map_err(anyhow::Error::from)?;
            if given.is_none() && address.ip().is_unspecified() {
                tracing::warn!("exchange.json has {address}, which nobody can dial: set `{setting}`");
            }
            Ok::<_, Failure>(given.clone().unwrap_or_else(|| format!("{scheme}://{address}")))
        };
        let node = &self.channels.first().node;
        let certificate = fs::canonicalize(&self.keys.grpc_certificate).map_err(anyhow::Error::from)?;
        Ok(json!({
            "did": self.market.exchange_did(),
            "rest": url(&settings.rest_url, "rest_url", scheme, rest)?,
            "grpc": url(&settings.grpc_url, "grpc_url", "https", grpc)?,
            "grpc_ca": certificate,
            "origin": node.origin(),
            "log_key": node.log_vkey().to_string(),
            "validator": node.validator_vkey().to_string(),
            "channels": self.channels.open.iter().map(channels::Channel::describe).collect::<Vec<_>>(),
        }))
    }
}

/// What an earlier run published says where that one listened.
pub fn withdraw(path: &Path) -> Outcome {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::bad_input(format!("cannot remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Renamed into place once the listeners are open: whoever waits for the file can connect.
pub fn publish(path: &Path, description: &Value) -> Outcome {
    let partial = path.with_extension("json.partial");
    let text = serde_json::to_string_pretty(description).map_err(anyhow::Error::from)?;
    fs::write(&partial, text).and_then(|()| fs::rename(&partial, path)).map_err(anyhow::Error::from)?;
    Ok(())
}

pub async fn listen(address: SocketAddr, setting: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::bad_input(format!("cannot listen on {address} ({setting}): {error}; choose another port, or 0 for a free one"))
    })
}

/// The database file of a data folder.
pub fn database(data_dir: &Path) -> PathBuf {
    data_dir.join("exchange.sqlite")
}

/// The channels of this exchange; the market's is the first.
pub fn founded(settings: &Settings, keys: &ExchangeKeys) -> Result<Vec<Founded>, Failure> {
    match &settings.consortium {
        None => Ok(vec![Founded::new(keys.genesis(&settings.data_dir, &settings.channel)?)?]),
        Some(others) => Founded::read(&others.genesis),
    }
}
