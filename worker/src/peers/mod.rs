//! Connections between the three workers of a computation.
//!
//! Party i dials every party j > i and retries until it may no longer; party j accepts. The first frame says which run the connection is
//! for; the answer `ready` says that the other side runs it too. A connection for a run that is not here yet is parked for a few seconds,
//! since the exchange may have reached the peer first.
//!
//! Whoever dials knows the key it wants, from the agreement. Whoever accepts takes *some* key, which must be that of the run's party once the
//! peer has said which run it comes for: before a byte of the computation is exchanged.

mod link;

pub use entrepot_link::TlsSetupError;
pub use link::PeerChannel;

use entrepot_chain_statement::{Did, Hash, SigningKey, ids::JobId};
use entrepot_link::{Identity, Strangers, key_of, read_frame, server_name, write_frame};
use entrepot_mpc_protocol::Party;
use rand_core::{OsRng, RngCore as _};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

/// What the parties of a computation speak, in the TLS handshake (ALPN).
const PROTOCOL: &str = "entrepot-party/1";
/// All three must be connected after this long.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// A connection for a run that is not here yet waits so long.
const PARKED_FOR: Duration = Duration::from_secs(5);
/// Connections that wait so at the same time, in all and for one key; the oldest make room.
const PARKED_MAX: usize = 64;
const PARKED_PER_KEY_MAX: usize = 8;
/// Connections that have not yet said what they are for, in all and from one address: silent strangers keep others out only from as many
/// addresses as there are shares of the whole.
const HANDSHAKES_MAX: usize = 64;
const HANDSHAKES_PER_ADDRESS_MAX: usize = 8;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const READY_TIMEOUT: Duration = Duration::from_secs(7);
const HELLO_BYTES_MAX: usize = 1024;
const READY: &[u8] = b"ready";
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Which computation a connection is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Statement hash of the order.
    pub order: Hash,
}

/// One of the workers of a run.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its key, from the agreement.
    pub worker: Did,
    /// Where it is said to be, `host:port`: a hint.
    pub address: String,
}

/// Why the parties did not come together.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A peer did not come, or could not be reached, in time.
    #[error("party {peer} was not reached in time")]
    Unreachable {
        /// Which one.
        peer: Party,
    },
    /// Somebody else answers where the peer is said to be.
    #[error("who answers at party {peer}'s address does not hold the key that the agreement pins")]
    WrongKey {
        /// Which one.
        peer: Party,
    },
    /// Our own TLS does not work.
    #[error(transparent)]
    Setup(#[from] TlsSetupError),
}

impl PeerError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "peer_unreachable",
            Self::WrongKey { .. } => "peer_wrong_key",
            Self::Setup(_) => "internal",
        }
    }
}

/// The first frame.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HelloFrame {
    job_id: JobId,
    attempt: u32,
    order: Hash,
    from: u8,
}

/// A connection that may be taken: for this run, from this party, by this key. All of it must fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Claim {
    run: Run,
    from: u8,
    worker: Did,
}

type Stream = TlsStream<TcpStream>;

struct Parked {
    number: u64,
    claim: Claim,
    stream: Stream,
}

/// Who waits for whom.
#[derive(Default)]
struct Rendezvous {
    wanted: HashMap<Claim, oneshot::Sender<Stream>>,
    parked: Vec<Parked>,
    parked_ever: u64,
}

/// This worker among its peers.
pub struct PeerNode {
    identity: Identity,
    rendezvous: Mutex<Rendezvous>,
    local_address: SocketAddr,
}

