//! What convicts a member of having contradicted itself.

use crate::{
    context::{Address, Chain, Vote},
    signing::{self, PublicKey},
    wire::Evidence,
};
use entrepot_chain_statement::{Did, Hash};
use malachite_types::{SignedProposal, SignedVote};

impl Evidence {
    /// At which height it happened.
    pub fn height(&self) -> u64 {
        match self {
            Self::Votes(first, _) => first.message.height.0,
            Self::Proposals(first, _) => first.message.height.0,
        }
    }

    /// Whether it shows, under the genesis of the channel, that the holder of this consensus key contradicted itself.
    pub fn convicts(&self, genesis: &Hash, key: &Did) -> bool {
        let member = Address(key.public_bytes());
        let key = PublicKey::of(key);
        match self {
            Self::Votes(first, second) => {
                let (a, b) = (&first.message, &second.message);
                let step = |vote: &Vote| (vote.kind, vote.height, vote.round, vote.member);
                let signed = |vote: &SignedVote<Chain>| key.verify(&signing::vote_bytes(genesis, &vote.message), &vote.signature);
                step(a) == step(b) && a.member == member && a.block != b.block && signed(first) && signed(second)
            }
            Self::Proposals(first, second) => {
                let (a, b) = (&first.message, &second.message);
                let signed = |p: &SignedProposal<Chain>| key.verify(&signing::proposal_bytes(genesis, &p.message), &p.signature);
                (a.height, a.round, a.member) == (b.height, b.round, b.member)
                    && a.member == member
                    && a != b
                    && signed(first)
                    && signed(second)
            }
        }
    }
}
