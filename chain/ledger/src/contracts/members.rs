//! Members decide about members: propose, vote, and what passes holds from the block after the next.
//!
//! Every change is judged by the members and the rule that were decided last, whether or not they decide on blocks yet; so each set of
//! members comes from the one before it by that one's consent. A proposal is counted when somebody votes on it, by the votes of those who
//! are members then. It is closed once it passed, or can no longer pass, or no longer fits the members, or its time is over.

use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    outcome::{MembersOutcome, Rejection},
    transaction::{MembersAction, MembersChange, read_bool, read_rule, rule_code},
};
use entrepot_chain_log::consortium::{Genesis, GenesisError, MEMBERS_MAX, Member, MemberKeys, MemberRole, Members, VotingRule};
use entrepot_chain_statement::{Did, Hash};
use std::collections::BTreeMap;

/// Proposals open at a time.
pub const PROPOSALS_MAX: usize = 16;
/// Of them, proposals of one member: nobody crowds out the others alone.
pub const OWN_PROPOSALS_MAX: usize = 2;
/// Blocks after the one that proposed, in which a proposal can be voted on: half a day of a channel that is never idle, at 25 blocks a second.
pub const PROPOSAL_BLOCKS: u64 = 1 << 20;

/// A change that waits for votes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Who proposed it.
    pub by: Did,
    /// What is to change.
    pub change: MembersChange,
    /// The last height at which it can be voted on.
    pub until: u64,
    /// How members voted.
    pub votes: BTreeMap<Did, bool>,
}

/// Who decides, now and next, and what they are deciding about themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// They decide on the next block.
    pub current: Members,
    /// They decide on the block after it.
    pub decided: Members,
    /// Whose consent changes need.
    pub rule: VotingRule,
    /// By the hash of the transaction that proposed.
    pub proposals: BTreeMap<Hash, Proposal>,
}

/// What is decided about each other: who they are and by which rule.
struct Change {
    members: Members,
    rule: VotingRule,
}

/// Whether those who approve are as many as the rule wants.
pub fn passes(rule: VotingRule, members: &Members, approves: impl Fn(&Did) -> bool) -> bool {
    let all = members.as_slice();
    let approving = all.iter().filter(|member| approves(&member.did)).count();
    match rule {
        VotingRule::Majority => approving * 2 > all.len(),
        VotingRule::TwoThirds => approving * 3 > all.len() * 2,
        VotingRule::Unanimous => approving == all.len(),
        VotingRule::RegulatorVeto => {
            let regulators = all.iter().filter(|member| member.role == MemberRole::Regulator);
            approving * 2 > all.len() && regulators.into_iter().all(|member| approves(&member.did))
        }
    }
}

impl Membership {
    pub fn genesis(genesis: &Genesis) -> Result<Self, GenesisError> {
        let members = genesis.members()?;
        Ok(Self { current: members.clone(), decided: members, rule: genesis.voting_rule, proposals: BTreeMap::new() })
    }

    /// A block of this height begins.
    pub fn begin(&mut self, height: u64) {
        self.proposals.retain(|_, proposal| proposal.until >= height);
    }

    /// It ends: who was decided on before it decides on the next one.
    pub fn end(&mut self, decided_before: Members) {
        self.current = decided_before;
    }

    /// A member acts in the block of this height; `transaction` is the hash of its transaction.
    pub fn act(&mut self, height: u64, transaction: Hash, by: &Did, action: &MembersAction) -> Result<MembersOutcome, Rejection> {
        if self.decided.by_did(by).is_none() {
            return Err(Rejection::NotMember { key: by.clone() });
        }
        match action {
            MembersAction::Propose(change) => self.propose(height, transaction, by, change),
            MembersAction::Vote { proposal, approve } => self.vote(height, *proposal, by, *approve),
            MembersAction::RotateKeys(keys) => {
                let change = self.rotated(by, keys)?;
                Ok(self.decide(height, change))
            }
        }
    }

