//! Links between the nodes of members: one port and one pair of connections a pair of nodes, for all channels.
//!
//! Each node dials every other and speaks on the connection that it dialled; on those that it accepted it listens. Keys are the transport
//! keys of the members, as the ledger knows them now: where a member is, is told once, by its organisation, and a new key is dialled at the
//! same place. A key that no channel admits is refused in the TLS handshake, before it has said or heard a byte of ours. A frame
//! names its channel by the digest of the genesis, and is looked at only if *that* channel admits the sender. Empty frames, both
//! ways, show that a silent peer is alive. Nothing is promised about delivery: what a lost frame carried is asked for again by whoever misses it.
//!
//! Memory is bounded by peer: what one sends that we have not looked at yet, and what waits to be sent to one that takes nothing.

mod speaker;

use self::speaker::Speaker;
use crate::wire::{MESSAGE_BYTES_MAX, Message};
use bytes::Bytes;
use entrepot_chain_statement::{Did, Hash, SigningKey};
use entrepot_link::{Identity, Strangers, TlsSetupError, key_of, read_frame_within, write_frame_within};
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
    io::{AsyncRead, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::AbortHandle,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, server};

/// What members speak, in the TLS handshake (ALPN).
const PROTOCOL: &str = "entrepot-chain/1";
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that takes nothing for so long is dialled anew.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a node that has nothing to say shows that it is there.
const ALIVE_EVERY: Duration = Duration::from_secs(2);
/// A peer that has said nothing for so long is gone.
const SILENT_MAX: Duration = Duration::from_secs(10);
const REDIAL_FIRST: Duration = Duration::from_millis(50);
/// Connections that have not yet said who they are, in all and of one address.
const HANDSHAKES_MAX: usize = 64;
const HANDSHAKES_PER_ADDRESS_MAX: usize = 16;
/// What may wait of one peer, or for one, in units of [`UNIT_BYTES`]; every message takes one at least.
const BUDGET: usize = 2048;
/// Of what may wait for a peer, so much is kept free of transactions, for what decides.
const RESERVE: usize = BUDGET / 2;
/// A message of a peer takes so much at least: judging one costs time, and all peers wait in one line.
const HEARD_UNITS_MIN: u32 = 32;
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
    /// Where the others are, as `host:port`, by their organisations or their transport keys.
    pub peers: BTreeMap<Did, String>,
}

/// Transport keys that may speak on a channel, and whose they are.
pub type Admitted = BTreeMap<Did, Did>;

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
    accepting: AbortHandle,
}

struct Shared {
    channels: RwLock<HashMap<Hash, Member>>,
    identity: Identity,
    /// Where to dial, by organisation or transport key.
    places: BTreeMap<Did, String>,
    /// Connections are dialled there, whoever asks for them.
    runtime: Handle,
    outgoing: RwLock<BTreeMap<Did, Outgoing>>,
    /// Who changes whom a channel admits: one at a time.
    admitting: Mutex<()>,
    /// Connections that were accepted, by key: a newer one takes the place of the one before.
    accepted: Mutex<HashMap<Did, AbortHandle>>,
    /// What of each peer waits to be looked at, whichever of its connections it came by.
    incoming: Mutex<HashMap<Did, Arc<Semaphore>>>,
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
    connected: Arc<AtomicBool>,
    dialling: AbortHandle,
}

/// A channel's handle on the links.
pub struct Channel {
    genesis: Hash,
    shared: Arc<Shared>,
    /// Tells this opening of the channel from a later one.
    heard: mpsc::WeakSender<Heard>,
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

    fn budget(&self, peer: &Did) -> Arc<Semaphore> {
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        incoming.entry(peer.clone()).or_insert_with(|| Arc::new(Semaphore::new(BUDGET))).clone()
    }

    /// Looks at what is known of the way to a peer.
    fn way<T>(&self, peer: &Did, look: impl FnOnce(&Outgoing) -> T) -> Option<T> {
        self.outgoing.read().unwrap_or_else(PoisonError::into_inner).get(peer).map(look)
    }

    fn is_connected(&self, peer: &Did) -> bool {
        self.way(peer, Outgoing::is_connected).unwrap_or_default()
    }

