//! How members decide about members.

use crate::support::{Node, consortium, keys, member, organisation, possession};
use entrepot_chain_ledger::{
    MembersAction, MembersChange, MembersOutcome, MembersTransaction, Outcome, Rejection, State, Transaction,
    consortium::{Member, MemberRole, Members, VotingRule},
    contracts::members::{OWN_PROPOSALS_MAX, PROPOSALS_MAX},
    state::entries,
    state_tree::state_value,
};
use entrepot_chain_statement::{Did, Hash};
use proptest::prelude::*;
use std::collections::BTreeMap;

use MemberRole::{Member as Plain, Regulator};
use MembersAction::{Propose, RotateKeys};
use MembersChange::{Join, Leave, Replace, SetRule};

/// A consortium whose members act, one block each.
struct Channel {
    node: Node,
}

impl Channel {
    /// Members 1, 2, 3 … with these roles.
    fn of(rule: VotingRule, roles: &[MemberRole]) -> Self {
        let members = (1..).zip(roles).map(|(seed, role)| member(seed, *role)).collect();
        Self { node: Node::founded(&consortium(rule, members)) }
    }

    fn transaction(&self, who: u8, action: MembersAction) -> Transaction {
        let key = organisation(who);
        let possession = possession(&key.did(), &action);
        MembersTransaction::sign(&self.node.state.genesis_digest(), action, possession, self.node.state.next_sequence(&key.did()), &key)
            .into()
    }

    fn act(&mut self, who: u8, action: MembersAction) -> Outcome {
        self.node.one(self.transaction(who, action))
    }

    fn propose(&mut self, who: u8, change: MembersChange) -> (Hash, Outcome) {
        let transaction = self.transaction(who, Propose(change));
        (transaction.hash(), self.node.one(transaction))
    }

    fn vote(&mut self, who: u8, proposal: Hash, approve: bool) -> Outcome {
        self.act(who, MembersAction::Vote { proposal, approve })
    }

    fn decided(&self) -> Vec<Did> {
        dids(self.node.state.members_at(self.node.state.height() + 2).expect("known"))
    }
}

fn dids(members: &Members) -> Vec<Did> {
    members.as_slice().iter().map(|member| member.did.clone()).collect()
}

fn did(who: u8) -> Did {
    organisation(who).did()
}

fn decided(state: &State) -> Outcome {
    Outcome::Members(MembersOutcome::Decided { active: state.height() + 2 })
}

fn open(proposal: Hash) -> Outcome {
    Outcome::Members(MembersOutcome::Open { proposal })
}

#[test]
fn each_rule_asks_for_so_many_approvals() {
    let cases: [(VotingRule, &[usize]); 4] = [
        // Needed of 1, 2, 3 … members.
        (VotingRule::Majority, &[1, 2, 2, 3, 3, 4, 4]),
        (VotingRule::TwoThirds, &[1, 2, 3, 3, 4, 5, 5]),
        (VotingRule::Unanimous, &[1, 2, 3, 4, 5, 6, 7]),
        (VotingRule::RegulatorVeto, &[1, 2, 2, 3, 3, 4, 4]),
    ];
    for (rule, needed) in cases {
        for (count, needed) in (1..).zip(needed) {
            let mut channel = Channel::of(rule, &vec![Plain; count]);
            let (proposal, mut outcome) = channel.propose(1, Join(member(50, Plain)));
            let mut approvals = 1;
            while outcome == open(proposal) {
                approvals += 1;
                outcome = channel.vote(approvals, proposal, true);
            }
            assert_eq!(outcome, decided(&channel.node.state));
            assert_eq!(usize::from(approvals), *needed, "{rule:?} of {count}");
            assert_eq!(channel.decided().len(), count + 1);
        }
    }
}

