//! Members come, go, change their keys and their rule, on their own nodes and by their own commands.

use super::ALL;
use entrepot_tests::{
    consortium::{AGREEMENT_MAX, Consortium, Node, Seat, text, wait},
    process,
};
use serde_json::Value;
use std::time::Instant;

const FIVE: [usize; 5] = [0, 1, 2, 3, 4];

/// An organisation acts at its own node; the answer.
fn act(consortium: &mut Consortium, at: usize, arguments: &[&str]) -> Value {
    consortium.used_number(at);
    consortium.nodes[at].act(&consortium.genesis, arguments)
}

/// Proposes, and lets others approve; the height of the block with the last vote.
fn decide(consortium: &mut Consortium, by: usize, change: &[&str], approve: &[usize]) -> u64 {
    let mut answer = act(consortium, by, &[&["propose"], change].concat());
    let proposal = answer["hash"].as_str().expect("a hash").to_owned();
    for at in approve {
        answer = act(consortium, *at, &["vote", "--proposal", &proposal, "--approve"]);
    }
    height_of(&answer)
}

fn height_of(answer: &Value) -> u64 {
    assert_eq!(answer["verdict"]["status"], "accepted", "{answer}");
    answer["verdict"]["height"].as_str().and_then(|height| height.parse().ok()).unwrap_or_else(|| panic!("no height: {answer}"))
}

/// Blocks are made until this height is there: what was decided becomes active by blocks, not by time.
async fn reach(consortium: &mut Consortium, by: usize, height: u64) {
    while consortium.nodes[by].height().await.expect("it answers") < height {
        consortium.log(by).await;
    }
}

