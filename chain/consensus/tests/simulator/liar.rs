//! A member that says to each of the others whatever might hurt.

use crate::membership::block;
use entrepot_chain_consensus::{
    Message,
    context::{Address, BlockId, Chain, Height, Proposal},
    host::header_hash,
    signing::{Signature, proposal_bytes, vote_bytes},
};
use entrepot_chain_log::{BlockHeader, Members, codec::Reader};
use entrepot_chain_statement::{Hash, SigningKey};
use malachite_types::{Context as _, NilOrVal, Round, SignedProposal, SignedVote};
use rand_chacha::{ChaCha8Rng, rand_core::RngCore as _};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone)]
pub struct Liar {
    genesis: Hash,
    pub key: SigningKey,
    address: Address,
    /// The blocks it heard of, by height.
    blocks: BTreeMap<u64, Vec<Hash>>,
    /// Rounds in which it proposed.
    proposed: BTreeSet<(u64, u32)>,
    /// What the block of a height follows.
    previous: BTreeMap<u64, Hash>,
    /// Whether it lies to a plan: one half of the members shall decide one block, the other half another.
    splits: bool,
}

impl Liar {
    pub fn new(genesis: Hash, key: SigningKey, splits: bool) -> Self {
        let address = Address(key.did().public_bytes());
        Self { genesis, key, address, blocks: BTreeMap::new(), proposed: BTreeSet::new(), previous: BTreeMap::new(), splits }
    }

    /// Lies to say after hearing this, and to whom.
    pub fn hear(&mut self, message: &Message, members: &Members, rng: &mut ChaCha8Rng, count: usize) -> Vec<(usize, Message)> {
        let mut lies = Vec::new();
        let (height, round) = match message {
            Message::Proposal(proposal, bytes) => {
                let height = proposal.message.height.0;
                self.blocks.entry(height).or_default().push(proposal.message.block.0);
                if let Ok(header) = BlockHeader::read(&mut Reader::new(bytes)) {
                    self.previous.insert(height, header.previous);
                }
                (height, proposal.message.round)
            }
            Message::Vote(vote) => (vote.message.height.0, vote.message.round),
            _ => return lies,
        };
        let now = round.as_u32().unwrap_or(0);
        for ahead in now..=now + 1 {
            let ours = members.proposer(height, ahead).keys.consensus == self.key.did();
            if ours && self.proposed.insert((height, ahead)) {
                for to in 0..count {
                    lies.extend(self.proposal(height, ahead, to, rng).map(|lie| (to, lie)));
                }
            }
        }
        if self.splits || rng.next_u64().is_multiple_of(3) {
            lies.extend(self.votes(height, round, members, rng, count));
        }
        lies
    }

    fn proposal(&mut self, height: u64, round: u32, to: usize, rng: &mut ChaCha8Rng) -> Option<Message> {
        let previous = self.previous.get(&height).copied().unwrap_or(if height == 1 { self.genesis } else { Hash([7; 32]) });
        // Two blocks, so that some of the members see the same.
        let content = if self.splits { to as u64 % 2 } else { rng.next_u64() % 2 };
        let bytes = block(height, previous, content);
        let id = header_hash(&bytes)?;
        self.blocks.entry(height).or_default().push(id);
        let valid_round = if !self.splits && round > 0 && rng.next_u64().is_multiple_of(4) { Round::new(round - 1) } else { Round::Nil };
        let proposal = Proposal { height: Height(height), round: Round::new(round), block: BlockId(id), valid_round, member: self.address };
        let signature = Signature(self.key.sign(&proposal_bytes(&self.genesis, &proposal)));
        Some(Message::Proposal(SignedProposal::new(proposal, signature), bytes))
    }

    /// The block that this member is to decide, by the plan; none in rounds of honest proposers.
    fn planned(&self, height: u64, round: Round, members: &Members, to: usize) -> NilOrVal<Hash> {
        let accomplice = members.proposer(height, round.as_u32().unwrap_or(0));
        let lies = members.as_slice().iter().rev().take(2).any(|member| member == accomplice);
        match self.previous.get(&height).copied().or((height == 1).then_some(self.genesis)) {
            Some(previous) if lies => header_hash(&block(height, previous, to as u64 % 2)).map_or(NilOrVal::Nil, NilOrVal::Val),
            _ => NilOrVal::Nil,
        }
    }

    fn votes(&self, height: u64, round: Round, members: &Members, rng: &mut ChaCha8Rng, count: usize) -> Vec<(usize, Message)> {
        let blocks = self.blocks.get(&height).cloned().unwrap_or_default();
        let mut votes = Vec::new();
        for to in 0..count {
            for kind in 0..2 {
                let block = match rng.next_u64() as usize % (blocks.len() + 1) {
                    _ if self.splits => self.planned(height, round, members, to),
                    0 => NilOrVal::Nil,
                    at => NilOrVal::Val(blocks[at - 1]),
                };
                let vote = match kind {
                    0 => Chain.new_prevote(Height(height), round, block, self.address),
                    _ => Chain.new_precommit(Height(height), round, block, self.address),
                };
                let signature = Signature(self.key.sign(&vote_bytes(&self.genesis, &vote)));
                votes.push((to, Message::Vote(SignedVote::new(vote, signature))));
            }
        }
        votes
    }
}
