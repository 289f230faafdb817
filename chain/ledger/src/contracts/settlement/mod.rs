//! What follows from an agreement: orders, holds, usage receipts, and how each hold ends. A leaf that breaks a rule is not logged.
//!
//! The rules are of signed facts ([`Facts`](entrepot_chain_statement::Facts)). A name belongs to whoever signs it first *under their own key*:
//! agreements and orders are the consumer's, holds the exchange's, so that nobody takes another's name by being faster. No rule is about
//! time, since a statement may reach the log late.
//!
//! Not judged: amounts, which the ledger does not see. A release names the agreed rule; that its amounts follow from it is for those to
//! check who open the statements.

mod records;

pub use records::{Agreement, Hold, HoldStatus, Order, Receipt};

use crate::{
    codec::{DecodeError, KnownKeys},
    outcome::Rejection,
    state::{LookupError, entries},
};
use entrepot_chain_statement::{Did, Facts, Hash, facts::PARTIES};
use std::collections::{BTreeMap, BTreeSet};

/// A leaf to be judged, whose signatures are right.
pub(crate) struct Logged<'a> {
    /// The entry of the log.
    pub leaf: Hash,
    /// Whom it binds; they signed.
    pub binds: &'a BTreeSet<Did>,
    /// Height of the block.
    pub height: u64,
}

/// Why a leaf is not judged to be right.
pub(crate) enum Halt {
    /// It breaks a rule.
    Rejected(Rejection),
    /// Nothing can be said.
    Lookup(LookupError),
}

impl From<Rejection> for Halt {
    fn from(why: Rejection) -> Self {
        Self::Rejected(why)
    }
}

impl From<LookupError> for Halt {
    fn from(error: LookupError) -> Self {
        Self::Lookup(error)
    }
}

/// Entries of state as the block has left them so far.
pub(crate) trait Entries {
    /// The encoding of the entry at this key.
    fn entry(&self, key: &Hash) -> Result<Option<Vec<u8>>, LookupError>;
}

/// Entries that a leaf writes, by key.
pub(crate) type Writes = BTreeMap<Hash, Vec<u8>>;

/// Judges a leaf by its facts, and says what it writes.
pub(crate) fn judge(facts: &Facts, logged: &Logged<'_>, entries: &dyn Entries) -> Result<Writes, Halt> {
    let book = Book(entries);
    match facts {
        // Rights have a contract of their own.
        Facts::Unlogged | Facts::WorkerGrant | Facts::DataProduct | Facts::RightsRegistration { .. } => Ok(Writes::new()),
        Facts::Agreement { name, consumer, exchange, workers, uses_max, split } => {
            let terms = Agreement {
                consumer: consumer.clone(),
                exchange: exchange.clone(),
                workers: workers.clone(),
                uses_max: *uses_max,
                uses: 0,
                orders: 0,
                split: *split,
                leaf: logged.leaf,
            };
            agree(&book, logged, name, &terms)
        }
        Facts::Order { name, agreement, sequence } => order(&book, logged, (name, agreement), *sequence),
        Facts::Hold { name, order, consumer } => hold(&book, logged, name, (consumer, order)),
        Facts::UsageReceipt { order, consumer, attempt, party } => {
            let receipt = Receipt { attempt: *attempt, leaf: logged.leaf };
            receive(&book, logged, (consumer, order), (*party, receipt))
        }
        Facts::Release { hold, split } => release(&book, logged, hold, split),
        Facts::Refund { hold } => refund(&book, logged, hold),
    }
}

fn agree(book: &Book<'_>, logged: &Logged<'_>, name: &Hash, terms: &Agreement) -> Result<Writes, Halt> {
    logged.is_bound_by(&terms.consumer)?;
    match book.agreement(&terms.consumer, name)? {
        Some(_) => Err(Rejection::AgreementExists.into()),
        None => Ok([(entries::agreement_key(&terms.consumer, name), terms.encode())].into()),
    }
}

fn order(book: &Book<'_>, logged: &Logged<'_>, (name, agreed): (&Hash, &Hash), sequence: u64) -> Result<Writes, Halt> {
    let consumer = logged.only()?;
    let mut agreement = book.agreement(consumer, agreed)?.ok_or(Rejection::NoSuchAgreement)?;
    if book.order(consumer, name)?.is_some() {
        return Err(Rejection::OrderExists.into());
    }
    let expected = agreement.orders.saturating_add(1);
    if sequence != expected {
        return Err(Rejection::OrderSequence { expected }.into());
    }
    agreement.orders = sequence;
    let order = Order { agreement: *agreed, receipts: [None; PARTIES], hold: None, leaf: logged.leaf };
    Ok([(entries::agreement_key(consumer, agreed), agreement.encode()), (entries::order_key(consumer, name), order.encode())].into())
}

fn hold(book: &Book<'_>, logged: &Logged<'_>, name: &Hash, (consumer, ordered): (&Did, &Hash)) -> Result<Writes, Halt> {
    let (mut order, agreement) = book.agreed_order(consumer, ordered)?;
    logged.is_bound_only_by(&agreement.exchange)?;
    if order.hold.is_some() || book.hold(&agreement.exchange, name)?.is_some() {
        return Err(Rejection::HoldExists.into());
    }
    order.hold = Some(*name);
    let hold = Hold { consumer: consumer.clone(), order: *ordered, leaf: logged.leaf, status: HoldStatus::Open };
    Ok([(entries::order_key(consumer, ordered), order.encode()), (entries::hold_key(&agreement.exchange, name), hold.encode())].into())
}