#[test]
fn nothing_passes_against_a_regulator_who_has_a_veto() {
    let mut channel = Channel::of(VotingRule::RegulatorVeto, &[Plain, Plain, Plain, Regulator, Regulator]);
    let (proposal, _) = channel.propose(1, Leave(did(3)));
    for who in [2, 3, 4] {
        assert_eq!(channel.vote(who, proposal, true), open(proposal), "one regulator has not approved");
    }
    assert_eq!(channel.vote(5, proposal, true), decided(&channel.node.state));
    let (proposal, _) = channel.propose(1, Leave(did(2)));
    assert_eq!(channel.vote(5, proposal, false), Outcome::Members(MembersOutcome::Refused { proposal }));
    assert_eq!(channel.vote(4, proposal, true), Outcome::Rejected(Rejection::NoSuchProposal { proposal }));
    // Under another rule a regulator is a member like the others.
    let mut channel = Channel::of(VotingRule::Majority, &[Plain, Plain, Regulator]);
    let (proposal, _) = channel.propose(1, Leave(did(3)));
    assert_eq!(channel.vote(2, proposal, true), decided(&channel.node.state));
}

#[test]
fn what_passed_holds_from_the_block_after_the_next() {
    let mut channel = Channel::of(VotingRule::Majority, &[Plain; 3]);
    let before = channel.node.state.members().clone();
    let (proposal, _) = channel.propose(1, Join(member(4, Plain)));
    channel.vote(2, proposal, true);
    let state = &channel.node.state;
    assert_eq!((state.height(), state.members(), state.members_at(3)), (2, &before, Some(&before)));
    let after = state.members_at(4).expect("known").clone();
    assert_eq!((after.count(), state.members_at(2), state.members_at(5)), (4, None, None));
    assert_eq!(channel.node.committed(&entries::members_key()), Some(state_value(&after.encode())), "the root commits at once");
    let third = channel.node.pass();
    assert_eq!(third.header.next_members, after.digest(), "block 3 names who decides on block 4");
    assert_eq!(channel.node.state.members(), &after);
}

#[test]
fn nobody_joins_or_rotates_with_keys_that_have_not_signed_for_it() {
    let mut channel = Channel::of(VotingRule::Majority, &[Plain; 3]);
    let genesis = channel.node.state.genesis_digest();
    let actions = [Propose(Join(member(5, Plain))), Propose(Replace { leaves: did(3), joins: member(5, Plain) }), RotateKeys(keys(1, 1))];
    for action in actions {
        let good = possession(&did(1), &action).expect("it brings keys");
        let mut other = good.clone();
        other.transport = other.cosigning;
        let brought = match &action {
            Propose(_) => keys(5, 0),
            _ => keys(1, 1),
        };
        for (shown, key) in [(None, &brought.consensus), (Some(other), &brought.transport)] {
            let number = channel.node.state.next_sequence(&did(1));
            let transaction = MembersTransaction::sign(&genesis, action.clone(), shown, number, &organisation(1));
            assert_eq!(channel.node.one(transaction), Outcome::Rejected(Rejection::NoPossession { key: key.clone() }));
        }
        // What shows it for one organisation shows nothing for another.
        let number = channel.node.state.next_sequence(&did(2));
        if action == RotateKeys(keys(1, 1)) {
            let transaction = MembersTransaction::sign(&genesis, action, Some(good), number, &organisation(2));
            assert_eq!(channel.node.one(transaction), Outcome::Rejected(Rejection::NoPossession { key: brought.consensus }));
        }
    }
    assert_eq!(channel.decided(), dids(channel.node.state.members()), "nothing changed");
    assert_eq!(channel.act(1, RotateKeys(keys(1, 1))), decided(&channel.node.state));
}

#[test]
fn strangers_and_former_members_have_no_say() {
    let mut channel = Channel::of(VotingRule::TwoThirds, &[Plain; 4]);
    let (proposal, _) = channel.propose(1, Join(member(5, Plain)));
    for action in [MembersAction::Vote { proposal, approve: true }, Propose(Leave(did(1))), RotateKeys(keys(9, 1))] {
        assert_eq!(channel.act(9, action), Outcome::Rejected(Rejection::NotMember { key: did(9) }));
    }
    assert_eq!(channel.vote(4, proposal, true), open(proposal));
    assert_eq!(channel.act(4, Propose(Leave(did(4)))), decided(&channel.node.state));
    let votes = &channel.node.state.proposals()[&proposal].votes;
    assert_eq!(votes.keys().collect::<Vec<_>>(), [&did(1)], "the vote went with the member");
    assert_eq!(channel.vote(4, proposal, true), Outcome::Rejected(Rejection::NotMember { key: did(4) }), "before it is gone, too");
    // Three are left, and all three are more than two thirds.
    assert_eq!(channel.vote(2, proposal, true), open(proposal));
    assert_eq!(channel.vote(3, proposal, true), decided(&channel.node.state));
}

