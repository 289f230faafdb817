//! What a consumer gets: the sealed result, and the bundle of everything that was signed about a job.

use crate::{Market, NotaryError, jobs::envelope, notary::decisions_behind};
use entrepot_chain_log::bundle::{BundleEntry, ReceiptBundle};
use entrepot_chain_statement::{
    Did, Envelope, Hash,
    ids::JobId,
    statements::{Agreement, DataProduct},
};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    escrow::EscrowState,
    job::{JobState, RefundReason},
};
use entrepot_exchange_store::{
    Connection, StoreError, escrow,
    job::{self, JobRow},
    product, receipt,
    share::{self, SealedShareRow},
};

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// There is no such job of the caller.
    #[error("there is no such job, or it is not yours")]
    NotFound,
    /// Not yet.
    #[error("the job is {state}; its result is not here yet")]
    NotReady {
        /// The job's state.
        state: &'static str,
    },
    /// Never.
    #[error("the order was refunded: {}", .0.code())]
    Refunded(RefundReason),
    /// Not any more.
    #[error("the sealed result is not kept any more")]
    Forgotten,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for ResultError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotReady { .. } => "result_not_ready",
            Self::Refunded(_) => "job_refunded",
            Self::Forgotten => "result_forgotten",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::NotReady { .. } | Self::Refunded(_) | Self::Forgotten => RefusalKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotReady { .. } => Some("follow /v1/jobs/{id}/events until the job is delivered".to_owned()),
            Self::Refunded(_) => Some("the price is back on your account; order again if the reason has gone".to_owned()),
            Self::Forgotten => Some("order again: results are kept for 30 days".to_owned()),
            Self::NotFound | Self::Store(_) => None,
        }
    }
}

/// A result that only its consumer can open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedResult {
    /// The try that counted.
    pub attempt: u32,
    /// Statement hash of the order; with attempt and share number it is what the shares were sealed for.
    pub order: Hash,
    /// The three shares, by number.
    pub shares: Vec<SealedShareRow>,
}

/// The sealed result of a job that the caller bought.
pub async fn result(db: &mut Connection, caller: &Did, job_id: &JobId) -> Result<SealedResult, ResultError> {
    let row = job::find(db, job_id).await?.filter(|row| row.consumer == *caller).ok_or(ResultError::NotFound)?;
    let attempt = match row.job.state {
        JobState::Delivered { attempt, .. } => attempt,
        JobState::Undelivered { .. } => return Err(ResultError::Forgotten),
        JobState::Refunded { reason, .. } => return Err(ResultError::Refunded(reason)),
        ref other => return Err(ResultError::NotReady { state: other.name() }),
    };
    let shares = share::of_job(db, job_id).await?;
    if shares.len() != 3 {
        return Err(ResultError::Forgotten);
    }
    Ok(SealedResult { attempt, order: row.job.terms.order, shares })
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// There is no such job that the caller bought or took part in.
    #[error("there is no such job, or it is not yours to see")]
    NotFound,
    /// The log does not answer.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for ReceiptError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Notary(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::NotFound => RefusalKind::NotFound,
            Self::Notary(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Notary(error) => error.hint(),
            _ => None,
        }
    }
}

/// Everything that was signed about a job so far, each statement with its proof or none while the log has it pending. `viewer` bought
/// the job or took part in it; no viewer sees all.
pub async fn receipt_bundle(market: &Market, viewer: Option<&Did>, job_id: &JobId) -> Result<ReceiptBundle, ReceiptError> {
    let mut reader = market.store.reader().await?;
    let row = job::find_visible(&mut reader, job_id, viewer).await?;
    let signed = signed_about(&mut reader, &row.ok_or(ReceiptError::NotFound)?).await?;
    drop(reader);
    let mut entries = Vec::with_capacity(signed.len());
    for (name, envelope) in signed {
        let proof = market.notary.proof(&envelope.leaf()).await?;
        entries.push(BundleEntry { name, envelope, proof });
    }
    let decisions = decisions_behind(&*market.notary, entries.iter().filter_map(|entry| entry.proof.as_deref())).await?;
    let bundle = ReceiptBundle::new(job_id.clone(), entries);
    Ok(match decisions {
        Some(decisions) => bundle.with_decisions(decisions),
        None => bundle,
    })
}

async fn signed_about(db: &mut Connection, row: &JobRow) -> Result<Vec<(String, Envelope)>, StoreError> {
    let corrupt = |what| StoreError::Corrupt { what };
    let terms = &row.job.terms;
    let signed = envelope(db, &terms.agreement).await?;
    let agreement: Agreement = signed.open().map_err(|_| corrupt("agreement"))?;
    let product = product::find_by_hash(db, &agreement.product).await?.ok_or(corrupt("agreement's product"))?;
    let offer: DataProduct = product.product;
    let mut found = vec![("product".to_owned(), product.envelope), ("agreement".to_owned(), signed)];
    found.push(("order".to_owned(), envelope(db, &terms.order).await?));
    for (party, pin) in agreement.parties.iter().enumerate() {
        found.push((format!("grant-{party}"), envelope(db, &pin.grant).await?));
    }
    for (party, table) in offer.tables.iter().enumerate() {
        found.push((format!("rights-{party}"), envelope(db, &table.rights).await?));
    }
    let escrow = escrow::find(db, &terms.job_id).await?.ok_or(corrupt("job without escrow"))?;
    found.push(("hold".to_owned(), envelope(db, &escrow.hold).await?));
    if let Some((attempt, _)) = row.job.state.paid_for() {
        for (party, hash) in receipt::of_attempt(db, &terms.job_id, attempt).await?.into_iter().enumerate() {
            let hash = hash.ok_or(corrupt("receipts of a paid job"))?;
            found.push((format!("receipt-{party}"), envelope(db, &hash).await?));
        }
    }
    if let Some(closing) = escrow.closing {
        let name = if escrow.escrow.state == EscrowState::Refunded { "refund" } else { "release" };
        found.push((name.to_owned(), envelope(db, &closing).await?));
    }
    Ok(found)
}
