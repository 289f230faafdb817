//! `entrepot node`: one member's validator of one or several channels, on the member's own host.

mod copies;

use crate::{
    adapters::served,
    channels::{self, ChannelSet, Channels, Ends, Founded, SeatKeys, one_or_more},
    commands::{
        chain::keys::{CONSENSUS, COSIGNING, TRANSPORT},
        dev::stop_signal,
        serve::{RestTls, listen, publish, withdraw},
    },
    consortium::{ConsortiumSettings, Peer, listen_default},
    exit::{Failure, Outcome},
    files,
    output::Output,
    settings, tracing_setup,
};
use clap::{Args, Subcommand};
use entrepot_api_server::{
    chain::{self, Submissions},
    tls,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

#[derive(Args)]
pub struct Arguments {
    /// A TOML file with the settings below, in snake case; peers as `[[peers]]` with `member` and `address`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the channels' chains and consensus logs; made at the first start.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file that founded a channel; once for each channel. `/v1/chain` and `/v1/log` are those of the first.
    #[arg(long, value_name = "FILE")]
    genesis: Vec<PathBuf>,
    /// The folder that `entrepot chain keys` made; the organisation's key need not be in it.
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
    /// Where other members dial in [default: 127.0.0.1:7800].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Where REST listens [default: 127.0.0.1:7801]; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    rest_listen: Option<String>,
    /// Another member and where it is; once for each.
    #[arg(long = "peer", value_name = "DID=HOST:PORT")]
    peers: Vec<String>,
    /// Follow the others past everything that this member may have signed before, then vote again: for a member that lost its consensus
    /// log, or whose chain is an older copy. In all channels, or in the one that is named; may be repeated.
    #[arg(long, value_name = "CHANNEL", num_args = 0..=1, default_missing_value = "")]
    rejoin: Vec<String>,
    /// Say that this member's keys are new and never signed anything in this channel, of which it is a founder or which let it in: then it
    /// votes at once, however far the others are. Only at the first start: refused once there is a log or a block. If it is not true the
    /// member may sign two things where one is allowed, which every other member keeps as evidence against it. In all channels, or in the one
    /// that is named; may be repeated.
    #[arg(long, value_name = "CHANNEL", num_args = 0..=1, default_missing_value = "")]
    founding: Vec<String>,
    /// The channels whose chains and logs REST answers for, by name; may be repeated. All, if absent.
    #[arg(long = "rest-channel", value_name = "CHANNEL")]
    rest_channels: Vec<String>,
    /// Keep so many blocks of each channel, the newest; what older ones proved stays provable. All, if absent.
    #[arg(long, value_name = "NUMBER")]
    keep_blocks: Option<u64>,
    /// Read and check the settings, then stop.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Put copies of channels into a data folder, and check them.
    Restore(copies::Restore),
}

/// The settings, merged.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    data_dir: PathBuf,
    #[serde(deserialize_with = "one_or_more")]
    genesis: Vec<PathBuf>,
    keys: PathBuf,
    #[serde(default = "listen_default")]
    listen: SocketAddr,
    #[serde(default = "rest_default")]
    rest_listen: SocketAddr,
    rest_url: Option<String>,
    rest_tls: Option<RestTls>,
    #[serde(default)]
    peers: Vec<Peer>,
    #[serde(default)]
    rejoin: ChannelSet,
    #[serde(default)]
    founding: ChannelSet,
    rest_channels: Option<BTreeSet<String>>,
    keep_blocks: Option<u64>,
}

fn rest_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7801))
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let mut flags = toml::Table::new();
        for (name, path) in [("data_dir", &self.data_dir), ("keys", &self.keys)] {
            if let Some(path) = path {
                flags.insert(name.to_owned(), path.display().to_string().into());
            }
        }
        for (name, value) in [("listen", &self.listen), ("rest_listen", &self.rest_listen)] {
            if let Some(value) = value {
                flags.insert(name.to_owned(), value.clone().into());
            }
        }
        if let Some(keep) = self.keep_blocks {
            flags.insert("keep_blocks".to_owned(), i64::try_from(keep).map_err(Failure::bad_input)?.into());
        }
        let texts = |texts: &[String]| toml::Value::from(texts.to_vec());
        if !self.genesis.is_empty() {
            let paths: Vec<String> = self.genesis.iter().map(|path| path.display().to_string()).collect();
            flags.insert("genesis".to_owned(), texts(&paths));
        }
        for (name, channels) in [("rejoin", &self.rejoin), ("founding", &self.founding)].into_iter().filter(|(_, given)| !given.is_empty())
        {
            let all = channels.iter().any(String::is_empty);
            flags.insert(name.to_owned(), if all { true.into() } else { texts(channels) });
        }
        if !self.rest_channels.is_empty() {
            flags.insert("rest_channels".to_owned(), texts(&self.rest_channels));
        }
        if !self.peers.is_empty() {
            let peer = |text: &String| {
                let (member, address) = text.split_once('=').ok_or_else(|| Failure::bad_input("--peer is DID=HOST:PORT"))?;
                Ok(toml::Value::Table([("member".to_owned(), member.into()), ("address".to_owned(), address.into())].into_iter().collect()))
            };
            flags.insert("peers".to_owned(), toml::Value::Array(self.peers.iter().map(peer).collect::<Result<_, Failure>>()?));
        }
        settings::load(self.config.as_deref(), flags)
    }
}

