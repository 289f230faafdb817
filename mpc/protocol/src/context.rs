//! What every protocol is given: role, shared randomness, channels, and the record of what was said.

use crate::{
    Channel, ChannelError, Party,
    link::{Inbound, Outbound},
    randomness::{Seed, Stream},
};
use futures::future::try_join;
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use zeroize::Zeroizing;

/// First bytes of the only message that is sent before there is shared randomness.
const HELLO: &[u8; 16] = b"entrepot.mpc.v1\n";

/// One exchange of messages. All parties pass through the same steps in the same order; the index travels with each frame, so parties that
/// have diverged stop at once instead of computing nonsense, and it separates the randomness of different steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub index: u64,
    pub name: &'static str,
}

/// One party's side of a session.
///
/// Protocols run one after the other on a context (`&mut`), so that step numbers agree between parties. Dropping it ends the session.
pub struct Context {
    party: Party,
    session: [u8; 32],
    channel: Arc<dyn Channel>,
    steps: u64,
    /// Seed of share i, which party i − 1 holds too.
    own: Seed,
    /// Seed of share i + 1, which party i + 1 holds too.
    next: Seed,
    /// Known to nobody else.
    private: Seed,
    to_next: Outbound,
    to_previous: Outbound,
    from_next: Inbound,
    from_previous: Inbound,
}

/// Payload moved so far, without the 8 bytes in front of each frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Payload bytes sent to both peers.
    pub sent_bytes: u64,
    /// Frames sent to both peers.
    pub sent_frames: u64,
    /// Payload bytes received from both peers.
    pub received_bytes: u64,
    /// Frames received from both peers.
    pub received_frames: u64,
}

impl Context {
    /// Opens a session. Every party generates the seed of its own share and sends it to the party before it, which holds that share too;
    /// the channel keeps it secret from the third. `session` names this very run (for instance a hash of order and attempt): a peer in
    /// another session is an error, and no randomness is common to two sessions even if a generator were to repeat itself.
    ///
    /// One round, 80 bytes sent by each party.
    pub async fn connect(
        party: Party,
        channel: Arc<dyn Channel>,
        session: [u8; 32],
        rng: &mut (impl CryptoRng + RngCore + Send),
    ) -> Result<Self, ProtocolError> {
        let (mut own, mut private) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut *own);
        rng.fill_bytes(&mut *private);

        let mut hello = Zeroizing::new([0; 80]);
        hello[..16].copy_from_slice(HELLO);
        hello[16..48].copy_from_slice(&session);
        hello[48..].copy_from_slice(&*own);
        // The seeds stay out of the transcript, whose hash is published in receipts: these two links are thrown away.
        let step = Step { index: 0, name: "connect" };
        let (mut outbound, mut inbound) = (Outbound::new(party.previous()), Inbound::new(party.next()));
        let send = outbound.send_bytes(&*channel, step, &*hello);
        let ((), received) = try_join(send, inbound.receive_bytes(&*channel, step, hello.len())).await?;
        let received = Zeroizing::new(received);
        // Each party checks one neighbour; around the ring that makes all three equal or stops at least one of them.
        if received[..48] != hello[..48] {
            return Err(ProtocolError::WrongSession { from: party.next() });
        }
        let mut next = Zeroizing::new([0; 32]);
        next.copy_from_slice(&received[48..]);

