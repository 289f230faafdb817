//! The transactions of one block, applied one after the other.

use super::{Applied, Lookup, LookupError, SUBMITTERS_MAX, State, Verdict, entries};
use crate::{
    contracts::{
        rights::{self, Right, Scene},
        settlement::{self, Entries, Halt, Logged, Writes},
    },
    outcome::{Outcome, Rejection},
    signatures::{self, Checked},
    transaction::{LeafTransaction, MembersTransaction, RightTransaction, Transaction},
};
use entrepot_chain_log::{NodeId, leaf_hash, state_tree::state_value};
use entrepot_chain_statement::{Did, Facts, Hash, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Transactions being applied.
pub(super) struct Run<'a> {
    state: State,
    lookup: &'a dyn Lookup,
    /// A leaf that is stored in its place is trusted.
    trusts_stored: bool,
    /// The block's height and time.
    height: u64,
    time: Timestamp,
    /// Size of the log before the block.
    size_before: u64,
    /// Leaves appended by this run.
    fresh: HashMap<Hash, u64>,
    leaves: Vec<Hash>,
    nodes: Vec<(NodeId, Hash)>,
    /// Whose numbers were used.
    submitters: BTreeSet<Did>,
    /// Entries of rights and settlements that this run wrote, by key.
    written: Writes,
}

/// Whether a number is the submitter's next.
enum Turn {
    Next,
    Late { expected: u64 },
    Early { expected: u64 },
}

impl<'a> Run<'a> {
    pub fn new(before: &State, lookup: &'a dyn Lookup, time: Timestamp, trusts_stored: bool) -> Self {
        let mut state = before.clone();
        let height = before.height.saturating_add(1);
        state.membership.begin(height);
        Self {
            state,
            lookup,
            trusts_stored,
            height,
            time,
            size_before: before.log_size(),
            fresh: HashMap::new(),
            leaves: Vec::new(),
            nodes: Vec::new(),
            submitters: BTreeSet::new(),
            written: Writes::new(),
        }
    }

    /// Everything is judged.
    pub fn end(mut self, before: &State, verdicts: Vec<Verdict>) -> Result<Applied, LookupError> {
        self.state.membership.end(before.membership.decided.clone());
        let mut changes = entries::changed_membership(before, &self.state);
        changes.extend(self.written.into_iter().map(|(key, encoding)| (key, Some(encoding))));
        let state_nodes = entries::commit(before, &self.state, &changes, &self.submitters, self.lookup)?;
        self.state.state_root = state_nodes.root;
        let entries = changes.into_values().flatten().map(|encoding| (state_value(&encoding), encoding)).collect();
        Ok(Applied {
            state: self.state,
            verdicts,
            submitters: self.submitters,
            leaves: self.leaves,
            nodes: self.nodes,
            entries,
            state_nodes,
        })
    }

    /// One transaction. What was not checked is checked now, unless it is a leaf that is trusted.
    pub fn judge(&mut self, transaction: &Transaction, checked: Option<Checked>) -> Result<Verdict, LookupError> {
        if !transaction.fits() {
            return Ok(unchanged(Rejection::TooLong));
        }
        let stored = match transaction {
            Transaction::Leaf(transaction) => self.lookup.index_of(&transaction.leaf.leaf())?,
            Transaction::Members(_) | Transaction::Right(_) => None,
        };
        let trusted = self.trusts_stored && stored == Some(self.state.log_size());
        let checked = match checked {
            _ if trusted => None,
            None => signatures::check(std::slice::from_ref(transaction), &self.state.genesis).pop(),
            checked => checked,
        };
        if checked.as_ref().is_some_and(|checked| !checked.submitter) {
            return Ok(unchanged(Rejection::BadSubmitterSignature));
        }
        let bound = checked.map(|checked| checked.bound);
        match transaction {
            Transaction::Leaf(transaction) => self.leaf(transaction, stored, bound),
            Transaction::Members(inner) => Ok(self.members(inner, transaction.hash(), &bound.unwrap_or_default())),
            Transaction::Right(transaction) => self.right(transaction, &bound.unwrap_or_default()),
        }
    }

    fn leaf(&mut self, transaction: &LeafTransaction, stored: Option<u64>, bound: Option<Vec<bool>>) -> Result<Verdict, LookupError> {
        let (leaf, entry) = (&transaction.leaf, transaction.leaf.leaf());
        let turn = self.turn(&transaction.submitter, transaction.sequence);
        let known = self.fresh.get(&entry).copied().or(stored.filter(|index| *index < self.size_before));
        if let Some(index) = known {
            // Sent again: the answer is the same, whatever number it came with.
            let changes_state = matches!(turn, Turn::Next) && self.count(&transaction.submitter, transaction.sequence).is_ok();
            return Ok(Verdict { outcome: Outcome::Accepted { index }, changes_state });
        }
        if let Err(why) = turn.check().and_then(|()| self.count(&transaction.submitter, transaction.sequence)) {
            return Ok(unchanged(why));
        }
        if leaf.binds.is_empty() {
            return Ok(changed(Err(Rejection::BindsNobody)));
        }
        if let Some(right) = bound
            && let Err(why) = check_bonds(&leaf.binds, &leaf.signatures, &right)
        {
            return Ok(changed(Err(why)));
        }
        match self.judged(&leaf.facts, &Logged { leaf: entry, binds: &leaf.binds, height: self.height }) {
            Ok(writes) => self.written.extend(writes),
            Err(Halt::Rejected(why)) => return Ok(changed(Err(why))),
            Err(Halt::Lookup(error)) => return Err(error),
        }
        let index = self.state.log_size();
        let nodes = &mut self.nodes;
        self.state.frontier.append(leaf_hash(&entry.0), |id, hash| nodes.push((id, hash)));
        self.fresh.insert(entry, index);
        self.leaves.push(entry);
        Ok(changed(Ok(Outcome::Accepted { index })))
    }

