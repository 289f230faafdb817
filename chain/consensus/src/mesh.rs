//! Links between the nodes of members: one port and one pair of connections a pair of nodes, for all channels.
//!
//! Each node dials every other and speaks on the connection that it dialled; on those that it accepted it listens. Keys are the transport
//! keys of the members; a key that no channel admits is refused in the TLS handshake, before it has said or heard a byte of ours. A frame
//! names its channel by the digest of the genesis, and is looked at only if *that* channel admits the sender. Empty frames show that a silent
//! peer is alive. Nothing is promised about delivery: what a lost frame carried is asked for again by whoever misses it.
//!
//! Memory is bounded by peer: what one sends that we have not looked at yet, and what waits to be sent to one that takes nothing.

use crate::wire::{MESSAGE_BYTES_MAX, Message};
use bytes::Bytes;
use entrepot_chain_statement::{Did, Hash, SigningKey};
use entrepot_link::{Identity, Strangers, TlsSetupError, key_of, read_frame, server_name, write_frame};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// What members speak, in the TLS handshake (ALPN).
const PROTOCOL: &str = "entrepot-chain/1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that takes nothing for so long is dialled anew.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a node that has nothing to say shows that it is there.
const ALIVE_EVERY: Duration = Duration::from_secs(2);
/// A peer that has said nothing for so long is gone.
const SILENT_MAX: Duration = Duration::from_secs(10);
const REDIAL_FIRST: Duration = Duration::from_millis(50);
const REDIAL_MAX: Duration = Duration::from_secs(2);
/// Connections that have not yet said who they are, in all and of one address.
const HANDSHAKES_MAX: usize = 64;
const HANDSHAKES_PER_ADDRESS_MAX: usize = 16;
/// What may wait of one peer, or for one, in units of [`UNIT_BYTES`]; every message takes one at least.
const BUDGET: usize = 2048;
const UNIT_BYTES: usize = 32 << 10;
const FRAME_BYTES_MAX: usize = 32 + MESSAGE_BYTES_MAX;
/// Messages of all peers together that wait for one channel. Each holds a part of its sender's budget.
const INCOMING_MAX: usize = 4096;

/// Why the links cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// The port is not free, or not ours to take.
    #[error("cannot listen for other members on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// TLS does not work.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

/// Where and as whom a node speaks to the others.
pub struct MeshConfig {
    /// Authenticates its connections.
    pub key: SigningKey,
    /// Where it is dialled.
    pub listen: SocketAddr,
    /// Where the others are, as `host:port`, by their transport keys.
    pub peers: BTreeMap<Did, String>,
}

/// What a channel hears.
#[derive(Debug)]
pub enum Heard {
    /// A peer can be spoken to, again or for the first time.
    Connected(Did),
    /// A message of a peer.
    Message {
        /// Its transport key.
        from: Did,
        /// What it says.
        message: Message,
        /// A part of its budget, until the message is dealt with.
        budget: OwnedSemaphorePermit,
    },
}

/// The links of a node. They end when it is dropped.
pub struct Mesh {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    channels: RwLock<HashMap<Hash, Member>>,
    outgoing: BTreeMap<Did, Outgoing>,
    /// Connections that were accepted, by key: a newer one takes the place of the one before.
    accepted: Mutex<HashMap<Did, AbortHandle>>,
}

/// One channel's part in the links.
struct Member {
    admitted: BTreeSet<Did>,
    heard: mpsc::Sender<Heard>,
}

/// What waits to be sent to a peer.
struct Outgoing {
    queue: mpsc::UnboundedSender<(Bytes, OwnedSemaphorePermit)>,
    budget: Arc<Semaphore>,
    connected: AtomicBool,
}

/// A channel's handle on the links.
pub struct Channel {
    genesis: Hash,
    shared: Arc<Shared>,
}

impl Shared {
    fn admits(&self, key: &Did) -> bool {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).values().any(|channel| channel.admitted.contains(key))
    }

    /// Where to put a message of this peer to this channel; none if it has no business there.
    fn listener(&self, genesis: &Hash, from: &Did) -> Option<mpsc::Sender<Heard>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.get(genesis).filter(|channel| channel.admitted.contains(from)).map(|channel| channel.heard.clone())
    }

    fn connected(&self, peer: &Did) {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        for channel in channels.values().filter(|channel| channel.admitted.contains(peer)) {
            // A channel that is so busy hears of the peer by its messages.
            let _full = channel.heard.try_send(Heard::Connected(peer.clone()));
        }
    }
}

