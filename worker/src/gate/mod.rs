//! What a worker checks before it touches a row, whoever asks.
//!
//! The exchange only delivers. Everything a computation rests on is signed by those it binds, and checked here against the worker's own
//! configuration, its own policy file, its own memory and its own clock. [`check`] is pure: it decides on what it is given.

mod refusal;

pub use refusal::Refusal;

use crate::state::{AgreementRecord, ORDERS_MAX, OrderState};
use entrepot_api_wire::v1;
use entrepot_chain_statement::{
    Did, Envelope, Hash, Money, Statement, Timestamp,
    ids::{DatasetId, JobId},
    split::split,
    statements::{Agreement, ColumnKind, DataProduct, DatasetPolicy, Hold, Order, ProductTable, SplitAmount, WorkerGrant, WorkerRole},
};
use entrepot_mpc_plan::{Plan, PlanError};
use std::collections::{BTreeMap, BTreeSet};

/// Attempts of one order at most.
pub const ATTEMPTS_MAX: u32 = 3;
/// A computation is given up after this long, whatever deadline the exchange names.
pub const RUN_MS_MAX: i64 = 60 * 60 * 1000;
/// A peer's address is at most this long.
const ADDRESS_BYTES_MAX: usize = 300;

/// A work order, read but not believed.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The job, as the exchange says.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Our place.
    pub party: u8,
    /// The product.
    pub product: Envelope,
    /// The agreement.
    pub agreement: Envelope,
    /// The order.
    pub order: Envelope,
    /// The hold.
    pub hold: Envelope,
    /// The workers' grants, by party.
    pub grants: [Envelope; 3],
    /// Where the workers are said to be, by party.
    pub peer_addresses: [String; 3],
    /// When to give up, as the exchange says.
    pub deadline: Timestamp,
}

/// Who we are and whom we trust.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The only exchange whose signature counts.
    pub exchange: &'a Did,
    /// On whose behalf we act.
    pub participant: &'a Did,
    /// Our key.
    pub worker: &'a Did,
    /// Participants whose signatures count.
    pub trust: &'a BTreeSet<Did>,
    /// Datasets we described.
    pub datasets: &'a BTreeMap<DatasetId, OwnDataset>,
}

/// A dataset that this worker described.
#[derive(Clone, Debug)]
pub struct OwnDataset {
    /// Its commitment.
    pub commitment: Hash,
    /// Its columns.
    pub columns: Vec<(String, ColumnKind)>,
    /// The policy file of the dataset as it is now; none if it is gone or cannot be read.
    pub policy: Option<DatasetPolicy>,
}

/// An order that may run.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Our place.
    pub party: u8,
    /// The agreement.
    pub agreement: Agreement,
    /// Its statement hash.
    pub agreement_hash: Hash,
    /// The order.
    pub order: Order,
    /// Its statement hash.
    pub order_hash: Hash,
    /// Statement hash of the hold.
    pub hold_hash: Hash,
    /// What to run.
    pub plan: Plan,
    /// Our dataset; none for the compute party.
    pub dataset_id: Option<DatasetId>,
    /// Our own policy's bound on rows; none for the compute party.
    pub rows_max: Option<u32>,
    /// Who must be paid what before anything is handed over.
    pub split: Vec<SplitAmount>,
    /// Where the workers are said to be, by party.
    pub peer_addresses: [String; 3],
    /// When to give up.
    pub deadline: Timestamp,
}

