//! The one thread that changes the chain. It gathers what was submitted, does what the orderer asks, and makes durable what is decided,
//! before anyone is answered. A thread of its own, so that nothing hops between threads from a draft to the disk and back.

mod others;

use crate::{
    NodeError, Orderer,
    candidate::{Candidate, decode},
    pool::{Batches, EARLY_PATIENCE, PROPOSAL_BYTES_MAX, Pool, Pooled, Recent, Waiter, WhenEarly},
    shared::Shared,
    store::{BlockRecord, described},
};
use entrepot_chain_consensus::{Committed, Drafted, Task};
use entrepot_chain_ledger::{Outcome, Rejection, Signatures, State, Submission, Verdict};
use entrepot_chain_log::consortium::CommitCertificate;
use entrepot_chain_statement::{Did, Hash};
use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot},
    time::Instant,
};

/// Blocks for the next height that need not be applied again.
const RECORDS_MAX: usize = 4;
/// How far a proposer's clock may be ahead of ours.
const CLOCK_AHEAD_MS_MAX: i64 = 10_000;
/// How long what was submitted may take to be decided once the node is closed.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// How often what waits is looked over.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is asked of the writer.
pub(crate) enum Request {
    Submit { submissions: Vec<Pooled>, when_early: WhenEarly, answer: oneshot::Sender<Vec<Outcome>> },
    Close { answer: oneshot::Sender<()> },
}

pub(crate) struct Writer<O> {
    shared: Arc<Shared>,
    orderer: O,
    state: Arc<State>,
    requests: mpsc::Receiver<Request>,
    pool: Pool,
    batches: Batches,
    recent: Recent,
    candidates: VecDeque<Candidate>,
    gossip: (mpsc::Sender<Vec<Pooled>>, mpsc::Receiver<Vec<Pooled>>),
    gossip_places: Arc<Semaphore>,
    early_cosignatures: VecDeque<(u64, Did, String)>,
    closing: Option<oneshot::Sender<()>>,
    /// When nothing more is waited for; set once no more requests come.
    deadline: Option<Instant>,
    look_at: Instant,
}

/// Where a transaction stands by its submitter's number.
#[derive(PartialEq, Eq)]
enum Turn {
    /// It cannot change anything, whatever else waits.
    Never,
    /// What comes before it is not here.
    Early,
    /// It is in turn, or may be behind what waits.
    Possible,
}

impl<O: Orderer> Writer<O> {
    pub fn new(shared: Arc<Shared>, orderer: O, state: Arc<State>, requests: mpsc::Receiver<Request>) -> Self {
        Self {
            shared,
            orderer,
            state,
            requests,
            pool: Pool::default(),
            batches: Batches::default(),
            recent: Recent::default(),
            candidates: VecDeque::new(),
            gossip: mpsc::channel(others::GOSSIP_MAX),
            gossip_places: Arc::new(Semaphore::new(others::GOSSIP_MAX)),
            early_cosignatures: VecDeque::new(),
            closing: None,
            deadline: None,
            look_at: Instant::now(),
        }
    }

