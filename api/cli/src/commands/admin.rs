//! `entrepot admin`: what an operator does on the exchange's own machine.

use crate::{
    channels,
    client::{self, SignIn},
    commands::serve::{Exchange, Settings, database, founded},
    exchange_keys::ExchangeKeys,
    exit::{ExitCode, Failure, Outcome},
    files,
    output::Output,
};
use clap::{Args, Subcommand};
use entrepot_chain_log::Members;
use entrepot_chain_node::{Node, Reader};
use entrepot_chain_statement::Envelope;
use entrepot_exchange_market::participant::bootstrap_operator;
use entrepot_exchange_store::{
    Store,
    books::{BooksReport, verify_books},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// How long the copying of an exchange may take.
const BACKUP_PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// Between two questions whether it is done.
const BACKUP_PAUSE: Duration = Duration::from_secs(1);
/// Stuck jobs that are listed.
const STUCK_JOBS_MAX: usize = 100_000;

#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enrol and approve the first operator; the exchange must not run.
    Bootstrap {
        /// The exchange's data folder; made if absent. The configuration's if left out.
        #[arg(long, value_name = "DIR", required_unless_present = "config")]
        data_dir: Option<PathBuf>,
        /// The exchange's configuration file, if it has one: what is made here, a certificate and a log, must fit it.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The operator's enrolment, made with `entrepot sign participant-enrolment`.
        #[arg(long, value_name = "FILE")]
        enrolment: PathBuf,
    },
    /// Describe the exchange as a member of a channel, for `entrepot chain genesis`; makes its keys if there are none.
    Member {
        /// The exchange's data folder; made if absent. The configuration's if left out.
        #[arg(long, value_name = "DIR", required_unless_present = "config")]
        data_dir: Option<PathBuf>,
        /// The exchange's configuration file, if it has one.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The organisation's name, for people.
        #[arg(long, default_value = "exchange")]
        name: String,
        /// Where the description goes; it must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Recompute the books from the journal and compare; the exchange may run.
    VerifyBooks {
        /// The exchange's data folder.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
    },
    /// Copy a running exchange: its database, chain and keys. The folder is made below the exchange's own data folder.
    Backup(SignIn),
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
    StuckJobs(SignIn),
}

pub async fn run(arguments: Arguments, output: &Output) -> Outcome {
    match arguments.command {
        Command::Bootstrap { data_dir, config, enrolment } => {
            let did = bootstrap(&Settings::of(data_dir.as_deref(), config.as_deref())?, &enrolment).await?;
            output.result(&format!("{did} is the first operator"), &json!({"operator": did}));
            Ok(())
        }
        Command::Member { data_dir, config, name, out } => member(data_dir.as_deref(), config.as_deref(), &name, &out, output),
        Command::VerifyBooks { data_dir } => books(&data_dir, output).await,
        Command::Backup(sign_in) => {
            let done = backup(&sign_in).await?;
            output.result(done["path"].as_str().unwrap_or_default(), &done);
            Ok(())
        }
        Command::Restore { backup, data_dir, config } => restore(&backup, &data_dir, config.as_deref(), output).await,
        Command::StuckJobs(sign_in) => {
            let items = stuck_jobs(&sign_in).await?;
            output.result(&stuck_jobs_text(&items, files::now().0), &json!({"items": items}));
            Ok(())
        }
    }
}

/// Enrols and approves the first operator of a data folder.
pub async fn bootstrap(settings: &Settings, enrolment: &Path) -> Result<String, Failure> {
    let envelope = Envelope::from_json(&files::read(enrolment)?).map_err(Failure::bad_input)?;
    let exchange = Exchange::open_aside(settings).await?;
    let row = bootstrap_operator(&exchange.market, &envelope).await.map_err(Failure::bad_input);
    exchange.close().await;
    Ok(row?.did.to_string())
}

/// Writes what the others need to know of the exchange to found a channel with it.
fn member(data_dir: Option<&Path>, config: Option<&Path>, name: &str, out: &Path, output: &Output) -> Outcome {
    let settings = Settings::of(data_dir, config)?;
    files::make_private_folder(&settings.data_dir)?;
    let member = ExchangeKeys::open(&settings.data_dir, &settings.grpc_names)?.description(name);
    Members::new(vec![member.member().map_err(Failure::bad_input)?]).map_err(Failure::bad_input)?;
    let description = serde_json::to_value(&member).map_err(anyhow::Error::from)?;
    files::write_public(out, format!("{description:#}\n").as_bytes())?;
    output.result(&format!("{name} is {}", member.did), &json!({"member": description, "file": out}));
    Ok(())
}

/// Asks for a copy, again and again under one key until it is made: a large one takes longer than a request may.
async fn backup(sign_in: &SignIn) -> Result<Value, Failure> {
    let key = client::fresh_key();
    let deadline = Instant::now() + BACKUP_PATIENCE;
    loop {
        // A new token each time: one lasts minutes.
        if let Some(done) = sign_in.client().await?.post_step("/v1/admin/backups", &json!({}), &key).await? {
            return Ok(done);
        }
        if Instant::now() >= deadline {
            return Err(Failure::new(ExitCode::Failed, "the copy is still not made: look at the exchange's log and its disk"));
        }
        tokio::time::sleep(BACKUP_PAUSE).await;
    }
}

/// All pages.
async fn stuck_jobs(sign_in: &SignIn) -> Result<Vec<Value>, Failure> {
    let client = sign_in.client().await?;
    let (mut items, mut path) = (Vec::new(), "/v1/admin/stuck-jobs?limit=200".to_owned());
    loop {
        let page = client.get(&path).await?;
        items.extend(page["items"].as_array().into_iter().flatten().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) if items.len() < STUCK_JOBS_MAX => path = format!("/v1/admin/stuck-jobs?limit=200&cursor={cursor}"),
            _ => return Ok(items),
        }
    }
}

