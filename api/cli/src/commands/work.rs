//! `entrepot work`: the process beside the data.

use crate::{
    commands::dev::stop_signal,
    exit::{ExitCode, Failure, Outcome},
    output::Output,
    settings, tracing_setup,
};
use clap::Args;
use entrepot_worker::config::WorkerConfig;
use serde_json::json;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

#[derive(Args)]
pub struct Arguments {
    /// The worker's TOML file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Read and check the configuration, then stop.
    #[arg(long)]
    check_config: bool,
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    let config: WorkerConfig = settings::load(Some(&arguments.config), toml::Table::new())?;
    config.check().map_err(Failure::bad_input)?;
    if arguments.check_config {
        output.result("the configuration is valid", &json!({"valid": true}));
        return Ok(());
    }
    tracing_setup::start(output.json);
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        stop_signal().await;
        stop.cancel();
    });
    entrepot_worker::run(config, shutdown)
        .await
        .map_err(|error| Failure::new(ExitCode::Failed, format!("{:#}", anyhow::Error::from(error))))
}
