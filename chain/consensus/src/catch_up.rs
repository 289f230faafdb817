//! Taking decided blocks from members that are ahead: whom to ask, when, and whom not to ask again. No input or output of its own.

use crate::host::header_hash;
use entrepot_chain_log::{CommitCertificate, Members};
use entrepot_chain_statement::{Did, Hash};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// A height that others have decided is about to be decided here as well; blocks are asked for only if that does not happen.
const PATIENCE: Duration = Duration::from_millis(200);
/// Whoever was asked has so long to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Whoever did not answer, or answered wrongly, is not asked for so long.
const AVOIDED_FOR: Duration = Duration::from_secs(10);

/// A block that was decided by others.
type Decided = (Vec<u8>, CommitCertificate);

/// What is known of being behind.
#[derive(Debug, Default)]
pub struct CatchUp {
    /// Since when somebody is ahead of a height that does not change here.
    behind: Option<(u64, Instant)>,
    /// Whoever was asked last, and when.
    asked: Option<(Did, Instant)>,
    /// All who were asked and have not answered, and from which height on: a late answer is as good.
    owed: BTreeMap<Did, u64>,
    /// Who answered.
    from: Option<Did>,
    queue: VecDeque<Decided>,
    judged: Option<Decided>,
    avoided: BTreeMap<Did, Instant>,
}

impl CatchUp {
    /// Whether this member has nothing to say because it is catching up. That somebody claims to be ahead is not enough for long: one who
    /// lies must not silence the others.
    pub fn is_behind(&self) -> bool {
        !self.queue.is_empty() || self.judged.is_some() || self.asked.as_ref().is_some_and(|(_, at)| at.elapsed() < PATIENCE * 2)
    }

    /// Whether time has to be looked at.
    pub fn is_busy(&self, height: u64, heights: &BTreeMap<Did, u64>) -> bool {
        self.asked.is_some() || self.is_behind() || heights.values().any(|other| *other > height)
    }

    /// Whom to ask for blocks, and from which height on, if it is time to ask.
    pub fn ask(&mut self, height: u64, open: bool, heights: &BTreeMap<Did, u64>, connected: &BTreeSet<Did>) -> Option<(Did, u64)> {
        let best = heights.values().copied().max().unwrap_or(0);
        if best <= height {
            self.behind = None;
            self.asked = None;
            self.owed.clear();
            return None;
        }
        let now = Instant::now();
        let since = match self.behind {
            Some((at, since)) if at == height => since,
            _ => {
                self.behind = Some((height, now));
                now
            }
        };
        if let Some((peer, at)) = &self.asked {
            if at.elapsed() < ANSWER_TIMEOUT {
                return None;
            }
            let peer = peer.clone();
            self.avoid(peer);
        }
        if open && best == height + 1 && since.elapsed() < PATIENCE {
            return None;
        }
        self.avoided.retain(|_, until| *until > now);
        // In turn, so that one that serves badly does not serve alone.
        let is_able = |(peer, at): &(&Did, &u64)| **at > height && connected.contains(*peer) && !self.avoided.contains_key(*peer);
        let able: Vec<&Did> = heights.iter().filter(is_able).map(|(peer, _)| peer).collect();
        let peer = able.get(height as usize % able.len().max(1)).copied()?.clone();
        self.asked = Some((peer.clone(), now));
        self.owed.insert(peer.clone(), height + 1);
        Some((peer, height + 1))
    }

    /// Whether this member lately failed to hand out what it said it has.
    pub fn doubts(&self, peer: &Did) -> bool {
        self.avoided.get(peer).is_some_and(|until| *until > Instant::now())
    }

    fn avoid(&mut self, peer: Did) {
        tracing::warn!(%peer, "a member does not hand out the blocks it says it has");
        self.asked.take_if(|(asked, _)| *asked == peer);
        if self.from.as_ref() == Some(&peer) {
            self.queue.clear();
        }
        self.avoided.insert(peer, Instant::now() + AVOIDED_FOR);
    }

    /// Takes an answer of one who was asked, however late.
    pub fn answered(&mut self, peer: &Did, next: u64, blocks: Vec<Decided>) {
        let Some(wanted) = self.owed.remove(peer) else { return };
        self.asked.take_if(|(asked, _)| asked == peer);
        let rising = blocks.iter().zip(blocks.iter().skip(1)).all(|(a, b)| Some(b.1.height) == a.1.height.checked_add(1));
        let (first, last) = (blocks.first().map(|(_, first)| first.height), blocks.last().map(|(_, last)| last.height));
        if !rising || first.is_none_or(|first| first > next) || last.is_none_or(|last| last < wanted) {
            return self.avoid(peer.clone());
        }
        self.avoided.remove(peer);
        // Meanwhile they may have been decided here, or have come from another.
        if last.is_some_and(|last| last >= next) && self.queue.is_empty() {
            self.from = Some(peer.clone());
            self.queue = blocks.into();
        }
    }

