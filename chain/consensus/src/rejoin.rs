//! Coming back without knowing what was signed: the member follows until nothing that it may have signed can still be open.
//!
//! It can have signed at height X only once X − 1 was decided: a quorum precommitted X − 1, and whoever precommits a height has made the one
//! before durable. So the honest among them, f + 1 at least without this member, hold X − 2 — and no more than that is sure: one member may
//! have committed X − 1 alone and lost it. Any quorum of the others that say where they are has an honest one of them among it. Hence X is at
//! most 2 above the largest height that a quorum of the others names; any quorum will do, so the one that names the lowest is taken, and a
//! claim that its owner does not live up to does not count. This is about the members that decided X − 1; that they are the members that
//! decide now is waited for: at the head h, with one and the same members since before h, either X ≤ h, or X = h + 1 and they decided h, or
//! X > h + 1 and they decided h + 1.
//!
//! If the old log could be read, the height in it is a bound as well. A claim counts as it was first made: the others go on meanwhile.
//!
//! A member that is told that its keys were never used (`Past::Nothing`) has nothing to wait for. Otherwise: one whose log is not there, and whose chain does not reach the height at which it comes to decide, may be new, or may have lost log
//! and chain together; it cannot tell. It votes at once if of the others enough to decide with it know of nothing past that height, and
//! otherwise follows as above. What that leaves open: a member that lost everything may sign anew at the two heights after that one, in a
//! channel that had not got any further when it came back.

use crate::task::Committed;
use entrepot_chain_log::Members;
use entrepot_chain_statement::Did;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::Instant;

/// So long the others may take to hear us and to say where they are, when a new member that was not told so could decide with those that
/// did: whoever hears of a new channel only after its first block has to follow for two.
const FOUNDING_PATIENCE: Duration = Duration::from_secs(10);
/// How a marker file begins that a new member put down; the height follows, once it is known.
const JOINS: &str = "joins at ";

/// A member that only follows for the moment.
#[derive(Debug)]
pub struct Rejoin {
    marker: PathBuf,
    /// Nothing above this height was signed, by the old log; 0 if it said nothing.
    logged: u64,
    /// It may be new.
    new: bool,
    /// The height after which it first decides, as a new member.
    joins: Option<u64>,
    /// Heights that others named, by transport key, as they first did.
    claims: BTreeMap<Did, u64>,
    /// Who decides, and at which head they were first seen to.
    members: Option<(Members, u64)>,
    begun: Instant,
    /// Whom we have told where we are, by transport key.
    greeted: BTreeSet<Did>,
    told: Option<u64>,
}

/// Puts down that this member only follows. Durable before its log is emptied.
pub fn put_down(marker: &Path, new: bool) -> io::Result<()> {
    write(marker, if new { JOINS } else { "" })
}

fn write(marker: &Path, content: &str) -> io::Result<()> {
    let mut file = fs::File::create(marker)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    marker.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}

impl Rejoin {
    /// What the marker says; `logged` is the height of the log that was found.
    pub fn of(marker: PathBuf, logged: u64) -> io::Result<Self> {
        let content = String::from_utf8(fs::read(&marker)?).unwrap_or_default();
        let joins = content.strip_prefix(JOINS);
        Ok(Self {
            marker,
            logged,
            new: joins.is_some(),
            joins: joins.and_then(|height| height.parse().ok()),
            claims: BTreeMap::new(),
            members: None,
            begun: Instant::now(),
            greeted: BTreeSet::new(),
            told: None,
        })
    }

    /// Looks at every head.
    pub fn at(&mut self, head: &Committed, us: &Did) -> io::Result<()> {
        if self.members.as_ref().is_some_and(|(members, _)| *members == head.members) {
            return Ok(());
        }
        let was_in = self.members.as_ref().map_or(head.height > 0, |(members, _)| members.by_consensus_key(us).is_some());
        self.members = Some((head.members.clone(), head.height));
        if self.new && self.joins.is_none() && !was_in && head.members.by_consensus_key(us).is_some() {
            self.joins = Some(head.height);
            write(&self.marker, &format!("{JOINS}{}", head.height))?;
        }
        Ok(())
    }

    /// What the others say of where they are; a claim of a member that does not hand out what it says it has is dropped.
    pub fn hear(&mut self, heights: &BTreeMap<Did, u64>, is_doubted: impl Fn(&Did) -> bool) {
        for (peer, height) in heights {
            if is_doubted(peer) {
                self.claims.remove(peer);
            } else {
                self.claims.entry(peer.clone()).or_insert(*height);
            }
        }
    }

    /// This one was told where we are.
    pub fn greet(&mut self, peer: &Did) {
        self.greeted.insert(peer.clone());
    }

    /// Whether everything that may have been signed is decided. `reached` can hear us.
    pub fn may_vote(&mut self, head: &Committed, us: &Did, reached: &BTreeSet<Did>) -> bool {
        let Some((members, since)) = self.members.as_ref().filter(|_| head.members.by_consensus_key(us).is_some()) else { return false };
        let others: Vec<_> = members.as_slice().iter().filter(|member| member.keys.consensus != *us).collect();
        let mut said: Vec<u64> = others.iter().filter_map(|member| self.claims.get(&member.keys.transport)).copied().collect();
        said.sort_unstable();
        // Alone there is nobody who could hold anything against it.
        if others.is_empty() {
            return head.height.saturating_add(1) >= self.logged;
        }
        let enough = members.quorum() - 1;
        let all = said.len() == others.len()
            && others.iter().all(|member| reached.contains(&member.keys.transport) && self.greeted.contains(&member.keys.transport));
        let low = said.get(enough.saturating_sub(1)).is_some_and(|height| Some(*height) <= self.joins);
        if self.joins.is_some() && low && (all || self.begun.elapsed() >= FOUNDING_PATIENCE) {
            return true;
        }
        if others.len() < members.quorum() && self.told.is_none() && said.iter().any(|height| Some(*height) > self.joins) {
            tracing::error!(
                "the others decide nothing without this member, so it cannot follow them past what it may have signed: put its log back"
            );
            self.told = Some(u64::MAX);
        }
        let Some(largest) = said.get(members.quorum() - 1) else { return false };
        let until = largest.saturating_add(2).max(self.logged);
        if self.told != Some(until) {
            tracing::info!(until, "following the others until this height is decided, then voting again");
            self.told = Some(until);
        }
        head.height >= until && head.height > *since
    }

    /// Forgets that it only follows. The new log must be durable before.
    pub fn finish(&self) -> io::Result<()> {
        fs::remove_file(&self.marker)?;
        self.marker.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
#[path = "rejoin_tests.rs"]
mod tests;