    fn propose(&mut self, height: u64, transaction: Hash, by: &Did, change: &MembersChange) -> Result<MembersOutcome, Rejection> {
        let changed = self.changed(change)?;
        if matches!(change, MembersChange::Leave(leaves) if leaves == by) {
            // Nobody is kept.
            return Ok(self.decide(height, changed));
        }
        if self.proposals.len() >= PROPOSALS_MAX {
            return Err(Rejection::TooManyProposals);
        }
        if self.proposals.values().filter(|proposal| proposal.by == *by).count() >= OWN_PROPOSALS_MAX {
            return Err(Rejection::TooManyOwnProposals);
        }
        let until = height.saturating_add(PROPOSAL_BLOCKS);
        let proposal = Proposal { by: by.clone(), change: change.clone(), until, votes: BTreeMap::new() };
        self.proposals.insert(transaction, proposal);
        self.vote(height, transaction, by, true)
    }

    fn vote(&mut self, height: u64, id: Hash, by: &Did, approve: bool) -> Result<MembersOutcome, Rejection> {
        let proposal = self.proposals.get_mut(&id).ok_or(Rejection::NoSuchProposal { proposal: id })?;
        proposal.votes.insert(by.clone(), approve);
        if passes(self.rule, &self.decided, |member| proposal.votes.get(member) == Some(&true)) {
            let change = proposal.change.clone();
            // It fits: whatever did not was closed when the members changed.
            let changed = self.changed(&change)?;
            self.proposals.remove(&id);
            return Ok(self.decide(height, changed));
        }
        if can_pass(self.rule, &self.decided, proposal) {
            return Ok(MembersOutcome::Open { proposal: id });
        }
        self.proposals.remove(&id);
        Ok(MembersOutcome::Refused { proposal: id })
    }

    fn decide(&mut self, height: u64, change: Change) -> MembersOutcome {
        (self.decided, self.rule) = (change.members, change.rule);
        let mut proposals = std::mem::take(&mut self.proposals);
        proposals.retain(|_, proposal| {
            proposal.votes.retain(|voter, _| self.decided.by_did(voter).is_some());
            let wanted = proposal.votes.values().any(|approves| *approves);
            wanted && can_pass(self.rule, &self.decided, proposal) && self.changed(&proposal.change).is_ok()
        });
        self.proposals = proposals;
        MembersOutcome::Decided { active: height.saturating_add(2) }
    }

    /// What a change would lead to.
    fn changed(&self, change: &MembersChange) -> Result<Change, Rejection> {
        let without = |leaves: &Did| -> Result<Vec<Member>, Rejection> {
            let rest: Vec<_> = self.decided.as_slice().iter().filter(|member| member.did != *leaves).cloned().collect();
            if rest.len() < self.decided.count() { Ok(rest) } else { Err(Rejection::NoSuchMember { key: leaves.clone() }) }
        };
        let members = match change {
            MembersChange::SetRule(rule) if *rule == self.rule => return Err(Rejection::NoChange),
            MembersChange::SetRule(rule) => return Ok(Change { members: self.decided.clone(), rule: *rule }),
            MembersChange::Join(member) => [self.decided.as_slice(), std::slice::from_ref(member)].concat(),
            MembersChange::Leave(did) => without(did)?,
            MembersChange::Replace { leaves, joins } => {
                let mut members = without(leaves)?;
                members.push(joins.clone());
                members
            }
        };
        self.with(members)
    }

    fn rotated(&self, by: &Did, keys: &MemberKeys) -> Result<Change, Rejection> {
        let mut members = self.decided.as_slice().to_vec();
        for member in members.iter_mut().filter(|member| member.did == *by) {
            member.keys = keys.clone();
        }
        self.with(members)
    }

    fn with(&self, members: Vec<Member>) -> Result<Change, Rejection> {
        if members.is_empty() {
            return Err(Rejection::LastMember);
        }
        let members = Members::new(members).map_err(Rejection::ImpossibleMembers)?;
        if members == self.decided { Err(Rejection::NoChange) } else { Ok(Change { members, rule: self.rule }) }
    }
}

