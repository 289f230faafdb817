//! The entries of state that a block's header commits to, and where in the state's tree each stands.

use super::{LookupError, State};
use crate::{contracts::rights::Right, transaction::rule_code};
use entrepot_chain_log::state_tree::{StateUpdate, state_key, state_value, update, value};
use entrepot_chain_statement::{Did, Hash};
use std::collections::{BTreeMap, BTreeSet};

/// Entries that changed, by key, with their new encodings; none for one that is gone.
pub(super) type Changes = BTreeMap<Hash, Option<Vec<u8>>>;

/// Where the members that were decided last stand, as [`Members::encode`](entrepot_chain_log::consortium::Members::encode).
pub fn members_key() -> Hash {
    state_key("members", b"")
}

/// Where the voting rule stands, as its code: 1 majority, 2 two thirds, 3 unanimous, 4 regulator's veto.
pub fn voting_rule_key() -> Hash {
    state_key("voting-rule", b"")
}

/// Where an open proposal stands.
pub fn proposal_key(proposal: &Hash) -> Hash {
    state_key("proposal", &proposal.0)
}

/// Where a right stands, as [`Right::encode`](crate::contracts::rights::Right::encode).
pub fn right_key(right: &Hash) -> Hash {
    state_key("right", &right.0)
}

/// Where an agreement of this consumer stands, as [`Agreement::encode`](crate::contracts::settlement::Agreement::encode).
pub fn agreement_key(consumer: &Did, name: &Hash) -> Hash {
    state_key("agreement", &[consumer.public_bytes(), name.0].concat())
}

/// Where an order of this consumer stands, as [`Order::encode`](crate::contracts::settlement::Order::encode).
pub fn order_key(consumer: &Did, name: &Hash) -> Hash {
    state_key("order", &[consumer.public_bytes(), name.0].concat())
}

/// Where a hold of this exchange stands, as [`Hold::encode`](crate::contracts::settlement::Hold::encode).
pub fn hold_key(exchange: &Did, name: &Hash) -> Hash {
    state_key("hold", &[exchange.public_bytes(), name.0].concat())
}

/// Where a submitter's last number stands, in eight bytes.
pub fn sequence_key(submitter: &Did) -> Hash {
    state_key("sequence", &submitter.public_bytes())
}

/// What differs between the members' part of two states. The first block writes what the genesis says.
pub(super) fn changed_membership(before: &State, after: &State) -> Changes {
    let mut entries = Changes::new();
    let (old, new) = (&before.membership, &after.membership);
    let first = before.height == 0;
    if first || old.decided != new.decided {
        entries.insert(members_key(), Some(new.decided.encode()));
    }
    if first || old.rule != new.rule {
        entries.insert(voting_rule_key(), Some(vec![rule_code(new.rule)]));
    }
    for id in old.proposals.keys().filter(|id| !new.proposals.contains_key(id)) {
        entries.insert(proposal_key(id), None);
    }
    for (id, proposal) in new.proposals.iter().filter(|(id, proposal)| old.proposals.get(id) != Some(proposal)) {
        entries.insert(proposal_key(id), Some(proposal.encode()));
    }
    entries
}

/// Writes what changed into the tree. Sequence numbers are in the state itself, so nobody stores them as entries.
pub(super) fn commit(
    before: &State,
    after: &State,
    changes: &Changes,
    submitters: &BTreeSet<Did>,
    lookup: &dyn super::Lookup,
) -> Result<StateUpdate, LookupError> {
    let stored = changes.iter().map(|(key, encoding)| (*key, encoding.as_deref().map(state_value)));
    let number = |submitter: &Did| after.sequences.get(submitter).map(|last| state_value(&last.to_be_bytes()));
    let numbers = submitters.iter().map(|submitter| (sequence_key(submitter), number(submitter)));
    let values: BTreeMap<Hash, Option<Hash>> = stored.chain(numbers).collect();
    update(&before.state_root, &values, &lookup).map_err(|error| LookupError(Box::new(error)))
}

/// No change.
pub(super) fn untouched(state: &State) -> StateUpdate {
    StateUpdate { root: state.state_root, added: BTreeMap::new(), replaced: BTreeSet::new() }
}

/// A right in the state with this root, which may be that of any height whose nodes are still kept.
pub fn right(root: &Hash, lookup: &dyn super::Lookup, right: &Hash) -> Result<Option<Right>, LookupError> {
    let key = right_key(right);
    let Some(encoding) = encoding(root, lookup, &key)? else { return Ok(None) };
    Right::decode(&encoding).map(Some).map_err(|_| damaged(key))
}

/// The encoding of an entry in the state with this root.
pub(crate) fn encoding(root: &Hash, lookup: &dyn super::Lookup, key: &Hash) -> Result<Option<Vec<u8>>, LookupError> {
    let Some(committed) = value(root, key, &lookup).map_err(|error| LookupError(Box::new(error)))? else { return Ok(None) };
    let found = lookup.entry(&committed)?.filter(|encoding| state_value(encoding) == committed);
    found.map(Some).ok_or_else(|| damaged(*key))
}

pub(crate) fn damaged(key: Hash) -> LookupError {
    LookupError(Box::new(DamagedEntry(key)))
}

/// The store holds another entry than the root commits to.
#[derive(Debug, thiserror::Error)]
#[error("the entry {0} of the state is missing or damaged; restore this node's data from a backup or from another member")]
struct DamagedEntry(Hash);
