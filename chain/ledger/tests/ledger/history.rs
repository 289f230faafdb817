//! The members of every height, as somebody outside walks them over real blocks, are those who decided on them.

use crate::support::{Node, consortium, keys, member, organisation, possession};
use entrepot_chain_ledger::{
    Block, MembersAction, MembersChange, MembersOutcome, MembersTransaction, Outcome,
    consortium::{CommitCertificate, Member, MemberKeys, MemberRole, Members, VoteKind, VotingRule, vote_message},
};
use entrepot_chain_log::consortium::{DecidedHeader, HistoryStart, MemberHistory, MemberStep, TrustedChannel};
use entrepot_chain_statement::SigningKey;

const TURNS: u8 = 3;

/// The key behind a member's consensus DID.
fn consensus(member: &Member) -> SigningKey {
    let keys = |seed: u8, turn: u8| {
        let mut bytes = [seed; 32];
        (bytes[30], bytes[31]) = (turn, 2);
        SigningKey::from_seed(&bytes)
    };
    let mut all = (1..=9).flat_map(|seed| (0..TURNS).map(move |turn| keys(seed, turn)));
    all.find(|key| key.did() == member.keys.consensus).expect("a key of a test's member")
}

/// A channel whose blocks are decided by all members there are, each block noted with who they were.
struct Chain {
    node: Node,
    blocks: Vec<(DecidedHeader, Members)>,
    history: MemberHistory,
}

impl Chain {
    fn new() -> Self {
        let genesis = consortium(VotingRule::Majority, (1..=4).map(|seed| member(seed, MemberRole::Member)).collect());
        let history = MemberHistory { start: HistoryStart::Genesis(genesis.clone()), steps: vec![] };
        Self { node: Node::founded(&genesis), blocks: vec![], history }
    }

    fn note(&mut self, members: &Members, block: Block) {
        let (genesis, header) = (self.node.state.genesis_digest(), block.header);
        let message = vote_message(&genesis, VoteKind::Precommit, header.height, 0, Some(&header.hash()));
        let keys = members.as_slice().iter().map(consensus);
        let signatures = keys.map(|key| (key.did(), key.sign(&message))).collect();
        let certificate = CommitCertificate { height: header.height, round: 0, block: header.hash(), signatures };
        let parent = self.blocks.last().map(|(decided, _)| decided.header.clone());
        let decided = DecidedHeader { parent, header, certificate };
        self.history.steps.extend(MemberStep::of(&decided, members, self.node.state.members()));
        self.blocks.push((decided, members.clone()));
    }

    fn pass(&mut self) {
        let members = self.node.state.members().clone();
        let block = self.node.pass();
        self.note(&members, block);
    }

    fn act(&mut self, who: u8, action: MembersAction) -> Outcome {
        let (members, key) = (self.node.state.members().clone(), organisation(who));
        let sequence = self.node.state.next_sequence(&key.did());
        let shown = possession(&key.did(), &action);
        let transaction = MembersTransaction::sign(&self.node.state.genesis_digest(), action, shown, sequence, &key);
        let (block, mut outcomes) = self.node.submit(1, vec![transaction]);
        self.note(&members, block.expect("it changes the state"));
        outcomes.remove(0)
    }

    /// Passes a change by the votes of members 1, 2 and 3, and tells at which height it is active.
    fn pass_change(&mut self, change: MembersChange) -> u64 {
        let Outcome::Members(MembersOutcome::Open { proposal }) = self.act(1, MembersAction::Propose(change)) else {
            panic!("one vote of four decided");
        };
        for who in [2, 3] {
            if let Outcome::Members(MembersOutcome::Decided { active }) = self.act(who, MembersAction::Vote { proposal, approve: true }) {
                return active;
            }
        }
        panic!("three votes did not decide")
    }
}

#[test]
fn a_walk_over_real_blocks_knows_the_members_of_every_height() {
    let mut chain = Chain::new();
    chain.pass();
    let mut active = vec![chain.pass_change(MembersChange::Join(member(5, MemberRole::Regulator)))];
    chain.pass();
    chain.pass();
    let rotated: MemberKeys = keys(2, 1);
    chain.act(2, MembersAction::RotateKeys(rotated.clone()));
    active.push(chain.node.state.height() + 2);
    // The next change is passed before the one before is active.
    active.push(chain.pass_change(MembersChange::Replace { leaves: organisation(4).did(), joins: member(6, MemberRole::Member) }));
    for _ in 0..5 {
        chain.pass();
    }
    chain.act(5, MembersAction::Propose(MembersChange::Leave(organisation(5).did())));
    active.push(chain.node.state.height() + 2);
    for _ in 0..3 {
        chain.pass();
    }
    let steps: Vec<u64> = chain.history.steps.iter().map(|step| step.decided.header.height + 1).collect();
    assert_eq!(steps, active, "a change shows in the header before the height where it is active");

    let trusted = TrustedChannel { genesis: chain.node.state.genesis_digest(), since: None };
    let walk = chain.history.walk(&trusted).expect("an honest history");
    for (decided, members) in &chain.blocks {
        assert_eq!(walk.decides(decided).expect("decided"), members);
    }
    assert_eq!(walk.latest(), Some(chain.node.state.members()));
    // And without any one of the steps, what follows it is not believed.
    for left_out in 0..chain.history.steps.len() {
        let mut history = chain.history.clone();
        history.steps.remove(left_out);
        let believed = history.walk(&trusted).is_ok_and(|walk| chain.blocks.iter().all(|(decided, _)| walk.decides(decided).is_ok()));
        assert!(!believed, "step {left_out}");
    }
}