impl PeerNode {
    /// Binds the listener and accepts until the node is dropped.
    pub async fn start(key: &SigningKey, listen: SocketAddr) -> Result<Arc<Self>, PeerStartError> {
        let identity = Identity::of(key, PROTOCOL)?;
        let acceptor = TlsAcceptor::from(identity.server(|_| true)?);
        let listener = TcpListener::bind(listen).await.map_err(|source| PeerStartError::Bind { listen, source })?;
        let local_address = listener.local_addr().map_err(|source| PeerStartError::Bind { listen, source })?;
        let node = Arc::new(Self { identity, rendezvous: Mutex::default(), local_address });
        // The task must not keep the node alive.
        let accepting = Arc::downgrade(&node);
        let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        let strangers = Arc::new(Strangers::new(HANDSHAKES_PER_ADDRESS_MAX));
        tokio::spawn(async move {
            loop {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
                // Woken now and then to see whether the node is still there.
                let accepted = timeout(Duration::from_secs(1), listener.accept()).await;
                let Some(node) = accepting.upgrade() else { return };
                let (stream, from) = match accepted {
                    Ok(Ok(accepted)) => accepted,
                    // Out of descriptors, or a connection that died at once.
                    Ok(Err(_)) => {
                        sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                    Err(_) => continue,
                };
                // Whoever is honest and turned away dials again.
                let Some(place) = strangers.admit(from.ip()) else { continue };
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match timeout(HANDSHAKE_TIMEOUT, welcome(acceptor, stream)).await {
                        Ok(Ok((claim, stream))) => node.offer(claim, stream),
                        Ok(Err(error)) => tracing::debug!(%error, "a party connection was refused"),
                        Err(_) => tracing::debug!("a party connection said nothing"),
                    }
                    drop((slot, place));
                });
            }
        });
        Ok(node)
    }

    /// Where the listener is bound.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Connects to both other parties of a run. Both sides must call this within [`CONNECT_TIMEOUT`] of each other.
    pub async fn connect(self: &Arc<Self>, run: &Run, party: Party, peers: &[Peer; 3]) -> Result<PeerChannel, PeerError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let one = async |peer: Party| {
            let Peer { worker, address } = &peers[usize::from(peer.index())];
            let stream = if peer > party {
                self.dial(run, party, peer, worker, address, deadline).await
            } else {
                self.await_peer(Claim { run: run.clone(), from: peer.index(), worker: worker.clone() }, peer, deadline).await
            };
            stream.map(|stream| (peer, stream))
        };
        let (next, previous) = tokio::try_join!(one(party.next()), one(party.previous()))?;
        Ok(PeerChannel::over(party, vec![next, previous]))
    }

    async fn dial(&self, run: &Run, from: Party, peer: Party, worker: &Did, address: &str, deadline: Instant) -> Result<Stream, PeerError> {
        let connector = TlsConnector::from(self.identity.client(worker)?);
        let mut pause = RETRY_FIRST;
        loop {
            match timeout_at(deadline, dial_once(&connector, run, from, address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) if is_wrong_key(&error) => return Err(PeerError::WrongKey { peer }),
                Ok(Err(error)) => tracing::debug!(%peer, address, %error, "the peer was not reached; trying again"),
                Err(_) => return Err(PeerError::Unreachable { peer }),
            }
            // Full jitter, so that peers which lost each other do not stay in step.
            let jitter = pause.mul_f64(f64::from(OsRng.next_u32()) / f64::from(u32::MAX));
            if timeout_at(deadline, sleep(jitter)).await.is_err() {
                return Err(PeerError::Unreachable { peer });
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    async fn await_peer(self: &Arc<Self>, claim: Claim, peer: Party, deadline: Instant) -> Result<Stream, PeerError> {
        let unreachable = PeerError::Unreachable { peer };
        let _withdraw = Withdraw { node: Arc::clone(self), claim: claim.clone() };
        loop {
            let arrival = {
                let mut rendezvous = self.rendezvous();
                match rendezvous.parked.iter().position(|parked| parked.claim == claim) {
                    Some(place) => Ok(rendezvous.parked.swap_remove(place).stream),
                    None => {
                        let (sender, receiver) = oneshot::channel();
                        rendezvous.wanted.insert(claim.clone(), sender);
                        Err(receiver)
                    }
                }
            };
            let mut stream = match arrival {
                Ok(stream) => stream,
                Err(receiver) => match timeout_at(deadline, receiver).await {
                    Ok(Ok(stream)) => stream,
                    // Another call waits for the same connection; there is only one runner for a run.
                    Ok(Err(_)) | Err(_) => return Err(unreachable),
                },
            };
            // A parked peer may have gone meanwhile; it dials again.
            let ready = async {
                write_frame(&mut stream, READY).await?;
                stream.flush().await
            };
            if matches!(timeout_at(deadline, ready).await, Ok(Ok(()))) {
                return Ok(stream);
            }
        }
    }

    /// Gives a connection to whoever waits for it, or parks it.
    fn offer(self: &Arc<Self>, claim: Claim, stream: Stream) {
        let mut rendezvous = self.rendezvous();
        let stream = match rendezvous.wanted.remove(&claim) {
            None => stream,
            Some(wanted) => match wanted.send(stream) {
                Ok(()) => return,
                Err(stream) => stream,
            },
        };
        let of_this_key = rendezvous.parked.iter().filter(|parked| parked.claim.worker == claim.worker).count();
        if of_this_key >= PARKED_PER_KEY_MAX {
            return;
        }
        if rendezvous.parked.len() >= PARKED_MAX {
            let oldest = rendezvous.parked.iter().enumerate().min_by_key(|(_, parked)| parked.number).map(|(place, _)| place);
            oldest.map(|place| rendezvous.parked.swap_remove(place));
        }
        rendezvous.parked_ever += 1;
        let number = rendezvous.parked_ever;
        rendezvous.parked.push(Parked { number, claim, stream });
        drop(rendezvous);
        let node = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(PARKED_FOR).await;
            if let Some(node) = node.upgrade() {
                node.rendezvous().parked.retain(|parked| parked.number != number);
            }
        });
    }

    fn rendezvous(&self) -> std::sync::MutexGuard<'_, Rendezvous> {
        // Every change is a single step, so a panic elsewhere leaves nothing half done.
        self.rendezvous.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a wish back when whoever waited gives up.
struct Withdraw {
    node: Arc<PeerNode>,
    claim: Claim,
}

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.node.rendezvous().wanted.remove(&self.claim);
    }
}