/// Whether it would pass if everybody who has not disapproved approved.
fn can_pass(rule: VotingRule, members: &Members, proposal: &Proposal) -> bool {
    passes(rule, members, |member| proposal.votes.get(member) != Some(&false))
}

impl Proposal {
    /// The encoding, as the state's tree holds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.by.public_bytes());
        self.change.write(out);
        out.extend_from_slice(&self.until.to_be_bytes());
        out.push(u8::try_from(self.votes.len()).unwrap_or(u8::MAX));
        for (voter, approves) in &self.votes {
            out.extend_from_slice(&voter.public_bytes());
            out.push(u8::from(*approves));
        }
    }

    fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let (by, change, until) = (reader.did(known)?, MembersChange::read(reader, known)?, reader.u64()?);
        let count = usize::from(reader.u8()?);
        if count > MEMBERS_MAX {
            return Err(DecodeError::TooMany("votes"));
        }
        let mut votes = BTreeMap::new();
        for _ in 0..count {
            let voter = reader.did(known)?;
            if votes.last_key_value().is_some_and(|(last, _)| *last >= voter) {
                return Err(DecodeError::Order("votes"));
            }
            votes.insert(voter, read_bool(reader)?);
        }
        Ok(Self { by, change, until, votes })
    }
}

impl Membership {
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.current.encode());
        out.extend_from_slice(&self.decided.encode());
        out.push(rule_code(self.rule));
        out.push(u8::try_from(self.proposals.len()).unwrap_or(u8::MAX));
        for (id, proposal) in &self.proposals {
            out.extend_from_slice(&id.0);
            proposal.write(out);
        }
    }

    pub fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let (current, decided) = (Members::read(reader, known)?, Members::read(reader, known)?);
        let rule = read_rule(reader)?;
        let count = usize::from(reader.u8()?);
        if count > PROPOSALS_MAX {
            return Err(DecodeError::TooMany("proposals"));
        }
        let mut proposals = BTreeMap::new();
        for _ in 0..count {
            let id = reader.hash()?;
            if proposals.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(DecodeError::Order("proposals"));
            }
            proposals.insert(id, Proposal::read(reader, known)?);
        }
        Ok(Self { current, decided, rule, proposals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::SigningKey;

    fn did(seed: u8, purpose: u8) -> Did {
        let mut bytes = [seed; 32];
        bytes[31] = purpose;
        SigningKey::from_seed(&bytes).did()
    }

    fn member(seed: u8) -> Member {
        let keys = MemberKeys { consensus: did(seed, 2), cosigning: did(seed, 3), transport: did(seed, 4) };
        Member { did: did(seed, 1), name: "a member".to_owned(), role: MemberRole::Member, keys }
    }

    #[test]
    fn a_proposal_ends_after_its_blocks() {
        let members = Members::new((1..4).map(member).collect()).expect("members");
        let genesis = Genesis::new("entrepot/test", VotingRule::Unanimous, &members).expect("a genesis");
        let mut membership = Membership::genesis(&genesis).expect("a genesis");
        let (proposal, leaves) = (Hash([1; 32]), MembersAction::Propose(MembersChange::Leave(did(3, 1))));
        membership.begin(7);
        assert_eq!(membership.act(7, proposal, &did(1, 1), &leaves), Ok(MembersOutcome::Open { proposal }));
        membership.begin(7 + PROPOSAL_BLOCKS);
        let vote = MembersAction::Vote { proposal, approve: true };
        assert_eq!(membership.act(7 + PROPOSAL_BLOCKS, Hash([2; 32]), &did(2, 1), &vote), Ok(MembersOutcome::Open { proposal }));
        membership.begin(8 + PROPOSAL_BLOCKS);
        let late = membership.act(8 + PROPOSAL_BLOCKS, Hash([3; 32]), &did(3, 1), &vote);
        assert_eq!(late, Err(Rejection::NoSuchProposal { proposal }));
        assert_eq!(membership.decided, members);
    }
}
