//! A consumer uses an agreement: order, money set aside, job and announcement in one transaction.

use crate::{
    Market,
    planning::{NoPlan, plan},
    settle,
};
use entrepot_chain_statement::{
    Did, Envelope, EnvelopeError, Money,
    ids::{JobId, OrderId},
    statements::{Agreement, Order},
};
use entrepot_exchange_domain::{
    Refusal, RefusalKind,
    job::{Job, JobParty, JobState, JobTerms, Note},
    journal::EntryError,
    order::{OrderRefusal, check_order},
    product::ProductState,
};
use entrepot_exchange_store::{
    StoreError, Tx, account,
    agreement::{self, AgreementRow},
    job::{self, JobOrigin},
    order::{self, NewOrder},
    product::{self, ProductRow},
    statements, worker_grant,
};

/// Why an order was not taken.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The envelope does not hold an order signed by the caller.
    #[error("the envelope is no order with a valid signature of yours: {0}")]
    Envelope(#[source] EnvelopeError),
    /// A stranger signed, too.
    #[error("an order is signed by its consumer and by nobody else")]
    Signers,
    /// The order names no agreement of the caller.
    #[error("the order names no agreement of yours")]
    UnknownAgreement,
    /// The product cannot be used now.
    #[error("the product is {}", .0.name())]
    NotActive(ProductState),
    /// The query has no plan.
    #[error(transparent)]
    Plan(#[from] NoPlan),
    /// A term is wrong.
    #[error(transparent)]
    Refused(#[from] OrderRefusal),
    /// The order was taken before, under this id or by this statement.
    #[error("this order, or another under its id, was taken already")]
    Exists,
    /// The balance is too small.
    #[error("the price is {} {} minor units and {available_minor} are available", .price.amount_minor, .price.currency)]
    InsufficientBalance {
        /// What it costs.
        price: Money,
        /// What there is.
        available_minor: i64,
    },
    /// The price cannot be booked.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The hold could not be signed.
    #[error("the hold could not be signed")]
    Sign(#[source] EnvelopeError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for OrderError {
    fn code(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "invalid_envelope",
            Self::Signers => "order_signers",
            Self::UnknownAgreement => "agreement_unknown",
            Self::NotActive(_) => "product_not_active",
            Self::Plan(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Exists => "order_exists",
            Self::InsufficientBalance { .. } => "insufficient_balance",
            Self::Entry(_) => "amount_out_of_range",
            Self::Sign(_) => "internal",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Envelope(_) | Self::Signers | Self::UnknownAgreement | Self::Entry(_) => RefusalKind::Unprocessable,
            Self::NotActive(_) | Self::Exists => RefusalKind::Conflict,
            Self::Plan(error) => error.kind(),
            Self::Refused(refusal) => refusal.kind(),
            Self::InsufficientBalance { .. } => RefusalKind::PaymentRequired,
            Self::Sign(_) => RefusalKind::Internal,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Envelope(_) | Self::Signers => Some("sign the order with your participant key alone".to_owned()),
            Self::UnknownAgreement => Some("name the statement hash of an agreement that you made here".to_owned()),
            Self::NotActive(_) => Some("only an active product can be used".to_owned()),
            Self::Plan(error) => error.hint(),
            Self::Refused(refusal) => refusal.hint(),
            Self::Exists => Some("look it up by its id, or sign a new order under a fresh id and the next sequence number".to_owned()),
            Self::InsufficientBalance { .. } => Some("ask the operator for credit, then send the order again".to_owned()),
            _ => None,
        }
    }
}

/// An order that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedOrder {
    /// The order.
    pub order_id: OrderId,
    /// The job it became.
    pub job_id: JobId,
    /// Name of the job's state.
    pub state: &'static str,
}

/// Takes an order that the caller signed. Ring the market's bell once the transaction is through.
pub async fn order(tx: &mut Tx<'_>, market: &Market, caller: &Did, envelope: &Envelope) -> Result<PlacedOrder, OrderError> {
    let now = market.now();
    let order: Order = envelope.open_signed_by([caller]).map_err(OrderError::Envelope)?;
    if envelope.signatures().len() != 1 {
        return Err(OrderError::Signers);
    }
    let found = agreement::find_by_statement(tx, &order.agreement).await?.filter(|row| row.consumer == *caller);
    let found = found.ok_or(OrderError::UnknownAgreement)?;
    if order::exists(tx, &order.order_id, &envelope.statement_hash()).await? {
        return Err(OrderError::Exists);
    }
    let (agreement, product) = terms_of(tx, &found).await?;
    // A paused product takes no new orders; those that it took before are still run.
    match product.state_at(now) {
        ProductState::Active => {}
        // The agreement does not outlive its product, so this is told as the agreement's end.
        ProductState::Expired => return Err(OrderRefusal::AgreementExpired.into()),
        other => return Err(OrderError::NotActive(other)),
    }
    let plan = plan(&order.sql, &product.product)?.hash();
    check_order(&order, &agreement, plan, order::used(tx, &found.agreement_id).await?, now)?;
    let available_minor = account::available(tx, caller, &order.price.currency).await?;
    if available_minor < order.price.amount_minor {
        return Err(OrderError::InsufficientBalance { price: order.price, available_minor });
    }
    let job_id = JobId::compose(now, market.random());
    let statement = statements::insert(tx, envelope, now).await?;
    let new = NewOrder { order: &order, statement: &statement, agreement_id: &found.agreement_id, consumer: caller, job_id: &job_id };
    order::insert(tx, new, now).await?;
    let terms = job_terms(tx, (&job_id, &order, statement), &agreement, &product).await?;
    let job = Job { state: JobState::new(now, &terms, &market.job_limits), terms };
    let origin = JobOrigin { order_id: &order.order_id, agreement_id: &found.agreement_id, consumer: caller, sequence: order.sequence };
    job::insert(tx, &job, origin, now).await?;
    job::append_event(tx, &job_id, &Note::Queued { attempt: 1, not_before: now }, now).await?;
    settle::set_aside(tx, market, &job.terms, &order.price, now).await?;
    entrepot_failpoint::reach("exchange.order.before_commit");
    Ok(PlacedOrder { order_id: order.order_id, job_id, state: job.state.name() })
}

/// The signed agreement and its product.
async fn terms_of(tx: &mut Tx<'_>, found: &AgreementRow) -> Result<(Agreement, ProductRow), StoreError> {
    let corrupt = |what| StoreError::Corrupt { what };
    let signed = statements::find(tx, &found.statement).await?.ok_or(corrupt("agreement"))?;
    let agreement = signed.envelope.open().map_err(|_| corrupt("agreement"))?;
    let product = product::find(tx, &found.product_id).await?.ok_or(corrupt("agreement's product"))?;
    Ok((agreement, product))
}

async fn job_terms(
    tx: &mut Tx<'_>,
    (job_id, order, statement): (&JobId, &Order, entrepot_chain_statement::Hash),
    agreement: &Agreement,
    product: &ProductRow,
) -> Result<JobTerms, StoreError> {
    let corrupt = |what| StoreError::Corrupt { what };
    let mut parties = Vec::with_capacity(agreement.parties.len());
    for (party, pin) in agreement.parties.iter().enumerate() {
        let grant = worker_grant::find_by_hash(tx, &pin.grant).await?.ok_or(corrupt("agreement's grant"))?;
        let table = product.product.tables.get(party);
        parties.push(JobParty {
            participant: pin.participant.clone(),
            worker: pin.worker.clone(),
            commitment: table.map(|table| table.commitment),
            rows_max: table.map_or(0, |table| table.policy.rows_max),
            grant_expires_at: grant.grant.expires_at,
        });
    }
    Ok(JobTerms {
        job_id: job_id.clone(),
        order: statement,
        agreement: order.agreement,
        consumer: agreement.consumer.clone(),
        plan: order.plan,
        security: agreement.security,
        parties: parties.try_into().map_err(|_| corrupt("agreement's parties"))?,
        order_expires_at: order.expires_at,
        agreement_expires_at: agreement.expires_at,
    })
}