        Ok(Self {
            party,
            session,
            channel,
            steps: 1,
            own: Seed::bind(&own, &session, party.index()),
            next: Seed::bind(&next, &session, party.next().index()),
            private: Seed::bind(&private, &session, u8::MAX),
            to_next: Outbound::new(party.next()),
            to_previous: Outbound::new(party.previous()),
            from_next: Inbound::new(party.next()),
            from_previous: Inbound::new(party.previous()),
        })
    }

    /// Which party this is.
    pub fn party(&self) -> Party {
        self.party
    }

    /// The name of this run.
    pub fn session(&self) -> &[u8; 32] {
        &self.session
    }

    /// 32 bytes that exactly the two holders of that share know; none for the share this party does not hold. Never used inside this
    /// crate, so it may seed anything both holders must do alike.
    pub fn pairwise_seed(&self, share: u8) -> Option<Zeroizing<[u8; 32]>> {
        match Party::new(share)? {
            share if share == self.party => Some(self.own.export()),
            share if share == self.party.next() => Some(self.next.export()),
            _ => None,
        }
    }

    /// SHA-256 over party, session and the four digests of frames: sent to the next party, sent to the previous one, received from the
    /// next, received from the previous. The seeds of [`Context::connect`] are left out.
    pub fn transcript(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"entrepot/mpc/transcript/v1\n");
        hasher.update([self.party.index()]);
        hasher.update(self.session);
        for record in [&self.to_next.record, &self.to_previous.record, &self.from_next.record, &self.from_previous.record] {
            hasher.update(record.digest());
        }
        hasher.finalize().into()
    }

    /// What was moved so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            sent_bytes: self.to_next.record.payload_bytes + self.to_previous.record.payload_bytes,
            sent_frames: self.to_next.record.frames + self.to_previous.record.frames,
            received_bytes: self.from_next.record.payload_bytes + self.from_previous.record.payload_bytes,
            received_frames: self.from_next.record.frames + self.from_previous.record.frames,
        }
    }

    /// Begins the next step.
    pub(crate) fn step(&mut self, name: &'static str) -> Step {
        let step = Step { index: self.steps, name };
        self.steps += 1;
        step
    }

    /// Words that this party and the previous one make alike in this step.
    pub(crate) fn own_stream(&self, step: Step) -> Stream {
        self.own.expand(step)
    }

    /// Words that this party and the next one make alike in this step.
    pub(crate) fn next_stream(&self, step: Step) -> Stream {
        self.next.expand(step)
    }

    /// A generator that nobody else can follow.
    pub(crate) fn private_rng(&self, step: Step) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(*self.private.derive(b"entrepot/mpc/private/v1\n", step))
    }

    pub(crate) fn channel(&self) -> Arc<dyn Channel> {
        Arc::clone(&self.channel)
    }

    /// Both directions of the link with a peer; none with oneself.
    pub(crate) fn link(&mut self, peer: Party) -> Option<(&mut Outbound, &mut Inbound)> {
        match peer {
            peer if peer == self.party.next() => Some((&mut self.to_next, &mut self.from_next)),
            peer if peer == self.party.previous() => Some((&mut self.to_previous, &mut self.from_previous)),
            _ => None,
        }
    }

    pub(crate) async fn send_next(&mut self, step: Step, words: &[u64]) -> Result<(), ProtocolError> {
        self.to_next.send_words(&*self.channel, step, words).await
    }

    pub(crate) async fn receive_previous(&mut self, step: Step, count: usize) -> Result<Vec<u64>, ProtocolError> {
        self.from_previous.receive_words(&*self.channel, step, count).await
    }

    /// Sends to the previous party while receiving as much from the next one: the round of a multiplication. Both at once, since every
    /// party sends first and bounded buffers would otherwise fill around the ring.
    pub(crate) async fn pass_back(&mut self, step: Step, words: &[u64]) -> Result<Vec<u64>, ProtocolError> {
        let send = self.to_previous.send_words(&*self.channel, step, words);
        let receive = self.from_next.receive_words(&*self.channel, step, words.len());
        Ok(try_join(send, receive).await?.1)
    }

    /// The same in the other direction.
    pub(crate) async fn pass_on(&mut self, step: Step, words: &[u64]) -> Result<Vec<u64>, ProtocolError> {
        let send = self.to_next.send_words(&*self.channel, step, words);
        let receive = self.from_previous.receive_words(&*self.channel, step, words.len());
        Ok(try_join(send, receive).await?.1)
    }
}

/// Why a protocol stopped.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A peer cannot be reached any more.
    #[error("a message did not get through")]
    Channel(#[from] ChannelError),
    /// A frame without its header.
    #[error("party {from} sent a frame without a header")]
    FrameTooShort {
        /// Who sent it.
        from: Party,
    },
    /// The peer is elsewhere in the protocol.
    #[error("party {from} is at step {found}, not at step {expected} ({step})")]
    WrongStep {
        /// Who sent it.
        from: Party,
        /// What we are doing.
        step: &'static str,
        /// Our step.
        expected: u64,
        /// Theirs.
        found: u64,
    },
    /// A message has another length than this step demands.
    #[error("party {from} sent {found} bytes in step {step} where {expected} were due")]
    WrongLength {
        /// Who sent it.
        from: Party,
        /// What we are doing.
        step: &'static str,
        /// Bytes due.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// The peer runs another session or another version.
    #[error("party {from} runs another session")]
    WrongSession {
        /// Who sent it.
        from: Party,
    },
    /// The two holders of a share sent different ones.
    #[error("the holders of a share sent different values in step {step}")]
    SharesDisagree {
        /// What we are doing.
        step: &'static str,
    },
    /// The owner of an input called without its values, or with another number of them than it announced.
    #[error("the owner of an input did not give the values it announced")]
    InputMissing,
}
