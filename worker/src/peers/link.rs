//! Frames over one connection, and the channel of a computation over two of them.

use bytes::Bytes;
use entrepot_link::{TooLong, read_frame, write_frame};
use entrepot_mpc_protocol::{Channel, ChannelError, FRAME_BYTES_MAX, Party};
use std::time::Duration;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufWriter},
    sync::{Mutex, mpsc},
    task::AbortHandle,
};

/// Frames that wait to be sent, and frames that wait to be taken, on one connection.
const QUEUE_FRAMES: usize = 4;
/// A peer that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connection to one peer with a task for each direction.
struct Link {
    outgoing: mpsc::Sender<Bytes>,
    incoming: Mutex<mpsc::Receiver<Result<Bytes, ChannelError>>>,
    reader: AbortHandle,
}

impl Link {
    fn start<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S, peer: Party) -> Self {
        let (mut input, output) = tokio::io::split(stream);
        let (outgoing, mut to_send) = mpsc::channel::<Bytes>(QUEUE_FRAMES);
        let (received, incoming) = mpsc::channel(QUEUE_FRAMES);
        // Not aborted with the channel: it ends by itself once everything that was handed to it is sent.
        tokio::spawn(async move {
            let mut output = BufWriter::with_capacity(64 * 1024, output);
            while let Some(frame) = to_send.recv().await {
                let idle = to_send.is_empty();
                let write = async {
                    write_frame(&mut output, &frame).await?;
                    if idle { output.flush().await } else { Ok(()) }
                };
                if !matches!(tokio::time::timeout(WRITE_TIMEOUT, write).await, Ok(Ok(()))) {
                    return;
                }
            }
            let _ = tokio::time::timeout(WRITE_TIMEOUT, output.shutdown()).await;
        });
        let reader = tokio::spawn(async move {
            loop {
                let frame = match read_frame(&mut input, FRAME_BYTES_MAX).await {
                    Ok(Some(frame)) => Ok(frame),
                    Ok(None) => return,
                    Err(error) => Err(match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                        Some(TooLong(bytes)) => ChannelError::TooLong { peer, bytes: *bytes },
                        None => ChannelError::Failed { peer, source: error.into() },
                    }),
                };
                let last = frame.is_err();
                if received.send(frame).await.is_err() || last {
                    return;
                }
            }
        });
        Self { outgoing, incoming: Mutex::new(incoming), reader: reader.abort_handle() }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The connections of one party to the two others.
pub struct PeerChannel {
    party: Party,
    links: [Option<Link>; 3],
}

impl PeerChannel {
    pub(super) fn over<S: AsyncRead + AsyncWrite + Send + 'static>(party: Party, streams: Vec<(Party, S)>) -> Self {
        let mut links = [None, None, None];
        for (peer, stream) in streams {
            links[usize::from(peer.index())] = Some(Link::start(stream, peer));
        }
        Self { party, links }
    }

    fn link(&self, peer: Party) -> Result<&Link, ChannelError> {
        self.links[usize::from(peer.index())].as_ref().ok_or(ChannelError::NotAPeer { peer: self.party })
    }
}

#[async_trait::async_trait]
impl Channel for PeerChannel {
    async fn send(&self, to: Party, frame: Bytes) -> Result<(), ChannelError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(ChannelError::TooLong { peer: to, bytes: frame.len() as u64 });
        }
        self.link(to)?.outgoing.send(frame).await.map_err(|_| ChannelError::Closed { peer: to })
    }

    async fn receive(&self, from: Party) -> Result<Bytes, ChannelError> {
        self.link(from)?.incoming.lock().await.recv().await.unwrap_or(Err(ChannelError::Closed { peer: from }))
    }
}