    /// What a leaf writes besides its place in the log.
    fn judged(&self, facts: &Facts, logged: &Logged<'_>) -> Result<Writes, Halt> {
        let Facts::RightsRegistration { right, holder } = facts else { return settlement::judge(facts, logged, self) };
        if !logged.binds.contains(holder) {
            return Err(Rejection::Unbound { key: holder.clone() }.into());
        }
        let (id, right) = rights::begin(logged.leaf, *right, holder, self.height);
        Ok([(entries::right_key(&id), right.encode())].into())
    }

    fn members(&mut self, transaction: &MembersTransaction, hash: Hash, checked: &[bool]) -> Verdict {
        if let Err(why) = self.take_turn(&transaction.submitter, transaction.sequence) {
            return unchanged(why);
        }
        if let Some((_, keys, _)) = transaction.brought() {
            let all = [&keys.consensus, &keys.cosigning, &keys.transport].into_iter().enumerate();
            if let Some((_, key)) = all.into_iter().find(|(at, _)| checked.get(*at) != Some(&true)) {
                return changed(Err(Rejection::NoPossession { key: key.clone() }));
            }
        }
        let done = self.state.membership.act(self.height, hash, &transaction.submitter, &transaction.action);
        changed(done.map(Outcome::Members))
    }

    fn right(&mut self, transaction: &RightTransaction, checked: &[bool]) -> Result<Verdict, LookupError> {
        let RightTransaction { record, signatures, .. } = transaction;
        // Read before the number is used up: a failed lookup must not leave half a transaction behind.
        let key = entries::right_key(&record.right);
        let right = self.entry(&key)?.map(|encoding| Right::decode(&encoding).map_err(|_| entries::damaged(key))).transpose()?;
        let is_logged = match rights::named_leaf(&record.action) {
            Some(leaf) => self.fresh.contains_key(leaf) || self.lookup.index_of(leaf)?.is_some_and(|index| index < self.size_before),
            None => false,
        };
        if let Err(why) = self.take_turn(&transaction.submitter, transaction.sequence) {
            return Ok(unchanged(why));
        }
        let scene = Scene { height: self.height, time: self.time, members: &self.state.membership.decided, is_logged };
        let followed = rights::follow(right, record, signatures, &scene)
            .and_then(|(right, binds)| check_bonds(&binds, signatures, checked).map(|()| right));
        Ok(changed(followed.map(|right| {
            let records = right.records;
            self.written.insert(key, right.encode());
            Outcome::Right { records }
        })))
    }

    fn take_turn(&mut self, submitter: &Did, sequence: u64) -> Result<(), Rejection> {
        self.turn(submitter, sequence).check()?;
        self.count(submitter, sequence)
    }

    fn turn(&self, submitter: &Did, sequence: u64) -> Turn {
        let expected = self.state.next_sequence(submitter);
        match sequence {
            _ if sequence < expected => Turn::Late { expected },
            _ if sequence > expected || expected == u64::MAX => Turn::Early { expected },
            _ => Turn::Next,
        }
    }

    /// Uses up the submitter's number.
    fn count(&mut self, submitter: &Did, sequence: u64) -> Result<(), Rejection> {
        if sequence == 1 && self.state.sequences.len() >= SUBMITTERS_MAX {
            return Err(Rejection::TooManySubmitters);
        }
        self.state.sequences.set(submitter, sequence);
        if !self.submitters.contains(submitter) {
            self.submitters.insert(submitter.clone());
        }
        Ok(())
    }
}

impl Entries for Run<'_> {
    fn entry(&self, key: &Hash) -> Result<Option<Vec<u8>>, LookupError> {
        match self.written.get(key) {
            Some(encoding) => Ok(Some(encoding.clone())),
            None => entries::encoding(&self.state.state_root, self.lookup, key),
        }
    }
}

impl Turn {
    fn check(&self) -> Result<(), Rejection> {
        match *self {
            Self::Next => Ok(()),
            Self::Late { expected } => Err(Rejection::StaleSequence { expected }),
            Self::Early { expected } => Err(Rejection::SequenceGap { expected }),
        }
    }
}

fn unchanged(why: Rejection) -> Verdict {
    Verdict { outcome: Outcome::Rejected(why), changes_state: false }
}

/// At least the submitter's number is used up.
fn changed(outcome: Result<Outcome, Rejection>) -> Verdict {
    Verdict { outcome: outcome.unwrap_or_else(Outcome::Rejected), changes_state: true }
}

/// Whether each key that is bound signed, and no other.
fn check_bonds(binds: &BTreeSet<Did>, signatures: &BTreeMap<Did, [u8; 64]>, right: &[bool]) -> Result<(), Rejection> {
    if let Some(key) = binds.iter().find(|key| !signatures.contains_key(*key)) {
        return Err(Rejection::Unbound { key: key.clone() });
    }
    for (key, right) in signatures.keys().zip(right) {
        if !binds.contains(key) {
            return Err(Rejection::NotBound { key: key.clone() });
        }
        if !right {
            return Err(Rejection::BadSignature { key: key.clone() });
        }
    }
    Ok(())
}
