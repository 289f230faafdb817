//! Streams that have not greeted yet. Anybody can open one, so they are few and may send little; and when there are too many, the oldest
//! goes: a worker greets at once, a stranger that only wants to be in the way does not.

use bytes::Bytes;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, request},
};

/// Streams that may wait for a greeting at once.
pub(super) const STRANGERS_MAX: usize = 256;
/// Bytes that a stranger may send: a greeting has a few thousand.
const STRANGER_BYTES_MAX: usize = 64 * 1024;

/// The streams that have not greeted, oldest first.
#[derive(Default)]
pub(super) struct Strangers {
    waiting: Mutex<VecDeque<(u64, CancellationToken)>>,
    next: AtomicU64,
}

/// A stream's place among them, until it is dropped.
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
    /// Cancelled when a newer stranger took the place.
    pub pushed_out: CancellationToken,
}

impl Strangers {
    /// Takes a place, the oldest one's if there is no other.
    pub(super) fn enter(self: &Arc<Self>) -> Stranger {
        let (number, pushed_out) = (self.next.fetch_add(1, Ordering::Relaxed), CancellationToken::new());
        let mut waiting = self.waiting();
        if waiting.len() >= STRANGERS_MAX
            && let Some((_, oldest)) = waiting.pop_front()
        {
            oldest.cancel();
        }
        waiting.push_back((number, pushed_out.clone()));
        Stranger { strangers: self.clone(), number, pushed_out }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(u64, CancellationToken)>> {
        // The queue is never left half changed, so a panic elsewhere does not spoil it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.waiting().retain(|(number, _)| *number != self.number);
    }
}

/// Set once a stream has greeted.
#[derive(Clone, Default)]
pub(super) struct Greeted(Arc<AtomicBool>);

impl Greeted {
    /// From here on every message may be as large as messages are.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Bounds what a request may send until its handler sets its [`Greeted`].
pub(super) fn bound(request: Request<Body>) -> Request<Body> {
    let greeted = Greeted::default();
    let (mut parts, body): (request::Parts, Body) = request.into_parts();
    parts.extensions.insert(greeted.clone());
    Request::from_parts(parts, Body::new(Bounded { body, greeted, left: STRANGER_BYTES_MAX }))
}

struct Bounded {
    body: Body,
    greeted: Greeted,
    left: usize,
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && !self.greeted.0.load(Ordering::Acquire)
        {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            let Some(left) = self.left.checked_sub(bytes) else {
                return Poll::Ready(Some(Err(Status::resource_exhausted("greet first, and briefly"))));
            };
            self.left = left;
        }
        Poll::Ready(frame)
    }
}