/// Waits until this member's signature is under a block; meanwhile `by` submits.
async fn signs(consortium: &mut Consortium, seat: &Seat, by: usize) {
    let key = seat.member.keys.consensus.to_string();
    for _ in 0..100 {
        consortium.log(by).await;
        let height = consortium.nodes[by].height().await.expect("it answers");
        if consortium.nodes[by].signers(height).await.contains(&key) {
            return;
        }
    }
    panic!("{} signs nothing", seat.member.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_joins_catches_up_votes_and_leaves() {
    let mut consortium = Consortium::with(&["member"; 4], 1).await;
    consortium.log(0).await;
    assert_eq!(consortium.nodes[4].height().await, Some(0), "a node of no member has nothing");
    let member = text(&consortium.seats[4].keys.join("member.json"));
    let decided = decide(&mut consortium, 0, &["join", "--member", &member], &[1, 2]);
    reach(&mut consortium, 0, decided + 2).await;
    assert_eq!(consortium.nodes[0].members_at(decided + 1).await, 4);
    assert_eq!(consortium.nodes[0].members_at(decided + 2).await, 5);
    consortium.agree(&FIVE, decided + 2).await;
    // It votes once enough others have said that what an earlier life of it could have signed is past.
    let deadline = Instant::now() + AGREEMENT_MAX;
    while consortium.seats[4].follows() {
        assert!(Instant::now() < deadline, "it does not come to vote:\n{}", consortium.nodes[4].process.log());
        consortium.log(0).await;
    }
    // Four of five decide: without the newcomer's votes there is no block now.
    consortium.nodes[3].process.kill();
    consortium.log(0).await;
    let joined = consortium.seats[4].clone();
    signs(&mut consortium, &joined, 1).await;
    consortium.nodes[3].restart(None);
    consortium.agree(&FIVE, decided + 3).await;

    let left = height_of(&act(&mut consortium, 3, &["leave"]));
    reach(&mut consortium, 0, left + 2).await;
    assert_eq!((consortium.nodes[0].members_at(left + 1).await, consortium.nodes[0].members_at(left + 2).await), (5, 4));
    let rest = [0, 1, 2, 4];
    let height = consortium.agree(&rest, left + 2).await;
    consortium.log(4).await;
    consortium.agree(&rest, height + 1).await;
    let gone = consortium.nodes[3].height().await.expect("it answers");
    assert!(gone <= left + 1, "who left is told nothing more, and has {gone} of {height} blocks");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_voting_rule_changes_by_vote_and_a_regulators_veto_holds() {
    let mut consortium = Consortium::with(&["regulator", "member", "member", "member"], 1).await;
    decide(&mut consortium, 1, &["rule", "--rule", "regulator-veto"], &[2, 3]);
    let member = text(&consortium.seats[4].keys.join("member.json"));
    let proposed = act(&mut consortium, 1, &["propose", "join", "--member", &member]);
    let proposal = proposed["hash"].as_str().expect("a hash").to_owned();
    for at in [2, 3] {
        act(&mut consortium, at, &["vote", "--proposal", &proposal, "--approve"]);
    }
    let vetoed = height_of(&act(&mut consortium, 0, &["vote", "--proposal", &proposal, "--reject"]));
    reach(&mut consortium, 1, vetoed + 2).await;
    assert_eq!(consortium.nodes[1].members_at(vetoed + 2).await, 4, "all but the regulator wanted it");
    // It is closed: nobody can be outvoted later.
    let (genesis, key, url) =
        (text(&consortium.genesis), text(&consortium.seats[0].organisation_file()), format!("http://{}", consortium.seats[0].rest));
    let vote = ["chain", "vote", "--proposal", &proposal, "--approve", "--genesis", &genesis, "--key", &key, "--url", &url];
    let refused = process::run(&vote);
    assert_eq!(refused.status.code(), Some(5), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no_such_proposal"), "{refused:?}");
    consortium.used_number(0);
    let decided = decide(&mut consortium, 1, &["join", "--member", &member], &[2, 0]);
    reach(&mut consortium, 1, decided + 2).await;
    consortium.agree(&FIVE, decided + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_with_new_keys_goes_on_and_its_old_keys_are_worth_nothing() {
    let mut consortium = Consortium::start().await;
    consortium.log(2).await;
    consortium.agree(&ALL, 1).await;
    // Its node misses the block with its new keys, which its organisation hands in elsewhere.
    consortium.nodes[2].process.kill();
    let new = consortium.home().join("new-keys");
    let (organisation, url) = (text(&consortium.seats[2].organisation_file()), format!("http://{}", consortium.seats[0].rest));
    let (genesis, keys) = (text(&consortium.genesis), text(&new));
    let rotate = ["--json", "chain", "rotate", "--keys", &keys, "--genesis", &genesis, "--key", &organisation, "--url", &url];
    let rotated = height_of(&serde_json::from_str(&process::succeed(&rotate)).expect("JSON"));
    consortium.used_number(2);
    reach(&mut consortium, 0, rotated + 2).await;
    let height = consortium.agree(&[0, 1, 3], rotated + 2).await;
    // The others learn its new keys from the chain; nobody tells them anything, and none of them starts anew.
    let seat = use_keys(&mut consortium, 2, &new);
    consortium.nodes[2].restart(None);
    consortium.nodes[2].ready().await;
    consortium.agree(&ALL, height).await;
    signs(&mut consortium, &seat, 0).await;
    consortium.nodes[1].process.kill();
    consortium.log(2).await;
    consortium.nodes[1].restart(None);
    consortium.agree(&ALL, height + 1).await;
}

/// Gives a node the keys that `entrepot chain rotate` made.
fn use_keys(consortium: &mut Consortium, at: usize, keys: &std::path::Path) -> Seat {
    let seat = &mut consortium.seats[at];
    for (name, of) in [
        ("consensus", &mut seat.member.keys.consensus),
        ("cosigning", &mut seat.member.keys.cosigning),
        ("transport", &mut seat.member.keys.transport),
    ] {
        let file = format!("{name}.key.json");
        let text = std::fs::read_to_string(keys.join(&file)).expect("a key file");
        *of = entrepot_chain_statement::key::KeyFile::from_json(&text).expect("a key file").signing.did();
        std::fs::copy(keys.join(&file), seat.keys.join(&file)).expect("copied");
    }
    seat.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nothing() {
    let mut consortium = Consortium::start().await;
    let home = consortium.home().to_owned();
    // Keys that nobody knows, with the right genesis; and a member's own keys, with another channel's genesis.
    let stranger = Seat::make(&home, "stranger", "member");
    let mut turncoat = consortium.seats[3].clone();
    turncoat.folder = home.join("turncoat");
    turncoat.rest = entrepot_tests::exchange::free_address();
    std::fs::create_dir_all(&turncoat.folder).expect("a folder");
    let other = home.join("other-genesis.json");
    entrepot_tests::consortium::found(&other, "another", &consortium.seats);
    let height = consortium.agree(&ALL, 0).await;
    consortium.nodes[3].process.kill();
    let direct: Vec<_> = consortium.seats[..3].iter().map(|seat| (seat.member.did.to_string(), seat.listen.clone())).collect();
    let mut nodes = [Node::start(&stranger, &consortium.genesis, &direct), Node::start(&turncoat, &other, &direct)];
    for node in &mut nodes {
        node.ready().await;
    }
    for at in [0, 1, 2, 0] {
        consortium.log(at).await;
    }
    let height = consortium.agree(&[0, 1, 2], height + 1).await;
    consortium.quiet(&[0, 1, 2]).await;
    for node in &nodes {
        assert_eq!(node.height().await, Some(0), "{}", node.process.log());
    }
    // What a stranger submits at its own node is told to nobody either.
    let unheard = consortium.leaf(3);
    let client = nodes[0].client();
    let submission = tokio::spawn(async move { client.submit(&unheard).await });
    consortium.quiet(&[0, 1, 2]).await;
    assert!(!submission.is_finished() || submission.await.expect("no panic").is_none());
    drop(nodes);
    consortium.nodes[3].restart(None);
    wait("the member does not come back", async || consortium.nodes[3].height().await.filter(|at| *at >= height)).await;
}
