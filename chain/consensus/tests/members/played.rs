//! One real member among others that the test plays, word by word: the schedules that a live channel shows once in a million heights.

use crate::membership;
use entrepot_chain_consensus::{
    Archive, ArchiveError, Chain, Committed, Consortium, ConsortiumConfig, ConsortiumError, Height, Mesh, MeshConfig, Message, Past,
    Signature, Task,
    context::{Address, BlockId, Proposal},
    host::header_hash,
    mesh::{Channel, Heard},
    signing::{proposal_bytes, vote_bytes},
    timeouts,
};
use entrepot_chain_log::{CommitCertificate, Members};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use malachite_types::{Context as _, NilOrVal, Round, SignedProposal, SignedVote, VoteType};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

pub const GENESIS: Hash = Hash([43; 32]);
const SOON: Duration = Duration::from_secs(20);

struct Nothing;

impl Archive for Nothing {
    fn certified(&self, _: u64) -> Result<Option<(Vec<u8>, CommitCertificate)>, ArchiveError> {
        Ok(None)
    }
}

/// One that the test plays.
struct Peer {
    key: SigningKey,
    channel: Channel,
    heard: mpsc::Receiver<Heard>,
    _mesh: Mesh,
    waiting: VecDeque<Message>,
}

/// The real one is not the proposer of height 1.
pub struct Stage {
    members: Members,
    us: usize,
    key: SigningKey,
    peers: BTreeMap<usize, Peer>,
    mesh: Mesh,
    folder: tempfile::TempDir,
}

impl Stage {
    pub async fn new() -> Self {
        let (members, keys) = membership::members(4);
        let held: Vec<std::net::TcpListener> = (0..4).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let addresses: Vec<SocketAddr> = held.iter().map(|listener| listener.local_addr().expect("bound")).collect();
        drop(held);
        let transport = |at: usize| members.as_slice()[at].keys.transport.clone();
        let at: BTreeMap<Did, String> = (0..4).map(|at| (transport(at), addresses[at].to_string())).collect();
        let mut meshes = Vec::new();
        for (listen, place) in addresses.iter().zip(0..4) {
            let key = (0..4).map(|seed| membership::key(seed, 4)).find(|key| key.did() == transport(place)).expect("one of them");
            meshes.push(Mesh::start(MeshConfig { key, listen: *listen, peers: at.clone() }).await.expect("the port is free"));
        }
        let us = (0..4).find(|at| *members.proposer(1, 0) != members.as_slice()[*at]).expect("three of four");
        let mesh = meshes.remove(us);
        let others = (0..4).filter(|at| *at != us);
        let peers = others.zip(meshes).map(|(at, mesh)| {
            let (channel, heard) = mesh.open(GENESIS, [(transport(us), transport(us))].into());
            (at, Peer { key: keys[at].clone(), channel, heard, _mesh: mesh, waiting: VecDeque::new() })
        });
        Self { us, key: keys[us].clone(), peers: peers.collect(), mesh, folder: tempfile::tempdir().expect("a folder"), members }
    }

    pub fn head(&self, height: u64, block: Hash) -> Committed {
        Committed { height, block, members: self.members.clone(), upcoming: self.members.clone(), waiting: false }
    }

    pub fn start(&self, height: u64, past: Past) -> Result<Consortium, ConsortiumError> {
        let (channel, heard) = self.mesh.open(GENESIS, BTreeMap::new());
        let config = ConsortiumConfig {
            genesis: GENESIS,
            key: self.key.clone(),
            folder: self.folder.path().to_owned(),
            // No round ends by itself while the test plays.
            timeouts: timeouts(Duration::from_secs(60), Duration::from_secs(60)),
            past,
        };
        Consortium::start(config, self.head(height, GENESIS), Arc::new(Nothing), channel, heard)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("wal")
    }

    fn transport(&self) -> &Did {
        &self.members.as_slice()[self.us].keys.transport
    }

    /// Waits until all of them can be heard.
    pub async fn connected(&mut self) {
        for peer in self.peers.values() {
            while peer.channel.connected().is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        }
        // And until all of them hear it.
        for peer in self.peers.values_mut() {
            let heard = async { while !matches!(peer.heard.recv().await, Some(Heard::Message { message: Message::Status(_), .. })) {} };
            timeout(SOON, heard).await.expect("it says where it is");
        }
    }