#[test]
fn a_proposal_ends_with_the_last_member_who_wanted_it_and_when_it_no_longer_fits() {
    let mut channel = Channel::of(VotingRule::Unanimous, &[Plain; 4]);
    let (orphaned, _) = channel.propose(4, Join(member(5, Plain)));
    let (outdated, _) = channel.propose(1, Leave(did(4)));
    let (stays, _) = channel.propose(2, Join(member(6, Plain)));
    channel.act(4, Propose(Leave(did(4))));
    assert_eq!(channel.node.state.proposals().keys().collect::<Vec<_>>(), [&stays]);
    for ended in [orphaned, outdated] {
        assert_eq!(channel.node.committed(&entries::proposal_key(&ended)), None);
    }
    let proposal = &channel.node.state.proposals()[&stays];
    assert_eq!(channel.node.committed(&entries::proposal_key(&stays)), Some(state_value(&proposal.encode())));
}

#[test]
fn a_member_leaves_by_itself_unless_it_is_the_last() {
    let mut channel = Channel::of(VotingRule::Unanimous, &[Plain; 2]);
    assert_eq!(channel.act(1, Propose(Leave(did(1)))), decided(&channel.node.state));
    assert_eq!(channel.act(2, Propose(Leave(did(2)))), Outcome::Rejected(Rejection::LastMember));
    assert_eq!(channel.decided(), [did(2)]);
    let replacement = Replace { leaves: did(2), joins: member(7, Plain) };
    assert_eq!(channel.act(2, Propose(replacement)), decided(&channel.node.state));
    assert_eq!(channel.decided(), [did(7)]);
}

#[test]
fn a_member_replaces_its_own_keys_without_a_vote_and_takes_nobody_elses() {
    let mut channel = Channel::of(VotingRule::Unanimous, &[Plain; 3]);
    assert_eq!(channel.act(1, RotateKeys(keys(1, 1))), decided(&channel.node.state));
    assert_eq!(channel.act(1, RotateKeys(keys(1, 1))), Outcome::Rejected(Rejection::NoChange));
    let taken = channel.act(1, RotateKeys(keys(2, 0)));
    assert!(matches!(taken, Outcome::Rejected(Rejection::ImpossibleMembers(_))));
    let members = channel.node.state.members_at(channel.node.state.height() + 2).expect("known");
    assert_eq!(members.by_did(&did(1)).map(|member| &member.keys), Some(&keys(1, 1)));
}

#[test]
fn what_makes_no_sense_is_not_put_to_the_vote() {
    let mut channel = Channel::of(VotingRule::Majority, &[Plain; 3]);
    let nameless = Member { name: String::new(), ..member(5, Plain) };
    let cases = [
        (Join(member(2, Plain)), "impossible_members"),
        (Join(nameless), "impossible_members"),
        (Leave(did(9)), "no_such_member"),
        (Replace { leaves: did(9), joins: member(5, Plain) }, "no_such_member"),
        (Replace { leaves: did(2), joins: member(3, Plain) }, "impossible_members"),
        (SetRule(VotingRule::Majority), "no_change"),
    ];
    for (change, code) in cases {
        let Outcome::Rejected(why) = channel.propose(1, change).1 else { panic!("{code}") };
        assert_eq!(why.code(), code);
        assert!(why.to_string().len() > 10);
    }
    assert!(channel.node.state.proposals().is_empty());
}

#[test]
fn nobody_crowds_the_others_out_with_proposals() {
    let mut channel = Channel::of(VotingRule::Unanimous, &[Plain; PROPOSALS_MAX]);
    let mut fresh = 100..;
    let mut propose = |channel: &mut Channel, who| channel.propose(who, Join(member(fresh.next().expect("seeds"), Plain))).1;
    for who in 1..=(PROPOSALS_MAX / OWN_PROPOSALS_MAX) as u8 {
        for _ in 0..OWN_PROPOSALS_MAX {
            assert!(matches!(propose(&mut channel, who), Outcome::Members(MembersOutcome::Open { .. })));
        }
        if who == 1 {
            assert_eq!(propose(&mut channel, who), Outcome::Rejected(Rejection::TooManyOwnProposals));
        }
    }
    assert_eq!(propose(&mut channel, 16), Outcome::Rejected(Rejection::TooManyProposals));
    // Who wants room votes the others' proposals down.
    let proposal = *channel.node.state.proposals().keys().next().expect("one is open");
    assert_eq!(channel.vote(16, proposal, false), Outcome::Members(MembersOutcome::Refused { proposal }));
    assert!(matches!(propose(&mut channel, 16), Outcome::Members(MembersOutcome::Open { .. })));
}

