//! What a member that does not know what it signed waits for.

use super::*;
use entrepot_chain_log::{
    Member,
    consortium::{MemberKeys, MemberRole},
};
use entrepot_chain_statement::{Hash, SigningKey};

fn key(seed: u8, purpose: u8) -> Did {
    SigningKey::from_seed(&[seed, purpose].repeat(16).try_into().expect("32 bytes")).did()
}

fn members(seeds: std::ops::Range<u8>) -> Members {
    let member = |at: u8| Member {
        did: key(at, 1),
        name: format!("member {at}"),
        role: MemberRole::Member,
        keys: MemberKeys { consensus: key(at, 2), cosigning: key(at, 3), transport: key(at, 4) },
    };
    Members::new(seeds.map(member).collect()).expect("distinct keys")
}

fn head(height: u64, members: &Members) -> Committed {
    Committed { height, block: Hash([0; 32]), members: members.clone(), upcoming: members.clone(), waiting: false }
}

/// Member 0 rejoins.
struct Follower {
    rejoin: Rejoin,
    reached: BTreeSet<Did>,
    folder: tempfile::TempDir,
}

impl Follower {
    fn new(new: bool, logged: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let marker = folder.path().join("rejoining");
        put_down(&marker, new).expect("a disk");
        Self { rejoin: Rejoin::of(marker, logged).expect("it is there"), reached: (0..9).map(|at| key(at, 4)).collect(), folder }
    }

    fn hear(&mut self, said: &[(u8, u64)]) {
        self.rejoin.hear(&said.iter().map(|(at, height)| (key(*at, 4), *height)).collect(), |_| false);
    }

    fn doubt(&mut self, doubted: u8) {
        self.rejoin.hear(&BTreeMap::from([(key(doubted, 4), 0)]), |_| true);
    }

    fn votes(&mut self, height: u64, members: &Members) -> bool {
        let head = head(height, members);
        (0..9).for_each(|at| self.rejoin.greet(&key(at, 4)));
        self.rejoin.at(&head, &key(0, 2)).expect("a disk");
        self.rejoin.may_vote(&head, &key(0, 2), &self.reached)
    }
}

#[test]
fn it_votes_two_heights_above_what_a_quorum_of_the_others_named() {
    let (four, mut follower) = (members(0..4), Follower::new(false, 0));
    follower.hear(&[(1, 10), (2, 9)]);
    assert!((9..100).all(|height| !follower.votes(height, &four)), "two of three others are no quorum");
    let mut follower = Follower::new(false, 0);
    follower.hear(&[(1, 10), (2, 9), (3, 8)]);
    assert!((8..12).all(|height| !follower.votes(height, &four)));
    // What they say later is about what was decided meanwhile.
    follower.hear(&[(1, 50), (2, 50), (3, 50)]);
    assert!(follower.votes(12, &four));
}

#[test]
fn the_old_log_is_a_bound_as_well() {
    let (four, mut follower) = (members(0..4), Follower::new(false, 30));
    follower.hear(&[(1, 10), (2, 9), (3, 8)]);
    assert!((8..30).all(|height| !follower.votes(height, &four)));
    assert!(follower.votes(30, &four));
}

#[test]
fn a_claim_of_the_end_of_time_neither_wraps_nor_counts() {
    let (four, mut follower) = (members(0..4), Follower::new(false, 0));
    follower.hear(&[(1, 10), (2, 9), (3, u64::MAX)]);
    assert!((8..1000).all(|height| !follower.votes(height, &four)));
    // It does not hand out what it says it has; later it says something else.
    follower.doubt(3);
    assert!(!follower.votes(1000, &four));
    follower.hear(&[(3, 11)]);
    assert!(follower.votes(1001, &four));
    // Where a quorum speaks without it, it does not matter at all.
    let (seven, mut follower) = (members(0..7), Follower::new(false, 0));
    follower.hear(&[(1, 10), (2, 10), (3, 10), (4, 10), (5, 10), (6, u64::MAX)]);
    assert!(!follower.votes(11, &seven));
    assert!(follower.votes(12, &seven));
}

#[test]
fn other_members_are_other_witnesses() {
    let (four, seven, mut follower) = (members(0..4), members(0..7), Follower::new(false, 0));
    follower.hear(&[(1, 3), (2, 3), (3, 3)]);
    assert!(!follower.votes(3, &four));
    // The chain it was restored from is old: who decides now has not said anything yet.
    assert!((5..20).all(|height| !follower.votes(height, &seven)));
    follower.hear(&[(4, 12), (5, 12), (6, 12)]);
    assert!(follower.votes(20, &seven));
    // Of the same members, the first height they decide is waited for.
    assert!(!follower.votes(21, &four));
    assert!(follower.votes(22, &four));
}

#[test]
fn new_members_found_a_channel_together() {
    let (four, mut follower) = (members(0..4), Follower::new(true, 0));
    assert!(!follower.votes(0, &four));
    follower.hear(&[(1, 0), (2, 0)]);
    assert!(!follower.votes(0, &four), "the third may be about to say so");
    follower.hear(&[(3, 0)]);
    assert!(follower.votes(0, &four));
    let (one, mut follower) = (members(0..1), Follower::new(true, 0));
    assert!(follower.votes(0, &one));
}

#[test]
fn a_channel_that_went_on_without_it_is_followed() {
    let (four, mut follower) = (members(0..4), Follower::new(true, 0));
    follower.hear(&[(1, 0), (2, 5), (3, 5)]);
    assert!((0..7).all(|height| !follower.votes(height, &four)));
    assert!(follower.votes(7, &four));
}

#[test]
fn whoever_is_admitted_later_votes_when_it_is_there_even_after_a_restart() {
    let (before, after, mut follower) = (members(1..2), members(0..2), Follower::new(true, 0));
    follower.hear(&[(1, 100)]);
    assert!((0..100).all(|height| !follower.votes(height, &before)));
    let head = head(100, &after);
    follower.rejoin.at(&head, &key(0, 2)).expect("a disk");
    let mut rejoin = Rejoin::of(follower.folder.path().join("rejoining"), 0).expect("it is there");
    rejoin.at(&head, &key(0, 2)).expect("a disk");
    rejoin.hear(&BTreeMap::from([(key(1, 4), 100)]), |_| false);
    rejoin.greet(&key(1, 4));
    assert!(rejoin.may_vote(&head, &key(0, 2), &follower.reached));
}

#[test]
fn one_of_two_that_forgot_never_votes_and_one_alone_does() {
    let (two, mut follower) = (members(0..2), Follower::new(false, 0));
    follower.hear(&[(1, 4)]);
    assert!((0..100).all(|height| !follower.votes(height, &two)));
    let (one, mut follower) = (members(0..1), Follower::new(false, 5));
    assert!(!follower.votes(3, &one));
    assert!(follower.votes(4, &one));
}
