//! What was submitted to this member, for the others: told at once, and again while something waits.

use crate::{
    mesh::Channel,
    serve::ANSWER_BYTES_MAX,
    wire::{Message, TRANSACTIONS_PER_MESSAGE},
};
use entrepot_chain_statement::Did;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// What waits is told again this often, and a peer that comes back is told no more often.
const TELL_AGAIN: Duration = Duration::from_secs(2);
/// Transactions that are told again; the oldest make way.
const OURS_MAX: usize = 8192;

/// Transactions that may still wait.
#[derive(Debug)]
pub struct Gossip {
    ours: VecDeque<Vec<u8>>,
    told: Instant,
    /// Peers that came back, and when they were told.
    told_to: BTreeMap<Did, Instant>,
}

impl Gossip {
    pub fn new() -> Self {
        Self { ours: VecDeque::new(), told: Instant::now(), told_to: BTreeMap::new() }
    }

    /// These are new.
    pub fn offer(&mut self, channel: &Channel, fresh: Vec<Vec<u8>>) {
        if fresh.is_empty() {
            return;
        }
        self.told = Instant::now();
        tell(&fresh, |message| channel.gossip(&channel.connected(), message));
        self.ours.extend(fresh);
        let excess = self.ours.len().saturating_sub(OURS_MAX);
        self.ours.drain(..excess);
    }

    /// Tells all of them what waits, if it is time.
    pub fn tell_again(&mut self, channel: &Channel) {
        if !self.ours.is_empty() && self.told.elapsed() >= TELL_AGAIN {
            self.told = Instant::now();
            tell(self.ours.make_contiguous(), |message| channel.gossip(&channel.connected(), message));
        }
    }

    /// Tells one that is there again. One that comes and goes is no reason to tell the others.
    pub fn tell_one(&mut self, channel: &Channel, peer: &Did) {
        if self.told_to.get(peer).is_some_and(|told| told.elapsed() < TELL_AGAIN) {
            return;
        }
        self.told_to.insert(peer.clone(), Instant::now());
        tell(self.ours.make_contiguous(), |message| channel.gossip([peer], message));
    }

    /// Nothing waits any more.
    pub fn clear(&mut self) {
        self.ours.clear();
    }

    /// Forgets peers that are no members.
    pub fn retain(&mut self, admitted: &BTreeSet<Did>) {
        self.told_to.retain(|peer, _| admitted.contains(peer));
    }
}

/// In messages that the others take.
fn tell(transactions: &[Vec<u8>], say: impl Fn(&Message)) {
    let (mut part, mut bytes) = (Vec::new(), 0);
    for transaction in transactions {
        bytes += transaction.len();
        part.push(transaction.clone());
        if bytes >= ANSWER_BYTES_MAX || part.len() >= TRANSACTIONS_PER_MESSAGE {
            say(&Message::Transactions(std::mem::take(&mut part)));
            bytes = 0;
        }
    }
    if !part.is_empty() {
        say(&Message::Transactions(part));
    }
}