#[test]
fn the_last_vote_of_a_member_counts_once_and_nobody_repeats_it() {
    let mut channel = Channel::of(VotingRule::TwoThirds, &[Plain; 5]);
    let (proposal, _) = channel.propose(1, Join(member(6, Plain)));
    let approval = channel.transaction(2, MembersAction::Vote { proposal, approve: true });
    assert_eq!(channel.node.one(approval.clone()), open(proposal));
    assert_eq!(channel.vote(2, proposal, false), open(proposal));
    assert_eq!(channel.node.one(approval), Outcome::Rejected(Rejection::StaleSequence { expected: 3 }), "an old vote, sent again");
    assert_eq!(channel.vote(3, proposal, true), open(proposal));
    assert_eq!(channel.vote(3, proposal, true), open(proposal));
    assert_eq!(channel.vote(4, proposal, true), open(proposal), "three of five");
    assert_eq!(channel.vote(5, proposal, true), decided(&channel.node.state));
}

#[test]
fn a_new_rule_judges_what_comes_after_it() {
    let mut channel = Channel::of(VotingRule::Majority, &[Plain; 3]);
    let (proposal, _) = channel.propose(1, SetRule(VotingRule::Unanimous));
    assert_eq!(channel.vote(2, proposal, true), decided(&channel.node.state));
    assert_eq!(channel.node.state.voting_rule(), VotingRule::Unanimous);
    let (proposal, _) = channel.propose(1, Leave(did(3)));
    assert_eq!(channel.vote(2, proposal, true), open(proposal));
    assert_eq!(channel.vote(3, proposal, false), Outcome::Members(MembersOutcome::Refused { proposal }));
}

/// What members did, judged anew in another way than the ledger's.
struct Model {
    members: Vec<Member>,
    rule: VotingRule,
    proposals: BTreeMap<Hash, (MembersChange, BTreeMap<Did, bool>)>,
}

impl Model {
    fn agrees(&self, votes: &BTreeMap<Did, bool>) -> bool {
        let missing: Vec<_> = self.members.iter().filter(|member| votes.get(&member.did) != Some(&true)).collect();
        let (all, approvals) = (self.members.len(), self.members.len() - missing.len());
        match self.rule {
            VotingRule::Majority => approvals > all / 2,
            VotingRule::TwoThirds => approvals > all * 2 / 3,
            VotingRule::Unanimous => missing.is_empty(),
            VotingRule::RegulatorVeto => approvals > all / 2 && missing.iter().all(|member| member.role == Plain),
        }
    }

    fn change(&mut self, change: &MembersChange) {
        match change {
            Join(member) => self.members.push(member.clone()),
            Leave(did) => self.members.retain(|member| member.did != *did),
            Replace { leaves, joins } => {
                self.members.retain(|member| member.did != *leaves);
                self.members.push(joins.clone());
            }
            SetRule(rule) => self.rule = *rule,
        }
    }

    fn see(&mut self, by: &Did, hash: Hash, action: &MembersAction, outcome: &Outcome) -> Result<(), TestCaseError> {
        let is_member = self.members.iter().any(|member| member.did == *by);
        prop_assert_eq!(is_member, *outcome != Outcome::Rejected(Rejection::NotMember { key: by.clone() }));
        let Outcome::Members(outcome) = outcome else { return Ok(()) };
        let id = match action {
            Propose(change) => {
                self.proposals.insert(hash, (change.clone(), BTreeMap::from([(by.clone(), true)])));
                hash
            }
            MembersAction::Vote { proposal, approve } => {
                self.proposals.get_mut(proposal).expect("was proposed").1.insert(by.clone(), *approve);
                *proposal
            }
            RotateKeys(keys) => {
                self.members.iter_mut().filter(|member| member.did == *by).for_each(|member| member.keys = keys.clone());
                return Ok(());
            }
        };
        let (change, votes) = self.proposals[&id].clone();
        // Whoever is gone did not vote, even if it comes back.
        let goes_alone = matches!(action, Propose(Leave(did)) if did == by);
        match outcome {
            MembersOutcome::Decided { .. } => {
                prop_assert!(goes_alone || self.agrees(&votes), "{:?} {:?}", self.rule, votes);
                self.change(&change);
                let still = |did: &Did| self.members.iter().any(|member| member.did == *did);
                self.proposals.values_mut().for_each(|(_, votes)| votes.retain(|voter, _| still(voter)));
            }
            _ => prop_assert!(!goes_alone && !self.agrees(&votes)),
        }
        Ok(())
    }
}

