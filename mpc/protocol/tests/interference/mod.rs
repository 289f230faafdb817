//! A channel that changes, drops or records what one party sends.

use bytes::Bytes;
use entrepot_mpc_protocol::{Channel, ChannelError, Party, memory};
use std::sync::{Arc, Mutex};

type Rewrite = dyn Fn(Party, u64, Bytes) -> Option<Bytes> + Send + Sync;

struct Interfering {
    inner: memory::MemoryChannel,
    rewrite: Box<Rewrite>,
}

#[async_trait::async_trait]
impl Channel for Interfering {
    async fn send(&self, to: Party, frame: Bytes) -> Result<(), ChannelError> {
        let step = u64::from_be_bytes(frame[..8].try_into().unwrap());
        match (self.rewrite)(to, step, frame) {
            Some(frame) => self.inner.send(to, frame).await,
            None => Err(ChannelError::Closed { peer: to }),
        }
    }
    async fn receive(&self, from: Party) -> Result<Bytes, ChannelError> {
        self.inner.receive(from).await
    }
}

/// A network in which what `culprit` sends passes through `rewrite(to, step, frame)`; `None` breaks the connection.
pub fn interfere(culprit: Party, rewrite: impl Fn(Party, u64, Bytes) -> Option<Bytes> + Send + Sync + 'static) -> [Arc<dyn Channel>; 3] {
    let mut parties = Party::ALL.into_iter();
    let mut rewrite = Some(rewrite);
    memory::network().map(|inner| {
        if parties.next() == Some(culprit) {
            Arc::new(Interfering { inner, rewrite: Box::new(rewrite.take().unwrap()) }) as Arc<dyn Channel>
        } else {
            Arc::new(inner)
        }
    })
}

/// Frames one party received: who sent them, and they themselves.
pub type View = Arc<Mutex<Vec<(Party, Bytes)>>>;

struct Listening {
    inner: memory::MemoryChannel,
    view: View,
}

#[async_trait::async_trait]
impl Channel for Listening {
    async fn send(&self, to: Party, frame: Bytes) -> Result<(), ChannelError> {
        self.inner.send(to, frame).await
    }
    async fn receive(&self, from: Party) -> Result<Bytes, ChannelError> {
        let frame = self.inner.receive(from).await?;
        self.view.lock().unwrap().push((from, frame.clone()));
        Ok(frame)
    }
}

/// A network that records what `party` receives.
pub fn listen(party: Party) -> ([Arc<dyn Channel>; 3], View) {
    let view = View::default();
    let mut parties = Party::ALL.into_iter();
    let channels = memory::network().map(|inner| {
        if parties.next() == Some(party) {
            Arc::new(Listening { inner, view: Arc::clone(&view) }) as Arc<dyn Channel>
        } else {
            Arc::new(inner)
        }
    });
    (channels, view)
}
