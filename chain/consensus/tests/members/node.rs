//! A member's node of these tests.

use crate::membership;
use entrepot_chain_consensus::{
    Archive, ArchiveError, Committed, Consortium, ConsortiumConfig, ConsortiumError, Drafted, Evidence, Mesh, MeshConfig, Past, Task,
    host::header_hash,
    mesh::{Channel, Heard},
    timeouts,
};
use entrepot_chain_log::{BlockHeader, CommitCertificate, Members, codec::Reader};
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

pub const GENESIS: Hash = Hash([42; 32]);

/// A ledger whose transactions are numbers, each taken once.
pub struct Ledger {
    members: Members,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chain: Vec<(Vec<u8>, CommitCertificate)>,
    values: BTreeSet<u64>,
    pool: BTreeSet<u64>,
    evidence: Vec<Evidence>,
}

fn block(height: u64, previous: Hash, values: &[u64]) -> Vec<u8> {
    let body: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
    let zero = Hash([0; 32]);
    let header = BlockHeader {
        height,
        previous,
        time: Timestamp(0),
        transactions: Hash::of(&[&body]),
        log_size: 0,
        log_root: zero,
        state_root: zero,
        next_members: zero,
    };
    [header.encode(), body].concat()
}

fn values(block: &[u8]) -> Option<(BlockHeader, Vec<u64>)> {
    let mut reader = Reader::new(block);
    let header = BlockHeader::read(&mut reader).ok()?;
    let body = reader.rest();
    let whole = body.len().is_multiple_of(8) && header.transactions == Hash::of(&[body]);
    whole.then(|| (header, body.chunks(8).map(|bytes| u64::from_be_bytes(bytes.try_into().expect("eight"))).collect()))
}

impl Ledger {
    fn new(members: Members) -> Self {
        Self { members, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds it")
    }

    pub fn committed(&self) -> Committed {
        let state = self.state();
        Committed {
            height: state.chain.len() as u64,
            block: state.chain.last().map_or(GENESIS, |(_, certificate)| certificate.block),
            members: self.members.clone(),
            upcoming: self.members.clone(),
            waiting: !state.pool.is_empty(),
        }
    }

    fn draft(&self, height: u64) -> Drafted {
        let head = self.committed();
        let values: Vec<u64> = self.state().pool.iter().copied().take(1000).collect();
        assert_eq!(height, head.height + 1);
        Drafted { block: block(height, head.block, &values), empty: values.is_empty() }
    }

    fn check(&self, block: &[u8]) -> Option<Hash> {
        let head = self.committed();
        let (header, values) = values(block)?;
        let fresh = values.iter().all(|value| !self.state().values.contains(value));
        (fresh && header.height == head.height + 1 && header.previous == head.block).then(|| header.hash())
    }

    fn commit(&self, block: Vec<u8>, certificate: CommitCertificate) -> Committed {
        assert_eq!(self.check(&block), Some(certificate.block), "decided, and it may not follow");
        certificate.verify(&GENESIS, &self.members).expect("decided");
        assert_eq!(header_hash(&block), Some(certificate.block));
        let (_, values) = values(&block).expect("checked");
        let mut state = self.state();
        for value in values {
            state.pool.remove(&value);
            state.values.insert(value);
        }
        state.chain.push((block, certificate));
        drop(state);
        self.committed()
    }
}

impl Archive for Ledger {
    fn certified(&self, height: u64) -> Result<Option<(Vec<u8>, CommitCertificate)>, ArchiveError> {
        Ok(self.state().chain.get(height as usize - 1).cloned())
    }
}

pub fn transport(members: &Members, at: usize) -> Did {
    members.as_slice()[at].keys.transport.clone()
}

struct Node {
    folder: PathBuf,
    mesh: Mesh,
    ledger: Arc<Ledger>,
    /// Ends the member, and waits for its thread to be gone.
    running: Option<Running>,
}

struct Running {
    values: mpsc::UnboundedSender<u64>,
    task: JoinHandle<()>,
}

pub struct Cluster {
    pub members: Members,
    keys: Vec<SigningKey>,
    nodes: Vec<Node>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    pub async fn new(count: usize) -> Self {
        let (members, keys) = membership::members(count);
        let folder = tempfile::tempdir().expect("a folder");
        // Free ports: held while the others are found.
        let held: Vec<std::net::TcpListener> = (0..count).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let addresses: Vec<SocketAddr> = held.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        drop(held);
        let peers: BTreeMap<Did, String> = (0..count).map(|at| (transport(&members, at), addresses[at].to_string())).collect();
        let mut nodes = Vec::new();
        for (at, listen) in addresses.iter().enumerate() {
            let of = |key: &SigningKey| key.did() == transport(&members, at);
            let key = (0..count as u8).map(|seed| membership::key(seed, 4)).find(of).expect("one of them");
            let mesh = Mesh::start(MeshConfig { key, listen: *listen, peers: peers.clone() }).await.expect("the port is free");
            let ledger = Arc::new(Ledger::new(members.clone()));
            nodes.push(Node { folder: folder.path().join(at.to_string()), mesh, ledger, running: None });
        }
        Self { members, keys, nodes, _folder: folder }
    }