    /// There will be no verdict.
    pub fn forget_judged(&mut self) {
        self.judged = None;
    }

    /// The next block, if it is here.
    pub fn next(&mut self, height: u64) -> Option<Decided> {
        if self.judged.is_some() {
            return None;
        }
        while let Some(decided) = self.queue.pop_front() {
            if decided.1.height == height {
                return Some(decided);
            }
        }
        None
    }

    /// Whether more than two thirds of the members decided on this block. If not, whoever handed it out is not asked again soon.
    pub fn is_proven(&mut self, genesis: &Hash, members: &Members, block: &[u8], certificate: &CommitCertificate) -> bool {
        let proven = header_hash(block) == Some(certificate.block) && certificate.verify(genesis, members).is_ok();
        if let (false, Some(peer)) = (proven, self.from.clone()) {
            self.avoid(peer);
        }
        proven
    }

    /// Keeps a block while the ledger judges it.
    pub fn judge(&mut self, block: Vec<u8>, certificate: CommitCertificate) {
        self.judged = Some((block, certificate));
    }

    /// The ledger's verdict: the block, if it is to be made durable.
    pub fn checked(&mut self, next: u64, id: Option<Hash>) -> Option<Decided> {
        let (block, certificate) = self.judged.take()?;
        if certificate.height != next {
            return None;
        }
        if id == Some(certificate.block) {
            return Some((block, certificate));
        }
        if let Some(peer) = self.from.clone() {
            self.avoid(peer);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::SigningKey;

    fn peer(at: u8) -> Did {
        SigningKey::from_seed(&[at; 32]).did()
    }

    fn blocks(heights: std::ops::Range<u64>) -> Vec<Decided> {
        let certificate = |height| CommitCertificate { height, round: 0, block: Hash([0; 32]), signatures: BTreeMap::new() };
        heights.map(|height| (Vec::new(), certificate(height))).collect()
    }

    /// Two peers are at height 9, and this member, at 4, has asked one of them.
    fn asked() -> (CatchUp, Did, BTreeMap<Did, u64>, BTreeSet<Did>) {
        let mut catch_up = CatchUp::default();
        let heights = BTreeMap::from([(peer(1), 9), (peer(2), 9)]);
        let connected = heights.keys().cloned().collect();
        let (asked, from) = catch_up.ask(4, true, &heights, &connected).expect("five behind");
        assert_eq!(from, 5);
        (catch_up, asked, heights, connected)
    }

    #[test]
    fn an_answer_that_was_overtaken_is_no_offence() {
        let (mut catch_up, peer, ..) = asked();
        catch_up.answered(&peer, 10, blocks(5..10));
        assert!(!catch_up.doubts(&peer) && catch_up.next(10).is_none());
    }

    #[test]
    fn an_empty_answer_is_an_offence_and_another_is_asked() {
        let (mut catch_up, peer, heights, connected) = asked();
        catch_up.answered(&peer, 5, Vec::new());
        assert!(catch_up.doubts(&peer));
        assert_ne!(catch_up.ask(4, true, &heights, &connected).expect("the other").0, peer);
    }

    #[test]
    fn a_gap_is_an_offence_and_what_nobody_asked_for_is_nothing() {
        let (mut catch_up, asked, ..) = asked();
        let other = if asked == peer(1) { peer(2) } else { peer(1) };
        catch_up.answered(&other, 5, blocks(5..8));
        assert!(catch_up.next(5).is_none());
        catch_up.answered(&asked, 5, blocks(6..8));
        assert!(catch_up.doubts(&asked));
    }

    #[tokio::test]
    async fn a_late_answer_is_as_good() {
        let (mut catch_up, late, heights, connected) = asked();
        // As if its time had passed.
        catch_up.avoid(late.clone());
        let (other, _) = catch_up.ask(4, true, &heights, &connected).expect("the other");
        catch_up.answered(&late, 5, blocks(5..8));
        assert!(!catch_up.doubts(&late));
        assert_eq!(catch_up.next(5).map(|(_, certificate)| certificate.height), Some(5));
        assert_ne!(other, late);
    }

    #[test]
    fn once_nobody_is_ahead_nobody_owes_anything_and_only_who_is_there_is_asked() {
        let (mut catch_up, asked, heights, connected) = asked();
        assert!(catch_up.ask(9, true, &heights, &connected).is_none());
        assert!(!catch_up.is_behind());
        let heights = heights.keys().map(|peer| (peer.clone(), 20)).collect();
        assert!(catch_up.ask(9, true, &heights, &BTreeSet::new()).is_none());
        let there = BTreeSet::from([asked.clone()]);
        assert_eq!(catch_up.ask(9, true, &heights, &there), Some((asked, 10)));
    }
}
