//! The loop that joins a member's host with its write-ahead log, its links and its ledger.
//!
//! A height is begun when there is a reason, so that an idle channel writes nothing: something waits to be ordered here, or another member
//! has begun the height. A member that lies can wake the others; it could as well submit something.

use crate::{
    catch_up::CatchUp,
    consortium::{ConsortiumConfig, ConsortiumError},
    early::Early,
    gossip,
    host::{Host, Output},
    mesh::{Admitted, Channel, Heard},
    rejoin::Rejoin,
    replies::{Replies, Reply},
    serve,
    task::{Archive, Committed, Task},
    wal::Wal,
    wire::{Message, Record},
};
use entrepot_chain_log::CommitCertificate;
use entrepot_chain_statement::Did;
use malachite_types::Timeout;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};

/// How often a member says where it is when nothing happens.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// How often time is looked at where nothing else wakes the loop.
const TICK: Duration = Duration::from_millis(100);

/// What the ledger has to do, and the part of a peer's budget that it holds.
pub type Wanted = (Task, Option<OwnedSemaphorePermit>);

/// What the ledger tells the member.
#[derive(Debug)]
pub enum Command {
    Offer,
    Tell(Vec<Vec<u8>>),
    Cosigned { size: u64, key: Did, line: String },
}

pub struct Driver {
    config: ConsortiumConfig,
    us: Did,
    head: Committed,
    archive: Arc<dyn Archive>,
    channel: Channel,
    wal: Wal,
    tasks: mpsc::Sender<Wanted>,
    host: Host,
    /// The height after the head has begun.
    open: bool,
    /// We vote in it.
    votes: bool,
    /// Something waits to be ordered.
    wanted: bool,
    timers: BTreeMap<(Instant, u64), Timeout>,
    next_timer: u64,
    /// Messages about heights that have not begun.
    early: Early,
    status_at: Instant,
    /// Transport keys of those who may speak to us.
    admitted: BTreeSet<Did>,
    look_at: Instant,
    cosigned: Option<Message>,
    /// Heights of the other members, by transport key.
    heights: BTreeMap<Did, u64>,
    catch_up: CatchUp,
    rejoin: Option<Rejoin>,
    following: watch::Sender<bool>,
    replies: Replies,
    /// Those who asked for blocks, in turn.
    asked: VecDeque<(Did, u64)>,
}

impl Driver {
    pub fn new(
        config: ConsortiumConfig,
        head: Committed,
        archive: Arc<dyn Archive>,
        channel: Channel,
        wal: Wal,
        tasks: mpsc::Sender<Wanted>,
        (rejoin, following): (Option<Rejoin>, watch::Sender<bool>),
    ) -> Self {
        let host = Host::new(config.genesis, config.key.clone(), config.timeouts);
        Self {
            us: config.key.did(),
            wanted: head.waiting,
            head,
            archive,
            channel,
            wal,
            tasks,
            host,
            open: false,
            votes: false,
            timers: BTreeMap::new(),
            next_timer: 0,
            early: Early::default(),
            status_at: Instant::now() + STATUS_EVERY,
            admitted: BTreeSet::new(),
            look_at: Instant::now() + TICK,
            cosigned: None,
            heights: BTreeMap::new(),
            catch_up: CatchUp::default(),
            rejoin,
            following,
            replies: Replies::default(),
            asked: VecDeque::new(),
            config,
        }
    }

