//! The world of the simulator.

use crate::{
    liar::Liar,
    membership::{block, members},
};
use entrepot_chain_consensus::{Evidence, Host, Message, Output, Record, context::Address, host::header_hash, timeouts};
use entrepot_chain_log::{BlockHeader, CommitCertificate, Members, codec::Reader};
use entrepot_chain_statement::{Hash, SigningKey};
use malachite_types::{NilOrVal, SignedVote, Timeout};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    time::Duration,
};

/// What befalls the members, in per cent of messages and in milliseconds.
#[derive(Clone, Copy, Default)]
pub struct Fate {
    pub loses: u64,
    pub doubles: u64,
    pub delays_to: u64,
    /// Crashes while the network is bad.
    pub crashes: u64,
    /// Each crash takes all of them.
    pub crashes_all: bool,
    pub liars: usize,
    /// A ledger's verdict on a block takes up to so long.
    pub verdicts_to: u64,
    /// From then on the network is good.
    pub bad_until: u64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Deliver { to: usize, message: usize },
    Elapsed { member: usize, life: u64, timer: u64 },
    Draft { member: usize, life: u64, height: u64, round: u32 },
    Checked { member: usize, life: u64, height: u64, id: Hash, valid: bool },
    CatchUp { member: usize },
    CaughtUp { member: usize, life: u64, from: usize, height: usize },
    Crash { member: usize },
    Restart { member: usize },
}

/// A member's disk and process.
struct Node {
    key: SigningKey,
    host: Option<Host>,
    /// Counts restarts, so that timers of an earlier life mean nothing.
    life: u64,
    timers: BTreeMap<u64, Timeout>,
    durable: Vec<Record>,
    pending: Vec<Record>,
    chain: Vec<(Vec<u8>, CommitCertificate)>,
    /// What came for the next height before it began.
    early: Vec<Message>,
}

pub struct World {
    pub genesis: Hash,
    pub members: Members,
    nodes: Vec<Node>,
    liars: Vec<Liar>,
    fate: Fate,
    now: u64,
    next: u64,
    rng: ChaCha8Rng,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    messages: Vec<Message>,
    /// What each honest member signed.
    signed: HashMap<(Address, u8, u64, i64), NilOrVal<Hash>>,
    evidence: Vec<Evidence>,
}

impl World {
    pub fn new(count: usize, seed: u64, fate: Fate) -> Self {
        let (members, keys) = members(count);
        let genesis = Hash::of(&[b"simulated"]);
        let honest = count - fate.liars;
        let liars = keys[honest..].iter().map(|key| Liar::new(genesis, key.clone(), seed % 2 == 1)).collect();
        let nodes = keys[..honest].iter().map(|key| Node {
            key: key.clone(),
            host: None,
            life: 0,
            timers: BTreeMap::new(),
            durable: Vec::new(),
            pending: Vec::new(),
            chain: Vec::new(),
            early: Vec::new(),
        });
        let mut world = Self {
            genesis,
            members,
            nodes: nodes.collect(),
            liars,
            fate,
            now: 0,
            next: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
            events: BinaryHeap::new(),
            messages: Vec::new(),
            signed: HashMap::new(),
            evidence: Vec::new(),
        };
        for member in 0..honest {
            world.restart(member);
            world.after(500, Event::CatchUp { member });
        }
        for _ in 0..fate.crashes {
            let (at, member) = (world.below(fate.bad_until.max(1)), world.below(honest as u64) as usize);
            for member in if fate.crashes_all { 0..honest } else { member..member + 1 } {
                let down = 1 + world.below(1_500);
                world.after(at, Event::Crash { member });
                world.after(at + down, Event::Restart { member });
            }
        }
        world
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.rng.next_u64() % limit
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.next += 1;
        self.events.push(Reverse((self.now + delay, self.next, event)));
    }

    /// Runs until every honest member has decided this height, which must happen.
    pub fn run_to_height(&mut self, height: u64) {
        let deadline = self.fate.bad_until + 600_000;
        while self.nodes.iter().any(|node| node.host.is_some() && (node.chain.len() as u64) < height)
            || self.nodes.iter().all(|n| n.host.is_none())
        {
            assert!(self.now < deadline, "no progress: {:?}", self.nodes.iter().map(|node| node.chain.len()).collect::<Vec<_>>());
            self.step();
        }
    }

    pub fn run_for(&mut self, time: u64) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    pub fn decided(&self, member: usize) -> u64 {
        self.nodes[member].chain.len() as u64
    }

    pub fn highest_round(&self) -> u32 {
        self.nodes.iter().flat_map(|node| &node.chain).map(|(_, certificate)| certificate.round).max().unwrap_or(0)
    }

