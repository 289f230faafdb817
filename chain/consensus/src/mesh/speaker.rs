//! The connection that a node dials, and speaks on.

use super::{ALIVE_EVERY, HANDSHAKE_TIMEOUT, REDIAL_FIRST, SILENT_MAX, Shared, UNIT_BYTES, WRITE_TIMEOUT};
use bytes::Bytes;
use entrepot_chain_statement::Did;
use entrepot_link::{read_frame_within, server_name, write_frame_within};
use std::{
    io,
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that has lasted so long is dialled again at once.
const SETTLED: Duration = Duration::from_secs(5);
const REDIAL_MAX: Duration = Duration::from_secs(2);
/// The same for one that was never there.
const REDIAL_FOUNDING: Duration = Duration::from_millis(200);

/// Keeps the connection to a peer that we speak on.
pub(super) struct Speaker {
    pub(super) peer: Did,
    pub(super) at: String,
    pub(super) connector: TlsConnector,
    pub(super) shared: Weak<Shared>,
    pub(super) connected: Arc<AtomicBool>,
}

impl Speaker {
    pub(super) async fn run(self, mut waiting: mpsc::UnboundedReceiver<(Bytes, OwnedSemaphorePermit)>) {
        let mut pause = REDIAL_FIRST;
        // Until it was there once, a member may be about to come: channels are founded by nodes that start together.
        let mut most = REDIAL_FOUNDING;
        loop {
            if self.shared.strong_count() == 0 {
                return;
            }
            match self.dial().await {
                Ok(stream) => {
                    let since = Instant::now();
                    tracing::info!(peer = %self.peer, at = self.at, "connected to a member");
                    let why = self.speak(stream, &mut waiting).await;
                    tracing::info!(peer = %self.peer, at = self.at, %why, "the connection to a member ended");
                    while waiting.try_recv().is_ok() {}
                    // One that comes and goes is dialled ever more slowly.
                    if since.elapsed() > SETTLED {
                        (pause, most) = (REDIAL_FIRST, REDIAL_MAX);
                    }
                }
                Err(error) => tracing::debug!(peer = %self.peer, at = self.at, %error, "a member cannot be reached"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(most);
        }
    }

    async fn dial(&self) -> io::Result<client::TlsStream<TcpStream>> {
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.at)).await.map_err(late)??;
        stream.set_nodelay(true)?;
        timeout(HANDSHAKE_TIMEOUT, self.connector.connect(server_name(), stream)).await.map_err(late)?
    }

    /// Passes on what waits until the connection fails.
    async fn speak(
        &self,
        stream: client::TlsStream<TcpStream>,
        waiting: &mut mpsc::UnboundedReceiver<(Bytes, OwnedSemaphorePermit)>,
    ) -> io::Error {
        let (mut input, output) = tokio::io::split(stream);
        let mut output = BufWriter::with_capacity(UNIT_BYTES, output);
        // The peer only listens here, and shows that it does. Else comes the end, or the alert of one that refused us.
        let (shown, mut shows) = oneshot::channel();
        let mut ended = pin!(async {
            let mut shown = Some(shown);
            loop {
                match read_frame_within(&mut input, 0, SILENT_MAX).await {
                    Ok(Some(_)) => drop(shown.take().map(|shown| shown.send(()))),
                    Ok(None) => return io::ErrorKind::ConnectionReset.into(),
                    Err(error) => return error,
                }
            }
        });
        // TLS lets us speak before the peer has looked at our certificate; that it shows itself says that it admits us.
        let mut up: Option<Up> = None;
        loop {
            let next = tokio::select! {
                next = waiting.recv(), if up.is_some() => match next {
                    Some(next) => Some(next),
                    None => return io::ErrorKind::NotConnected.into(),
                },
                Ok(()) = &mut shows, if up.is_none() => {
                    up = Some(Up::of(self));
                    continue;
                }
                error = &mut ended => return error,
                () = sleep(ALIVE_EVERY) => None,
            };
            let frame = next.as_ref().map_or(&[][..], |(frame, _)| frame);
            let write = async {
                write_frame_within(&mut output, frame, WRITE_TIMEOUT).await?;
                if !waiting.is_empty() {
                    return Ok(());
                }
                timeout(WRITE_TIMEOUT, output.flush()).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
            };
            tokio::select! {
                written = write => if let Err(error) = written {
                    return error;
                },
                error = &mut ended => return error,
            }
        }
    }
}

/// A connection that is up, for as long as this lives.
struct Up(Arc<AtomicBool>);

impl Up {
    fn of(speaker: &Speaker) -> Self {
        let up = Self(speaker.connected.clone());
        up.0.store(true, Ordering::Relaxed);
        if let Some(shared) = speaker.shared.upgrade() {
            shared.connected(&speaker.peer);
        }
        up
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
