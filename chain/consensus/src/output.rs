//! What a host asks of its caller.

use crate::{
    context::Chain,
    wire::{Evidence, Message, Record},
};
use entrepot_chain_log::CommitCertificate;
use entrepot_chain_statement::Hash;
use malachite::LivenessMsg;
use malachite_types::{LinearTimeouts, Timeout};
use std::time::Duration;

/// What the caller has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write this down. Durable before the next `Send`.
    Record(Record),
    /// Tell all other members.
    Send(Message),
    /// Call [`Host::elapsed`] with this after a while, unless it is cancelled.
    Schedule(Timeout, Duration),
    /// Forget this one.
    Cancel(Timeout),
    /// Forget them all.
    CancelAll,
    /// It is our turn: call [`Host::propose`] with a block for this round.
    Draft {
        /// Of the height.
        round: u32,
    },
    /// Find out whether this block may follow, and say so by [`Host::checked`].
    Check {
        /// Its hash.
        id: Hash,
        /// The block.
        block: Vec<u8>,
    },
    /// The height is decided. Make the block durable, then start the next.
    Decided {
        /// The proof.
        certificate: CommitCertificate,
        /// The block.
        block: Vec<u8>,
    },
    /// A member contradicted itself.
    Evidence(Evidence),
}

/// The host cannot go on without breaking the protocol, or the core found a contradiction in itself. Nothing may be sent any more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the consensus of height {height} cannot go on: {why}")]
pub struct Fault {
    /// Of the block.
    pub height: u64,
    /// What happened.
    pub why: String,
}

/// How long a round's steps wait.
pub fn timeouts(propose: Duration, vote: Duration) -> LinearTimeouts {
    LinearTimeouts {
        propose,
        propose_delta: propose / 2,
        prevote: vote,
        prevote_delta: vote / 2,
        precommit: vote,
        precommit_delta: vote / 2,
        rebroadcast: propose + vote * 2,
        max_timeout: Duration::from_secs(30),
    }
}

/// How the core's news to keep a round alive are said.
pub(crate) fn said(message: LivenessMsg<Chain>) -> Message {
    match message {
        LivenessMsg::Vote(vote) => Message::Vote(vote),
        LivenessMsg::PolkaCertificate(polka) => Message::Polka(polka),
        LivenessMsg::SkipRoundCertificate(certificate) => Message::Round(certificate),
    }
}