impl Offer {
    /// Reads the message of the exchange.
    pub fn read(message: &v1::WorkOrder) -> Result<Self, Refusal> {
        let envelope = |part, bytes: &[u8]| Envelope::from_json(bytes).map_err(|_| Refusal::Malformed { part });
        let three = Refusal::Malformed { part: "list of three grants and addresses" };
        let [grant_0, grant_1, grant_2] = &message.grants[..] else { return Err(three) };
        let peer_addresses: [String; 3] = message.peer_addresses.clone().try_into().map_err(|_| three)?;
        if peer_addresses.iter().any(|address| address.len() > ADDRESS_BYTES_MAX) {
            return Err(Refusal::Malformed { part: "list of addresses" });
        }
        if !(1..=ATTEMPTS_MAX).contains(&message.attempt) {
            return Err(Refusal::AttemptOutOfRange);
        }
        if message.party > 2 {
            return Err(Refusal::PartyOutOfRange);
        }
        Ok(Self {
            job_id: message.job_id.parse().map_err(|_| Refusal::Malformed { part: "job id" })?,
            attempt: message.attempt,
            party: message.party as u8,
            product: envelope("product", &message.product)?,
            agreement: envelope("agreement", &message.agreement)?,
            order: envelope("order", &message.order)?,
            hold: envelope("hold", &message.hold)?,
            grants: [envelope("first grant", grant_0)?, envelope("second grant", grant_1)?, envelope("third grant", grant_2)?],
            peer_addresses,
            deadline: Timestamp(message.deadline_ms),
        })
    }
}

/// What this worker remembers of agreements, by statement hash.
pub type Memory = BTreeMap<Hash, AgreementRecord>;

/// Decides whether an order may run.
pub fn check(offer: &Offer, own: Own<'_>, memory: &Memory, now: Timestamp) -> Result<Admitted, Refusal> {
    if now >= offer.deadline {
        return Err(Refusal::DeadlinePassed);
    }
    let (product, split) = check_product(offer, own, now)?;
    let agreement = check_agreement(offer, own, &product, now)?;
    check_parties(offer, own, &product, &agreement, now)?;
    let order = check_order(offer, &agreement, now)?;
    let hold_hash = check_hold(offer, own, &agreement)?;
    let (plan, policy) = check_plan(offer, own, &product, &order)?;
    let order_hash = offer.order.statement_hash();
    check_memory(offer, &agreement, &order, order_hash, memory)?;
    Ok(Admitted {
        job_id: offer.job_id.clone(),
        attempt: offer.attempt,
        party: offer.party,
        agreement_hash: offer.agreement.statement_hash(),
        agreement,
        order,
        order_hash,
        hold_hash,
        plan,
        dataset_id: product.tables.get(usize::from(offer.party)).map(|table| table.dataset_id.clone()),
        rows_max: policy.map(|policy| policy.rows_max),
        split,
        peer_addresses: offer.peer_addresses.clone(),
        deadline: offer.deadline.min(now.plus_ms(RUN_MS_MAX)),
    })
}

fn open<S: Statement>(part: &'static str, envelope: &Envelope) -> Result<S, Refusal> {
    envelope.open().map_err(|_| Refusal::Malformed { part })
}

/// The participants a product binds, by party index.
fn participants(product: &DataProduct) -> impl Iterator<Item = &Did> {
    product.tables.iter().map(|table| &table.provider).chain([&product.compute_party])
}

/// The product, and who gets what of its price.
fn check_product(offer: &Offer, own: Own<'_>, now: Timestamp) -> Result<(DataProduct, Vec<SplitAmount>), Refusal> {
    let product: DataProduct = open("product", &offer.product)?;
    if product.tables.len() != 2 {
        return Err(Refusal::ProductInvalid { problem: "it needs exactly two tables" });
    }
    for participant in participants(&product) {
        if !own.trust.contains(participant) {
            return Err(Refusal::ParticipantNotTrusted { participant: participant.clone() });
        }
        if offer.product.verify_signed_by(participant).is_err() {
            return Err(Refusal::ProductNotSigned { participant: participant.clone() });
        }
    }
    if participants(&product).collect::<BTreeSet<_>>().len() != 3 {
        return Err(Refusal::PartiesNotDistinct);
    }
    if product.exchange != *own.exchange {
        return Err(Refusal::ProductForOtherExchange);
    }
    if product.price_per_query.amount_minor < 0 {
        return Err(Refusal::ProductInvalid { problem: "its price is negative" });
    }
    let Ok(split) = split(&product.price_per_query, &product.split) else {
        return Err(Refusal::ProductInvalid { problem: "its split does not sum to the whole price" });
    };
    if now >= product.expires_at {
        return Err(Refusal::ProductExpired);
    }
    Ok((product, split))
}