    /// How many pieces of evidence there are; each must convict a liar.
    pub fn check_evidence(&self) -> usize {
        for evidence in &self.evidence {
            let bytes = evidence.encode();
            let evidence = Evidence::decode(&bytes).expect("it was just encoded");
            let convicted = |key: &SigningKey| evidence.convicts(&self.genesis, &key.did());
            assert!(self.liars.iter().any(|liar| convicted(&liar.key)), "evidence against nobody");
            assert!(!self.nodes.iter().any(|node| convicted(&node.key)), "evidence against an honest member");
            assert!(!evidence.convicts(&Hash([9; 32]), &self.liars[0].key.did()), "good on another channel");
        }
        self.evidence.len()
    }

    pub fn crash(&mut self, member: usize) {
        let node = &mut self.nodes[member];
        node.host = None;
        node.timers.clear();
        node.early.clear();
        // What was not synced may or may not be there, up to some record.
        let kept = match node.pending.len() as u64 {
            0 => 0,
            pending => self.rng.next_u64() % (pending + 1),
        };
        let pending = std::mem::take(&mut self.nodes[member].pending);
        self.nodes[member].durable.extend(pending.into_iter().take(kept as usize));
    }

    pub fn restart(&mut self, member: usize) {
        if self.nodes[member].host.is_some() {
            return;
        }
        let node = &mut self.nodes[member];
        node.life += 1;
        node.host = Some(Host::new(self.genesis, node.key.clone(), timeouts(Duration::from_millis(400), Duration::from_millis(200))));
        let records: Vec<_> =
            node.durable.iter().map(|record| Record::decode(&record.encode()).expect("what was written can be read")).collect();
        self.begin(member, records);
    }

    fn begin(&mut self, member: usize, records: Vec<Record>) {
        let members = self.members.clone();
        let node = &mut self.nodes[member];
        let height = node.chain.len() as u64 + 1;
        if records.is_empty() {
            node.durable.clear();
            node.pending.clear();
        }
        let outputs = node.host.as_mut().expect("it is up").start(height, &members, true, records).expect("no fault");
        self.carry_out(member, outputs);
        let early = std::mem::take(&mut self.nodes[member].early);
        for message in early {
            self.receive(member, message);
        }
    }

    fn receive(&mut self, member: usize, message: Message) {
        let node = &mut self.nodes[member];
        let Some(host) = node.host.as_mut() else { return };
        if message.height() == Some(host.height() + 1) && node.early.len() < 100 {
            node.early.push(message);
            return;
        }
        let outputs = host.receive(message).expect("no fault");
        self.carry_out(member, outputs);
    }

    fn tip(&self, member: usize) -> Hash {
        self.nodes[member].chain.last().map_or(self.genesis, |(_, certificate)| certificate.block)
    }

    fn carry_out(&mut self, member: usize, outputs: Vec<Output>) {
        let life = self.nodes[member].life;
        for output in outputs {
            if self.nodes[member].life != life || self.nodes[member].host.is_none() {
                return;
            }
            match output {
                Output::Record(record) => self.nodes[member].pending.push(record),
                Output::Send(message) => {
                    let node = &mut self.nodes[member];
                    node.durable.append(&mut node.pending);
                    self.watch(&message);
                    self.broadcast(Some(member), message);
                }
                Output::Schedule(timeout, after) => {
                    self.next += 1;
                    let timer = self.next;
                    self.nodes[member].timers.retain(|_, other| *other != timeout);
                    self.nodes[member].timers.insert(timer, timeout);
                    let jitter = self.below(20);
                    self.after(after.as_millis() as u64 + jitter, Event::Elapsed { member, life, timer });
                }
                Output::Cancel(timeout) => self.nodes[member].timers.retain(|_, other| *other != timeout),
                Output::CancelAll => self.nodes[member].timers.clear(),
                Output::Draft { round } => {
                    let height = self.nodes[member].chain.len() as u64 + 1;
                    self.after(1, Event::Draft { member, life, height, round });
                }
                Output::Check { id, block } => {
                    let (valid, height) = (self.may_follow(member, &block), self.nodes[member].chain.len() as u64 + 1);
                    let delay = self.below(self.fate.verdicts_to + 1);
                    self.after(delay, Event::Checked { member, life, height, id, valid });
                }
                Output::Decided { certificate, block } => self.commit(member, block, certificate),
                Output::Evidence(evidence) => self.evidence.push(evidence),
            }
        }
    }

    fn may_follow(&self, member: usize, block: &[u8]) -> bool {
        let mut reader = Reader::new(block);
        let Ok(header) = BlockHeader::read(&mut reader) else { return false };
        header.height == self.nodes[member].chain.len() as u64 + 1
            && header.previous == self.tip(member)
            && header.transactions == Hash::of(&[reader.rest()])
    }