    /// All the others say so.
    pub fn say(&self, message: impl Fn(&SigningKey) -> Message) {
        for peer in self.peers.values() {
            peer.channel.send(self.transport(), &message(&peer.key));
        }
    }

    pub fn vote(&self, kind: VoteType, height: u64, block: Hash) {
        self.say(|key| Message::Vote(signed(key, kind, height, block)));
    }

    /// The proposal of height 1.
    pub fn propose(&self, block: &[u8]) {
        let proposer = self.members.proposer(1, 0).keys.consensus.clone();
        let peer = self.peers.values().find(|peer| peer.key.did() == proposer).expect("it is not us");
        let id = header_hash(block).expect("a block");
        let proposal = Proposal {
            height: Height(1),
            round: Round::new(0),
            block: BlockId(id),
            valid_round: Round::Nil,
            member: Address(proposer.public_bytes()),
        };
        let signature = Signature(peer.key.sign(&proposal_bytes(&GENESIS, &proposal)));
        peer.channel.send(self.transport(), &Message::Proposal(SignedProposal::new(proposal, signature), block.to_vec()));
    }

    pub fn certificate(&self, height: u64, block: Hash) -> CommitCertificate {
        let signatures =
            self.peers.values().map(|peer| (peer.key.did(), signed(&peer.key, VoteType::Precommit, height, block).signature.0));
        CommitCertificate { height, round: 0, block, signatures: signatures.collect() }
    }

