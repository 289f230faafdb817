//! Opening a bundle's statements, and who has to have signed which.

use super::checks::{CheckError, Checks, rule};
use crate::{bundle::BundleEntry, trust::TrustFile};
use entrepot_chain_statement::{
    Did, Envelope, Hash, Statement,
    statements::{Agreement, DataProduct, Hold, Order, Refund, Release, RightsRegistration, UsageReceipt, WorkerGrant},
};

/// Parties to a computation.
pub(super) const PARTIES: usize = 3;
/// Parties that bring a table.
pub(super) const TABLES: usize = 2;

/// A statement, of its type and canonical; not checked for signatures.
pub(super) struct Opened<S> {
    envelope: Envelope,
    /// What it says.
    pub statement: S,
    /// Its identity.
    pub hash: Hash,
}

impl<S: Statement> Opened<S> {
    pub(super) fn open(entry: &BundleEntry) -> Result<Self, CheckError> {
        Ok(Self { statement: entry.envelope.open()?, hash: entry.envelope.statement_hash(), envelope: entry.envelope.clone() })
    }

    /// Whether all of these signed it.
    pub(super) fn signed_by<'a>(&self, signers: impl IntoIterator<Item = &'a Did>) -> Result<(), CheckError> {
        Ok(self.envelope.open_signed_by::<S>(signers).map(drop)?)
    }
}

/// How a job ended.
pub(super) enum End {
    /// Paid out; all three receipts are there.
    Released(Opened<Release>),
    /// Given back; some receipts may be there.
    Refunded(Opened<Refund>),
}

/// All statements of a bundle.
pub(super) struct Statements {
    pub product: Opened<DataProduct>,
    pub rights: [Opened<RightsRegistration>; TABLES],
    pub agreement: Opened<Agreement>,
    pub grants: [Opened<WorkerGrant>; PARTIES],
    pub order: Opened<Order>,
    pub hold: Opened<Hold>,
    /// With their parties' indices, ascending.
    pub receipts: Vec<(u8, Opened<UsageReceipt>)>,
    pub end: End,
}

const NAMES: [&str; 14] = [
    "product",
    "rights-0",
    "rights-1",
    "agreement",
    "grant-0",
    "grant-1",
    "grant-2",
    "order",
    "hold",
    "receipt-0",
    "receipt-1",
    "receipt-2",
    "release",
    "refund",
];

impl Statements {
    /// Opens every entry; none if one that is needed is missing or does not open.
    pub(super) fn open(entries: &[BundleEntry], checks: &mut Checks) -> Option<Self> {
        for entry in entries.iter().filter(|entry| !NAMES.contains(&entry.name.as_str())) {
            checks.fail("entries", CheckError::UnknownEntry { name: entry.name.clone() });
        }
        let mut opener = Opener { entries, checks };
        // All are opened before any is given up, so that the report names every one that fails.
        let (product, agreement, order, hold) =
            (opener.need("product"), opener.need("agreement"), opener.need("order"), opener.need("hold"));
        let rights = [opener.need("rights-0"), opener.need("rights-1")];
        let grants = [opener.need("grant-0"), opener.need("grant-1"), opener.need("grant-2")];
        let (end, receipts) = (opener.end(), opener.receipts());
        Some(Self {
            product: product?,
            rights: all(rights)?,
            agreement: agreement?,
            grants: all(grants)?,
            order: order?,
            hold: hold?,
            receipts: receipts?,
            end: end?,
        })
    }

    /// Whose computation it is, in party order, as the product says: the tables' providers, then the compute party.
    pub(super) fn participants(&self) -> Vec<&Did> {
        let product = &self.product.statement;
        product.tables.iter().map(|table| &table.provider).chain([&product.compute_party]).collect()
    }
}

/// Whether somebody is in the trust file.
pub(super) fn trusted(trust: &TrustFile, what: &'static str, did: &Did) -> Result<(), CheckError> {
    if trust.participants.contains(did) { Ok(()) } else { Err(CheckError::Untrusted { what, did: did.clone() }) }
}

fn all<T, const N: usize>(items: [Option<T>; N]) -> Option<[T; N]> {
    let items: Vec<T> = items.into_iter().collect::<Option<_>>()?;
    items.try_into().ok()
}

struct Opener<'a> {
    entries: &'a [BundleEntry],
    checks: &'a mut Checks,
}

impl Opener<'_> {
    fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    fn need<S: Statement>(&mut self, name: &str) -> Option<Opened<S>> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        self.checks.value(format!("statement:{name}"), || {
            entry.ok_or_else(|| CheckError::MissingEntry { name: name.to_owned() }).and_then(Opened::open)
        })
    }

    /// Release and refund of one hold contradict each other; without either the job has not ended.
    fn end(&mut self) -> Option<End> {
        let (released, refunded) = (self.has("release"), self.has("refund"));
        self.checks.run("end", || rule(released != refunded, "a job ends by a release or a refund, one of them"));
        match (released, refunded) {
            (true, false) => self.need("release").map(End::Released),
            (false, true) => self.need("refund").map(End::Refunded),
            _ => None,
        }
    }

    /// A release needs all three receipts; a refund may come with some.
    fn receipts(&mut self) -> Option<Vec<(u8, Opened<UsageReceipt>)>> {
        let (all, mut receipts) = (self.has("release"), Vec::new());
        for (party, name) in [(0, "receipt-0"), (1, "receipt-1"), (2, "receipt-2")] {
            if all || self.has(name) {
                receipts.push(self.need(name).map(|receipt| (party, receipt)));
            }
        }
        receipts.into_iter().collect()
    }
}