    /// Dials those of them whose place is known, and nobody whom no channel admits.
    fn dial(self: &Arc<Self>, admitted: &Admitted) {
        let mut outgoing = self.outgoing.write().unwrap_or_else(PoisonError::into_inner);
        outgoing.retain(|peer, _| self.admits(peer));
        for (peer, organisation) in admitted {
            let Some(at) = self.places.get(organisation).or_else(|| self.places.get(peer)) else { continue };
            if outgoing.contains_key(peer) {
                continue;
            }
            let connector = match self.identity.client(peer) {
                Ok(config) => TlsConnector::from(config),
                Err(error) => {
                    tracing::error!(%peer, %error, "a member cannot be dialled");
                    continue;
                }
            };
            let (queue, waiting) = mpsc::unbounded_channel();
            let connected = Arc::new(AtomicBool::new(false));
            let speaker =
                Speaker { peer: peer.clone(), at: at.clone(), connector, shared: Arc::downgrade(self), connected: connected.clone() };
            let dialling = self.runtime.spawn(speaker.run(waiting)).abort_handle();
            outgoing.insert(peer.clone(), Outgoing { queue, budget: Arc::new(Semaphore::new(BUDGET)), connected, dialling });
        }
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
    /// Listens; peers are dialled once a channel admits them.
    pub async fn start(config: MeshConfig) -> Result<Self, MeshError> {
        let failed = |source| MeshError::Listen { listen: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            channels: RwLock::default(),
            identity: Identity::of(&config.key, PROTOCOL)?,
            places: config.peers,
            runtime: Handle::current(),
            outgoing: RwLock::default(),
            admitting: Mutex::default(),
            accepted: Mutex::default(),
            incoming: Mutex::default(),
        });
        let admits = Arc::downgrade(&shared);
        let server = shared.identity.server(move |key| admits.upgrade().is_some_and(|shared| shared.admits(key)))?;
        let accepting = tokio::spawn(accept(listener, TlsAcceptor::from(server), Arc::downgrade(&shared))).abort_handle();
        Ok(Self { shared, address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The peers that can be spoken to.
    pub fn connected(&self) -> BTreeSet<Did> {
        let outgoing = self.shared.outgoing.read().unwrap_or_else(PoisonError::into_inner);
        outgoing.iter().filter(|(_, outgoing)| outgoing.is_connected()).map(|(peer, _)| peer.clone()).collect()
    }

    /// Opens a channel, by the digest of its genesis, to these transport keys.
    pub fn open(&self, genesis: Hash, admitted: Admitted) -> (Channel, mpsc::Receiver<Heard>) {
        let (heard, incoming) = mpsc::channel(INCOMING_MAX);
        let channel = Channel { genesis, shared: self.shared.clone(), heard: heard.downgrade() };
        self.shared.channels.write().unwrap_or_else(PoisonError::into_inner).insert(genesis, Member { admitted: BTreeSet::new(), heard });
        channel.admit(admitted);
        (channel, incoming)
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.outgoing.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.shared.accepted.lock().unwrap_or_else(PoisonError::into_inner).drain().for_each(|(_, task)| task.abort());
    }
}

impl Channel {
    /// From now on these transport keys, and no others, are spoken to and listened to.
    pub fn admit(&self, admitted: Admitted) {
        let _one = self.shared.admitting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut channels = self.shared.channels.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get_mut(&self.genesis) {
            for peer in admitted.keys().filter(|peer| !channel.admitted.contains(*peer) && self.shared.is_connected(peer)) {
                let _full = channel.heard.try_send(Heard::Connected(peer.clone()));
            }
            channel.admitted = admitted.keys().cloned().collect();
        }
        drop(channels);
        self.shared.dial(&admitted);
        let mut accepted = self.shared.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.retain(|key, task| {
            let stays = self.shared.admits(key);
            if !stays {
                task.abort();
            }
            stays
        });
        drop(accepted);
        // Nothing of those who are gone waits any more.
        let mut incoming = self.shared.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        incoming.retain(|key, budget| self.shared.admits(key) || budget.available_permits() < BUDGET);
    }

    /// The peers of this channel that can be spoken to.
    pub fn connected(&self) -> BTreeSet<Did> {
        let channels = self.shared.channels.read().unwrap_or_else(PoisonError::into_inner);
        let Some(channel) = channels.get(&self.genesis) else { return BTreeSet::new() };
        channel.admitted.iter().filter(|peer| self.shared.is_connected(peer)).cloned().collect()
    }

    /// Says this to a peer, if it is there and admitted. It may never arrive.
    pub fn send(&self, to: &Did, message: &Message) {
        self.pass_on([to], message, 0);
    }

    /// Says this to all that are there.
    pub fn broadcast(&self, message: &Message) {
        let connected = self.connected();
        self.pass_on(&connected, message, 0);
    }

    /// Says to these what they can do without: not to one that is slow to take what decides.
    pub fn gossip<'a>(&self, to: impl IntoIterator<Item = &'a Did>, message: &Message) {
        self.pass_on(to, message, RESERVE);
    }

    fn pass_on<'a>(&self, to: impl IntoIterator<Item = &'a Did>, message: &Message, reserve: usize) {
        let frame = Bytes::from([&self.genesis.0[..], &message.encode()].concat());
        for peer in to {
            if self.shared.listener(&self.genesis, peer).is_some() {
                self.shared.way(peer, |outgoing| outgoing.push(frame.clone(), reserve));
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // Opened again meanwhile, the channel is another's, and our own sender is gone.
        if let Some(heard) = self.heard.upgrade() {
            let mut channels = self.shared.channels.write().unwrap_or_else(PoisonError::into_inner);
            if channels.get(&self.genesis).is_some_and(|channel| channel.heard.same_channel(&heard)) {
                channels.remove(&self.genesis);
            }
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(1 + bytes / UNIT_BYTES).unwrap_or(u32::MAX)
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.dialling.abort();
    }
}

impl Outgoing {
    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// A peer that does not keep up misses what is said meanwhile.
    fn push(&self, frame: Bytes, reserve: usize) {
        let takes = self.is_connected() && self.budget.available_permits() >= reserve + units(frame.len()) as usize;
        if let (true, Ok(permit)) = (takes, self.budget.clone().try_acquire_many_owned(units(frame.len()))) {
            let _gone = self.queue.send((frame, permit));
        }
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

/// Takes what a peer says until it stops, or is not admitted any more, and shows it that somebody is there.
async fn listen(peer: Did, stream: server::TlsStream<TcpStream>, shared: Weak<Shared>) {
    let (mut input, mut output) = tokio::io::split(stream);
    let alive = async {
        loop {
            let shown = write_frame_within(&mut output, &[], WRITE_TIMEOUT).await;
            if let (Ok(()), Ok(Ok(()))) = (shown, timeout(WRITE_TIMEOUT, output.flush()).await) {
                sleep(ALIVE_EVERY).await;
            } else {
                return tracing::debug!(%peer, "a member takes nothing");
            }
        }
    };
    tokio::select! {
        () = alive => {}
        () = hear(&peer, &mut input, &shared) => {}
    }
}

async fn hear(peer: &Did, input: &mut (impl AsyncRead + Unpin), shared: &Weak<Shared>) {
    let Some(budget) = shared.upgrade().map(|shared| shared.budget(peer)) else { return };
    loop {
        let frame = match read_frame_within(input, FRAME_BYTES_MAX, SILENT_MAX).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%peer, %error, "a member's connection failed"),
        };
        let Some((genesis, message)) = frame.split_first_chunk::<32>() else { continue };
        let Some(heard) = shared.upgrade().and_then(|shared| shared.listener(&Hash(*genesis), peer)) else { continue };
        let message = match Message::decode(message) {
            Ok(message) => message,
            Err(error) => return tracing::warn!(%peer, %error, "a member speaks nonsense; its connection is closed"),
        };
        let price = units(frame.len()).max(HEARD_UNITS_MIN);
        let Ok(budget) = budget.clone().acquire_many_owned(price).await else { return };
        if heard.send(Heard::Message { from: peer.clone(), message, budget }).await.is_err() {
            return;
        }
    }
}