    fn commit(&mut self, member: usize, block: Vec<u8>, certificate: CommitCertificate) {
        let height = self.nodes[member].chain.len() as u64 + 1;
        assert_eq!(certificate.height, height);
        certificate.verify(&self.genesis, &self.members).expect("a decision is proven");
        assert_eq!(header_hash(&block), Some(certificate.block));
        for other in &self.nodes {
            if let Some((_, decided)) = other.chain.get(height as usize - 1) {
                assert_eq!(decided.block, certificate.block, "the chain split at {height}");
            }
        }
        self.nodes[member].chain.push((block, certificate));
        // Once the block is durable a crash loses nothing of it.
        self.begin(member, Vec::new());
    }

    /// Whoever looks at all messages sees no honest member sign two things.
    fn watch(&mut self, message: &Message) {
        let (key, block) = match message {
            Message::Vote(SignedVote { message: vote, .. }) => {
                ((vote.member, vote.kind as u8, vote.height.0, vote.round.as_i64()), vote.block)
            }
            Message::Proposal(proposal, _) => {
                let proposal = &proposal.message;
                ((proposal.member, 9, proposal.height.0, proposal.round.as_i64()), NilOrVal::Val(proposal.block.0))
            }
            _ => return,
        };
        let before = self.signed.insert(key, block);
        assert!(before.is_none_or(|before| before == block), "{key:?} signed {before:?} and {block:?}");
    }

    fn broadcast(&mut self, from: Option<usize>, message: Message) {
        let message = Message::decode(&message.encode()).expect("what was encoded can be decoded");
        if from.is_some() {
            for liar in 0..self.liars.len() {
                let mut lying = self.liars[liar].clone();
                let lies = lying.hear(&message, &self.members, &mut self.rng, self.nodes.len());
                self.liars[liar] = lying;
                for (to, lie) in lies {
                    self.send(to, lie);
                }
            }
        }
        for to in (0..self.nodes.len()).filter(|to| Some(*to) != from) {
            self.send(to, message.clone());
        }
    }

    fn send(&mut self, to: usize, message: Message) {
        let bad = self.now < self.fate.bad_until;
        if bad && self.below(100) < self.fate.loses {
            return;
        }
        self.messages.push(message);
        let copies = if bad && self.below(100) < self.fate.doubles { 2 } else { 1 };
        for _ in 0..copies {
            let delay = 1 + if bad { self.below(self.fate.delays_to.max(1)) } else { self.below(10) };
            self.after(delay, Event::Deliver { to, message: self.messages.len() - 1 });
        }
    }

    fn step(&mut self) {
        let Some(Reverse((at, _, event))) = self.events.pop() else { panic!("nothing will ever happen again") };
        self.now = self.now.max(at);
        match event {
            Event::Deliver { to, message } => {
                let message = self.messages[message].clone();
                self.receive(to, message);
            }
            Event::Elapsed { member, life, timer } => {
                let node = &mut self.nodes[member];
                if node.life != life {
                    return;
                }
                if let (Some(timeout), Some(host)) = (node.timers.remove(&timer), node.host.as_mut()) {
                    let outputs = host.elapsed(timeout).expect("no fault");
                    self.carry_out(member, outputs);
                }
            }
            Event::Draft { member, life, height, round } => {
                let block = block(height, self.tip(member), self.rng.next_u64());
                let node = &mut self.nodes[member];
                if let (true, Some(host)) = (node.life == life && node.chain.len() as u64 + 1 == height, node.host.as_mut()) {
                    let outputs = host.propose(height, round, block).expect("no fault");
                    self.carry_out(member, outputs);
                }
            }
            Event::Checked { member, life, height, id, valid } => {
                let node = &mut self.nodes[member];
                if let (true, Some(host)) = (node.life == life && node.chain.len() as u64 + 1 == height, node.host.as_mut()) {
                    let outputs = host.checked(&id, valid).expect("no fault");
                    self.carry_out(member, outputs);
                }
            }
            Event::CatchUp { member } => {
                self.after(300, Event::CatchUp { member });
                self.catch_up(member);
            }
            Event::CaughtUp { member, life, from, height } => self.caught_up(member, life, from, height),
            Event::Crash { member } => self.crash(member),
            Event::Restart { member } => self.restart(member),
        }
    }

    /// Asks for the next decided block of a member that is ahead; the ledger's verdict on it takes its time.
    fn catch_up(&mut self, member: usize) {
        let height = self.nodes[member].chain.len();
        let ahead = self.nodes.iter().position(|node| node.host.is_some() && node.chain.len() > height);
        if let (true, Some(from)) = (self.nodes[member].host.is_some(), ahead) {
            let (life, delay) = (self.nodes[member].life, self.below(self.fate.verdicts_to + 1));
            self.after(delay, Event::CaughtUp { member, life, from, height });
        }
    }

    /// Meanwhile it may have decided the height itself.
    fn caught_up(&mut self, member: usize, life: u64, from: usize, height: usize) {
        let (block, certificate) = self.nodes[from].chain[height].clone();
        let node = &mut self.nodes[member];
        if node.life == life && node.host.is_some() && node.chain.len() == height {
            node.timers.clear();
            self.commit(member, block, certificate);
        }
    }
}