impl Mesh {
    /// Listens, and dials the peers that a channel admits.
    pub async fn start(config: MeshConfig) -> Result<Self, MeshError> {
        let failed = |source| MeshError::Listen { listen: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let identity = Arc::new(Identity::of(&config.key, PROTOCOL)?);
        let (mut outgoing, mut queues) = (BTreeMap::new(), Vec::new());
        for (peer, at) in config.peers.into_iter().filter(|(peer, _)| *peer != config.key.did()) {
            let (queue, waiting) = mpsc::unbounded_channel();
            let budget = Arc::new(Semaphore::new(BUDGET));
            outgoing.insert(peer.clone(), Outgoing { queue, budget, connected: false.into() });
            queues.push((peer, at, waiting));
        }
        let shared = Arc::new(Shared { channels: RwLock::default(), outgoing, accepted: Mutex::default() });
        let admits = Arc::downgrade(&shared);
        let server = identity.server(move |key| admits.upgrade().is_some_and(|shared| shared.admits(key)))?;
        let mut tasks = vec![tokio::spawn(accept(listener, TlsAcceptor::from(server), Arc::downgrade(&shared))).abort_handle()];
        for (peer, at, waiting) in queues {
            let connector = TlsConnector::from(identity.client(&peer)?);
            let speaker = Speaker { peer, at, connector, shared: Arc::downgrade(&shared) };
            tasks.push(tokio::spawn(speaker.run(waiting)).abort_handle());
        }
        Ok(Self { shared, address, tasks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The peers that can be spoken to.
    pub fn connected(&self) -> BTreeSet<Did> {
        self.shared.outgoing.iter().filter(|(_, outgoing)| outgoing.is_connected()).map(|(peer, _)| peer.clone()).collect()
    }

    /// Opens a channel, by the digest of its genesis, to these transport keys.
    pub fn open(&self, genesis: Hash, admitted: BTreeSet<Did>) -> (Channel, mpsc::Receiver<Heard>) {
        let (heard, incoming) = mpsc::channel(INCOMING_MAX);
        self.shared.channels.write().unwrap_or_else(PoisonError::into_inner).insert(genesis, Member { admitted: BTreeSet::new(), heard });
        let channel = Channel { genesis, shared: self.shared.clone() };
        channel.admit(admitted);
        (channel, incoming)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.shared.accepted.lock().unwrap_or_else(PoisonError::into_inner).drain().for_each(|(_, task)| task.abort());
    }
}

impl Channel {
    /// From now on these transport keys, and no others, are spoken to and listened to.
    pub fn admit(&self, admitted: BTreeSet<Did>) {
        let mut channels = self.shared.channels.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get_mut(&self.genesis) {
            let is_there = |peer: &&Did| self.shared.outgoing.get(*peer).is_some_and(Outgoing::is_connected);
            for peer in admitted.difference(&channel.admitted).filter(is_there) {
                let _full = channel.heard.try_send(Heard::Connected(peer.clone()));
            }
            channel.admitted = admitted;
        }
        drop(channels);
        let mut accepted = self.shared.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.retain(|key, task| {
            let stays = self.shared.admits(key);
            if !stays {
                task.abort();
            }
            stays
        });
    }

    /// The peers of this channel that can be spoken to.
    pub fn connected(&self) -> BTreeSet<Did> {
        let channels = self.shared.channels.read().unwrap_or_else(PoisonError::into_inner);
        let Some(channel) = channels.get(&self.genesis) else { return BTreeSet::new() };
        let up = |peer: &&Did| self.shared.outgoing.get(*peer).is_some_and(Outgoing::is_connected);
        channel.admitted.iter().filter(up).cloned().collect()
    }

    /// Says this to a peer, if it is there and admitted. It may never arrive.
    pub fn send(&self, to: &Did, message: &Message) {
        self.pass_on([to], message);
    }

    /// Says this to all that are there.
    pub fn broadcast(&self, message: &Message) {
        let connected = self.connected();
        self.pass_on(&connected, message);
    }

    fn pass_on<'a>(&self, to: impl IntoIterator<Item = &'a Did>, message: &Message) {
        let frame = Bytes::from([&self.genesis.0[..], &message.encode()].concat());
        for peer in to {
            if let (Some(outgoing), true) = (self.shared.outgoing.get(peer), self.shared.listener(&self.genesis, peer).is_some()) {
                outgoing.push(frame.clone());
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.shared.channels.write().unwrap_or_else(PoisonError::into_inner).remove(&self.genesis);
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / UNIT_BYTES).unwrap_or(u32::MAX)
}

impl Outgoing {
    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// A peer that does not keep up misses what is said meanwhile.
    fn push(&self, frame: Bytes) {
        if let (true, Ok(permit)) = (self.is_connected(), self.budget.clone().try_acquire_many_owned(units(frame.len()))) {
            let _gone = self.queue.send((frame, permit));
        }
    }
}

/// Keeps the connection to a peer that we speak on.
struct Speaker {
    peer: Did,
    at: String,
    connector: TlsConnector,
    shared: Weak<Shared>,
}

impl Speaker {
    async fn run(self, mut waiting: mpsc::UnboundedReceiver<(Bytes, OwnedSemaphorePermit)>) {
        let mut pause = REDIAL_FIRST;
        loop {
            match self.shared.upgrade() {
                None => return,
                Some(shared) if !shared.admits(&self.peer) => {
                    drop(shared);
                    sleep(REDIAL_FIRST * 4).await;
                    continue;
                }
                Some(_) => {}
            }
            match self.dial().await {
                Ok(stream) => {
                    tracing::info!(peer = %self.peer, at = self.at, "connected to a member");
                    let since = Instant::now();
                    let why = self.speak(stream, &mut waiting).await;
                    // One that refuses us says so only after the handshake: it is not to be dialled without end at the first pace.
                    if since.elapsed() >= REDIAL_MAX {
                        pause = REDIAL_FIRST;
                    }
                    tracing::info!(peer = %self.peer, at = self.at, %why, "the connection to a member ended");
                    while waiting.try_recv().is_ok() {}
                }
                Err(error) => tracing::debug!(peer = %self.peer, at = self.at, %error, "a member cannot be reached"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(REDIAL_MAX);
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
        // The peer admits us once it has taken a first frame without an alert.
        let mut up: Option<Up> = None;
        loop {
            let next = tokio::select! {
                next = waiting.recv(), if up.is_some() => match next {
                    Some(next) => Some(next),
                    None => return io::ErrorKind::NotConnected.into(),
                },
                // The peer only listens here. What comes is the end, or the alert of one that refused us.
                ended = read_frame(&mut input, 0) => return ended.err().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()),
                () = sleep(if up.is_some() { ALIVE_EVERY } else { Duration::ZERO }) => None,
            };
            let frame = next.as_ref().map_or(&[][..], |(frame, _)| frame);
            let write = async {
                write_frame(&mut output, frame).await?;
                if waiting.is_empty() { output.flush().await } else { Ok(()) }
            };
            match timeout(WRITE_TIMEOUT, write).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(_) => return io::ErrorKind::TimedOut.into(),
            }
            if up.is_none() {
                up = Some(Up::of(self));
            }
        }
    }
}

/// A connection that is up, for as long as this lives.
struct Up(Weak<Shared>, Did);

impl Up {
    fn of(speaker: &Speaker) -> Self {
        let up = Self(speaker.shared.clone(), speaker.peer.clone());
        up.is(true);
        if let Some(shared) = up.0.upgrade() {
            shared.connected(&up.1);
        }
        up
    }

    fn is(&self, up: bool) {
        if let Some(outgoing) = self.0.upgrade().as_deref().and_then(|shared| shared.outgoing.get(&self.1)) {
            outgoing.connected.store(up, Ordering::Relaxed);
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.is(false);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Weak<Shared>) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let strangers = Arc::new(Strangers::new(HANDSHAKES_PER_ADDRESS_MAX));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            // Out of descriptors, or a connection that died at once.
            Err(_) => {
                sleep(REDIAL_FIRST).await;
                continue;
            }
        };
        // Whoever is honest and turned away dials again.
        let Some(place) = strangers.admit(from.ip()) else { continue };
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            let welcomed = timeout(HANDSHAKE_TIMEOUT, welcome(acceptor, stream)).await;
            drop((slot, place));
            match welcomed {
                Ok(Ok((peer, stream))) => {
                    let Some(strong) = shared.upgrade() else { return };
                    let task = tokio::spawn(listen(peer.clone(), stream, shared)).abort_handle();
                    let before = strong.accepted.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, task);
                    before.inspect(AbortHandle::abort);
                }
                Ok(Err(error)) => tracing::debug!(%from, %error, "a stranger was refused"),
                Err(_) => tracing::debug!(%from, "a stranger said nothing"),
            }
        });
    }
}

async fn welcome(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<(Did, server::TlsStream<TcpStream>)> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).ok_or(io::ErrorKind::InvalidData)?;
    let peer = key_of(certificate).map_err(io::Error::other)?;
    Ok((peer, stream))
}

/// Takes what a peer says until it stops, or is not admitted any more.
async fn listen(peer: Did, mut stream: server::TlsStream<TcpStream>, shared: Weak<Shared>) {
    let budget = Arc::new(Semaphore::new(BUDGET));
    loop {
        let frame = match timeout(SILENT_MAX, read_frame(&mut stream, FRAME_BYTES_MAX)).await {
            Ok(Ok(Some(frame))) => frame,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "a member's connection failed"),
            Err(_) => return tracing::debug!(%peer, "a member has gone silent"),
        };
        let Some((genesis, message)) = frame.split_first_chunk::<32>() else { continue };
        let Some(heard) = shared.upgrade().and_then(|shared| shared.listener(&Hash(*genesis), &peer)) else { continue };
        let message = match Message::decode(message) {
            Ok(message) => message,
            Err(error) => return tracing::warn!(%peer, %error, "a member speaks nonsense; its connection is closed"),
        };
        let Ok(budget) = budget.clone().acquire_many_owned(units(frame.len())).await else { return };
        if heard.send(Heard::Message { from: peer.clone(), message, budget }).await.is_err() {
            return;
        }
    }
}
