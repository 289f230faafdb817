//! What the driver waits for: one place for each kind of answer, looked at in the order of their weight.

use crate::{
    task::{Committed, Drafted},
    wire::Message,
};
use entrepot_chain_statement::{Did, Hash};
use std::future::{Future, pending};
use tokio::sync::oneshot;

/// Answers of the ledger that are waited for.
#[derive(Default)]
pub struct Replies {
    pub draft: Option<(u64, u32, oneshot::Receiver<Drafted>)>,
    pub checks: Vec<(u64, Hash, oneshot::Receiver<Option<Hash>>)>,
    pub caught_up: Option<oneshot::Receiver<Option<Hash>>>,
    pub commit: Option<oneshot::Receiver<Committed>>,
    pub served: Option<oneshot::Receiver<(Did, Message)>>,
}

pub enum Reply {
    Committed(Option<Committed>),
    Drafted(u64, u32, Option<Drafted>),
    /// Whether the block may follow; nothing if the ledger is gone.
    Checked(u64, Hash, Option<bool>),
    CaughtUp(Option<Option<Hash>>),
    Served(Option<(Did, Message)>),
}

impl Replies {
    /// The next answer. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Reply {
        let Self { draft, checks, caught_up, commit, served } = self;
        let check = std::future::poll_fn(|context| {
            for at in 0..checks.len() {
                if let std::task::Poll::Ready(answer) = std::pin::Pin::new(&mut checks[at].2).poll(context) {
                    let (height, id, _) = checks.swap_remove(at);
                    return std::task::Poll::Ready(Reply::Checked(height, id, answer.ok().map(|judged| judged == Some(id))));
                }
            }
            std::task::Poll::Pending
        });
        tokio::select! {
            biased;
            committed = answer(commit) => Reply::Committed(committed),
            (height, round, drafted) = drafted(draft) => Reply::Drafted(height, round, drafted),
            reply = check => reply,
            id = answer(caught_up) => Reply::CaughtUp(id),
            served = answer(served) => Reply::Served(served),
        }
    }
}

/// Empties the place once the answer is there.
async fn answer<T>(place: &mut Option<oneshot::Receiver<T>>) -> Option<T> {
    let Some(receiver) = place else { return pending().await };
    let answer = receiver.await;
    *place = None;
    answer.ok()
}

async fn drafted(place: &mut Option<(u64, u32, oneshot::Receiver<Drafted>)>) -> (u64, u32, Option<Drafted>) {
    let Some((height, round, receiver)) = place else { return pending().await };
    let answer = (*height, *round, receiver.await.ok());
    *place = None;
    answer
}