fn check_agreement(offer: &Offer, own: Own<'_>, product: &DataProduct, now: Timestamp) -> Result<Agreement, Refusal> {
    let agreement: Agreement = open("agreement", &offer.agreement)?;
    if offer.agreement.verify_signed_by(&agreement.consumer).is_err() {
        return Err(Refusal::AgreementNotSigned);
    }
    if !own.trust.contains(&agreement.consumer) {
        return Err(Refusal::ConsumerNotTrusted { consumer: agreement.consumer });
    }
    if !product.consumers.is_empty() && !product.consumers.contains(&agreement.consumer) {
        return Err(Refusal::ConsumerNotInvited);
    }
    if agreement.product != offer.product.statement_hash() {
        return Err(Refusal::AgreementForOtherProduct);
    }
    if agreement.exchange != *own.exchange {
        return Err(Refusal::AgreementForOtherExchange);
    }
    let differs = |term| Err(Refusal::AgreementTermsDiffer { term });
    if agreement.price_per_query != product.price_per_query {
        return differs("price");
    }
    if agreement.split != product.split {
        return differs("split");
    }
    if agreement.quota_queries != product.quota_queries {
        return differs("quota");
    }
    if agreement.expires_at > product.expires_at {
        return differs("expiry");
    }
    if now >= agreement.expires_at {
        return Err(Refusal::AgreementExpired);
    }
    Ok(agreement)
}

fn check_parties(offer: &Offer, own: Own<'_>, product: &DataProduct, agreement: &Agreement, now: Timestamp) -> Result<(), Refusal> {
    if !agreement.parties.iter().map(|pin| &pin.participant).eq(participants(product)) {
        return Err(Refusal::PartiesDiffer);
    }
    if agreement.parties.iter().map(|pin| &pin.worker).collect::<BTreeSet<_>>().len() != 3 {
        return Err(Refusal::PartiesNotDistinct);
    }
    for (index, (pin, envelope)) in agreement.parties.iter().zip(&offer.grants).enumerate() {
        let party = index as u8;
        let grant: WorkerGrant = open("grant", envelope)?;
        if envelope.verify_signed_by(&pin.participant).is_err() {
            return Err(Refusal::GrantNotSigned { party });
        }
        if envelope.statement_hash() != pin.grant || grant.participant != pin.participant || grant.worker != pin.worker {
            return Err(Refusal::GrantDiffers { party });
        }
        if grant.role != if party < 2 { WorkerRole::Data } else { WorkerRole::Compute } {
            return Err(Refusal::GrantRoleWrong { party });
        }
        if now < grant.not_before || now >= grant.expires_at {
            return Err(Refusal::GrantNotInTime { party });
        }
    }
    match agreement.parties.get(usize::from(offer.party)) {
        Some(pin) if pin.worker == *own.worker && pin.participant == *own.participant => {}
        _ => return Err(Refusal::NotThisWorker),
    }
    if product.tables.iter().any(|table| !table.policy.compute_parties.contains(&product.compute_party)) {
        return Err(Refusal::ComputePartyNotAccepted);
    }
    Ok(())
}

fn check_order(offer: &Offer, agreement: &Agreement, now: Timestamp) -> Result<Order, Refusal> {
    let order: Order = open("order", &offer.order)?;
    if offer.order.verify_signed_by(&agreement.consumer).is_err() {
        return Err(Refusal::OrderNotSigned);
    }
    if order.agreement != offer.agreement.statement_hash() {
        return Err(Refusal::OrderForOtherAgreement);
    }
    if order.price != agreement.price_per_query {
        return Err(Refusal::OrderPriceDiffers);
    }
    if now >= order.expires_at {
        return Err(Refusal::OrderExpired);
    }
    Ok(order)
}

