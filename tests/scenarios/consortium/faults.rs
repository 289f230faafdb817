//! Members that die, stop, or cannot be reached.

use super::ALL;
use entrepot_tests::consortium::{Consortium, Way, path_of, wait};
use std::time::Duration;

/// One member is away so long that others have much to tell it.
const WHILE_AWAY: usize = 5;

/// How a member is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Killed,
    Stopped,
    CutOff,
}

impl Loss {
    fn begin(self, consortium: &mut Consortium, at: usize) {
        match self {
            Self::Killed => consortium.nodes[at].process.kill(),
            Self::Stopped => consortium.nodes[at].process.signal("STOP"),
            Self::CutOff => consortium.set_ways(at, Way::Cut),
        }
    }

    fn end(self, consortium: &mut Consortium, at: usize) {
        match self {
            Self::Killed => consortium.nodes[at].restart(None),
            Self::Stopped => consortium.nodes[at].process.signal("CONT"),
            Self::CutOff => consortium.set_ways(at, Way::Open),
        }
    }
}

/// Each member in turn is lost in this way: the others go on, and it catches up.
async fn each_in_turn(loss: Loss) {
    let mut consortium = Consortium::start().await;
    for at in ALL {
        let others: Vec<_> = ALL.into_iter().filter(|other| *other != at).collect();
        loss.begin(&mut consortium, at);
        for turn in 0..WHILE_AWAY {
            consortium.log(others[turn % others.len()]).await;
        }
        let height = consortium.agree(&others, 1).await;
        loss.end(&mut consortium, at);
        consortium.agree(&ALL, height).await;
        consortium.log(at).await;
    }
    consortium.agree(&ALL, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_may_be_killed_and_catches_up() {
    each_in_turn(Loss::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_may_be_stopped_and_catches_up() {
    each_in_turn(Loss::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_member_may_be_cut_off_and_catches_up() {
    each_in_turn(Loss::CutOff).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lags_decides_nothing_about_what_it_cannot_place() {
    let mut consortium = Consortium::start().await;
    consortium.log(0).await;
    consortium.agree(&ALL, 1).await;
    consortium.set_ways(0, Way::Cut);
    let missed = consortium.leaf(0);
    assert_eq!(consortium.nodes[1].submit(&missed).await.expect("an answer")["status"], "accepted");
    // The member that was cut off does not know of the number before.
    let next = consortium.leaf(0);
    let (behind, submitted) = (consortium.nodes[0].client(), next.clone());
    let answer = tokio::spawn(async move { behind.submit(&submitted).await });
    let told = wait("it is not taken", async || consortium.nodes[0].get(&path_of(&next.hash)).await).await;
    assert_eq!(told["verdict"]["status"], "pending");
    consortium.set_ways(0, Way::Open);
    assert_eq!(answer.await.expect("runs").expect("a verdict")["status"], "accepted");
    consortium.agree(&ALL, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_of_four_lost_nothing_is_decided_and_with_one_back_everything_is() {
    for (loss, lost) in [(Loss::Killed, [0, 1]), (Loss::Stopped, [1, 3]), (Loss::CutOff, [2, 3])] {
        let mut consortium = Consortium::start().await;
        consortium.log(0).await;
        consortium.agree(&ALL, 1).await;
        lost.into_iter().for_each(|at| loss.begin(&mut consortium, at));
        let rest: Vec<_> = ALL.into_iter().filter(|at| !lost.contains(at)).collect();
        let (waiting, client) = (consortium.leaf(rest[0]), consortium.nodes[rest[0]].client());
        let hash = waiting.hash;
        let submission = tokio::spawn(async move { client.submit(&waiting).await });
        let height = consortium.quiet(&rest).await;
        assert!(!submission.is_finished(), "{loss:?}: two of four decided");
        loss.end(&mut consortium, lost[0]);
        let three: Vec<_> = rest.iter().copied().chain([lost[0]]).collect();
        consortium.agree(&three, height + 1).await;
        let verdict = submission.await.expect("no panic").expect("a verdict");
        assert_eq!(verdict["status"], "accepted", "{loss:?}: {verdict}");
        loss.end(&mut consortium, lost[1]);
        consortium.agree(&ALL, height + 1).await;
        for node in &consortium.nodes {
            assert!(node.get(&entrepot_tests::consortium::path_of(&hash)).await.is_some());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_torn_into_halves_decides_nothing_in_either_and_heals_without_a_fork() {
    let mut consortium = Consortium::start().await;
    let load = consortium.load();
    let halves = |consortium: &Consortium, way: Way| {
        for (from, to) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
            consortium.link(from, to).set(way);
            consortium.link(to, from).set(way);
        }
    };
    for _ in 0..3 {
        let before = load.count();
        entrepot_tests::consortium::wait("the load stands still", async || (load.count() > before + 10).then_some(())).await;
        halves(&consortium, Way::Cut);
        // Whatever was decided on all sides before the cut is settled within a half.
        for half in [[0, 1], [2, 3]] {
            entrepot_tests::consortium::wait("a half does not come to rest", async || {
                let before = consortium.nodes[half[0]].height().await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                (consortium.nodes[half[0]].height().await == before).then_some(())
            })
            .await;
        }
        let before = load.count();
        consortium.quiet(&[0, 1]).await;
        consortium.quiet(&[2, 3]).await;
        assert_eq!(load.count(), before, "half of the members acknowledged something");
        halves(&consortium, Way::Open);
    }
    let acknowledged = consortium.finish(load).await;
    consortium.agree(&ALL, 1).await;
    consortium.holds(&ALL, &acknowledged).await;
}