    /// The next message of the real one to any of them that is wanted.
    pub async fn hears<T>(&mut self, wanted: impl Fn(&Message) -> Option<T>) -> T {
        let found = async {
            loop {
                for peer in self.peers.values_mut() {
                    while let Ok(heard) = peer.heard.try_recv() {
                        if let Heard::Message { message, .. } = heard {
                            peer.waiting.push_back(message);
                        }
                    }
                    while let Some(message) = peer.waiting.pop_front() {
                        if let Some(found) = wanted(&message) {
                            return found;
                        }
                    }
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, found).await.expect("it says so")
    }
}

fn signed(key: &SigningKey, kind: VoteType, height: u64, block: Hash) -> SignedVote<Chain> {
    let member = Address(key.did().public_bytes());
    let vote = match kind {
        VoteType::Prevote => Chain.new_prevote(Height(height), Round::new(0), NilOrVal::Val(block), member),
        VoteType::Precommit => Chain.new_precommit(Height(height), Round::new(0), NilOrVal::Val(block), member),
    };
    SignedVote::new(vote.clone(), Signature(key.sign(&vote_bytes(&GENESIS, &vote))))
}

fn is_vote(message: &Message, kind: VoteType) -> Option<()> {
    matches!(message, Message::Vote(vote) if vote.message.kind == kind).then_some(())
}

async fn task(consortium: &mut Consortium) -> Task {
    timeout(SOON, consortium.next()).await.expect("it wants something").expect("it goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_caught_up_while_it_is_decided_here_is_committed_once() {
    let mut stage = Stage::new().await;
    let mut consortium = stage.start(0, Past::Logged).expect("it is new");
    stage.connected().await;
    stage.say(|_| Message::Status(0));
    let block = membership::block(1, GENESIS, 5);
    let id = header_hash(&block).expect("a block");
    // Until it has heard that the channel is new it does not vote; then it has the proposal already.
    stage.propose(&block);
    let Task::Check { reply, .. } = task(&mut consortium).await else { panic!("it judges the proposal") };
    reply.send(Some(id)).expect("it waits");
    let mut consortium = voting(&mut stage, consortium, id).await;
    stage.vote(VoteType::Prevote, 1, id);
    stage.hears(|message| is_vote(message, VoteType::Precommit)).await;
    // The others have decided; it asks them for the block, and the verdict on that takes its time.
    stage.say(|_| Message::Status(1));
    stage.hears(|message| matches!(message, Message::Want(1)).then_some(())).await;
    let blocks = vec![(block.clone(), stage.certificate(1, id))];
    stage.say(|_| Message::Blocks(blocks.clone()));
    let Task::Check { decided: true, reply: verdict, .. } = task(&mut consortium).await else { panic!("it judges the block") };
    stage.vote(VoteType::Precommit, 1, id);
    let Task::Commit { reply: durable, .. } = task(&mut consortium).await else { panic!("it has decided") };
    verdict.send(Some(id)).expect("it waits");
    let again = timeout(Duration::from_millis(500), consortium.next()).await;
    assert!(again.is_err(), "the same height twice: {again:?}");
    durable.send(stage.head(1, id)).expect("it waits");
    stage.hears(|message| matches!(message, Message::Status(1)).then_some(())).await;
}

/// Passes over what it asks the ledger until its prevote is heard.
async fn voting(stage: &mut Stage, mut consortium: Consortium, id: Hash) -> Consortium {
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let ledger = tokio::spawn(async move {
        loop {
            tokio::select! {
                task = consortium.next() => if let Ok(Task::Check { reply, .. }) = task {
                    reply.send(Some(id)).expect("it waits");
                },
                _ = &mut stopped => return consortium,
            }
        }
    });
    stage.hears(|message| is_vote(message, VoteType::Prevote)).await;
    stop.send(()).expect("it listens");
    ledger.await.expect("it ended")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_without_log_and_chain_says_nothing_in_a_channel_that_went_on() {
    let mut stage = Stage::new().await;
    let mut consortium = stage.start(0, Past::Logged).expect("it may be new");
    stage.connected().await;
    stage.say(|_| Message::Status(7));
    stage.propose(&membership::block(1, GENESIS, 5));
    let block = membership::block(1, GENESIS, 6);
    let id = header_hash(&block).expect("a block");
    stage.hears(|message| matches!(message, Message::Want(1)).then_some(())).await;
    let blocks = vec![(block, stage.certificate(1, id))];
    stage.say(|_| Message::Blocks(blocks.clone()));
    let ledger = async {
        loop {
            match task(&mut consortium).await {
                Task::Check { block, reply, .. } => drop(reply.send(header_hash(&block))),
                Task::Commit { reply, .. } => break drop(reply.send(stage.head(1, id))),
                _ => {}
            }
        }
    };
    timeout(SOON, ledger).await.expect("it follows");
    let said = timeout(Duration::from_secs(1), stage.hears(|message| matches!(message, Message::Vote(_)).then_some(()))).await;
    assert!(said.is_err(), "it voted");
    assert!(stage.folder().join("rejoining").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn to_forget_what_it_signed_takes_the_lock_and_others_to_follow() {
    let stage = Stage::new().await;
    let held = entrepot_chain_consensus::Wal::open(&stage.log()).expect("it is free");
    let refused = stage.start(3, Past::Unknown).map(drop);
    assert!(matches!(refused, Err(ConsortiumError::Wal(entrepot_chain_consensus::WalError::Locked { .. }))), "{refused:?}");
    assert!(!stage.folder().join("rejoining").exists(), "it changed something under the other's hands");
    drop(held);
    drop(stage.start(3, Past::Unknown).expect("three others are a quorum"));
    assert!(stage.folder().join("rejoining").exists());
    // Two of two decide: the other one never gets past anything.
    let folder = tempfile::tempdir().expect("a folder");
    let (members, keys) = membership::members(2);
    let (channel, heard) = stage.mesh.open(Hash([44; 32]), BTreeMap::new());
    let (folder_of, timeouts) = (folder.path().to_owned(), timeouts(SOON, SOON));
    let config = ConsortiumConfig { genesis: Hash([44; 32]), key: keys[0].clone(), folder: folder_of, timeouts, past: Past::Unknown };
    let head = Committed { height: 3, block: GENESIS, members: members.clone(), upcoming: members, waiting: false };
    let refused = Consortium::start(config, head, Arc::new(Nothing), channel, heard).map(drop);
    assert!(matches!(refused, Err(ConsortiumError::CannotRejoin { others: 1, quorum: 2 })), "{refused:?}");
}
