//! Asking a worker what it has, and keeping what it says.

use crate::{Market, workforce::WorkerCommand};
use entrepot_chain_statement::{Did, ids::DatasetId, statements::DatasetDescription};
use entrepot_exchange_domain::dataset::{DatasetState, check_description};
use entrepot_exchange_store::{StoreError, dataset};

/// What a worker says that has too many to describe at the moment.
const BUSY: &str = "busy";
/// Longest code that a worker may give for a refusal.
const CODE_BYTES_MAX: usize = 64;

/// Asks a worker for everything that it has yet to describe. A worker that is away is asked when it connects.
pub async fn ask_outstanding(market: &Market, worker: &Did) -> Result<(), StoreError> {
    let outstanding = dataset::outstanding(&mut *market.store.reader().await?, worker).await?;
    for (dataset_id, name) in outstanding {
        let id = dataset_id.clone();
        if let Err(error) = market.workforce.send(worker, WorkerCommand::DescribeDataset { dataset_id, name }) {
            tracing::info!(dataset = %id, %error, "a dataset will be asked for later");
            break;
        }
    }
    Ok(())
}

/// Keeps a worker's answer: its description, or the code and detail of its refusal. An answer about a dataset that is not this
/// worker's, or that is settled already, changes nothing; nor does a worker that is busy: it is asked again when it connects. A description that breaks the rules is kept as a refusal, with the rule.
pub async fn record_description(
    market: &Market,
    dataset_id: &DatasetId,
    worker: &Did,
    answer: Result<DatasetDescription, (String, String)>,
) -> Result<(), StoreError> {
    if matches!(&answer, Err((code, _)) if code == BUSY) {
        tracing::info!(dataset = %dataset_id, %worker, "a busy worker will be asked to describe a dataset later");
        return Ok(());
    }
    let answer = answer.and_then(|description| match check_description(&description) {
        Ok(()) => Ok(description),
        Err(error) => Err((error.code().to_owned(), error.to_string())),
    });
    let answer = &answer.map_err(|(code, detail)| (sound_code(code), detail));
    let now = market.now();
    market
        .store
        .run_tx("datasets.record_description", |tx| {
            Box::pin(async move {
                let Some(row) = dataset::find(tx, dataset_id).await? else { return Ok(()) };
                if row.worker != *worker || row.state != DatasetState::Describing {
                    return Ok(());
                }
                match answer {
                    Ok(description) => dataset::describe(tx, dataset_id, description, now).await,
                    Err((code, detail)) => dataset::refuse(tx, dataset_id, code, detail, now).await,
                }
            })
        })
        .await
}

/// A worker's code goes out to people and programs: it must be one.
fn sound_code(code: String) -> String {
    let sound =
        (1..=CODE_BYTES_MAX).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if sound { code } else { "worker_refused".to_owned() }
}
