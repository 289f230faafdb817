//! What one thing is connected with, both ways: dataset ⇄ product ⇄ agreement ⇄ order ⇄ job ⇄ journal entries, and the statements that say
//! so. A trace goes up from where it begins to what that rests on, and down to what rests on it; what merely shares a product or an
//! agreement with it is left out.

use super::AuditError;
use crate::Market;
use entrepot_chain_statement::{
    Did, Hash, Timestamp,
    ids::{AgreementId, DatasetId, GrantId, JobId, JournalEntryId, OrderId, ProductId, QuoteId},
};
use entrepot_exchange_domain::{
    evidence::{StatementKind, Subject, SubjectKind},
    journal::AccountKind,
};
use entrepot_exchange_store::{
    Connection, audit,
    audit::Link,
    journal,
    journal::EntryRow,
    statements,
    statements::{LogState, StatementRow},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    str::FromStr,
};

/// Most nodes of a trace.
pub const NODES_MAX: usize = 1_000;
/// Most edges of a trace.
pub const EDGES_MAX: usize = 4_000;

/// One thing of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id; a statement's is its hash.
    pub id: String,
    /// What it is.
    pub detail: NodeDetail,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeDetail {
    /// Something that statements are about.
    Subject(SubjectKind),
    /// A statement.
    Statement {
        /// Its kind.
        kind: StatementKind,
        /// Its leaf.
        leaf: Hash,
        /// Where it stands with the log.
        state: LogState,
        /// When the exchange accepted it.
        created_at: Timestamp,
    },
    /// A movement of money.
    JournalEntry {
        /// `credit`, `hold`, `release` or `refund`.
        kind: &'static str,
        /// When it was booked.
        at: Timestamp,
    },
}

/// That one node is connected with another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// Id of the node that it is said of.
    pub from: String,
    /// What it is to the other: an order `uses` an agreement.
    pub relation: String,
    /// Id of the other.
    pub to: String,
}

/// What one thing is connected with.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Id of the node that it begins at.
    pub start: String,
    /// The nodes, in the order in which they were found.
    pub nodes: Vec<Node>,
    /// The edges, sorted.
    pub edges: Vec<Edge>,
    /// Whether a limit cut it short.
    pub truncated: bool,
    /// The statements among the nodes.
    pub statements: Vec<StatementRow>,
    /// The journal entries among the nodes.
    pub journal: Vec<EntryRow>,
}

/// Traces from an id of any kind, a leaf, a statement hash, or the index of a leaf.
pub async fn trace(market: &Market, id: &str) -> Result<Trace, AuditError> {
    let mut reader = market.store.reader().await?;
    let db: &mut Connection = &mut reader;
    let mut walk = Walk::default();
    let (begin, subject) = match find_start(db, id).await?.ok_or(AuditError::NotFound)? {
        Start::Subject(subject) => (subject.id.clone(), Some(subject)),
        Start::Statement(row) => (row.statement_hash.to_string(), Some(row.subject)),
        Start::Entry(entry) => {
            let job = entry.job_id.as_ref().map(|job| Subject { kind: SubjectKind::Job, id: job.to_string() });
            let begin = entry.entry_id.to_string();
            walk.entry(entry);
            (begin, job)
        }
    };
    if let Some(subject) = subject {
        walk.subject(db, &subject).await?;
        walk.up(db, &subject).await?;
        walk.down(db, &subject).await?;
    }
    if walk.statements.is_empty() && walk.journal.is_empty() {
        return Err(AuditError::NotFound);
    }
    Ok(walk.into_trace(begin))
}

/// Where a trace begins.
enum Start {
    Subject(Subject),
    Statement(Box<StatementRow>),
    Entry(EntryRow),
}

/// Finds out what an id is of. None if there is no such statement or entry.
async fn find_start(db: &mut Connection, id: &str) -> Result<Option<Start>, AuditError> {
    let of = |kind| Ok(Some(Start::Subject(Subject { kind, id: id.to_owned() })));
    match id.split_once(['_', ':']).map_or("", |(prefix, _)| prefix) {
        DatasetId::PREFIX if DatasetId::from_str(id).is_ok() => of(SubjectKind::Dataset),
        ProductId::PREFIX if ProductId::from_str(id).is_ok() => of(SubjectKind::Product),
        QuoteId::PREFIX if QuoteId::from_str(id).is_ok() => of(SubjectKind::Quote),
        AgreementId::PREFIX if AgreementId::from_str(id).is_ok() => of(SubjectKind::Agreement),
        OrderId::PREFIX if OrderId::from_str(id).is_ok() => of(SubjectKind::Order),
        JobId::PREFIX if JobId::from_str(id).is_ok() => of(SubjectKind::Job),
        GrantId::PREFIX if GrantId::from_str(id).is_ok() => of(SubjectKind::Grant),
        "did" if Did::from_str(id).is_ok() => of(SubjectKind::Participant),
        JournalEntryId::PREFIX => {
            let entry: JournalEntryId = id.parse().map_err(|_| AuditError::UnknownForm)?;
            Ok(journal::find(db, &entry).await?.map(Start::Entry))
        }
        _ => Ok(find_statement(db, id).await?.map(|row| Start::Statement(Box::new(row)))),
    }
}