    pub fn start_all(&mut self) {
        (0..self.nodes.len()).for_each(|at| self.start(at));
    }

    /// Decides until all of them vote: one that hears of a new channel only after its first block follows for two.
    pub async fn settled(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut value = 1_000_000;
        while (0..self.nodes.len()).any(|at| self.folder(at).join("rejoining").exists()) {
            assert!(Instant::now() < deadline, "somebody never votes");
            value += 1;
            self.submit(0, value);
            sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn start(&mut self, at: usize) {
        self.run(at, Past::Logged).expect("it starts");
    }

    pub fn found(&mut self, at: usize) {
        self.run(at, Past::Nothing).expect("it starts");
    }

    pub fn rejoin(&mut self, at: usize) {
        self.run(at, Past::Unknown).expect("it starts");
    }

    pub fn open_channel(&self, at: usize, genesis: Hash, admitted: BTreeMap<Did, Did>) -> (Channel, mpsc::Receiver<Heard>) {
        self.nodes[at].mesh.open(genesis, admitted)
    }

    pub fn channel(&self, at: usize) -> (Channel, mpsc::Receiver<Heard>) {
        self.open_channel(at, GENESIS, BTreeMap::new())
    }

    fn run(&mut self, at: usize, past: Past) -> Result<(), ConsortiumError> {
        let (channel, heard) = self.channel(at);
        let node = &mut self.nodes[at];
        let config = ConsortiumConfig {
            genesis: GENESIS,
            key: self.keys[at].clone(),
            folder: node.folder.clone(),
            timeouts: timeouts(Duration::from_millis(300), Duration::from_millis(150)),
            past,
        };
        let ledger = node.ledger.clone();
        // A process that is killed takes the lock along; here the thread of the one before may need a moment.
        let (mut channel, mut heard, mut tries) = (channel, heard, 0);
        let mut consortium = loop {
            let again = ConsortiumConfig { key: self.keys[at].clone(), folder: config.folder.clone(), ..config };
            match Consortium::start(again, ledger.committed(), ledger.clone(), channel, heard) {
                Err(ConsortiumError::Wal(entrepot_chain_consensus::WalError::Locked { .. })) if tries < 200 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(10));
                    (channel, heard) = self.nodes[at].mesh.open(GENESIS, BTreeMap::new());
                }
                other => break other?,
            }
        };
        let (values, mut submitted) = mpsc::unbounded_channel::<u64>();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    task = consortium.next() => match task {
                        Ok(task) => perform(&ledger, &consortium, task),
                        Err(error) => panic!("{error}"),
                    },
                    value = submitted.recv() => match value {
                        Some(value) => {
                            if !ledger.state().values.contains(&value) && ledger.state().pool.insert(value) {
                                consortium.tell(vec![value.to_be_bytes().to_vec()]);
                                consortium.offer();
                            }
                        }
                        None => return,
                    },
                }
            }
        });
        self.nodes[at].running = Some(Running { values, task });
        Ok(())
    }

    /// As if its process were killed: what it had in memory is gone.
    pub fn stop(&mut self, at: usize) {
        if let Some(running) = self.nodes[at].running.take() {
            running.task.abort();
        }
        self.nodes[at].ledger.state().pool.clear();
    }

    pub fn submit(&self, at: usize, value: u64) {
        if let Some(running) = &self.nodes[at].running {
            let _ended = running.values.send(value);
        }
    }

    pub fn has(&self, at: usize, value: u64) -> bool {
        self.nodes[at].ledger.state().values.contains(&value)
    }

    pub async fn decided(&self, at: &[usize], values: &[u64], within: Duration) {
        let deadline = Instant::now() + within;
        while !at.iter().all(|at| values.iter().all(|value| self.has(*at, *value))) {
            assert!(Instant::now() < deadline, "{values:?} were not decided: {:?}", self.heights());
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// As whoever gets no answer does.
    pub async fn resubmit_until_decided(&self, values: &[u64], within: Duration) {
        let deadline = Instant::now() + within;
        let open = || values.iter().copied().filter(|value| !(0..self.nodes.len()).all(|at| self.has(at, *value))).collect::<Vec<_>>();
        while !open().is_empty() {
            assert!(Instant::now() < deadline, "{:?} were not decided: {:?}", open(), self.heights());
            open().into_iter().for_each(|value| self.submit(value as usize % self.nodes.len(), value));
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// No two of them have different blocks at one height.
    pub fn agree(&self) {
        let chains: Vec<Vec<Hash>> =
            self.nodes.iter().map(|node| node.ledger.state().chain.iter().map(|(_, certificate)| certificate.block).collect()).collect();
        let longest = chains.iter().max_by_key(|chain| chain.len()).expect("some");
        assert!(chains.iter().all(|chain| longest.starts_with(chain)), "the chain split");
    }

    pub fn heights(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.ledger.committed().height).collect()
    }

    /// What the logs hold.
    pub fn logs(&self) -> Vec<Vec<u8>> {
        self.nodes.iter().map(|node| fs::read(node.folder.join("wal")).expect("it is there")).collect()
    }

    pub fn evidence(&self) -> Vec<Evidence> {
        self.nodes.iter().flat_map(|node| node.ledger.state().evidence.clone()).collect()
    }

    pub fn folder(&self, at: usize) -> PathBuf {
        self.nodes[at].folder.clone()
    }

    pub fn ledger(&self, at: usize) -> Arc<Ledger> {
        self.nodes[at].ledger.clone()
    }

    pub fn address(&self, at: usize) -> SocketAddr {
        self.nodes[at].mesh.address()
    }
}

fn perform(ledger: &Ledger, consortium: &Consortium, task: Task) {
    match task {
        Task::Draft { height, reply } => drop(reply.send(ledger.draft(height))),
        Task::Check { block, reply, .. } => drop(reply.send(ledger.check(&block))),
        Task::Commit { block, certificate, reply } => drop(reply.send(ledger.commit(block, certificate))),
        Task::Submitted { transactions } => {
            let fresh = transactions.iter().filter_map(|bytes| Some(u64::from_be_bytes(bytes.as_slice().try_into().ok()?)));
            let mut state = ledger.state();
            let before = state.pool.len();
            let fresh: Vec<u64> = fresh.filter(|value| !state.values.contains(value)).collect();
            state.pool.extend(fresh);
            if state.pool.len() > before {
                drop(state);
                consortium.offer();
            }
        }
        Task::Cosignature { .. } => {}
        Task::Evidence { evidence, .. } => ledger.state().evidence.push(evidence),
    }
}
