//! Finding transactions. No question looks at more than a named number of them.

use super::{
    ChainError, Node, Part, TransactionPosition, TransactionRecord, TransactionSearch, pruned,
    record::{decided, leaf, position},
    unavailable,
};
use entrepot_chain_ledger::Transaction;
use entrepot_chain_node::{DecidedTransaction, Place};
use entrepot_chain_statement::{Did, Hash};

/// Blocks and transactions that one question looks at.
const LOOKED_AT_MAX: usize = 8192;

/// The transactions of a block from a place on.
pub fn of_block(node: &Node, height: u64, from: u32, limit: u32) -> Result<Part<TransactionRecord, u32>, ChainError> {
    let Some(block) = node.block(height).map_err(unavailable)? else {
        return if (1..=node.head().height).contains(&height) { Err(pruned(node)) } else { Ok(Part::empty()) };
    };
    let count = u32::try_from(block.transactions.len()).unwrap_or(u32::MAX);
    let end = from.saturating_add(limit).min(count);
    let asked = (from..end).zip(block.transactions.into_iter().skip(from as usize));
    let items = asked.map(|(place, transaction)| at(node, Place { height, place }, transaction)).collect::<Result<Vec<_>, _>>()?;
    Ok(Part { items, next: (end < count).then_some(end) })
}

/// The one with this hash, once a block has it.
pub fn by_hash(node: &Node, hash: &Hash) -> Result<Option<TransactionRecord>, ChainError> {
    node.transaction(hash).map_err(unavailable)?.map(|found| decided(node, found)).transpose()
}

/// A transaction of a block that was read.
fn at(node: &Node, place: Place, transaction: Transaction) -> Result<TransactionRecord, ChainError> {
    let hash = transaction.hash();
    let missing = || unavailable(std::io::Error::other(format!("the index has no transaction {hash}")));
    let (_, verdict) = node.verdict(&hash).map_err(unavailable)?.ok_or_else(missing)?;
    decided(node, DecidedTransaction { hash, place, verdict, transaction: Some(transaction) })
}

/// Those that are looked for, newest first.
pub fn find(
    node: &Node,
    search: &TransactionSearch,
    before: Option<TransactionPosition>,
    limit: u32,
) -> Result<Part<TransactionRecord, TransactionPosition>, ChainError> {
    let before = before.map(|before| Place { height: before.height, place: before.place });
    match &search.subject {
        Some(subject) => of_subject(node, subject, search, before, limit),
        None => of_all(node, search, before, limit),
    }
}

/// Collects no more than the limit, and knows where to go on.
struct Found {
    items: Vec<TransactionRecord>,
    last: Option<Place>,
    limit: usize,
}

impl Found {
    /// False if there is no more room: what comes is for the next part.
    fn add(&mut self, place: Place, record: impl FnOnce() -> Result<TransactionRecord, ChainError>) -> Result<bool, ChainError> {
        if self.items.len() >= self.limit {
            return Ok(false);
        }
        self.items.push(record()?);
        self.last = Some(place);
        Ok(true)
    }

    fn part(self, next: Option<Place>) -> Part<TransactionRecord, TransactionPosition> {
        Part { items: self.items, next: next.map(position) }
    }
}

fn of_subject(
    node: &Node,
    subject: &Did,
    search: &TransactionSearch,
    mut before: Option<Place>,
    limit: u32,
) -> Result<Part<TransactionRecord, TransactionPosition>, ChainError> {
    let mut found = Found { items: Vec::new(), last: None, limit: limit as usize };
    let page_max = (limit as usize + 1).min(entrepot_chain_node::explore::PAGE_MAX);
    let mut looked_at = 0;
    while looked_at < LOOKED_AT_MAX {
        let page = node.transactions_of(subject, before, page_max).map_err(unavailable)?;
        let is_last = page.len() < page_max;
        looked_at += page.len();
        for one in page {
            let place = one.place;
            if place.height < search.from_height {
                return Ok(found.part(None));
            }
            before = Some(place);
            let record = decided(node, one)?;
            if search.leaf.is_none_or(|leaf| record.leaf == Some(leaf)) && !found.add(place, || Ok(record))? {
                let next = found.last;
                return Ok(found.part(next));
            }
        }
        if is_last {
            return Ok(found.part(None));
        }
    }
    Ok(found.part(before))
}

/// Goes through the blocks.
fn of_all(
    node: &Node,
    search: &TransactionSearch,
    before: Option<Place>,
    limit: u32,
) -> Result<Part<TransactionRecord, TransactionPosition>, ChainError> {
    let first = first_height(node, search)?;
    let head = node.head().height;
    let before = before.filter(|before| before.height <= head).unwrap_or(Place { height: head + 1, place: 0 });
    let mut found = Found { items: Vec::new(), last: None, limit: limit as usize };
    let mut looked_at = 0;
    for height in (first..=before.height.min(head)).rev() {
        if looked_at >= LOOKED_AT_MAX {
            return Ok(found.part(Some(Place { height: height + 1, place: 0 })));
        }
        looked_at += 1;
        // A block without transactions is told by its header.
        if node.block_summary(height).map_err(unavailable)?.is_none_or(|block| block.transactions == 0) {
            continue;
        }
        // Pruned meanwhile.
        let Some(block) = node.block(height).map_err(unavailable)? else { break };
        looked_at += block.transactions.len();
        let asked = (0..).zip(block.transactions).map(|(place, transaction)| (Place { height, place }, transaction));
        let asked: Vec<_> = asked.take_while(|(place, _)| *place < before).collect();
        for (place, transaction) in asked.into_iter().rev() {
            if search.leaf.is_some() && leaf(node, &transaction, height)? != search.leaf {
                continue;
            }
            if !found.add(place, || at(node, place, transaction))? {
                let next = found.last;
                return Ok(found.part(next));
            }
        }
    }
    Ok(found.part(None))
}

/// Before a leaf is in the log no right is about it, so that the search may end there.
fn first_height(node: &Node, search: &TransactionSearch) -> Result<u64, ChainError> {
    let mut first = search.from_height.max(node.first_height());
    if let Some(leaf) = &search.leaf
        && let Some(index) = node.index_of(leaf).map_err(unavailable)?
        && let Some(stored) = node.leaf(index).map_err(unavailable)?
    {
        first = first.max(stored.height);
    }
    Ok(first)
}
