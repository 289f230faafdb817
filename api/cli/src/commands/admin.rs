//! `entrepot admin`: what an operator does on the exchange's own machine.

use crate::{
    client::Client,
    commands::serve::{Exchange, database, node_config, settings_of},
    exchange_keys::ExchangeKeys,
    exit::{ExitCode, Failure, Outcome},
    files,
    output::Output,
};
use clap::{Args, Subcommand};
use entrepot_chain_node::NodeKeys;
use entrepot_chain_statement::{Envelope, SigningKey};
use entrepot_exchange_market::participant::bootstrap_operator;
use entrepot_exchange_store::{
    Store,
    books::{BooksReport, verify_books},
};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enrol and approve the first operator; the exchange must not run.
    Bootstrap {
        /// The exchange's data folder; made if absent.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The operator's enrolment, made with `entrepot sign participant-enrolment`.
        #[arg(long, value_name = "FILE")]
        enrolment: PathBuf,
    },
    /// Recompute the books from the journal and compare; the exchange may run.
    VerifyBooks {
        /// The exchange's data folder.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Copy a running exchange: its database, chain and keys. The folder is made below the exchange's own data folder.
    Backup {
        /// Address of the exchange.
        #[arg(long, env = "ENTREPOT_URL")]
        url: String,
        /// `did:key` of the exchange.
        #[arg(long)]
        exchange: String,
        /// An operator's key file.
        #[arg(long, env = "ENTREPOT_KEY", value_name = "FILE")]
        key: PathBuf,
    },
    /// Make a new data folder from a backup, and check it.
    Restore {
        /// A folder that a backup made.
        #[arg(long, value_name = "DIR")]
        backup: PathBuf,
        /// The new data folder; must not exist.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// The exchange's configuration file, if it has one.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// List jobs that have not moved for too long.
    StuckJobs {
        /// Address of the exchange.
        #[arg(long, env = "ENTREPOT_URL")]
        url: String,
        /// `did:key` of the exchange.
        #[arg(long)]
        exchange: String,
        /// An operator's key file.
        #[arg(long, env = "ENTREPOT_KEY", value_name = "FILE")]
        key: PathBuf,
    },
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    match arguments.command {
        Command::Bootstrap { data_dir, enrolment } => {
            let did = bootstrap(&data_dir, &enrolment).await?;
            output.result(&format!("{did} is the first operator"), &json!({"operator": did}));
            Ok(())
        }
        Command::VerifyBooks { data_dir } => books(&data_dir, output).await,
        Command::Backup { url, exchange, key } => {
            let client = Client::signed_in(&url, &exchange, &files::read_key(&key)?).await?;
            let done = client.post("/v1/admin/backups", &json!({})).await?;
            output.result(done["path"].as_str().unwrap_or_default(), &done);
            Ok(())
        }
        Command::Restore { backup, data_dir, config } => restore(&backup, &data_dir, config.as_deref(), output).await,
        Command::StuckJobs { url, exchange, key } => {
            let client = Client::signed_in(&url, &exchange, &files::read_key(&key)?).await?;
            let found = client.get("/v1/admin/stuck-jobs").await?;
            let items = found["items"].as_array().cloned().unwrap_or_default();
            let lines: Vec<String> = items.iter().map(ToString::to_string).collect();
            output.result(&if lines.is_empty() { "no job is stuck".to_owned() } else { lines.join("\n") }, &found);
            Ok(())
        }
    }
}

/// Enrols and approves the first operator of a data folder.
pub async fn bootstrap(data_dir: &Path, enrolment: &Path) -> Result<String, Failure> {
    let envelope = Envelope::from_json(&files::read(enrolment)?).map_err(Failure::bad_input)?;
    let exchange = Exchange::open(&settings_of(data_dir, None)?).await?;
    let row = bootstrap_operator(&exchange.market, &envelope).await.map_err(Failure::bad_input);
    exchange.close().await;
    Ok(row?.did.to_string())
}

async fn books(data_dir: &Path, output: &Output) -> Outcome {
    let path = database(data_dir);
    if !path.exists() {
        return Err(Failure::bad_input(format!("{} is not an exchange's data folder: it has no database", data_dir.display())));
    }
    let store = Store::open(&path).await.map_err(anyhow::Error::from)?;
    let report = verify_books(&store).await;
    store.close().await;
    let report = report.map_err(anyhow::Error::from)?;
    output.result(&books_text(&report), &serde_json::to_value(&report).map_err(anyhow::Error::from)?);
    if report.is_right() { Ok(()) } else { Err(Failure::new(ExitCode::NotVerified, "the books are wrong: see the faults")) }
}

fn books_text(report: &BooksReport) -> String {
    let totals = report.currencies.iter().map(|books| {
        format!(
            "{}: issued {}, available {}, in escrow {}; ever held {} = released {} + refunded {} + still held {}",
            books.currency,
            books.issued_minor,
            books.available_minor,
            books.escrow_minor,
            books.set_aside_minor,
            books.released_minor,
            books.refunded_minor,
            books.held_minor,
        )
    });
    let verdict = if report.is_right() { "the books are right" } else { "the books are WRONG" };
    let head = format!("{verdict}: {} entries, {} jobs", report.entries, report.jobs);
    std::iter::once(head).chain(totals).chain(report.faults.iter().map(|fault| format!("FAULT {fault}"))).collect::<Vec<_>>().join("\n")
}

/// Copies keys and database, copies and replays the chain, and checks the books: a backup is good when all that succeeds.
async fn restore(backup: &Path, data_dir: &Path, config: Option<&Path>, output: &Output) -> Outcome {
    if data_dir.exists() {
        return Err(Failure::bad_input(format!("{} exists: name a new folder", data_dir.display())));
    }
    let settings = settings_of(data_dir, config)?;
    let copy = |from: PathBuf, to: PathBuf| {
        fs::copy(&from, &to).map(drop).map_err(|error| Failure::bad_input(format!("cannot copy {}: {error}", from.display())))
    };
    fs::create_dir_all(data_dir.join("keys")).map_err(anyhow::Error::from)?;
    copy(database(backup), database(data_dir))?;
    for entry in
        fs::read_dir(backup.join("keys")).map_err(|error| Failure::bad_input(format!("{} is no backup: {error}", backup.display())))?
    {
        let entry = entry.map_err(anyhow::Error::from)?;
        copy(entry.path(), data_dir.join("keys").join(entry.file_name()))?;
    }
    let keys = ExchangeKeys::open(data_dir, &settings.grpc_names)?;
    let clone = |key: &SigningKey| SigningKey::from_seed(&key.seed());
    let node_keys = NodeKeys { log: clone(&keys.log.signing), cosigning: clone(&keys.exchange.witness) };
    entrepot_chain_node::restore(&backup.join("chain"), node_config(&settings), &node_keys).await.map_err(anyhow::Error::from)?;
    books(data_dir, output).await
}
