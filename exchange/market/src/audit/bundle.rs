//! Everything of a trace to take away. The exchange signs what it says about it, the graph and the books; the statements carry their own
//! signatures and proofs, so that nobody has to believe the exchange in what others signed.

use super::{AuditError, Edge, NodeDetail, Trace, trace};
use crate::{Market, notary::LogCheckpoint};
use entrepot_chain_log::BundleEntry;
use entrepot_chain_statement::{
    Did, Envelope, EnvelopeError, Hash, Money, Statement, Timestamp,
    canonical::CanonicalError,
    ids::{AccountId, JournalEntryId},
};
use entrepot_exchange_store::{journal::EntryRow, statements::LogState};
use serde::{Deserialize, Serialize};

/// What the exchange says about a trace. Signed by the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditTrace {
    /// Id of the node that it begins at.
    pub start: String,
    /// The nodes.
    pub nodes: Vec<AuditNode>,
    /// The edges.
    pub edges: Vec<AuditEdge>,
    /// Whether a limit cut it short.
    pub truncated: bool,
    /// Every line of every journal entry among the nodes.
    pub journal: Vec<JournalLine>,
    /// The newest checkpoint then; none while the log is empty.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub checkpoint: Option<String>,
    /// When it was made.
    pub made_at: Timestamp,
}

impl Statement for AuditTrace {
    const PAYLOAD_TYPE: &'static str = "application/vnd.entrepot.audit-trace.v1+json";
}

/// One thing of a trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditNode {
    /// `participant`, `grant`, `dataset`, `product`, `quote`, `agreement`, `order`, `job`, `statement` or `journal-entry`.
    pub kind: String,
    /// Its id; a statement's is its hash.
    pub id: String,
    /// A statement's kind, as in `order`; a journal entry's, as in `hold`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub of: Option<String>,
    /// A statement's leaf.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaf: Option<Hash>,
    /// A statement's place in the log, if it is there; a decimal string.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaf_index: Option<String>,
    /// A statement's standing with the log: `kept`, `pending`, `logged` or `rejected`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub state: Option<String>,
    /// Why a statement was rejected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rejection: Option<String>,
    /// When a statement was accepted or an entry booked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at: Option<Timestamp>,
}

/// That one node is connected with another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditEdge {
    /// Id of the node that it is said of.
    pub from: String,
    /// Id of the other.
    pub to: String,
    /// What the first is to the other: an order `uses` an agreement.
    pub relation: String,
}

/// One line of the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalLine {
    /// The entry.
    pub entry_id: JournalEntryId,
    /// `credit`, `hold`, `release` or `refund`.
    pub entry_kind: String,
    /// The account.
    pub account_id: AccountId,
    /// `available`, `escrow` or `issuance`.
    pub account_kind: String,
    /// Whose account it is.
    pub owner: Did,
    /// Positive adds to the owner's claim.
    pub amount: Money,
    /// When it was booked.
    pub at: Timestamp,
}

/// A trace to take away.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditBundle {
    /// `entrepot.audit-bundle.v1`
    pub format: String,
    /// Envelope of the [`AuditTrace`], signed by the exchange.
    pub trace: Envelope,
    /// The statements among the nodes, each named `<kind>-<its statement hash>`, with its proof or none while it is not logged.
    pub entries: Vec<BundleEntry>,
}

impl From<&Trace> for Vec<AuditNode> {
    fn from(trace: &Trace) -> Self {
        trace.nodes.iter().map(|node| audit_node(&node.id, &node.detail)).collect()
    }
}

fn audit_node(id: &str, detail: &NodeDetail) -> AuditNode {
    let plain = AuditNode {
        kind: String::new(),
        id: id.to_owned(),
        of: None,
        leaf: None,
        leaf_index: None,
        state: None,
        rejection: None,
        at: None,
    };
    match detail {
        NodeDetail::Subject(kind) => AuditNode { kind: kind.as_str().to_owned(), ..plain },
        NodeDetail::JournalEntry { kind, at } => {
            AuditNode { kind: "journal-entry".to_owned(), of: Some((*kind).to_owned()), at: Some(*at), ..plain }
        }
        NodeDetail::Statement { kind, leaf, state, created_at } => {
            let (name, leaf_index, rejection) = match state {
                LogState::Kept => ("kept", None, None),
                LogState::Pending => ("pending", None, None),
                LogState::Logged { index } => ("logged", Some(index.to_string()), None),
                LogState::Rejected { reason } => ("rejected", None, Some(reason.clone())),
            };
            AuditNode {
                kind: "statement".to_owned(),
                of: Some(kind.as_str().to_owned()),
                leaf: Some(*leaf),
                leaf_index,
                state: Some(name.to_owned()),
                rejection,
                at: Some(*created_at),
                ..plain
            }
        }
    }
}

impl From<&Edge> for AuditEdge {
    fn from(edge: &Edge) -> Self {
        Self { from: edge.from.clone(), to: edge.to.clone(), relation: edge.relation.clone() }
    }
}

fn journal_lines(entries: &[EntryRow]) -> Vec<JournalLine> {
    let lines = entries.iter().flat_map(|entry| entry.lines.iter().map(move |line| (entry, line)));
    let told = lines.map(|(entry, line)| JournalLine {
        entry_id: entry.entry_id.clone(),
        entry_kind: entry.kind.name().to_owned(),
        account_id: line.account_id.clone(),
        account_kind: line.account.kind.name().to_owned(),
        owner: line.account.owner.clone(),
        amount: Money { amount_minor: line.amount_minor, currency: line.account.currency.clone() },
        at: entry.at,
    });
    told.collect()
}

impl AuditTrace {
    /// What the exchange says about a trace.
    pub fn of(trace: &Trace, checkpoint: Option<LogCheckpoint>, made_at: Timestamp) -> Self {
        Self {
            start: trace.start.clone(),
            nodes: trace.into(),
            edges: trace.edges.iter().map(AuditEdge::from).collect(),
            truncated: trace.truncated,
            journal: journal_lines(&trace.journal),
            checkpoint: checkpoint.map(|checkpoint| checkpoint.note),
            made_at,
        }
    }
}

/// Everything of the trace from this id, signed by the exchange.
pub async fn bundle(market: &Market, id: &str) -> Result<AuditBundle, AuditError> {
    let found = trace(market, id).await?;
    let said = AuditTrace::of(&found, market.notary.checkpoint().await?, market.now());
    let signed = Envelope::sign(&said, &market.exchange, market.random()).map_err(|error| match error {
        EnvelopeError::Payload(CanonicalError::TooLong) => AuditError::TooLarge,
        error => AuditError::Unsigned(error),
    })?;
    let mut entries = Vec::with_capacity(found.statements.len());
    for row in found.statements {
        let proof = if row.kind.is_logged() { market.notary.proof(&row.leaf).await? } else { None };
        entries.push(BundleEntry { name: format!("{}-{}", row.kind, row.statement_hash), envelope: row.envelope, proof });
    }
    Ok(AuditBundle { format: "entrepot.audit-bundle.v1".to_owned(), trace: signed, entries })
}
