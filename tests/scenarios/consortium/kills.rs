//! SIGKILL at any moment, and at the worst ones.

use super::ALL;
use entrepot_tests::{
    consortium::{Consortium, wait},
    member::random,
};
use std::time::{Duration, Instant};

/// Kills, unless `ENTREPOT_KILLS` asks for another number.
const KILLS: usize = 25;
/// From one kill to the next at most; so sometimes two are down at once.
const PAUSE_MAX_MS: u64 = 1000;
/// A member may stay down so long at most.
const DOWN_MAX_MS: u64 = 400;
/// Each of these points, at this reach: the first, and one in the middle of work.
const POINTS: [&str; 8] = [
    "consensus.before_sync",
    "consensus.before_sync@5",
    "consensus.after_sync",
    "consensus.after_sync@6",
    "chain.before_commit",
    "chain.before_commit@4",
    "chain.after_commit",
    "chain.after_commit@3",
];

/// SplitMix64 (Steele, Lea and Flood, 2014): a printed seed tells who was killed when.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_killed_at_random_under_load_lose_nothing_that_was_acknowledged() {
    let kills = std::env::var("ENTREPOT_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(KILLS);
    let seed = u64::from_be_bytes(random());
    eprintln!("seed {seed}, {kills} kills");
    let (mut dice, begun) = (Dice(seed), Instant::now());
    let mut consortium = Consortium::start().await;
    let load = consortium.load();
    let mut down: Vec<(Instant, usize)> = Vec::new();
    let mut last = 0;
    for kill in 0..kills {
        tokio::time::sleep(dice.millis(PAUSE_MAX_MS)).await;
        let at = dice.below(4) as usize;
        down.retain(|(_, other)| *other != at);
        if let Some(end) = consortium.nodes[at].process.ended() {
            assert!(consortium.nodes[at].process.was_killed(), "{at} ended by itself ({end}):\n{}", consortium.nodes[at].process.log());
        } else {
            consortium.nodes[at].process.kill();
        }
        down.push((Instant::now() + dice.millis(DOWN_MAX_MS), at));
        let now = Instant::now();
        for (_, at) in down.extract_if(.., |(until, _)| *until <= now) {
            consortium.nodes[at].restart(None);
        }
        // Now and then everybody gets the time to decide something.
        if kill % 10 == 9 {
            for (_, at) in down.drain(..) {
                consortium.nodes[at].restart(None);
            }
            wait("nothing is acknowledged any more", async || (load.count() > last).then_some(())).await;
            last = load.count();
        }
    }
    for (_, at) in down.drain(..) {
        consortium.nodes[at].restart(None);
    }
    for node in &mut consortium.nodes {
        node.ready().await;
    }
    wait("nothing is acknowledged any more", async || (load.count() > last).then_some(())).await;
    let acknowledged = consortium.finish(load).await;
    let height = consortium.agree(&ALL, 1).await;
    consortium.holds(&ALL, &acknowledged).await;
    eprintln!("{kills} kills, {} acknowledged, {height} blocks, {:?}", acknowledged.len(), begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_killed_at_any_point_of_its_work_comes_back_to_the_same_chain() {
    let mut consortium = Consortium::start().await;
    let load = consortium.load();
    for (turn, point) in POINTS.into_iter().enumerate() {
        let at = turn % ALL.len();
        consortium.nodes[at].restart(Some(point));
        wait(&format!("{at} does not come to {point}"), async || consortium.nodes[at].process.ended()).await;
        assert!(consortium.nodes[at].process.was_killed(), "at {point}:\n{}", consortium.nodes[at].process.log());
        let before = load.count();
        wait("the others do not go on", async || (load.count() > before + 5).then_some(())).await;
        consortium.nodes[at].restart(None);
        consortium.nodes[at].ready().await;
    }
    let acknowledged = consortium.finish(load).await;
    consortium.agree(&ALL, 1).await;
    consortium.holds(&ALL, &acknowledged).await;
}
