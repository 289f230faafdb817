//! The orderer of a member, whether it is the only one or one of several.

use crate::{
    NodeKeys,
    orderer::{Orderer, OrdererError, Seat, SoleMember},
};
use async_trait::async_trait;
use entrepot_chain_consensus::{Archive, Committed, Task};
use entrepot_chain_log::consortium::{Genesis, Members};
use entrepot_chain_statement::Did;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// Decides alone if the members are this one and no other when the node opens, else by consensus.
pub struct MemberOrderer {
    consensus: Did,
    alone: SoleMember,
    seat: Option<Seat>,
}

impl MemberOrderer {
    /// In the channel with this genesis. `log` is the consensus log's folder, the same as the seat's: a member that is alone keeps an empty
    /// one. Without a seat a channel of several members is refused.
    pub fn new(keys: &NodeKeys, genesis: &Genesis, log: PathBuf, seat: Option<Seat>) -> Self {
        Self { consensus: keys.consensus.did(), alone: keys.sole_member(genesis).with_log(log), seat }
    }

    fn is_alone_among(&self, members: &Members) -> bool {
        matches!(members.as_slice(), [only] if only.keys.consensus == self.consensus)
    }

    fn orderer(&mut self) -> &mut dyn Orderer {
        match &mut self.seat {
            Some(seat) => seat,
            None => &mut self.alone,
        }
    }
}

#[async_trait]
impl Orderer for MemberOrderer {
    fn begin(&mut self, head: Committed, archive: Arc<dyn Archive>) -> Result<(), OrdererError> {
        if self.is_alone_among(&head.members) && self.is_alone_among(&head.upcoming) {
            // There is nobody to whom anything else could have been said: no log of votes, no thread, one sync a block.
            self.seat = None;
        }
        self.orderer().begin(head, archive)
    }

    fn offer(&mut self) {
        self.orderer().offer();
    }

    fn tell(&mut self, transactions: Vec<Vec<u8>>) {
        self.orderer().tell(transactions);
    }

    fn cosigned(&mut self, size: u64, line: String) {
        self.orderer().cosigned(size, line);
    }

    async fn next(&mut self) -> Result<Task, OrdererError> {
        self.orderer().next().await
    }

    fn gossips(&self) -> bool {
        self.seat.is_some()
    }

    fn follows(&self) -> watch::Receiver<bool> {
        self.seat.as_ref().map_or_else(|| self.alone.follows(), Orderer::follows)
    }
}
