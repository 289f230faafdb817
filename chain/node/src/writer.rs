//! The one task that changes the chain. It gathers what was submitted, proposes a block, and makes durable what the orderer decides,
//! before anyone is answered.

use crate::{NodeError, Orderer, node::Shared, store::described};
use entrepot_chain_ledger::{Applied, Block, Draft, Outcome, Signatures, State, Submission, Verdict, block::BLOCK_TRANSACTIONS_MAX};
use entrepot_chain_statement::Hash;
use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// What is asked of the writer.
pub(crate) enum Request {
    Submit { submissions: Vec<Submission>, answer: oneshot::Sender<Vec<Outcome>> },
    Close { answer: oneshot::Sender<()> },
}

struct Waiting {
    submissions: Vec<Submission>,
    answer: oneshot::Sender<Vec<Outcome>>,
}

/// Our offer for the next height.
struct Proposed {
    block: Hash,
    applied: Applied,
    batch: Vec<Waiting>,
}

pub(crate) struct Writer<O> {
    shared: Arc<Shared>,
    orderer: O,
    state: Arc<State>,
    requests: mpsc::Receiver<Request>,
    waiting: VecDeque<Waiting>,
    proposed: Option<Proposed>,
    closing: Option<oneshot::Sender<()>>,
}

impl<O: Orderer> Writer<O> {
    pub fn new(shared: Arc<Shared>, orderer: O, state: Arc<State>, requests: mpsc::Receiver<Request>) -> Self {
        Self { shared, orderer, state, requests, waiting: VecDeque::new(), proposed: None, closing: None }
    }

    /// Runs until it is closed, every handle is dropped, or something fails. Nothing is answered after a failure: what was submitted may
    /// or may not be durable, and submitting it again after a restart finds out.
    pub async fn run(mut self) {
        let outcome = self.serve().await;
        let why = match &outcome {
            Ok(()) => "it was closed".to_owned(),
            Err(error) => {
                let why = described(error);
                tracing::error!(why, "the chain has stopped");
                why
            }
        };
        *self.shared.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    async fn serve(&mut self) -> Result<(), NodeError> {
        loop {
            if self.proposed.is_none() {
                if !self.waiting.is_empty() {
                    self.propose().await?;
                    continue;
                }
                if self.closing.is_some() {
                    // Some may still have a place and be on their way.
                    if let Some(request) = self.requests.recv().await {
                        self.gather(request);
                        continue;
                    }
                    // Whoever closed may have gone away.
                    let _gone = self.closing.take().map(|answer| answer.send(()));
                    return Ok(());
                }
            }
            tokio::select! {
                biased;
                block = self.orderer.decided() => self.decided(block?).await?,
                request = self.requests.recv(), if self.proposed.is_none() => match request {
                    Some(request) => self.gather(request),
                    None => return Ok(()),
                },
            }
        }
    }

    /// Takes a request and all that came in the meantime, up to what a block holds.
    fn gather(&mut self, request: Request) {
        let mut gathered = 0;
        let mut next = Some(request);
        while let Some(request) = next {
            match request {
                Request::Submit { submissions, answer } => {
                    gathered += submissions.len();
                    self.waiting.push_back(Waiting { submissions, answer });
                }
                Request::Close { answer } => {
                    self.requests.close();
                    self.closing = Some(answer);
                }
            }
            next = if gathered < BLOCK_TRANSACTIONS_MAX { self.requests.try_recv().ok() } else { None };
        }
    }

    /// Makes a block of what waits and offers it. What changes nothing is answered at once: it rests on durable state alone.
    async fn propose(&mut self) -> Result<(), NodeError> {
        let mut batch = Vec::new();
        let mut submissions = Vec::new();
        while let Some(next) = self.waiting.pop_front() {
            if submissions.len() + next.submissions.len() > BLOCK_TRANSACTIONS_MAX {
                self.waiting.push_front(next);
                break;
            }
            submissions.extend_from_slice(&next.submissions);
            batch.push(next);
        }
        let (shared, state) = (self.shared.clone(), self.state.clone());
        let time = (self.shared.clock)();
        let draft = blocking(move || state.draft(&shared.store, time, submissions)).await?;
        let Draft { block, applied } = draft.map_err(|error| NodeError::damaged(described(&error)))?;
        match block {
            None => answer(batch, applied.verdicts),
            Some(block) => {
                self.proposed = Some(Proposed { block: block.hash(), applied, batch });
                self.orderer.propose(block).await?;
            }
        }
        Ok(())
    }

    /// Makes a decided block durable, then answers.
    async fn decided(&mut self, block: Block) -> Result<(), NodeError> {
        let ours = self.proposed.take();
        let (applied, batch) = match ours {
            Some(ours) if ours.block == block.hash() => (ours.applied, ours.batch),
            other => {
                // Another member's block: ours is made anew on top of it.
                for waiting in other.into_iter().flat_map(|other| other.batch).rev() {
                    self.waiting.push_front(waiting);
                }
                (apply(self.shared.clone(), self.state.clone(), block.clone()).await?, Vec::new())
            }
        };
        let shared = self.shared.clone();
        let time = (self.shared.clock)();
        let applied = blocking(move || {
            let grew = !applied.leaves.is_empty();
            let checkpoint = grew.then(|| shared.sign_checkpoint(&applied.state, time)).transpose()?;
            let note = checkpoint.map(|checkpoint| checkpoint.to_string());
            shared.store.commit(&block, &applied, note.as_deref())?;
            Ok::<_, NodeError>(applied)
        })
        .await??;
        self.state = Arc::new(applied.state);
        *self.shared.state.write().unwrap_or_else(PoisonError::into_inner) = self.state.clone();
        self.shared.sizes.send_if_modified(|size| std::mem::replace(size, self.state.log_size()) != self.state.log_size());
        answer(batch, applied.verdicts);
        Ok(())
    }
}

async fn apply(shared: Arc<Shared>, state: Arc<State>, block: Block) -> Result<Applied, NodeError> {
    let height = block.header.height;
    let applied = blocking(move || state.apply(&shared.store, &block, Signatures::Check)).await?;
    applied.map_err(|source| NodeError::Block { height, source: Arc::new(source) })
}

/// Hands each submission its outcomes. One whose submitter has gone away is logged all the same.
fn answer(batch: Vec<Waiting>, verdicts: Vec<Verdict>) {
    let mut outcomes = verdicts.into_iter().map(|verdict| verdict.outcome);
    for waiting in batch {
        let own = outcomes.by_ref().take(waiting.submissions.len()).collect();
        let _gone = waiting.answer.send(own);
    }
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, NodeError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| NodeError::damaged(format!("a task of the chain panicked: {error}")))
}