fn receive(
    book: &Book<'_>,
    logged: &Logged<'_>,
    (consumer, ordered): (&Did, &Hash),
    (party, receipt): (u8, Receipt),
) -> Result<Writes, Halt> {
    let (mut order, agreement) = book.agreed_order(consumer, ordered)?;
    let at = usize::from(party);
    logged.is_bound_only_by(agreement.workers.get(at).ok_or(Rejection::NoSuchParty)?)?;
    let held = order.hold.ok_or(Rejection::NotHeld)?;
    book.open_hold(&agreement.exchange, &held)?;
    if let Some(last) = order.receipts[at]
        && receipt.attempt <= last.attempt
    {
        return Err(Rejection::AttemptOver { last: last.attempt }.into());
    }
    order.receipts[at] = Some(receipt);
    Ok([(entries::order_key(consumer, ordered), order.encode())].into())
}

fn release(book: &Book<'_>, logged: &Logged<'_>, name: &Hash, split: &Hash) -> Result<Writes, Halt> {
    let exchange = logged.only()?;
    let mut hold = book.open_hold(exchange, name)?;
    let (order, mut agreement) = book.agreed_order(&hold.consumer, &hold.order)?;
    let mut attempts = BTreeSet::new();
    for (party, receipt) in (0_u8..).zip(order.receipts) {
        attempts.insert(receipt.ok_or(Rejection::ReceiptMissing { party })?.attempt);
    }
    if attempts.len() != 1 {
        return Err(Rejection::AttemptsDiffer.into());
    }
    if *split != agreement.split {
        return Err(Rejection::SplitDiffers.into());
    }
    if agreement.uses >= agreement.uses_max {
        return Err(Rejection::UsesSpent { uses_max: agreement.uses_max }.into());
    }
    agreement.uses += 1;
    hold.status = HoldStatus::Released { leaf: logged.leaf, height: logged.height };
    Ok([(entries::agreement_key(&hold.consumer, &order.agreement), agreement.encode()), (entries::hold_key(exchange, name), hold.encode())]
        .into())
}

fn refund(book: &Book<'_>, logged: &Logged<'_>, name: &Hash) -> Result<Writes, Halt> {
    let exchange = logged.only()?;
    let mut hold = book.open_hold(exchange, name)?;
    hold.status = HoldStatus::Refunded { leaf: logged.leaf, height: logged.height };
    Ok([(entries::hold_key(exchange, name), hold.encode())].into())
}

impl Logged<'_> {
    fn is_bound_by(&self, key: &Did) -> Result<(), Rejection> {
        if self.binds.contains(key) { Ok(()) } else { Err(Rejection::Unbound { key: key.clone() }) }
    }

    fn is_bound_only_by(&self, key: &Did) -> Result<(), Rejection> {
        self.is_bound_by(key)?;
        self.only().map(drop)
    }

    /// The one key that it binds.
    fn only(&self) -> Result<&Did, Rejection> {
        match (self.binds.first(), self.binds.len()) {
            (Some(key), 1) => Ok(key),
            _ => Err(Rejection::BindsSeveral),
        }
    }
}

/// The records that facts speak of.
struct Book<'a>(&'a dyn Entries);

impl Book<'_> {
    fn read<T>(&self, key: Hash, decode: impl FnOnce(&[u8]) -> Result<T, DecodeError>) -> Result<Option<T>, LookupError> {
        // What the state commits to was written by the ledger itself.
        let Some(encoding) = self.0.entry(&key)? else { return Ok(None) };
        decode(&encoding).map(Some).map_err(|_| entries::damaged(key))
    }

    fn agreement(&self, consumer: &Did, name: &Hash) -> Result<Option<Agreement>, LookupError> {
        self.read(entries::agreement_key(consumer, name), |bytes| Agreement::read(bytes, &mut KnownKeys::trusting()))
    }

    fn order(&self, consumer: &Did, name: &Hash) -> Result<Option<Order>, LookupError> {
        self.read(entries::order_key(consumer, name), Order::decode)
    }

    fn hold(&self, exchange: &Did, name: &Hash) -> Result<Option<Hold>, LookupError> {
        self.read(entries::hold_key(exchange, name), |bytes| Hold::read(bytes, &mut KnownKeys::trusting()))
    }

    /// An order and what it is an order under.
    fn agreed_order(&self, consumer: &Did, name: &Hash) -> Result<(Order, Agreement), Halt> {
        let order = self.order(consumer, name)?.ok_or(Rejection::NoSuchOrder)?;
        let agreement = self.agreement(consumer, &order.agreement)?.ok_or(Rejection::NoSuchAgreement)?;
        Ok((order, agreement))
    }

    fn open_hold(&self, exchange: &Did, name: &Hash) -> Result<Hold, Halt> {
        let hold = self.hold(exchange, name)?.ok_or(Rejection::NoSuchHold)?;
        match hold.status {
            HoldStatus::Open => Ok(hold),
            HoldStatus::Released { .. } => Err(Rejection::HoldReleased.into()),
            HoldStatus::Refunded { .. } => Err(Rejection::HoldRefunded.into()),
        }
    }
}