async fn find_statement(db: &mut Connection, id: &str) -> Result<Option<StatementRow>, AuditError> {
    if let Ok(hash) = id.parse::<Hash>() {
        let found = statements::find(db, &hash).await?;
        return Ok(if found.is_some() { found } else { statements::find_by_leaf(db, &hash).await? });
    }
    match id.parse::<u64>() {
        Ok(index) => Ok(statements::find_by_index(db, index).await?),
        Err(_) => Err(AuditError::UnknownForm),
    }
}

/// A trace under way.
#[derive(Default)]
struct Walk {
    seen: BTreeSet<String>,
    nodes: Vec<Node>,
    edges: BTreeSet<Edge>,
    statements: BTreeMap<String, StatementRow>,
    journal: Vec<EntryRow>,
    truncated: bool,
}

impl Walk {
    /// Adds a node; false if it was there already or there is no room.
    fn node(&mut self, id: &str, detail: NodeDetail) -> bool {
        if self.seen.contains(id) {
            return false;
        }
        if self.nodes.len() >= NODES_MAX {
            self.truncated = true;
            return false;
        }
        self.seen.insert(id.to_owned());
        self.nodes.push(Node { id: id.to_owned(), detail });
        true
    }

    /// Adds an edge between nodes that are there.
    fn edge(&mut self, from: &str, relation: &str, to: &str) {
        if from == to || !self.seen.contains(from) || !self.seen.contains(to) {
            return;
        }
        if self.edges.len() >= EDGES_MAX {
            self.truncated = true;
            return;
        }
        self.edges.insert(Edge { from: from.to_owned(), relation: relation.to_owned(), to: to.to_owned() });
    }

    /// Adds a thing with its statements, the participants that they bind, and a job's money. False if it was there already.
    async fn subject(&mut self, db: &mut Connection, subject: &Subject) -> Result<bool, AuditError> {
        if !self.node(&subject.id, NodeDetail::Subject(subject.kind)) {
            return Ok(false);
        }
        for row in statements::about(db, subject).await? {
            let hash = row.statement_hash.to_string();
            let detail = NodeDetail::Statement { kind: row.kind, leaf: row.leaf, state: row.state.clone(), created_at: row.created_at };
            if self.node(&hash, detail) {
                self.edge(&hash, "evidences", &subject.id);
                self.statements.insert(hash, row);
            }
        }
        for (relation, participant) in audit::bound_by(db, subject).await? {
            self.node(participant.as_str(), NodeDetail::Subject(SubjectKind::Participant));
            self.edge(&subject.id, &relation, participant.as_str());
        }
        if let (SubjectKind::Job, Ok(job)) = (subject.kind, subject.id.parse::<JobId>()) {
            for entry in journal::of_job(db, &job).await? {
                let id = entry.entry_id.to_string();
                self.entry(entry);
                self.edge(&id, "settles", &subject.id);
            }
        }
        Ok(true)
    }

    /// Adds a movement of money, and the participants whose balance it changed.
    fn entry(&mut self, entry: EntryRow) {
        let id = entry.entry_id.to_string();
        if !self.node(&id, NodeDetail::JournalEntry { kind: entry.kind.name(), at: entry.at }) {
            return;
        }
        for line in entry.lines.iter().filter(|line| line.account.kind == AccountKind::Available) {
            let owner = line.account.owner.as_str();
            self.node(owner, NodeDetail::Subject(SubjectKind::Participant));
            self.edge(&id, if line.amount_minor > 0 { "pays" } else { "charges" }, owner);
        }
        self.journal.push(entry);
    }

    /// What the start rests on, and what that rests on.
    async fn up(&mut self, db: &mut Connection, start: &Subject) -> Result<(), AuditError> {
        let mut open = VecDeque::from([start.clone()]);
        while let Some(subject) = open.pop_front() {
            for Link { relation, subject: other } in audit::refers_to(db, &subject, NODES_MAX as i64).await? {
                let is_new = self.subject(db, &other).await?;
                self.edge(&subject.id, &relation, &other.id);
                if is_new {
                    open.push_back(other);
                }
            }
        }
        Ok(())
    }

    /// What rests on the start, and what rests on that.
    async fn down(&mut self, db: &mut Connection, start: &Subject) -> Result<(), AuditError> {
        let mut open = VecDeque::from([start.clone()]);
        let mut opened = BTreeSet::from([start.id.clone()]);
        while let Some(subject) = open.pop_front() {
            if self.truncated {
                break;
            }
            let below = match subject.id.parse::<Did>() {
                Ok(participant) => audit::bonds_of(db, &participant, NODES_MAX as i64).await?,
                Err(_) => audit::referred_by(db, &subject, NODES_MAX as i64).await?,
            };
            for Link { relation, subject: other } in below {
                self.subject(db, &other).await?;
                self.edge(&other.id, &relation, &subject.id);
                if opened.insert(other.id.clone()) {
                    open.push_back(other);
                }
            }
        }
        Ok(())
    }

    fn into_trace(self, start: String) -> Trace {
        let statements = self.nodes.iter().filter_map(|node| self.statements.get(&node.id).cloned()).collect();
        Trace {
            start,
            nodes: self.nodes,
            edges: self.edges.into_iter().collect(),
            truncated: self.truncated,
            statements,
            journal: self.journal,
        }
    }
}