/// Those that `entrepot chain keys` made.
fn seat_keys(keys: &Path) -> Result<SeatKeys, Failure> {
    let key = |name: &str| Ok::<_, Failure>(files::read_key(&keys.join(name))?.signing);
    Ok(SeatKeys { cosigning: key(COSIGNING)?, consensus: key(CONSENSUS)?, transport: key(TRANSPORT)? })
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    if let Some(Command::Restore(restore)) = &arguments.command {
        return copies::restore(restore, output).await;
    }
    let settings = arguments.settings()?;
    let founded = Founded::read(&settings.genesis)?;
    let names: BTreeSet<&String> = founded.iter().map(|channel| &channel.name).collect();
    if let Some(unknown) = settings.rest_channels.iter().flatten().find(|name| !names.contains(name)) {
        return Err(Failure::bad_input(format!("`rest_channels` names the channel {unknown}, of which no genesis is given")));
    }
    if settings.rest_channels.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(Failure::bad_input("`rest_channels` is empty: name one channel at least"));
    }
    let rest_tls = settings.rest_tls.as_ref().map(|pem| tls::server_config(&pem.certificate, &pem.key)).transpose();
    let rest_tls = rest_tls.map_err(Failure::bad_input)?;
    if arguments.check_config {
        let channels: Vec<Value> =
            founded.iter().map(|channel| json!({"channel": channel.name, "genesis": channel.genesis.digest()})).collect();
        output.result("the configuration is valid", &json!({"valid": true, "channels": channels}));
        return Ok(());
    }
    tracing_setup::start(output.json);
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stop_signal().await;
        stopping.cancel();
    });
    files::make_private_folder(&settings.data_dir)?;
    let published = settings.data_dir.join("node.json");
    withdraw(&published)?;
    let keys = seat_keys(&settings.keys)?;
    let rest = listen(settings.rest_listen, "rest_listen").await?;
    let rest_address = rest.local_addr().map_err(anyhow::Error::from)?;
    let others = ConsortiumSettings {
        genesis: settings.genesis.clone(),
        listen: settings.listen,
        peers: settings.peers.clone(),
        rejoin: settings.rejoin.clone(),
        founding: settings.founding.clone(),
    };
    let channels = Channels::open(founded, &settings.data_dir, &keys, Some(&others)).await?;
    let scheme = if rest_tls.is_some() { "https" } else { "http" };
    let rest_url = settings.rest_url.clone().unwrap_or_else(|| format!("{scheme}://{rest_address}"));
    publish(&published, &describe(&channels, &rest_url))?;
    tracing::info!(rest = rest_url, channels = channels.open.len(), "the node is open");
    let copying = tokio::spawn(copies::copy_on_request(channels.open.clone(), settings.data_dir.join("backups")));
    let pruning = settings.keep_blocks.map(|keep| tokio::spawn(copies::prune(channels.open.clone(), keep)));
    let outcome = serve(&channels, settings.rest_channels.as_ref(), rest, rest_tls, stop).await;
    copying.abort();
    pruning.inspect(tokio::task::JoinHandle::abort);
    channels.close().await;
    tracing::info!("the node is closed");
    outcome
}

/// What others must know of this node beforehand.
fn describe(channels: &Channels, rest: &str) -> Value {
    let mut description = json!({
        "rest": rest,
        "validator": channels.first().node.validator_vkey().to_string(),
        "channels": channels.open.iter().map(channels::Channel::describe).collect::<Vec<_>>(),
    });
    if let Some(mesh) = &channels.mesh {
        description["listen"] = json!(mesh.address());
    }
    description
}

/// Until it is stopped, or no channel can go on.
async fn serve(
    channels: &Channels,
    read: Option<&BTreeSet<String>>,
    rest: tokio::net::TcpListener,
    rest_tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) -> Outcome {
    let is_read = |channel: &&channels::Channel| read.is_none_or(|names| names.contains(&channel.name));
    let read: Vec<channels::Channel> = channels.open.iter().filter(is_read).cloned().collect();
    let read = served(&read, channels.mesh.as_ref(), Submissions::Open, stop.clone());
    let read = read.ok_or_else(|| Failure::bad_input("no channel is left for REST to answer for"))?;
    let serving = tokio::spawn(chain::serve_node(rest, read, rest_tls, stop.clone()));
    let outcome = channels::watch(channels.open.clone(), Ends::WithLast, stop.clone()).await;
    stop.cancel();
    serving.await.map_err(anyhow::Error::from)?.map_err(anyhow::Error::from)?;
    Ok(outcome?)
}
