//! Transactions that wait for their block, in the order in which they came, each once; and who waits for their answers.

use entrepot_chain_ledger::{Outcome, Submission, block::BLOCK_TRANSACTIONS_MAX};
use entrepot_chain_log::consortium::HEADER_BYTES;
use entrepot_chain_statement::{Did, Hash};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Transactions that wait at most: some blocks full.
pub(crate) const POOL_MAX: usize = 4 * BLOCK_TRANSACTIONS_MAX;
/// Longest block that is proposed or accepted as a proposal: it has to reach every member within a round.
pub const PROPOSAL_BYTES_MAX: usize = 4 << 20;
/// Blocks after which a transaction of another member is forgotten: that member proposes it itself.
const GOSSIP_BLOCKS_MAX: u64 = 16;
/// Transactions that wait for their submitters' earlier ones.
const EARLY_MAX: usize = BLOCK_TRANSACTIONS_MAX;
/// Of those, one submitter's.
pub const EARLY_OF_SUBMITTER_MAX: usize = 64;
/// So long such a one waits; then it is forgotten.
pub const EARLY_PATIENCE: Duration = Duration::from_secs(60);
/// Outcomes that are remembered for whoever submits again; those of leaves are found in the log.
const RECENT_MAX: usize = 4 * BLOCK_TRANSACTIONS_MAX;

/// A transaction whose signatures were checked, with its hash.
pub(crate) struct Pooled {
    pub hash: Hash,
    pub submission: Submission,
    /// Length of its encoding.
    bytes: usize,
    /// For the other members.
    encoded: Option<Vec<u8>>,
}

impl Pooled {
    /// Keeps the encoding only if other members are to be told.
    pub fn new(submission: Submission, gossips: bool) -> Self {
        let encoded = submission.transaction().encode();
        Self { hash: submission.transaction().hash(), submission, bytes: encoded.len(), encoded: gossips.then_some(encoded) }
    }

    /// The encoding, once.
    pub fn take_encoded(&mut self) -> Option<Vec<u8>> {
        self.encoded.take()
    }

    pub fn submitter(&self) -> &Did {
        self.submission.transaction().submitter()
    }

    pub fn sequence(&self) -> u64 {
        self.submission.transaction().sequence()
    }
}

/// What whoever submits wants done with what is not in turn yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenEarly {
    /// It is told at once.
    Tell,
    /// It waits for what comes before it.
    Wait,
}

/// Somebody who waits for the outcome of a transaction.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    batch: u64,
    at: usize,
    pub when_early: WhenEarly,
}

/// Transactions that were submitted together and are answered together.
struct Batch {
    outcomes: Vec<Option<Outcome>>,
    open: usize,
    answer: oneshot::Sender<Vec<Outcome>>,
}

/// Everybody who waits.
#[derive(Default)]
pub(crate) struct Batches {
    batches: HashMap<u64, Batch>,
    last: u64,
}

impl Batches {
    /// Somebody waits for so many outcomes; a waiter for each.
    pub fn open(
        &mut self,
        count: usize,
        when_early: WhenEarly,
        answer: oneshot::Sender<Vec<Outcome>>,
    ) -> impl Iterator<Item = Waiter> + use<> {
        self.last += 1;
        let batch = self.last;
        self.batches.insert(batch, Batch { outcomes: vec![None; count], open: count, answer });
        (0..count).map(move |at| Waiter { batch, at, when_early })
    }

