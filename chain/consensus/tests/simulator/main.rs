//! Members in one thread, with a network and a disk that a seed decides about: messages are lost, late, doubled and out of order, members
//! crash at any point and come back with what was durable, and up to a third of them lie. Whatever happens, no two members decide differently
//! and no honest one signs two things; once the network is good again, everyone who is up goes on.

mod liar;
#[path = "../membership/mod.rs"]
mod membership;
mod world;

use world::{Fate, World};

/// Seeds of each kind; `ENTREPOT_SEEDS` asks for more.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let wanted = std::env::var("ENTREPOT_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    0..wanted.unwrap_or(count)
}

#[test]
fn a_good_network_decides_in_the_first_round() {
    for members in [1, 2, 3, 4, 7] {
        let mut world = World::new(members, 0, Fate::default());
        world.run_to_height(20);
        assert!(world.highest_round() == 0, "{members} members needed round {}", world.highest_round());
    }
}

#[test]
fn losses_delays_doubles_and_reordering_never_split_the_chain() {
    for seed in seeds(300) {
        let fate = Fate { loses: 15, doubles: 15, delays_to: 900, bad_until: 20_000, ..Fate::default() };
        World::new(4, seed, fate).run_to_height(6);
    }
}

#[test]
fn crashes_at_any_point_never_make_a_member_contradict_itself() {
    for seed in seeds(400) {
        let fate = Fate { loses: 5, doubles: 5, delays_to: 300, crashes: 12, bad_until: 20_000, ..Fate::default() };
        World::new(4, seed, fate).run_to_height(6);
    }
}

#[test]
fn verdicts_that_come_after_the_decision_never_split_the_chain() {
    for seed in seeds(200) {
        let fate = Fate { loses: 10, doubles: 5, delays_to: 300, crashes: 4, verdicts_to: 700, bad_until: 15_000, ..Fate::default() };
        World::new(4, seed, fate).run_to_height(5);
    }
}

#[test]
fn one_of_four_lies_and_verdicts_are_late() {
    for seed in seeds(150) {
        let fate = Fate { liars: 1, loses: 5, delays_to: 200, verdicts_to: 500, bad_until: 10_000, ..Fate::default() };
        World::new(4, seed, fate).run_to_height(4);
    }
}

#[test]
fn all_of_them_crash_again_and_again() {
    for seed in seeds(200) {
        let fate = Fate { crashes: 60, crashes_all: true, delays_to: 50, bad_until: 20_000, ..Fate::default() };
        World::new(4, seed, fate).run_to_height(6);
    }
}

#[test]
fn one_of_four_lies_and_nothing_splits() {
    for seed in seeds(300) {
        let fate = Fate { liars: 1, loses: 5, doubles: 5, delays_to: 300, crashes: 3, bad_until: 15_000, ..Fate::default() };
        World::new(4, seed, fate).run_to_height(5);
    }
}

#[test]
fn two_of_seven_lie_and_nothing_splits() {
    for seed in seeds(150) {
        let fate = Fate { liars: 2, loses: 5, delays_to: 200, bad_until: 10_000, ..Fate::default() };
        World::new(7, seed, fate).run_to_height(4);
    }
}

#[test]
fn a_liar_leaves_evidence_that_convicts_it_and_nobody_else() {
    let mut found = 0;
    for seed in seeds(40) {
        let mut world = World::new(4, seed, Fate { liars: 1, ..Fate::default() });
        world.run_to_height(6);
        found += world.check_evidence();
    }
    assert!(found > 0, "an equivocator went unnoticed in every run");
}

#[test]
fn half_of_them_decide_nothing_and_go_on_when_one_is_back() {
    let mut world = World::new(4, 7, Fate::default());
    world.run_to_height(3);
    world.crash(2);
    world.crash(3);
    let before = world.decided(0);
    world.run_for(60_000);
    assert!(world.decided(0) <= before + 1, "two of four decided");
    world.restart(2);
    world.run_to_height(before + 4);
}

#[test]
fn more_liars_than_a_third_are_what_it_does_not_withstand() {
    // The harness itself: were it blind to a split, the other tests would show nothing.
    let split = (0..40).any(|seed| {
        let fate = Fate { liars: 2, delays_to: 300, bad_until: 10_000, ..Fate::default() };
        std::panic::catch_unwind(|| World::new(4, seed, fate).run_for(30_000)).is_err()
    });
    assert!(split, "two liars of four never split the chain: the harness does not look");
}