    pub async fn run(
        mut self,
        records: Vec<Record>,
        mut commands: mpsc::UnboundedReceiver<Command>,
        mut heard: mpsc::Receiver<Heard>,
    ) -> Result<(), ConsortiumError> {
        self.admit();
        self.rejoin()?;
        if self.wal.height() == self.head.height + 1 && !records.is_empty() && self.rejoin.is_none() {
            tracing::info!(height = self.wal.height(), records = records.len(), "taking up the height that was open");
            self.begin(records).await?;
        }
        loop {
            let tick = self.next_tick();
            tokio::select! {
                // What the ledger did comes before what it was told later.
                biased;
                reply = self.replies.next() => self.replied(reply).await?,
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return Ok(()),
                },
                () = sleep_until(tick) => self.elapsed().await?,
                message = heard.recv() => match message {
                    Some(heard) => self.heard(heard).await?,
                    None => return Ok(()),
                },
            }
            self.go_on().await?;
        }
    }

    /// What follows from where things stand, whatever changed it.
    async fn go_on(&mut self) -> Result<(), ConsortiumError> {
        self.serve();
        if self.replies.commit.is_some() || self.replies.caught_up.is_some() {
            return Ok(());
        }
        if let Some((block, certificate)) = self.catch_up.next(self.head.height + 1) {
            return self.take_decided(block, certificate).await;
        }
        if let Some((peer, from)) = self.catch_up.ask(self.head.height, self.open, &self.heights, &self.channel.connected()) {
            self.channel.send(&peer, &Message::Want(from));
        }
        // Whoever is behind has nothing to say.
        if !self.open && !self.catch_up.is_behind() && self.is_woken() {
            self.begin(Vec::new()).await?;
        }
        Ok(())
    }

    /// Who may speak to us: the members of this height and of the next.
    fn admit(&mut self) {
        let members = self.head.members.as_slice().iter().chain(self.head.upcoming.as_slice());
        let others = members.filter(|member| member.keys.consensus != self.us);
        let admitted: Admitted = others.map(|member| (member.keys.transport.clone(), member.did.clone())).collect();
        self.heights.retain(|peer, _| admitted.contains_key(peer));
        self.admitted = admitted.keys().cloned().collect();
        self.channel.admit(admitted);
    }

    fn next_tick(&self) -> Instant {
        let timer = self.timers.first_key_value().map_or(self.status_at, |((at, _), _)| (*at).min(self.status_at));
        let busy = self.wanted || self.rejoin.is_some() || self.catch_up.is_busy(self.head.height, &self.heights);
        if busy { timer.min(self.look_at) } else { timer }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Offer => self.wanted = true,
            Command::Tell(transactions) => gossip::tell(&self.channel, transactions),
            Command::Cosigned { size, key, line } => {
                let message = Message::Cosignature { size, key, line };
                self.channel.broadcast(&message);
                self.cosigned = Some(message);
            }
        }
    }

    async fn elapsed(&mut self) -> Result<(), ConsortiumError> {
        let now = Instant::now();
        self.look_at = now + TICK;
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let timeout = entry.remove();
            let outputs = self.host.elapsed(timeout)?;
            self.carry_out(outputs).await?;
        }
        // Whoever missed the last block of a channel that is idle now learns of it.
        if now >= self.status_at {
            self.status_at = now + STATUS_EVERY;
            self.channel.broadcast(&Message::Status(self.head.height));
        }
        self.rejoin()
    }

    /// Whether it is over that this member only follows.
    fn rejoin(&mut self) -> Result<(), ConsortiumError> {
        let failed = |source| ConsortiumError::Folder { path: self.config.folder.clone(), source };
        let Some(rejoin) = &mut self.rejoin else { return Ok(()) };
        rejoin.at(&self.head, &self.us).map_err(failed)?;
        rejoin.hear(&self.heights, |peer| self.catch_up.doubts(peer));
        if self.replies.commit.is_some() || !rejoin.may_vote(&self.head, &self.us, &self.channel.connected()) {
            return Ok(());
        }
        tracing::info!(height = self.head.height, "past everything that may have been signed before: voting from now on");
        self.wal.begin(self.head.height)?;
        self.wal.sync_all()?;
        rejoin.finish().map_err(failed)?;
        self.rejoin = None;
        self.following.send_replace(false);
        self.open = false;
        self.timers.clear();
        Ok(())
    }

    async fn heard(&mut self, heard: Heard) -> Result<(), ConsortiumError> {
        let (from, message, budget) = match heard {
            Heard::Connected(peer) => {
                self.channel.send(&peer, &Message::Status(self.head.height));
                self.rejoin.iter_mut().for_each(|rejoin| rejoin.greet(&peer));
                if let Some(cosigned) = &self.cosigned {
                    self.channel.send(&peer, cosigned);
                }
                if self.open
                    && self.replies.commit.is_none()
                    && let Some(proposed) = self.host.proposed()
                {
                    self.channel.send(&peer, &proposed);
                }
                return Ok(());
            }
            Heard::Message { from, message, budget } => (from, message, budget),
        };
        // It may have been removed after it said this.
        if !self.admitted.contains(&from) {
            return Ok(());
        }
        if let Some(height) = message.height() {
            return self.about(height, from, message).await;
        }
        match message {
            Message::Status(height) => {
                if height < self.head.height {
                    self.channel.send(&from, &Message::Status(self.head.height));
                }
                let known = self.heights.entry(from).or_default();
                *known = height.max(*known);
            }
            Message::Want(height) => {
                self.asked.retain(|(peer, _)| *peer != from);
                self.asked.push_back((from, height));
            }
            Message::Blocks(blocks) => self.catch_up.answered(&from, self.head.height + 1, blocks),
            // What does not find a place is told again, or waits at whoever knows it.
            Message::Transactions(transactions) => {
                self.pass_on(Task::Submitted { transactions }, budget);
            }
            Message::Cosignature { size, key, line } => {
                let members = self.head.members.as_slice().iter().chain(self.head.upcoming.as_slice());
                if members.into_iter().any(|member| member.keys.transport == from && member.keys.cosigning == key) {
                    self.pass_on(Task::Cosignature { size, key, line }, budget);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Hands the ledger what can wait, as part of its sender's budget, if there is place enough for what cannot.
    fn pass_on(&self, task: Task, budget: OwnedSemaphorePermit) {
        if self.tasks.capacity() * 2 >= self.tasks.max_capacity() {
            let _full = self.tasks.try_send((task, Some(budget)));
        }
    }

    /// A message about a height that is being decided.
    async fn about(&mut self, height: u64, from: Did, message: Message) -> Result<(), ConsortiumError> {
        let next = self.head.height + 1;
        if height < next {
            // It does not know yet.
            if self.heights.get(&from).is_none_or(|known| *known < self.head.height) {
                self.channel.send(&from, &Message::Status(self.head.height));
            }
            return Ok(());
        }
        if !self.is_its_own(&from, &message) {
            return Ok(());
        }
        if height > next {
            // Whoever decides on a height has the one before.
            let known = self.heights.entry(from.clone()).or_default();
            *known = (*known).max(height - 1);
        }
        if height == next && self.open {
            // It may have to be said again, to a host that votes.
            if self.rejoin.is_some() {
                self.early.keep(from, message.clone());
            }
            let outputs = self.host.receive(message)?;
            return self.carry_out(outputs).await;
        }
        if height <= next + 1 {
            self.early.keep(from, message);
        }
        Ok(())
    }

    /// Members speak for themselves: votes come from whoever signed them. A proposal may be passed on; who made it is looked at later.
    fn is_its_own(&self, from: &Did, message: &Message) -> bool {
        let signer = match message {
            Message::Vote(vote) => vote.message.member,
            _ => return true,
        };
        let mut members = self.head.members.as_slice().iter().chain(self.head.upcoming.as_slice());
        members.any(|member| member.keys.transport == *from && member.keys.consensus.public_bytes() == signer.0)
    }

    /// Whether there is a reason to begin the next height.
    fn is_woken(&self) -> bool {
        if self.wanted {
            return true;
        }
        self.early.begins(self.head.height + 1, &self.head.members)
    }

    async fn begin(&mut self, records: Vec<Record>) -> Result<(), ConsortiumError> {
        let height = self.head.height + 1;
        self.votes = self.rejoin.is_none() && self.head.members.by_consensus_key(&self.us).is_some();
        if self.votes && records.is_empty() {
            self.wal.begin(height)?;
        }
        self.open = true;
        self.timers.clear();
        self.replies.checks.clear();
        let outputs = self.host.start(height, &self.head.members, self.votes, records)?;
        self.carry_out(outputs).await?;
        for message in self.early.take(height, self.rejoin.is_some()) {
            if self.open {
                let outputs = self.host.receive(message)?;
                self.carry_out(outputs).await?;
            }
        }
        Ok(())
    }

    /// Everything that is to be written down is durable before anything is said.
    async fn carry_out(&mut self, outputs: Vec<Output>) -> Result<(), ConsortiumError> {
        let height = self.head.height + 1;
        if self.votes {
            outputs.iter().filter_map(|output| if let Output::Record(record) = output { Some(record) } else { None }).for_each(|record| {
                self.wal.append(record);
            });
            if outputs.iter().any(|output| matches!(output, Output::Send(_))) {
                self.wal.sync()?;
            }
        }
        for output in outputs {
            match output {
                Output::Record(_) => {}
                Output::Send(message) => self.channel.broadcast(&message),
                Output::Schedule(timeout, after) => {
                    self.timers.retain(|_, other| *other != timeout);
                    self.next_timer += 1;
                    self.timers.insert((Instant::now() + after, self.next_timer), timeout);
                }
                Output::Cancel(timeout) => self.timers.retain(|_, other| *other != timeout),
                Output::CancelAll => self.timers.clear(),
                Output::Draft { round } => {
                    let (reply, answer) = oneshot::channel();
                    self.replies.draft = Some((height, round, answer));
                    self.ask(Task::Draft { height, reply }).await;
                }
                Output::Check { id, block } => {
                    let (reply, answer) = oneshot::channel();
                    self.replies.checks.push((height, id, answer));
                    self.ask(Task::Check { block, decided: false, reply }).await;
                }
                Output::Decided { certificate, block } => self.commit(block, certificate).await,
                Output::Evidence(evidence) => self.ask(Task::Evidence { height: evidence.height(), evidence }).await,
            }
        }
        Ok(())
    }

    /// A ledger that does not listen any more is noticed by the answer that does not come.
    async fn ask(&self, task: Task) {
        let _gone = self.tasks.send((task, None)).await;
    }

    async fn commit(&mut self, block: Vec<u8>, certificate: CommitCertificate) {
        self.open = false;
        self.timers.clear();
        let (reply, answer) = oneshot::channel();
        self.replies.commit = Some(answer);
        self.ask(Task::Commit { block, certificate, reply }).await;
    }

    async fn replied(&mut self, reply: Reply) -> Result<(), ConsortiumError> {
        let next = self.head.height + 1;
        match reply {
            Reply::Committed(committed) => {
                let committed = committed.filter(|committed| committed.height == next).ok_or(ConsortiumError::Ledger { height: next })?;
                self.committed(committed);
                self.rejoin()?;
            }
            Reply::Drafted(height, round, Some(drafted)) if height == next && self.open => {
                // Nobody needs a height without content, unless others hold it open as well: then it has to end.
                if !drafted.empty || round > 0 {
                    let outputs = self.host.propose(height, round, drafted.block)?;
                    self.carry_out(outputs).await?;
                }
            }
            Reply::Checked(height, id, Some(valid)) if height == next && self.open => {
                let outputs = self.host.checked(&id, valid)?;
                self.carry_out(outputs).await?;
            }
            Reply::CaughtUp(None) => self.catch_up.forget_judged(),
            Reply::CaughtUp(Some(id)) => {
                let judged = self.catch_up.checked(next, id);
                // Meanwhile it may have been decided here as well, and be on its way to the disk.
                if let (Some((block, certificate)), None) = (judged, &self.replies.commit) {
                    self.commit(block, certificate).await;
                }
            }
            Reply::Served(Some((peer, message))) => self.channel.send(&peer, &message),
            Reply::Drafted(..) | Reply::Checked(..) | Reply::Served(None) => {}
        }
        Ok(())
    }

    fn committed(&mut self, committed: Committed) {
        let (members, upcoming) = (committed.members != self.head.members, committed.upcoming != self.head.upcoming);
        self.wanted = committed.waiting;
        self.head = committed;
        if members || upcoming {
            self.admit();
        }
        let height = self.head.height;
        self.early.forget(height);
        self.channel.broadcast(&Message::Status(height));
    }

    /// A block that others decided: judged first, so that a peer which hands out a wrong body harms nobody.
    async fn take_decided(&mut self, block: Vec<u8>, certificate: CommitCertificate) -> Result<(), ConsortiumError> {
        if !self.catch_up.is_proven(&self.config.genesis, &self.head.members, &block, &certificate) {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        self.replies.caught_up = Some(answer);
        self.catch_up.judge(block.clone(), certificate);
        self.ask(Task::Check { block, decided: true, reply }).await;
        Ok(())
    }

    /// Hands decided blocks to whoever asked, one answer at a time.
    fn serve(&mut self) {
        if self.replies.served.is_some() {
            return;
        }
        let Some((peer, from)) = self.asked.pop_front() else { return };
        let (archive, to) = (self.archive.clone(), self.head.height);
        let (answer, served) = oneshot::channel();
        self.replies.served = Some(served);
        tokio::task::spawn_blocking(move || {
            let _stopped = answer.send((peer, serve::blocks(archive.as_ref(), from, to)));
        });
    }
}