    /// Tells these the outcome. A submitter that has gone away is no error.
    pub fn answer(&mut self, waiters: &[Waiter], outcome: &Outcome) {
        for waiter in waiters {
            let Some(batch) = self.batches.get_mut(&waiter.batch) else { continue };
            if let Some(place @ None) = batch.outcomes.get_mut(waiter.at) {
                *place = Some(outcome.clone());
                batch.open -= 1;
            }
            if batch.open == 0
                && let Some(batch) = self.batches.remove(&waiter.batch)
            {
                let _gone = batch.answer.send(batch.outcomes.into_iter().flatten().collect());
            }
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

struct Entry {
    pooled: Pooled,
    /// Nobody here: it is another member's.
    waiters: Vec<Waiter>,
    /// When it came, and the height then.
    came: Instant,
    since: u64,
    /// Its submitter's number is not in turn yet: it is nothing to offer.
    early: bool,
}

/// How much of one submitter waits.
#[derive(Default)]
struct Counts {
    all: usize,
    early: usize,
}

/// What waits.
#[derive(Default)]
pub(crate) struct Pool {
    /// By arrival.
    entries: BTreeMap<u64, Entry>,
    arrivals: HashMap<Hash, u64>,
    submitters: HashMap<Did, Counts>,
    last: u64,
    early: usize,
}

impl Pool {
    /// Whether another submission fits.
    pub fn has_room(&self) -> bool {
        self.entries.len() + BLOCK_TRANSACTIONS_MAX <= POOL_MAX
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether something waits that could be in the next block.
    pub fn offers(&self) -> bool {
        self.entries.len() > self.early
    }

    /// Whether something waits that could not yet be in the next block.
    pub fn has_early(&self) -> bool {
        self.early > 0
    }

    /// Whether something of this submitter waits that could be in the next block.
    pub fn offers_of(&self, submitter: &Did) -> bool {
        self.submitters.get(submitter).is_some_and(|counts| counts.all > counts.early)
    }

    /// Lets somebody wait, too, if the transaction waits already.
    pub fn join(&mut self, hash: &Hash, waiter: Waiter) -> bool {
        let Some(entry) = self.arrivals.get(hash).and_then(|arrival| self.entries.get_mut(arrival)) else { return false };
        entry.waiters.push(waiter);
        true
    }

    /// Takes one in; false if it waits already.
    pub fn add(&mut self, pooled: Pooled, waiter: Option<Waiter>, height: u64) -> bool {
        if self.arrivals.contains_key(&pooled.hash) {
            return false;
        }
        self.submitters.entry(pooled.submitter().clone()).or_default().all += 1;
        self.last += 1;
        self.arrivals.insert(pooled.hash, self.last);
        let entry = Entry { pooled, waiters: waiter.into_iter().collect(), came: Instant::now(), since: height, early: false };
        self.entries.insert(self.last, entry);
        true
    }

    /// The first that fit into a block. Those that came too early go last, by their numbers, if what comes before them may be here by now.
    pub fn next_block(&self) -> (Vec<Hash>, Vec<Submission>) {
        let mut room = PROPOSAL_BYTES_MAX - HEADER_BYTES - 4;
        let fits = |entry: &&Entry| match room.checked_sub(4 + entry.pooled.bytes) {
            Some(rest) => {
                room = rest;
                true
            }
            None => false,
        };
        let is_early = |entry: &&Entry| entry.early && self.offers_of(entry.pooled.submitter());
        let mut early: Vec<_> = if self.has_early() { self.entries.values().filter(is_early).collect() } else { Vec::new() };
        early.sort_by_key(|entry| entry.pooled.sequence());
        let all = self.entries.values().filter(|entry| !entry.early).chain(early);
        let first = all.take(BLOCK_TRANSACTIONS_MAX).take_while(fits);
        first.map(|entry| (entry.pooled.hash, entry.pooled.submission.clone())).unzip()
    }

    /// The checked transaction with this hash.
    pub fn get(&self, hash: &Hash) -> Option<&Submission> {
        let entry = self.entries.get(self.arrivals.get(hash)?)?;
        Some(&entry.pooled.submission)
    }

    /// Takes one out; who waits for it.
    pub fn take(&mut self, hash: &Hash) -> Option<(Pooled, Vec<Waiter>)> {
        let entry = self.entries.remove(&self.arrivals.remove(hash)?)?;
        self.early -= usize::from(entry.early);
        if let Some(counts) = self.submitters.get_mut(entry.pooled.submitter()) {
            counts.all -= 1;
            counts.early -= usize::from(entry.early);
            if counts.all == 0 {
                self.submitters.remove(entry.pooled.submitter());
            }
        }
        Some((entry.pooled, entry.waiters))
    }

    /// Keeps one that waits and whose submitter's number is not in turn yet, for those who want to wait for that, or because it is another
    /// member's: what comes before it may be on its way. It goes if neither is so, or if too many are kept. Those who are to be told.
    pub fn defer(&mut self, hash: &Hash) -> Vec<Waiter> {
        let Some(entry) = self.arrivals.get(hash).and_then(|arrival| self.entries.get_mut(arrival)) else { return Vec::new() };
        let counts = self.submitters.entry(entry.pooled.submitter().clone()).or_default();
        let is_anothers = entry.waiters.is_empty();
        let (told, patient): (Vec<_>, Vec<_>) = entry.waiters.drain(..).partition(|waiter| waiter.when_early == WhenEarly::Tell);
        entry.waiters = patient;
        if entry.early {
            return told;
        }
        let is_kept = is_anothers || !entry.waiters.is_empty();
        if is_kept && self.early < EARLY_MAX && counts.early < EARLY_OF_SUBMITTER_MAX {
            entry.early = true;
            counts.early += 1;
            self.early += 1;
            return told;
        }
        let patient = self.take(hash).map_or_else(Vec::new, |(_, patient)| patient);
        [told, patient].concat()
    }

    /// Takes note of those whose number has come in turn.
    pub fn ripen(&mut self, next: impl Fn(&Did) -> u64) {
        for entry in self.entries.values_mut().filter(|entry| entry.early) {
            if entry.pooled.sequence() == next(entry.pooled.submitter()) {
                entry.early = false;
                self.early -= 1;
                self.submitters.get_mut(entry.pooled.submitter()).into_iter().for_each(|counts| counts.early -= 1);
            }
        }
    }

    /// The hashes of those whose number was used: `next` is the number that a submitter uses next. And of those of other members that came
    /// long ago.
    pub fn passed(&self, height: u64, next: impl Fn(&Did) -> u64) -> Vec<Hash> {
        let old = |entry: &Entry| entry.waiters.is_empty() && entry.since + GOSSIP_BLOCKS_MAX < height;
        let passed = self.entries.values().filter(|entry| old(entry) || entry.pooled.sequence() < next(entry.pooled.submitter()));
        passed.map(|entry| entry.pooled.hash).collect()
    }

    /// The hashes of those that are not in turn yet and came at this moment or before.
    pub fn early_since(&self, moment: Instant) -> Vec<Hash> {
        let old = self.entries.values().take_while(|entry| entry.came <= moment).filter(|entry| entry.early);
        old.map(|entry| entry.pooled.hash).collect()
    }

    /// The encodings of those that somebody here has waited for since this moment or before.
    pub fn waiting_since(&self, moment: Instant, limit: usize) -> Vec<Vec<u8>> {
        let old = self.entries.values().take_while(|entry| entry.came <= moment).filter(|entry| !entry.waiters.is_empty());
        old.take(limit).map(|entry| entry.pooled.submission.transaction().encode()).collect()
    }
}

/// Outcomes of late, for whoever submits the same transaction again.
#[derive(Default)]
pub(crate) struct Recent {
    outcomes: HashMap<Hash, Outcome>,
    order: VecDeque<Hash>,
}

impl Recent {
    /// Remembers one that the log does not tell.
    pub fn note(&mut self, hash: Hash, outcome: &Outcome) {
        if matches!(outcome, Outcome::Accepted { .. }) || self.outcomes.insert(hash, outcome.clone()).is_some() {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.outcomes.remove(&oldest);
        }
    }

    pub fn get(&self, hash: &Hash) -> Option<&Outcome> {
        self.outcomes.get(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_ledger::{Leaf, LeafTransaction, Transaction};
    use entrepot_chain_statement::{Facts, SigningKey};

    fn pooled(sequence: u64) -> Pooled {
        let key = SigningKey::from_seed(&[7; 32]);
        let leaf = Leaf { salted: Hash([1; 32]), facts: Facts::DataProduct, binds: [key.did()].into(), signatures: BTreeMap::new() };
        let transaction: Transaction = LeafTransaction::sign(&Hash([9; 32]), leaf, sequence, &key).into();
        Pooled::new(Submission::check(&Hash([9; 32]), vec![transaction]).remove(0), true)
    }

    #[test]
    fn what_waits_too_long_for_its_turn_is_found_and_what_is_in_turn_is_not() {
        let mut pool = Pool::default();
        let before = Instant::now();
        let (early, ready) = (pooled(5), pooled(1));
        let hashes = (early.hash, ready.hash);
        pool.add(early, None, 0);
        pool.defer(&hashes.0);
        pool.add(ready, None, 0);
        let after = Instant::now();
        assert!(before.checked_sub(EARLY_PATIENCE).is_some_and(|moment| pool.early_since(moment).is_empty()));
        assert_eq!(pool.early_since(after), [hashes.0]);
        pool.ripen(|_| 5);
        assert!(pool.early_since(after).is_empty() && !pool.has_early());
        pool.take(&hashes.0);
        assert!(pool.take(&hashes.1).is_some() && pool.is_empty() && pool.submitters.is_empty());
    }

    #[test]
    fn only_what_somebody_here_waits_for_is_told_again() {
        let (mut pool, mut batches) = (Pool::default(), Batches::default());
        let (answer, _outcomes) = oneshot::channel();
        let waiter = batches.open(1, WhenEarly::Wait, answer).next();
        pool.add(pooled(1), None, 0);
        let ours = pooled(2);
        let bytes = ours.submission.transaction().encode();
        pool.add(ours, waiter, 0);
        assert_eq!(pool.waiting_since(Instant::now(), 9), [bytes]);
    }
}