fn check_hold(offer: &Offer, own: Own<'_>, agreement: &Agreement) -> Result<Hash, Refusal> {
    let hold: Hold = open("hold", &offer.hold)?;
    if offer.hold.verify_signed_by(own.exchange).is_err() {
        return Err(Refusal::HoldNotSigned);
    }
    let order = offer.order.statement_hash();
    let same_job = hold.job_id == offer.job_id && hold.order == order && hold.agreement == offer.agreement.statement_hash();
    // Under another consumer's name the ledger would not find the order, nor log this worker's receipt.
    if !same_job || hold.consumer != agreement.consumer {
        return Err(Refusal::HoldForOtherOrder);
    }
    if hold.amount != agreement.price_per_query {
        return Err(Refusal::HoldAmountDiffers);
    }
    Ok(offer.hold.statement_hash())
}

/// Derives the plan under the product's terms and, for a data party, once more under its own policy in place of the product's copy.
fn check_plan<'a>(offer: &Offer, own: Own<'a>, product: &DataProduct, order: &Order) -> Result<(Plan, Option<&'a DatasetPolicy>), Refusal> {
    let plan = entrepot_mpc_plan::plan(&order.sql, product).map_err(|error| Refusal::PlanForbidden {
        code: error.code(),
        rule: error.rule(),
        detail: error.detail,
    })?;
    if plan.hash() != order.plan {
        return Err(Refusal::PlanDiffers);
    }
    let index = usize::from(offer.party);
    let Some(table) = product.tables.get(index) else { return Ok((plan, None)) };
    let policy = check_dataset(own, table)?;
    if !policy.compute_parties.contains(&product.compute_party) {
        return Err(Refusal::ComputePartyNotAccepted);
    }
    let mut under_own_policy = product.clone();
    under_own_policy.tables[index].policy = policy.clone();
    let forbids = |error: PlanError| Refusal::PolicyForbids { code: error.code(), rule: error.rule(), detail: error.detail };
    if entrepot_mpc_plan::plan(&order.sql, &under_own_policy).map_err(forbids)?.hash() != order.plan {
        return Err(Refusal::PolicyStricter);
    }
    Ok((plan, Some(policy)))
}

fn check_dataset<'a>(own: Own<'a>, table: &ProductTable) -> Result<&'a DatasetPolicy, Refusal> {
    let dataset = own.datasets.get(&table.dataset_id).ok_or(Refusal::DatasetUnknown)?;
    if dataset.commitment != table.commitment || dataset.columns != table.columns {
        return Err(Refusal::DatasetDiffers);
    }
    dataset.policy.as_ref().ok_or(Refusal::PolicyMissing)
}

/// What only this worker's own memory can tell: whether the order, its number or its attempt was seen before, and what is left.
fn check_memory(offer: &Offer, agreement: &Agreement, order: &Order, order_hash: Hash, memory: &Memory) -> Result<(), Refusal> {
    let record = memory.get(&offer.agreement.statement_hash());
    let counted = match record.and_then(|record| record.order(&order_hash)) {
        Some(known) if known.job_id != offer.job_id => return Err(Refusal::OrderReplayed),
        Some(known) if known.state == OrderState::Released => return Err(Refusal::AlreadyReleased),
        Some(known) if offer.attempt <= known.attempt => return Err(Refusal::AttemptRepeated),
        // Its own earlier attempt does not use up the quota for the next.
        Some(known) => usize::from(known.state != OrderState::Failed),
        None if order.sequence <= record.map_or(0, |record| record.highest_sequence) => return Err(Refusal::SequencePassed),
        None if record.is_some_and(|record| record.orders.len() >= ORDERS_MAX) => return Err(Refusal::TooManyOrders),
        None => 0,
    };
    // A consumer needs nobody for another agreement: what protects the data is counted over all of them.
    let same = memory.values().filter(|record| record.product == agreement.product && record.consumer == agreement.consumer);
    let used: usize = same.map(AgreementRecord::queries_used).sum();
    if used - counted >= agreement.quota_queries as usize { Err(Refusal::QuotaSpent) } else { Ok(()) }
}

/// What this order's hold and release are about.
impl Admitted {
    /// The price.
    pub fn price(&self) -> &Money {
        &self.order.price
    }
}

#[cfg(test)]
mod tests;
