//! Three parties in one process, for tests and benches: no sockets, bounded queues, everything from one seed.

use crate::{Channel, ChannelError, Context, Party};
use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::{future::Future, sync::Arc};
use tokio::sync::{Mutex, mpsc};

/// Frames that wait between two parties at most; small, so that a protocol which could block on a full buffer does so in tests.
const QUEUE_FRAMES: usize = 2;

/// One party's end of the network.
pub struct MemoryChannel {
    party: Party,
    senders: [Option<mpsc::Sender<Bytes>>; 3],
    receivers: [Option<Mutex<mpsc::Receiver<Bytes>>>; 3],
}

/// A network of three.
pub fn network() -> [MemoryChannel; 3] {
    let mut ends = Party::ALL.map(|party| MemoryChannel { party, senders: [None, None, None], receivers: [None, None, None] });
    for from in 0..3 {
        for to in (0..3).filter(|to| *to != from) {
            let (sender, receiver) = mpsc::channel(QUEUE_FRAMES);
            ends[from].senders[to] = Some(sender);
            ends[to].receivers[from] = Some(Mutex::new(receiver));
        }
    }
    ends
}

#[async_trait::async_trait]
impl Channel for MemoryChannel {
    async fn send(&self, to: Party, frame: Bytes) -> Result<(), ChannelError> {
        if frame.len() > crate::FRAME_BYTES_MAX {
            return Err(ChannelError::TooLong { peer: to, bytes: frame.len() as u64 });
        }
        let sender = self.senders[to.index() as usize].as_ref().ok_or(ChannelError::NotAPeer { peer: self.party })?;
        sender.send(frame).await.map_err(|_| ChannelError::Closed { peer: to })
    }

    async fn receive(&self, from: Party) -> Result<Bytes, ChannelError> {
        let receiver = self.receivers[from.index() as usize].as_ref().ok_or(ChannelError::NotAPeer { peer: self.party })?;
        receiver.lock().await.recv().await.ok_or(ChannelError::Closed { peer: from })
    }
}

/// The session that [`run`] opens.
pub const SESSION: [u8; 32] = [0x5e; 32];

/// The generator that [`run`] gives to a party.
pub fn rng(seed: u64, party: Party) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed.wrapping_mul(3).wrapping_add(u64::from(party.index())))
}

/// Runs `body` as all three parties, each in a task of its own, and returns what they return. Must be called inside a tokio runtime.
///
/// # Panics
/// If the session cannot be opened or if a party panics.
pub async fn run<T, F, Fut>(seed: u64, body: F) -> [T; 3]
where
    F: Fn(Context) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    run_over(network().map(|end| Arc::new(end) as Arc<dyn Channel>), seed, body).await
}

/// The same over given channels, for tests that listen or interfere.
///
/// # Panics
/// As [`run`].
pub async fn run_over<T, F, Fut>(channels: [Arc<dyn Channel>; 3], seed: u64, body: F) -> [T; 3]
where
    F: Fn(Context) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut parties = Party::ALL.into_iter();
    let tasks = channels.map(|channel| {
        let (party, body) = (parties.next().expect("there are three channels"), body.clone());
        tokio::spawn(async move {
            let context = Context::connect(party, channel, SESSION, &mut rng(seed, party)).await.expect("the session opens");
            body(context).await
        })
    });
    let mut results = Vec::with_capacity(3);
    for task in tasks {
        results.push(task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())));
    }
    results.try_into().unwrap_or_else(|_| unreachable!("three tasks give three results"))
}
