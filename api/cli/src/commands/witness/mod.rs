//! `entrepot witness`: a standing witness for anybody. It keeps the last checkpoint of each log that it cosigned, demands that the log only
//! grows, and cosigns; it holds no other key and trusts no exchange.

mod add_checkpoint;
mod desk;
mod durable;
mod follow;
mod settings;

use crate::{
    client::{Client, SignIn},
    commands::dev::stop_signal,
    exit::{Failure, Outcome},
    files,
    output::Output,
    tracing_setup,
};
use clap::{Args, Subcommand};
use desk::Desk;
use entrepot_api_server::serve;
use entrepot_chain_log::NoteSigner;
use entrepot_chain_statement::Did;
use serde_json::json;
use settings::Settings;
use std::{path::PathBuf, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Subcommand)]
enum Command {
    /// Tell an exchange, once and as a participant, that it shall keep the cosignatures of a witness of yours.
    Enrol {
        #[command(flatten)]
        sign_in: SignIn,
        /// The `witness` that `entrepot keygen` printed for the witness's key file.
        #[arg(long, value_name = "DID")]
        witness: Did,
    },
}

#[derive(Args)]
struct RunArguments {
    /// A TOML file with the settings below, in snake case; several logs as [[logs]].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Key file whose witness key cosigns; it must cosign nowhere else.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Folder of what must not be forgotten; made at the first start.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Address of the exchange whose log is followed.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The channel there whose log it is; the first if absent.
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
    /// PEM file of a certificate to believe besides the public authorities'.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Trust file that names the log and its key.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Instead of it, the log's verifier key.
    #[arg(long, value_name = "VKEY")]
    log_key: Option<String>,
    /// Pause between two looks at a log, in milliseconds [default: 10000].
    #[arg(long, value_name = "MS")]
    interval_ms: Option<u64>,
    /// Where logs may ask by themselves: POST /add-checkpoint of c2sp.org/tlog-witness.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Read and check the settings, then stop.
    #[arg(long)]
    check_config: bool,
}

impl RunArguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let mut flags = toml::Table::new();
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        for (name, value) in [("key", text(&self.key)), ("state_dir", text(&self.state_dir)), ("listen", self.listen.clone())] {
            value.map(|value| flags.insert(name.to_owned(), value.into()));
        }
        if let Some(interval) = self.interval_ms {
            flags.insert("interval_ms".to_owned(), i64::try_from(interval).unwrap_or(i64::MAX).into());
        }
        // Flags name one log, in place of those in the file.
        let mut log = toml::Table::new();
        let fields = [
            ("url", self.url.clone()),
            ("channel", self.channel.clone()),
            ("ca", text(&self.ca)),
            ("trust", text(&self.trust)),
            ("log_key", self.log_key.clone()),
        ];
        for (name, value) in fields {
            value.map(|value| log.insert(name.to_owned(), value.into()));
        }
        if !log.is_empty() {
            flags.insert("logs".to_owned(), vec![toml::Value::Table(log)].into());
        }
        Settings::read(self.config.as_deref(), flags)
    }
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    match arguments.command {
        Some(Command::Enrol { sign_in, witness }) => {
            let known = sign_in.client().await?.post("/v1/log/witnesses", &json!({"witness": witness})).await?;
            output.result(&format!("the exchange keeps the cosignatures of {witness}"), &known);
            Ok(())
        }
        None => stand(&arguments.run, output).await,
    }
}

async fn stand(arguments: &RunArguments, output: &Output) -> Outcome {
    let settings = arguments.settings()?;
    let logs = settings.trusted()?;
    let key = files::read_key(&settings.key)?.witness;
    if arguments.check_config {
        output.result("the configuration is valid", &json!({"valid": true, "settings": settings, "witness": key.did()}));
        return Ok(());
    }
    tracing_setup::start(output.json);
    let signer = NoteSigner::cosigner(key.did().as_str(), key).map_err(Failure::bad_input)?;
    let desk = Arc::new(Desk::open(&settings.state_dir, &signer, logs)?);
    for contradiction in desk.contradictions() {
        tracing::error!("{contradiction}");
    }
    let stop = CancellationToken::new();
    let (mut listening, mut following) = (JoinSet::new(), JoinSet::new());
    if let Some(address) = settings.listen.filter(|_| !desk.nothing_left.is_cancelled()) {
        let taken = |error| Failure::bad_input(format!("cannot listen on {address} (listen): {error}; choose another port"));
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        tracing::info!(listen = %listener.local_addr().map_err(anyhow::Error::from)?, "logs may ask");
        let (router, stop) = (add_checkpoint::router(desk.clone()), stop.clone());
        listening.spawn(async move { serve::serve(listener, router, None, serve::Patience::default(), stop).await });
    }
    for (index, log) in settings.logs.iter().enumerate() {
        if let Some(url) = &log.url {
            let client = Client::new(url, log.ca.as_deref())?.in_channel(log.channel.clone());
            following.spawn(follow::follow(desk.clone(), index, client, settings.interval()));
        }
    }
    tracing::info!(witness = %signer.public(), logs = desk.logs().len(), "the witness stands");
    tokio::select! {
        () = stop_signal() => {}
        () = desk.nothing_left.cancelled() => {}
    }
    following.shutdown().await;
    // Whoever brought the evidence still gets its answer.
    stop.cancel();
    while listening.join_next().await.is_some() {}
    follow::contradicted(&desk).map_or(Ok(()), Err)
}
