//! Messages about the height after the one that is open, or about one that nobody has begun here yet.

use crate::wire::Message;
use entrepot_chain_log::Members;
use entrepot_chain_statement::Did;
use std::collections::VecDeque;

/// Messages of one member that are kept; later ones take the place of earlier ones.
const EARLY_MAX: usize = 16;
/// Of those, proposals, which carry blocks.
const EARLY_PROPOSALS_MAX: usize = 2;

/// What came too early, and from whom.
#[derive(Debug, Default)]
pub struct Early(VecDeque<(Did, Message)>);

impl Early {
    /// Keeps it, within what one member may have here.
    pub fn keep(&mut self, from: Did, message: Message) {
        let is_proposal = |message: &Message| matches!(message, Message::Proposal(..));
        let of = self.0.iter().filter(|(sender, _)| *sender == from);
        let (kept, proposals) = of.fold((0, 0), |(kept, proposals), (_, early)| (kept + 1, proposals + usize::from(is_proposal(early))));
        if (is_proposal(&message) && proposals >= EARLY_PROPOSALS_MAX) || self.0.iter().any(|(_, early)| *early == message) {
            return;
        }
        if kept >= EARLY_MAX
            && let Some(oldest) = self.0.iter().position(|(sender, _)| *sender == from)
        {
            self.0.remove(oldest);
        }
        self.0.push_back((from, message));
    }

    /// Whether one of them shows that somebody has begun this height.
    pub fn begins(&self, height: u64, members: &Members) -> bool {
        let begins = |message: &Message| match message {
            Message::Proposal(proposal, _) => {
                let proposer = members.proposer(height, proposal.message.round.as_u32().unwrap_or(0));
                proposer.keys.consensus.public_bytes() == proposal.message.member.0
            }
            Message::Vote(_) => true,
            _ => false,
        };
        self.0.iter().any(|(_, message)| message.height() == Some(height) && begins(message))
    }

    /// Those about this height, which begins. Later ones stay, and these as well if the height may have to begin again.
    pub fn take(&mut self, height: u64, again: bool) -> Vec<Message> {
        let now: Vec<_> =
            self.0.iter().filter(|(_, message)| message.height() == Some(height)).map(|(_, message)| message.clone()).collect();
        if !again {
            self.forget(height);
        }
        now
    }

    /// Forgets what is about this height or an earlier one.
    pub fn forget(&mut self, height: u64) {
        self.0.retain(|(_, message)| message.height().is_some_and(|of| of > height));
    }
}