    /// Starts the thread. It is one of this runtime's, which waits for it when it ends: RocksDB must not be in use when a process exits.
    pub fn start(self) {
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || runtime.block_on(self.run()));
    }

    /// Runs until it is closed, every handle is dropped, or something fails. Nothing is answered after a failure: what was submitted may
    /// or may not be durable, and submitting it again after a restart finds out.
    async fn run(mut self) {
        let mut end = End { shared: self.shared.clone(), why: "its thread panicked".to_owned() };
        let outcome = self.serve().await;
        end.why = match &outcome {
            Ok(()) => "it was closed".to_owned(),
            Err(error) => {
                let why = described(error);
                tracing::error!(why, "the chain has stopped");
                why
            }
        };
        drop(end);
        let closing = self.closing.take();
        // The last that holds the folder, but for the handles.
        drop(self);
        // Whoever closed may have gone away.
        let _gone = closing.map(|answer| answer.send(()));
    }

    async fn serve(&mut self) -> Result<(), NodeError> {
        loop {
            if self.deadline.is_some_and(|deadline| self.batches.is_empty() || deadline <= Instant::now()) {
                return Ok(());
            }
            let has_room = self.pool.has_room();
            tokio::select! {
                biased;
                task = self.orderer.next() => self.perform(task?)?,
                Some(transactions) = self.gossip.1.recv(), if has_room => self.hear(transactions),
                request = self.requests.recv(), if has_room && self.deadline.is_none() => match request {
                    Some(request) => self.gather(request)?,
                    None => {
                        self.deadline = Some(Instant::now() + CLOSE_PATIENCE);
                        self.forget_early(Instant::now());
                    }
                },
                () = tokio::time::sleep_until(self.look_at), if !self.pool.is_empty() => self.look(),
                () = tokio::time::sleep_until(self.deadline.unwrap_or_else(Instant::now)), if self.deadline.is_some() => {}
            }
        }
    }

    fn perform(&mut self, task: Task) -> Result<(), NodeError> {
        match task {
            Task::Draft { height, reply } => self.draft(height, reply),
            Task::Check { block, decided, reply } => {
                let hash = self.check(block, decided)?;
                let _gone = reply.send(hash);
                Ok(())
            }
            Task::Commit { block, certificate, reply } => {
                let committed = self.commit(block, certificate)?;
                let _gone = reply.send(committed);
                Ok(())
            }
            Task::Submitted { transactions } => {
                self.check_gossip(transactions);
                Ok(())
            }
            Task::Cosignature { size, key, line } => self.cosignature(size, key, line),
            Task::Evidence { height, evidence } => self.evidence(height, &evidence.encode()),
        }
    }

    /// Takes a request and all that came in the meantime, while there is room; then says that something waits.
    fn gather(&mut self, request: Request) -> Result<(), NodeError> {
        let mut fresh = Vec::new();
        let mut at_once = Vec::new();
        let mut added = false;
        let mut next = Some(request);
        while let Some(request) = next {
            match request {
                Request::Submit { submissions, when_early, answer } => {
                    // Alone nothing is on its way from elsewhere: a gap is the submitter's own, who had better know.
                    let when_early = if self.shared.gossips { when_early } else { WhenEarly::Tell };
                    let waiters = self.batches.open(submissions.len(), when_early, answer);
                    for (mut pooled, waiter) in submissions.into_iter().zip(waiters) {
                        let turn = self.turn(&pooled);
                        let may_wait = turn == Turn::Possible || (turn == Turn::Early && when_early == WhenEarly::Wait);
                        if may_wait && self.pool.join(&pooled.hash, waiter) {
                            continue;
                        }
                        if turn == Turn::Possible {
                            fresh.extend(pooled.take_encoded());
                            added |= self.pool.add(pooled, Some(waiter), self.state.height());
                        } else {
                            at_once.push((pooled, waiter));
                        }
                    }
                }
                Request::Close { answer } => {
                    self.requests.close();
                    self.closing = Some(answer);
                }
            }
            next = if self.pool.has_room() { self.requests.try_recv().ok() } else { None };
        }
        if !at_once.is_empty() {
            fresh.extend(self.answer_at_once(at_once)?);
        }
        if !fresh.is_empty() {
            self.orderer.tell(fresh);
        }
        if added {
            self.orderer.offer();
        }
        Ok(())
    }

    fn turn(&self, pooled: &Pooled) -> Turn {
        let (submitter, sequence) = (pooled.submitter(), pooled.sequence());
        let expected = self.state.next_sequence(submitter);
        if sequence < expected || !pooled.submission.is_signed() {
            Turn::Never
        } else if sequence > expected && !self.pool.offers_of(submitter) {
            Turn::Early
        } else {
            Turn::Possible
        }
    }

    /// Keeps what is not in turn yet, and tells those who do not wait for that, or cannot.
    fn defer(&mut self, hash: &Hash) {
        let Some(submitter) = self.pool.get(hash).map(|submission| submission.transaction().submitter().clone()) else { return };
        let told = self.pool.defer(hash);
        let expected = self.state.next_sequence(&submitter);
        self.batches.answer(&told, &Outcome::Rejected(Rejection::SequenceGap { expected }));
    }

    /// Looks over what waits.
    fn look(&mut self) {
        let now = Instant::now();
        self.look_at = now + LOOK_EVERY;
        if let Some(moment) = now.checked_sub(EARLY_PATIENCE) {
            self.forget_early(moment);
        }
        self.tell_again(now);
    }

    /// Forgets what is not in turn and came at this moment or before, and tells who waits for it: that is not final.
    fn forget_early(&mut self, moment: Instant) {
        for hash in self.pool.early_since(moment) {
            let Some((pooled, waiters)) = self.pool.take(&hash) else { continue };
            let expected = self.state.next_sequence(pooled.submitter());
            self.batches.answer(&waiters, &Outcome::Rejected(Rejection::SequenceGap { expected }));
        }
    }

    /// Judges transactions that cannot be in the next block on the durable state alone. Those that may wait all the same, encoded.
    fn answer_at_once(&mut self, transactions: Vec<(Pooled, Waiter)>) -> Result<Vec<Vec<u8>>, NodeError> {
        let mut kept = Vec::new();
        let submissions = transactions.iter().map(|(pooled, _)| pooled.submission.clone()).collect();
        let verdicts = self.judge(submissions)?;
        for ((mut pooled, waiter), verdict) in transactions.into_iter().zip(verdicts) {
            let hash = pooled.hash;
            if verdict.outcome.is_final() || waiter.when_early == WhenEarly::Tell {
                self.answer(&hash, &[waiter], verdict.outcome);
            } else if !self.pool.join(&hash, waiter) {
                kept.extend(pooled.take_encoded());
                self.pool.add(pooled, Some(waiter), self.state.height());
                self.defer(&hash);
            }
        }
        Ok(kept)
    }

    fn judge(&mut self, submissions: Vec<Submission>) -> Result<Vec<Verdict>, NodeError> {
        let draft = self.state.draft(&self.shared.store, (self.shared.clock)(), submissions);
        Ok(draft.map_err(|error| NodeError::damaged(described(&error)))?.applied.verdicts)
    }

    /// What was decided under this very hash says more than that its number was used.
    fn answer(&mut self, hash: &Hash, waiters: &[Waiter], outcome: Outcome) {
        let earlier = match outcome {
            Outcome::Rejected(Rejection::StaleSequence { .. }) => self.recent.get(hash).cloned(),
            _ => None,
        };
        self.batches.answer(waiters, &earlier.unwrap_or(outcome));
    }

    /// Makes a block of what waits. What changes nothing is answered at once if that rests on durable state alone.
    fn draft(&mut self, height: u64, reply: oneshot::Sender<Drafted>) -> Result<(), NodeError> {
        if self.pool.has_room()
            && let Ok(request) = self.requests.try_recv()
        {
            self.gather(request)?;
        }
        if height != self.state.height() + 1 {
            tracing::warn!(height, head = self.state.height(), "a block was asked for that is not the next");
            return Ok(());
        }
        let (hashes, submissions) = self.pool.next_block();
        let mut candidate = Candidate::draft(&self.shared.store, &self.state, (self.shared.clock)(), hashes, submissions)?;
        let bytes = candidate.record.bytes.clone();
        let is_empty = candidate.record.transactions.is_empty();
        if is_empty {
            // Nothing came before that is not durable.
            self.leave_out(std::mem::take(&mut candidate.left_out));
        }
        self.keep(candidate);
        if is_empty && self.pool.offers() {
            self.orderer.offer();
        }
        let _gone = reply.send(Drafted { block: bytes, empty: is_empty });
        Ok(())
    }

    /// Answers what has no effect, and forgets it; but what is only too early may wait.
    fn leave_out(&mut self, without_effect: Vec<(Hash, Outcome)>) {
        for (hash, outcome) in without_effect {
            if !outcome.is_final() {
                self.defer(&hash);
            } else if let Some((_, waiters)) = self.pool.take(&hash) {
                self.answer(&hash, &waiters, outcome);
            }
        }
    }

    fn keep(&mut self, candidate: Candidate) {
        self.candidates.retain(|kept| kept.record.hash != candidate.record.hash);
        self.candidates.push_back(candidate);
        while self.candidates.len() > RECORDS_MAX {
            self.candidates.pop_front();
        }
    }

    /// Whether a block may follow the last one.
    fn check(&mut self, bytes: Vec<u8>, decided: bool) -> Result<Option<Hash>, NodeError> {
        if let Some(known) = self.candidates.iter().find(|candidate| candidate.record.bytes == bytes) {
            return Ok(Some(known.record.hash));
        }
        if bytes.len() > PROPOSAL_BYTES_MAX {
            return Ok(None);
        }
        let block = decode(&self.shared.known_keys, &bytes);
        let latest = (self.shared.clock)().0.saturating_add(CLOCK_AHEAD_MS_MAX);
        let Some((block, hashes)) = block.filter(|(block, _)| {
            let header = &block.header;
            header.height == self.state.height() + 1 && header.previous == self.state.last_block() && (decided || header.time.0 <= latest)
        }) else {
            return Ok(None);
        };
        // What waits here was checked when it came.
        let checked: Vec<Option<Submission>> = hashes.iter().map(|hash| self.pool.get(hash).cloned()).collect();
        let candidate = Candidate::check(&self.shared.store, &self.state, block, bytes, hashes, checked)?;
        let hash = candidate.as_ref().map(|candidate| candidate.record.hash);
        candidate.into_iter().for_each(|candidate| self.keep(candidate));
        Ok(hash)
    }

    /// Makes a decided block durable, then answers.
    fn commit(&mut self, bytes: Vec<u8>, certificate: CommitCertificate) -> Result<Committed, NodeError> {
        let found = self.candidates.iter().position(|candidate| candidate.record.bytes == bytes);
        let Candidate { record, left_out, is_ours } = match found.and_then(|at| self.candidates.remove(at)) {
            Some(candidate) => candidate,
            None => self.apply(bytes, certificate.height)?,
        };
        if (certificate.height, certificate.block) != (record.block.header.height, record.hash) {
            return Err(NodeError::Decision { height: record.block.header.height });
        }
        let members = self.state.members();
        // Alone the signature was made a moment ago, in this process.
        if members.count() > 1 && certificate.verify(&self.state.genesis_digest(), members).is_err() {
            return Err(NodeError::Decision { height: certificate.height });
        }
        let sign = || self.shared.sign_checkpoint(&record.applied.state, (self.shared.clock)());
        let signed = if record.applied.leaves.is_empty() { None } else { Some(sign()?) };
        let note = signed.as_ref().map(|(checkpoint, _)| checkpoint.to_string());
        self.shared.store.commit(&record, &certificate, members, note.as_deref())?;
        self.state = Arc::new(record.applied.state);
        self.candidates.clear();
        self.shared.follow(&self.state);
        for (hash, verdict) in record.transactions.iter().zip(&record.applied.verdicts) {
            self.recent.note(*hash, &verdict.outcome);
            if let Some((_, waiters)) = self.pool.take(hash) {
                self.batches.answer(&waiters, &verdict.outcome);
            }
        }
        self.leave_out(left_out);
        if !is_ours || self.pool.has_early() {
            self.tidy()?;
        }
        if let Some((checkpoint, line)) = signed {
            self.orderer.cosigned(checkpoint.checkpoint().size, line.to_string());
            self.catch_up_cosignatures()?;
        }
        Ok(committed(&self.state, self.pool.offers()))
    }

    /// A block that was neither drafted nor checked here.
    fn apply(&mut self, bytes: Vec<u8>, height: u64) -> Result<Candidate, NodeError> {
        let (block, hashes) = decode(&self.shared.known_keys, &bytes).ok_or(NodeError::Decision { height })?;
        let applied = self.state.apply(&self.shared.store, &block, Signatures::Check);
        let applied = applied.map_err(|source| NodeError::Block { height, source: Arc::new(source) })?;
        Ok(Candidate::of_another(BlockRecord::new(block, bytes, hashes, applied)))
    }

    /// After a block: answers what waits and was passed by it, and forgets what nobody waits for any more.
    fn tidy(&mut self) -> Result<(), NodeError> {
        let state = self.state.clone();
        let next = |submitter: &Did| state.next_sequence(submitter);
        self.pool.ripen(next);
        let passed: Vec<_> = self.pool.passed(state.height(), next).iter().filter_map(|hash| self.pool.take(hash)).collect();
        let passed: Vec<_> = passed.into_iter().filter(|(_, waiters)| !waiters.is_empty()).collect();
        if passed.is_empty() {
            return Ok(());
        }
        let verdicts = self.judge(passed.iter().map(|(pooled, _)| pooled.submission.clone()).collect())?;
        for ((pooled, waiters), verdict) in passed.into_iter().zip(verdicts) {
            self.answer(&pooled.hash, &waiters, verdict.outcome);
        }
        Ok(())
    }
}

/// However the thread ends, whoever asks is told.
struct End {
    shared: Arc<Shared>,
    why: String,
}

impl Drop for End {
    fn drop(&mut self) {
        *self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::mem::take(&mut self.why));
    }
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| NodeError::damaged(format!("a task of the chain panicked: {error}")))
}

/// What the orderer needs to know of a state.
pub(crate) fn committed(state: &State, waiting: bool) -> Committed {
    let members = state.members().clone();
    let upcoming = state.members_at(state.height() + 2).unwrap_or(&members).clone();
    Committed { height: state.height(), block: state.last_block(), members, upcoming, waiting }
}
