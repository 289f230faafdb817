//! The ledger's transactions in the explorer's words.

use super::{ChainError, Node, TransactionRecord, TransactionStatus, pruned, unavailable};
use entrepot_api_server::chain::{TransactionKind, TransactionPosition, Verdict};
use entrepot_chain_ledger::{LeafKind, MembersAction, MembersChange, RightAction, Transaction};
use entrepot_chain_node::{DecidedTransaction, Place, TransactionVerdict};
use entrepot_chain_statement::{Did, Hash, Timestamp};

pub fn position(place: Place) -> TransactionPosition {
    TransactionPosition { height: place.height, place: place.place }
}

pub fn verdict(verdict: TransactionVerdict) -> Verdict {
    match verdict {
        TransactionVerdict::Accepted => Verdict::Accepted { index: None },
        TransactionVerdict::Logged { index } => Verdict::Accepted { index: Some(index) },
        TransactionVerdict::Rejected { code, reason } => Verdict::Rejected { code, reason },
    }
}

/// What became of the transaction with this hash, once a block has it.
pub fn status(node: &Node, hash: &Hash) -> Result<Option<TransactionStatus>, ChainError> {
    let found = node.verdict(hash).map_err(unavailable)?;
    found.map(|(place, verdict)| decided_status(node, place, verdict)).transpose()
}

fn decided_status(node: &Node, place: Place, told: TransactionVerdict) -> Result<TransactionStatus, ChainError> {
    let time = time(node, place.height)?;
    Ok(TransactionStatus::Decided { at: position(place), time, verdict: verdict(told) })
}

fn time(node: &Node, height: u64) -> Result<Timestamp, ChainError> {
    let block = node.block_summary(height).map_err(unavailable)?;
    block.map(|block| block.header.time).ok_or_else(|| unavailable(std::io::Error::other(format!("block {height} has no header"))))
}

/// One that a block has.
pub fn decided(node: &Node, found: DecidedTransaction) -> Result<TransactionRecord, ChainError> {
    let transaction = found.transaction.ok_or_else(|| pruned(node))?;
    let status = decided_status(node, found.place, found.verdict)?;
    record(node, &transaction, found.place.height, status)
}

/// One that is about to wait for its block.
pub fn waiting(node: &Node, transaction: Transaction) -> Result<TransactionRecord, ChainError> {
    record(node, &transaction, node.head().height, TransactionStatus::Pending)
}

fn record(node: &Node, transaction: &Transaction, height: u64, status: TransactionStatus) -> Result<TransactionRecord, ChainError> {
    let (kind, action, binds) = described(transaction);
    Ok(TransactionRecord {
        hash: transaction.hash(),
        kind,
        action: action.to_owned(),
        submitter: transaction.submitter().clone(),
        sequence: transaction.sequence(),
        leaf: leaf(node, transaction, height)?,
        binds,
        encoded: transaction.encode(),
        status,
    })
}

fn described(transaction: &Transaction) -> (TransactionKind, &'static str, Vec<Did>) {
    match transaction {
        Transaction::Leaf(leaf) => {
            (TransactionKind::Leaf, leaf.leaf.facts.kind().map_or("unlogged", LeafKind::as_str), leaf.leaf.binds.iter().cloned().collect())
        }
        Transaction::Members(members) => (TransactionKind::Members, members_action(&members.action), vec![members.submitter.clone()]),
        Transaction::Right(right) => {
            (TransactionKind::Right, right_action(&right.record.action), right.signatures.keys().cloned().collect())
        }
    }
}

fn members_action(action: &MembersAction) -> &'static str {
    match action {
        MembersAction::Propose(MembersChange::Join(_)) => "propose-join",
        MembersAction::Propose(MembersChange::Leave(_)) => "propose-leave",
        MembersAction::Propose(MembersChange::Replace { .. }) => "propose-replace",
        MembersAction::Propose(MembersChange::SetRule(_)) => "propose-rule",
        MembersAction::Vote { approve: true, .. } => "approve",
        MembersAction::Vote { approve: false, .. } => "disapprove",
        MembersAction::RotateKeys(_) => "rotate-keys",
    }
}

fn right_action(action: &RightAction) -> &'static str {
    match action {
        RightAction::Transfer { .. } => "transfer",
        RightAction::Change { .. } => "change",
        RightAction::Renewal { .. } => "renewal",
        RightAction::Cancellation => "cancellation",
        RightAction::Dispute { .. } => "dispute",
        RightAction::Resolve { .. } => "resolve",
    }
}

/// The leaf that it is about: of a right, the one of the statement that described it after the block of this height.
pub fn leaf(node: &Node, transaction: &Transaction, height: u64) -> Result<Option<Hash>, ChainError> {
    Ok(match transaction {
        Transaction::Leaf(transaction) => Some(transaction.leaf.leaf()),
        Transaction::Members(_) => None,
        Transaction::Right(transaction) => match &transaction.record.action {
            RightAction::Change { leaf } => Some(*leaf),
            _ => node.right_at(height, &transaction.record.right).map_err(unavailable)?.map(|right| right.leaf),
        },
    })
}
