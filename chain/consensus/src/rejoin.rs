//! Coming back without knowing what was signed: the member follows until nothing that it may have signed can still be open.
//!
//! It can have signed at height X only once X − 1 was decided, by more than two thirds of the members. Of the others, as many as a quorum
//! say where they are; among any so many is an honest one that knows of X − 1. So the largest height that they name, plus one, is decided
//! before anything that this member signs from then on. (Where there are fewer others than a quorum, all of them have to say it.)

use crate::task::Committed;
use entrepot_chain_statement::Did;
use std::{collections::BTreeMap, fs, io, path::PathBuf};

/// A member that only follows for the moment.
#[derive(Debug)]
pub struct Rejoin {
    marker: PathBuf,
    /// Once this height is decided, it votes again.
    until: Option<u64>,
}

impl Rejoin {
    pub fn new(marker: PathBuf) -> Self {
        Self { marker, until: None }
    }

    /// Whether everything that may have been signed is decided.
    pub fn may_vote(&mut self, head: &Committed, us: &Did, heights: &BTreeMap<Did, u64>) -> bool {
        let others: Vec<_> = head.members.as_slice().iter().filter(|member| member.keys.consensus != *us).collect();
        let said: Vec<u64> = others.iter().filter_map(|member| heights.get(&member.keys.transport)).copied().collect();
        if self.until.is_none() && said.len() >= head.members.quorum().min(others.len()) {
            let until = said.into_iter().chain([head.height]).max().unwrap_or(0) + 1;
            tracing::info!(until, "following the others until this height is decided, then voting again");
            self.until = Some(until);
        }
        self.until.is_some_and(|until| head.height >= until)
    }

    /// Forgets that it only follows. The new log must be durable before.
    pub fn finish(&self) -> io::Result<()> {
        fs::remove_file(&self.marker)?;
        self.marker.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    }
}