fn stuck_jobs_text(items: &[Value], now_ms: i64) -> String {
    let since = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok()).map(|moment| duration_text(now_ms - moment));
    let line = |job: &Value| {
        let field = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
        let unmoved = since(&job["changed_at"]).unwrap_or_default();
        let overdue = since(&job["deadline"]).map_or_else(String::new, |overdue| format!(", {overdue} past its deadline"));
        format!("{} is {} (attempt {}): unmoved for {unmoved}{overdue}", field("job_id"), field("state"), job["attempt"])
    };
    if items.is_empty() { "no job is stuck".to_owned() } else { items.iter().map(line).collect::<Vec<_>>().join("\n") }
}

/// The two largest units.
fn duration_text(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

async fn books(data_dir: &Path, output: &Output) -> Outcome {
    let report = read_books(data_dir).await?;
    output.result(&books_text(&report), &serde_json::to_value(&report).map_err(anyhow::Error::from)?);
    books_outcome(&report)
}

fn books_outcome(report: &BooksReport) -> Outcome {
    if report.is_right() { Ok(()) } else { Err(Failure::new(ExitCode::NotVerified, "the books are wrong: see the faults")) }
}

async fn read_books(data_dir: &Path) -> Result<BooksReport, Failure> {
    let path = database(data_dir);
    if !path.exists() {
        return Err(Failure::bad_input(format!("{} is not an exchange's data folder: it has no database", data_dir.display())));
    }
    let store = Store::open(&path).await.map_err(anyhow::Error::from)?;
    let report = verify_books(&store).await;
    store.close().await;
    Ok(report.map_err(anyhow::Error::from)?)
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

/// Copies keys and database, copies and replays the chains, and checks the books: a backup is good when all that succeeds. The folder has its
/// name only then.
async fn restore(backup: &Path, data_dir: &Path, config: Option<&Path>, output: &Output) -> Outcome {
    let name = data_dir.file_name().ok_or_else(|| Failure::bad_input(format!("{} is no name of a folder", data_dir.display())))?;
    let mut partial_name = name.to_owned();
    partial_name.push(".partial");
    let partial = data_dir.with_file_name(partial_name);
    if data_dir.exists() {
        return Err(Failure::bad_input(format!("{} exists: name a new folder", data_dir.display())));
    }
    if partial.exists() {
        return Err(Failure::bad_input(format!("{} is what an interrupted restore left: remove it first", partial.display())));
    }
    let restored = restore_into(&partial, backup, config).await;
    if restored.is_err() {
        // The failure to tell is the first one.
        let _ = fs::remove_dir_all(&partial);
    }
    let (report, log_entries) = restored?;
    fs::rename(&partial, data_dir).map_err(anyhow::Error::from)?;
    let mut document = serde_json::to_value(&report).map_err(anyhow::Error::from)?;
    document["log_entries"] = log_entries.to_string().into();
    output.result(&format!("{}\n\n{}", books_text(&report), what_follows(log_entries)), &document);
    Ok(())
}

async fn restore_into(data_dir: &Path, backup: &Path, config: Option<&Path>) -> Result<(BooksReport, u64), Failure> {
    let settings = Settings::of(Some(data_dir), config)?;
    let copy = |from: PathBuf, to: PathBuf| {
        let copied = fs::copy(&from, &to).and_then(|_| fs::File::open(&to)?.sync_all());
        copied.map_err(|error| Failure::bad_input(format!("cannot copy {}: {error}", from.display())))
    };
    files::make_private_folder(&data_dir.join("keys"))?;
    copy(database(backup), database(data_dir))?;
    for entry in
        fs::read_dir(backup.join("keys")).map_err(|error| Failure::bad_input(format!("{} is no backup: {error}", backup.display())))?
    {
        let entry = entry.map_err(anyhow::Error::from)?;
        copy(entry.path(), data_dir.join("keys").join(entry.file_name()))?;
    }
    let keys = ExchangeKeys::open(data_dir, &settings.grpc_names)?;
    let market = &founded(&settings, &keys)?[0].name;
    let mut log_entries = None;
    for entry in
        fs::read_dir(backup.join("channels")).map_err(|error| Failure::bad_input(format!("{} is no backup: {error}", backup.display())))?
    {
        let copy = entry.map_err(anyhow::Error::from)?.path();
        let restored = channels::restore(&copy, data_dir, &keys.seat()).await?;
        if restored.name == *market {
            // The chain alone: whether keys and settings go together is for `serve` to say, which may run elsewhere.
            let node = Node::open(restored.config, restored.keys, Reader).map_err(anyhow::Error::from)?;
            log_entries = Some(node.head().log_size);
            node.close().await;
        }
    }
    let missing = || Failure::bad_input(format!("{} has no copy of the channel {market}", backup.display()));
    let log_entries = log_entries.ok_or_else(missing)?;
    let report = read_books(data_dir).await?;
    books_outcome(&report).map_err(|failure| Failure::new(failure.code, books_text(&report)))?;
    Ok((report, log_entries))
}

/// What an operator must know before this folder is served.
fn what_follows(log_entries: u64) -> String {
    format!(
        "\
This is the exchange as it was when the copy was made, with {log_entries} entries in its log.
If it has logged nothing since, serve it as before.
If it has, do not: what is lost stays signed in other people's hands, and the log would now sign another history. Workers answer `rollback`
or `fork` and cosign nothing more, so receipts stay `unwitnessed`; workers refuse orders whose numbers they have seen (`sequence_passed`).
The way out is a new log: before the first start, set a new `channel` in the configuration, and start. Then give everybody the new exchange.json, new trust files, and workers the new `log_key`; consumers sign new
agreements. Receipts of before keep their proofs and the old trust files."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuck_jobs_are_told_in_words() {
        let job = json!({"job_id": "job_1", "state": "running", "attempt": 2, "deadline": "9000000", "changed_at": "0"});
        let told = stuck_jobs_text(&[job, json!({"job_id": "job_2", "state": "released", "attempt": 1, "changed_at": "1000"})], 9_075_000);
        let lines = [
            "job_1 is running (attempt 2): unmoved for 2 h 31 min, 1 min 15 s past its deadline",
            "job_2 is released (attempt 1): unmoved for 2 h 31 min",
        ];
        assert_eq!(told, lines.join("\n"));
        assert_eq!(stuck_jobs_text(&[], 0), "no job is stuck");
        assert_eq!([duration_text(-5), duration_text(59_999), duration_text(90_000_000)], ["0 s", "59 s", "1 d 1 h"]);
    }
}