/// Why the node does not start.
#[derive(Debug, thiserror::Error)]
pub enum PeerStartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {listen} for other parties: change peer_listen in the worker's configuration")]
    Bind {
        /// The address.
        listen: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS does not work.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

async fn welcome(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<(Claim, Stream)> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).ok_or(io::ErrorKind::InvalidData)?;
    let worker = key_of(certificate).map_err(io::Error::other)?;
    let hello = read_frame(&mut stream, HELLO_BYTES_MAX).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let HelloFrame { job_id, attempt, order, from } = serde_json::from_slice(&hello)?;
    Ok((Claim { run: Run { job_id, attempt, order }, from, worker }, TlsStream::Server(stream)))
}

async fn dial_once(connector: &TlsConnector, run: &Run, from: Party, address: &str) -> io::Result<Stream> {
    let timed_out = |_| io::Error::from(io::ErrorKind::TimedOut);
    let stream = timeout(HANDSHAKE_TIMEOUT, TcpStream::connect(address)).await.map_err(timed_out)??;
    stream.set_nodelay(true)?;
    let mut stream = timeout(HANDSHAKE_TIMEOUT, connector.connect(server_name(), stream)).await.map_err(timed_out)??;
    let hello = HelloFrame { job_id: run.job_id.clone(), attempt: run.attempt, order: run.order, from: from.index() };
    write_frame(&mut stream, &serde_json::to_vec(&hello)?).await?;
    stream.flush().await?;
    let ready = timeout(READY_TIMEOUT, read_frame(&mut stream, READY.len())).await.map_err(timed_out)??;
    if ready.as_deref() != Some(READY) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(TlsStream::Client(stream))
}

/// Whether our verifier refused the peer's key, as opposed to a connection that failed.
fn is_wrong_key(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests;