/// An action that three bytes decide on, of nine organisations that are members, were, or never will be.
fn action(open: &[Hash], [what, whom, how]: [u8; 3]) -> MembersAction {
    let role = if how % 4 == 0 { Regulator } else { Plain };
    let rules = [VotingRule::Majority, VotingRule::TwoThirds, VotingRule::Unanimous, VotingRule::RegulatorVeto];
    let whom = 1 + whom % 9;
    match what % 12 {
        0 => Propose(Join(member(whom, role))),
        1 => Propose(Leave(did(whom))),
        2 => Propose(Replace { leaves: did(whom), joins: member(1 + how % 9, role) }),
        3 => Propose(SetRule(rules[usize::from(how % 4)])),
        4 => RotateKeys(keys(whom, how % 4)),
        _ => {
            let proposal = open.get(usize::from(how) % open.len().max(1)).copied().unwrap_or(Hash([9; 32]));
            MembersAction::Vote { proposal, approve: what % 12 < 11 }
        }
    }
}

fn drive(rule: VotingRule, acts: &[(u8, [u8; 3])]) -> Result<(), TestCaseError> {
    let roles = [Plain, Plain, Plain, Regulator];
    let mut channel = Channel::of(rule, &roles);
    let mut model = Model { members: (1..).zip(roles).map(|(seed, role)| member(seed, role)).collect(), rule, proposals: BTreeMap::new() };
    for block in acts.chunks(3) {
        let open: Vec<Hash> = channel.node.state.proposals().keys().copied().collect();
        let mut transactions: Vec<(Did, MembersAction, Transaction)> = Vec::new();
        for (who, bytes) in block {
            let key = organisation(1 + who % 9);
            let earlier = transactions.iter().filter(|(by, ..)| *by == key.did()).count() as u64;
            let sequence = channel.node.state.next_sequence(&key.did()) + earlier;
            let action = action(&open, *bytes);
            let shown = possession(&key.did(), &action);
            let signed = MembersTransaction::sign(&channel.node.state.genesis_digest(), action.clone(), shown, sequence, &key);
            transactions.push((key.did(), action, signed.into()));
        }
        let decided_before = channel.node.state.members_at(channel.node.state.height() + 2).expect("known").clone();
        let (made, outcomes) = channel.node.submit(1, transactions.iter().map(|(.., transaction)| transaction.clone()).collect());
        for ((by, action, transaction), outcome) in transactions.iter().zip(&outcomes) {
            model.see(by, transaction.hash(), action, outcome)?;
        }
        let state = &channel.node.state;
        let height = made.expect("every number was in turn").header.height;
        prop_assert_eq!(state.members_at(height + 1), Some(&decided_before), "one set a height, decided before the block");
        let expected = Members::new(model.members.clone()).expect("members");
        prop_assert_eq!(state.members_at(height + 2), Some(&expected));
        prop_assert_eq!(state.voting_rule(), model.rule);
        prop_assert!(state.proposals().len() <= PROPOSALS_MAX);
        let still = |proposal: &entrepot_chain_ledger::Proposal| proposal.votes.keys().all(|voter| expected.by_did(voter).is_some());
        prop_assert!(state.proposals().values().all(still), "nobody else's vote is kept");
        prop_assert_eq!(channel.node.committed(&entries::members_key()), Some(state_value(&expected.encode())));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_set_of_members_is_reached_from_the_one_before_by_its_rule(
        rule in prop::sample::select(vec![VotingRule::Majority, VotingRule::TwoThirds, VotingRule::Unanimous, VotingRule::RegulatorVeto]),
        acts in proptest::collection::vec((any::<u8>(), any::<[u8; 3]>()), 1..40),
    ) {
        drive(rule, &acts)?;
    }
}
