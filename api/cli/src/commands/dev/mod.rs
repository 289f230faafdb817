//! `entrepot dev`: one exchange and three workers as processes of their own, seeded with real sample data over the same public
//! interfaces that a stranger would use.

mod cast;
mod processes;
mod seed;
mod validators;

use crate::{
    exit::{ExitCode, Failure, Outcome},
    files,
    output::Output,
};
use cast::Cast;
use clap::Args;
use processes::Processes;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct Arguments {
    /// Folder for keys, configurations and databases; must be empty or absent. A temporary one if left out.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder of the sample data.
    #[arg(long, value_name = "DIR", default_value = "data")]
    samples: PathBuf,
    /// Where REST listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    rest_listen: String,
    /// Where the workers' control plane listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8081")]
    grpc_listen: String,
    /// Members of the exchange's channel, each with a validator: the exchange, and nodes of others.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=i64::from(validators::VALIDATORS_MAX)))]
    validators: u8,
    /// Seed, print what there is, and stop.
    #[arg(long)]
    once: bool,
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    let temporary = tempfile::Builder::new().prefix("entrepot-dev-").tempdir().map_err(anyhow::Error::from)?;
    let home = arguments.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    files::make_private_folder(&home)?;
    if fs::read_dir(&home).map_err(anyhow::Error::from)?.next().is_some() {
        return Err(Failure::bad_input(format!("{} is not empty: name a new folder with --data-dir", home.display())));
    }
    let mut processes = Processes::new(home.join("logs"))?;
    let outcome = tokio::select! {
        outcome = seed_and_stay(&arguments, &home, &mut processes, output) => outcome,
        () = stop_signal() => Ok(()),
    };
    processes.stop().await;
    outcome
}

async fn seed_and_stay(arguments: &Arguments, home: &Path, processes: &mut Processes, output: &Output) -> Outcome {
    seed_and_report(arguments, home, processes, output).await?;
    if arguments.once {
        return Ok(());
    }
    Err(Failure::new(ExitCode::Failed, processes.any_ended().await))
}

async fn seed_and_report(arguments: &Arguments, home: &Path, processes: &mut Processes, output: &Output) -> Outcome {
    let cast = Cast::make(home)?;
    let exchange = seed::start_exchange(arguments, home, &cast, processes, output).await?;
    let market = seed::enrol(&exchange, &cast, output).await?;
    let grants = seed::start_workers(arguments, home, &cast, &exchange, &market, processes, output).await?;
    let product = seed::offer(arguments, &cast, &exchange, &market, &grants, output).await?;
    seed::credit(&cast, &market, output).await?;
    let trust = seed::trust(&cast, &exchange, &grants)?;
    let trust_path = home.join("trust.json");
    files::write_public(&trust_path, &serde_json::to_vec(&trust).map_err(anyhow::Error::from)?)?;
    let report = json!({
        "url": exchange.rest, "exchange": exchange.did, "product_id": product, "trust": trust_path, "data_dir": home,
        "keys": cast.key_paths(), "processes": processes.ids(),
    });
    // Written last and renamed: whoever waits for it finds everything running.
    let path = home.join("demo.json");
    let partial = home.join("demo.json.partial");
    fs::write(&partial, report.to_string()).and_then(|()| fs::rename(&partial, &path)).map_err(anyhow::Error::from)?;
    output.result(&ready_text(&report), &report);
    Ok(())
}

fn ready_text(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "\nThe exchange answers at {}\n  product   {}\n  consumer  {}\n  trust     {}\nCtrl-C stops everything.",
        text(&report["url"]),
        text(&report["product_id"]),
        text(&report["keys"]["consumer"]),
        text(&report["trust"]),
    )
}

/// Ctrl-C or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
