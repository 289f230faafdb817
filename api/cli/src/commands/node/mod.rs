//! `entrepot node`: one member's validator of a channel, on the member's own host.

mod copies;

use crate::{
    adapters::{NodeChain, Strangers},
    commands::{
        chain::keys::{CONSENSUS, COSIGNING, TRANSPORT},
        dev::stop_signal,
        serve::{RestTls, listen, publish, watch, withdraw},
    },
    consortium::{self, ConsortiumSettings, Peer, listen_default, read_genesis},
    exchange_keys::read_or_make,
    exit::{Failure, Outcome},
    files,
    output::Output,
    settings, tracing_setup,
};
use clap::{Args, Subcommand};
use entrepot_api_server::{ambient::SystemClock, chain, tls};
use entrepot_chain_node::{Mesh, Node, NodeConfig, NodeKeys};
use entrepot_exchange_domain::Clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{
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
    /// Folder of chain and consensus log; made at the first start.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file that founded the channel.
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
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
    /// log, or whose chain is an older copy.
    #[arg(long)]
    rejoin: bool,
    /// Keep so many blocks, the newest; what older ones proved stays provable. All, if absent.
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
    /// Put a copy of a node's chain into a new data folder, and check it.
    Restore(copies::Restore),
}

/// The settings, merged.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    data_dir: PathBuf,
    genesis: PathBuf,
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
    rejoin: bool,
    keep_blocks: Option<u64>,
}

fn rest_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 7801))
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let mut flags = toml::Table::new();
        for (name, path) in [("data_dir", &self.data_dir), ("genesis", &self.genesis), ("keys", &self.keys)] {
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
        if self.rejoin {
            flags.insert("rejoin".to_owned(), true.into());
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

/// The keys of a node: those that `entrepot chain keys` made, and the key of its own log, made at the first start.
fn node_keys(keys: &Path, data_dir: &Path) -> Result<NodeKeys, Failure> {
    let key = |name: &str| Ok::<_, Failure>(files::read_key(&keys.join(name))?.signing);
    let log = read_or_make(&data_dir.join("keys").join("log.key.json"))?.signing;
    Ok(NodeKeys { log, cosigning: key(COSIGNING)?, consensus: key(CONSENSUS)?, transport: key(TRANSPORT)? })
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    if let Some(Command::Restore(restore)) = &arguments.command {
        return copies::restore(restore, output).await;
    }
    let settings = arguments.settings()?;
    let genesis = read_genesis(&settings.genesis)?;
    let rest_tls = settings.rest_tls.as_ref().map(|pem| tls::server_config(&pem.certificate, &pem.key)).transpose();
    let rest_tls = rest_tls.map_err(Failure::bad_input)?;
    if arguments.check_config {
        output.result("the configuration is valid", &json!({"valid": true, "genesis": genesis.digest()}));
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
    let keys = node_keys(&settings.keys, &settings.data_dir)?;
    let rest = listen(settings.rest_listen, "rest_listen").await?;
    let rest_address = rest.local_addr().map_err(anyhow::Error::from)?;
    let others = ConsortiumSettings {
        genesis: settings.genesis.clone(),
        listen: settings.listen,
        peers: settings.peers.clone(),
        rejoin: settings.rejoin,
    };
    let (seat, mesh) = consortium::seat(&others, &genesis, &keys, settings.data_dir.join("consensus")).await?;
    let config = NodeConfig { path: settings.data_dir.join("chain"), genesis, clock: Arc::new(|| SystemClock.now()) };
    let node = Node::open(config, keys, seat).map_err(anyhow::Error::from)?;
    let scheme = if rest_tls.is_some() { "https" } else { "http" };
    let description = json!({
        "rest": settings.rest_url.clone().unwrap_or_else(|| format!("{scheme}://{rest_address}")),
        "listen": mesh.address(),
        "origin": node.origin(),
        "genesis": node.genesis_digest(),
        "log_key": node.log_vkey().to_string(),
        "validator": node.validator_vkey().to_string(),
    });
    publish(&published, &description)?;
    tracing::info!(rest = %description["rest"], listen = %description["listen"], "the node is open");
    let copying = tokio::spawn(copies::copy_on_request(node.clone(), settings.data_dir.join("backups")));
    let pruning = settings.keep_blocks.map(|keep| tokio::spawn(copies::prune(node.clone(), keep)));
    let outcome = serve(&node, mesh, rest, rest_tls, stop).await;
    copying.abort();
    pruning.inspect(tokio::task::JoinHandle::abort);
    node.close().await;
    tracing::info!("the node is closed");
    outcome
}

/// Until it is stopped, or its chain cannot go on.
async fn serve(
    node: &Node,
    mesh: Arc<Mesh>,
    rest: tokio::net::TcpListener,
    rest_tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) -> Outcome {
    let chain = Arc::new(NodeChain::new(node.clone(), Arc::new(move || mesh.connected()), Strangers::Refused));
    let serving = tokio::spawn(chain::serve_node(rest, chain.clone(), chain, rest_tls, stop.clone()));
    let outcome = watch(node.clone(), stop.clone()).await;
    stop.cancel();
    serving.await.map_err(anyhow::Error::from)?.map_err(anyhow::Error::from)?;
    Ok(outcome?)
}
