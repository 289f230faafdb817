//! Several channels on the same hosts: each has its own members, its own log and its own fate.

use super::files_below;
use entrepot_chain_log::consortium::Genesis;
use entrepot_tests::{
    consortium::{Client, Node, Seat, Submitter, found_as, text, wait},
    exchange::free_address,
    process::{self, Process},
};
use rand_core::OsRng;
use std::{fs, path::PathBuf, time::Duration};
use tempfile::TempDir;

const SHARED: &str = "shared";
const LOANS: &str = "loans";
/// No file of a process may grow past this; see `storage`.
const FILE_BYTES_MAX: u64 = 256 << 10;
const IDLE: usize = 8;
/// A log of votes without any.
const VOTE_LOG_HEADER_BYTES: u64 = 28;

/// Hosts with a node each, and channels among them.
struct Hosts {
    home: TempDir,
    seats: Vec<Seat>,
    nodes: Vec<Node>,
}

/// A channel, as its founders know it.
struct Founded {
    name: &'static str,
    file: PathBuf,
    submitters: Vec<Submitter>,
}

impl Hosts {
    fn make(roles: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let seats = roles.iter().enumerate().map(|(at, role)| Seat::make(home.path(), &format!("host-{at}"), role)).collect();
        Self { home, seats, nodes: Vec::new() }
    }

    /// A channel of the first so many hosts; every host may submit once it is a member.
    fn found(&self, name: &'static str, template: &str, count: usize) -> Founded {
        let file = self.home.path().join(format!("{name}.genesis.json"));
        found_as(template, &file, name, &self.seats[..count]);
        let digest = Genesis::from_json(&fs::read(&file).expect("a genesis")).expect("a genesis").digest();
        let submitters = self.seats.iter().map(|seat| Submitter::new(seat.organisation(), digest, 0)).collect();
        Founded { name, file, submitters }
    }

    /// Starts a node on each host, in the same channels.
    async fn start(&mut self, channels: &[&Founded]) {
        let files: Vec<PathBuf> = channels.iter().map(|channel| channel.file.clone()).collect();
        for (at, seat) in self.seats.iter().enumerate() {
            let others = self.seats.iter().enumerate().filter(|(to, _)| *to != at);
            let peers: Vec<_> = others.map(|(_, other)| (other.member.did.to_string(), other.listen.clone())).collect();
            self.nodes.push(Node::start_in(seat, &files, &peers));
        }
        for node in &mut self.nodes {
            node.ready().await;
        }
    }

    /// Waits until the first so many hosts vote in a channel.
    async fn vote(&self, channel: &Founded, count: usize) {
        for seat in &self.seats[..count] {
            wait("a founder does not begin to vote", async || (!seat.follows_in(channel.name)).then_some(())).await;
        }
    }

    async fn height(&self, at: usize, channel: &str) -> Option<u64> {
        self.nodes[at].get(&format!("/v1/channels/{channel}/chain/head")).await?["height"].as_str()?.parse().ok()
    }

    /// The organisation of a host logs a leaf there.
    async fn log(&self, at: usize, channel: &mut Founded) -> String {
        let signed = channel.submitters[at].leaf();
        let client: Client = self.nodes[at].client_in(channel.name);
        let verdict = wait("the transaction is not accepted", async || client.submit(&signed).await).await;
        assert_eq!(verdict["status"], "accepted", "{verdict}");
        signed.hash.to_string()
    }

    async fn has(&self, at: usize, channel: &str, transaction: &str) -> bool {
        self.nodes[at].get(&format!("/v1/channels/{channel}/chain/transactions/{transaction}")).await.is_some()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_a_member_of_one_channel_never_receives_another_ones_data() {
    let mut hosts = Hosts::make(&["member"; 4]);
    let (mut shared, mut loans) = (hosts.found(SHARED, "consortium", 4), hosts.found(LOANS, "consortium", 3));
    // The fourth host knows the genesis of both, and is a member of one.
    hosts.start(&[&shared, &loans]).await;
    hosts.vote(&shared, 4).await;
    hosts.vote(&loans, 3).await;
    let in_shared = hosts.log(3, &mut shared).await;
    let mut in_loans = Vec::new();
    for at in [0, 1, 2, 0] {
        in_loans.push(hosts.log(at, &mut loans).await);
    }
    for at in 0..3 {
        wait("a member of both has not both", async || {
            let all = hosts.has(at, SHARED, &in_shared).await && hosts.has(at, LOANS, &in_loans[3]).await;
            all.then_some(())
        })
        .await;
        assert!(!hosts.has(at, SHARED, &in_loans[0]).await && !hosts.has(at, LOANS, &in_shared).await);
    }
    // The links are there, and the channel they share goes on over them.
    hosts.log(3, &mut shared).await;
    assert_eq!(hosts.height(3, LOANS).await, Some(0), "a stranger to the channel has its blocks");
    for transaction in &in_loans {
        assert!(!hosts.has(3, LOANS, transaction).await);
    }
    let listed = hosts.nodes[3].get("/v1/channels").await.expect("a list");
    assert_eq!((&listed["items"][0]["role"], &listed["items"][1]["role"]), (&"validator".into(), &"follower".into()), "{listed}");
    read_by_name(&hosts, &mut loans).await;
    // Nor can it hand anything in, at its own node or a member's.
    let stranger = loans.submitters[3].leaf();
    let url = hosts.nodes[0].seat.rest.clone();
    let body = serde_json::json!({"transaction": stranger.encoded});
    let client = reqwest::Client::new().post(format!("http://{url}/v1/channels/loans/chain/transactions")).json(&body);
    assert_eq!(client.send().await.expect("an answer").status(), 403);
}

/// Command line and witness name a channel.
async fn read_by_name(hosts: &Hosts, loans: &mut Founded) {
    let url = format!("http://{}", hosts.nodes[0].seat.rest);
    let listed = process::succeed(&["chain", "channels", "--url", &url]);
    assert!(listed.contains(SHARED) && listed.contains(LOANS), "{listed}");
    let head: serde_json::Value =
        serde_json::from_str(&process::succeed(&["--json", "chain", "head", "--url", &url, "--channel", LOANS])).expect("JSON");
    assert_eq!(head["origin"], "entrepot/loans");
    let unknown = process::run(&["chain", "head", "--url", &url, "--channel", "other"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no_such_channel"));

    let published: serde_json::Value =
        serde_json::from_slice(&fs::read(hosts.seats[0].data().join("node.json")).expect("node.json")).expect("node.json");
    assert_eq!(published["channels"][1]["channel"], LOANS);
    let log_key = published["channels"][1]["log_key"].as_str().expect("log_key");
    let at = |name: &str| text(&hosts.home.path().join(name));
    let (key, state) = (at("witness.key.json"), at("witness"));
    entrepot_tests::member::write_key(key.as_ref(), &entrepot_chain_statement::key::KeyFile::generate(&mut OsRng));
    let arguments =
        ["witness", "--key", &key, "--state-dir", &state, "--interval-ms", "100", "--url", &url, "--channel", LOANS, "--log-key", log_key];
    let mut witness = Process::start("witness", &arguments, &hosts.home.path().join("witness.log"), None);
    hosts.log(0, loans).await;
    wait("the witness does not follow the channel's log", async || {
        let folders = fs::read_dir(&state).ok()?.flatten().map(|entry| entry.path().join("checkpoint"));
        let kept = folders.into_iter().find_map(|path| fs::read_to_string(path).ok())?;
        (kept.starts_with("entrepot/loans\n5\n")).then_some(())
    })
    .await;
    assert_eq!(witness.terminate().code(), Some(0), "{}", witness.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_stops_is_named_and_does_not_stop_the_others() {
    let mut hosts = Hosts::make(&["member"; 4]);
    let (mut shared, mut loans) = (hosts.found(SHARED, "consortium", 4), hosts.found(LOANS, "consortium", 4));
    hosts.start(&[&shared, &loans]).await;
    hosts.vote(&shared, 4).await;
    hosts.vote(&loans, 4).await;
    hosts.nodes[1].process.limit_files(Some(FILE_BYTES_MAX));
    hosts.nodes[1].restart(None);
    hosts.nodes[1].ready().await;
    let health = format!("/v1/channels/{LOANS}/chain/health");
    let failed = async |hosts: &Hosts| hosts.nodes[1].get(&health).await.is_some_and(|health| health["failure"].is_string());
    while !failed(&hosts).await {
        assert_eq!(hosts.nodes[1].process.ended(), None, "{}", hosts.nodes[1].process.log());
        hosts.log(0, &mut loans).await;
    }
    assert!(hosts.nodes[1].get("/readyz").await.is_none(), "a node with a stopped channel says that it is ready");
    let listed = hosts.nodes[1].get("/v1/channels").await.expect("a list");
    assert!(listed["items"][0].get("failure").is_none() && listed["items"][1]["failure"].is_string(), "{listed}");
    // It goes on in the other channel, whose members need it: one of them is away.
    hosts.nodes[3].process.kill();
    hosts.log(1, &mut shared).await;
    hosts.log(0, &mut shared).await;
    hosts.nodes[3].restart(None);
    hosts.nodes[3].ready().await;
    hosts.log(0, &mut loans).await;
    // The operator makes room and starts it again.
    assert_eq!(hosts.nodes[1].process.terminate().code(), Some(0));
    hosts.nodes[1].process.limit_files(None);
    hosts.nodes[1].restart(None);
    hosts.nodes[1].ready().await;
    hosts.log(1, &mut loans).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_channels_of_one_member_write_nothing_while_another_is_busy() {
    let names: [&'static str; IDLE + 1] = ["busy", "i1", "i2", "i3", "i4", "i5", "i6", "i7", "i8"];
    let mut hosts = Hosts::make(&["member"]);
    let mut channels: Vec<_> = names.iter().map(|name| hosts.found(name, "single", 1)).collect();
    hosts.start(&channels.iter().collect::<Vec<_>>()).await;
    for channel in &mut channels {
        hosts.log(0, channel).await;
    }
    let files = || names[1..].iter().map(|name| files_below(&hosts.seats[0].channel(name))).collect::<Vec<_>>();
    let mut before = files();
    wait("the channels write without end", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = files();
        std::mem::replace(&mut before, now.clone()).eq(&now).then_some(())
    })
    .await;
    let until = std::time::Instant::now() + Duration::from_secs(1);
    while std::time::Instant::now() < until {
        hosts.log(0, &mut channels[0]).await;
    }
    assert!(files() == before, "an idle channel writes");
    let height = hosts.height(0, "busy").await;
    assert!(height.is_some_and(|height| height > 5), "{height:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rest_tells_of_no_channel_that_it_is_not_to_answer_for() {
    let mut hosts = Hosts::make(&["member"]);
    let (mut told, mut kept) = (hosts.found("told", "single", 1), hosts.found("kept", "single", 1));
    hosts.start(&[&kept, &told]).await;
    hosts.log(0, &mut kept).await;
    hosts.nodes[0].restart_with(&["--rest-channel", "told"]);
    hosts.nodes[0].ready().await;
    hosts.log(0, &mut told).await;
    let listed = hosts.nodes[0].get("/v1/channels").await.expect("a list");
    let names: Vec<_> = listed["items"].as_array().expect("items").iter().map(|item| &item["channel"]).collect();
    assert_eq!(names, ["told"]);
    assert!(hosts.nodes[0].get("/v1/channels/kept/chain/head").await.is_none());
    // The first that it answers for needs no name.
    let digest =
        |channel: &Founded| Genesis::from_json(&fs::read(&channel.file).expect("a genesis")).expect("a genesis").digest().to_string();
    assert_eq!(hosts.nodes[0].get("/v1/chain/head").await.expect("a head")["genesis"], digest(&told));
    let figures = hosts.nodes[0].get("/metrics").await.expect("figures").to_string();
    assert!(figures.contains("told") && !figures.contains("kept"), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_serves_further_channels_beside_its_markets() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| text(&home.path().join(name));
    let (data, member, config, rest) = (at("exchange"), at("member.json"), at("exchange.toml"), free_address());
    process::succeed(&["admin", "member", "--data-dir", &data, "--name", "The exchange", "--out", &member]);
    for name in ["market", "archive"] {
        process::succeed(&["chain", "genesis", "--template", "single", "--channel", name, "--member", &member, "--out", &at(name)]);
    }
    let grpc = free_address();
    let settings = format!(
        "data_dir = '{data}'\nrest_listen = '{rest}'\ngrpc_listen = '{grpc}'\n[consortium]\ngenesis = ['{}', '{}']\n",
        at("market"),
        at("archive")
    );
    fs::write(&config, settings).expect("written");
    let mut exchange = Process::start("exchange", &["serve", "--config", &config], &home.path().join("log"), None);
    exchange.wait_for_file(&home.path().join("exchange/exchange.json")).await;
    let url = format!("http://{rest}");
    let listed = process::succeed(&["--json", "chain", "channels", "--url", &url]);
    let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    let names: Vec<_> = listed["items"].as_array().expect("items").iter().map(|item| (&item["channel"], &item["role"])).collect();
    assert_eq!(names, [(&"market".into(), &"validator".into()), (&"archive".into(), &"validator".into())]);
    let head = process::succeed(&["chain", "head", "--url", &url]);
    assert!(head.contains("entrepot/market"), "{head}");
    assert_eq!(exchange.terminate().code(), Some(0), "{}", exchange.log());
    for file in ["market/chain", "market/log.key.json", "archive/chain", "archive/log.key.json"] {
        assert!(home.path().join("exchange/channels").join(file).exists(), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_template_founds_a_channel_that_runs_and_one_process_runs_them_all() {
    let mut hosts = Hosts::make(&["member", "member", "member", "regulator"]);
    // One organisation alone, without peers.
    let mut alone = Hosts::make(&["member"]);
    let mut single = alone.found("single", "single", 1);
    alone.start(&[&single]).await;
    alone.log(0, &mut single).await;
    let votes = alone.seats[0].channel("single").join("consensus/wal").metadata().expect("a log").len();
    assert_eq!(votes, VOTE_LOG_HEADER_BYTES, "it keeps votes for nobody");
    // A channel of its own beside two that it shares.
    let mut own = hosts.found("own", "single", 1);
    let (mut consortium, mut supervised) = (hosts.found(SHARED, "consortium", 3), hosts.found("supervised", "supervised", 4));
    hosts.start(&[&consortium, &supervised, &own]).await;
    hosts.vote(&consortium, 3).await;
    hosts.vote(&supervised, 4).await;
    for at in 0..3 {
        hosts.log(at, &mut consortium).await;
    }
    hosts.log(3, &mut supervised).await;
    hosts.log(0, &mut own).await;
    assert_eq!((hosts.height(0, "own").await, hosts.height(1, "own").await), (Some(1), Some(0)));
    let removal = hosts.nodes[0].act(&supervised.file, &["propose", "remove", "--member", hosts.seats[2].member.did.as_ref()]);
    assert_eq!(removal["verdict"]["status"], "accepted", "{removal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_put_back_from_a_copy_and_the_others_stay() {
    let mut hosts = Hosts::make(&["member"; 4]);
    let (mut shared, mut loans) = (hosts.found(SHARED, "consortium", 4), hosts.found(LOANS, "consortium", 4));
    hosts.start(&[&shared, &loans]).await;
    hosts.vote(&shared, 4).await;
    hosts.vote(&loans, 4).await;
    hosts.log(2, &mut shared).await;
    hosts.log(2, &mut loans).await;
    hosts.nodes[2].process.signal("USR1");
    let copies = hosts.seats[2].data().join("backups").join(LOANS);
    let copy = wait("no copy is made", async || {
        let mut folders = fs::read_dir(&copies).ok()?.flatten().map(|entry| entry.path());
        folders.find(|path| path.extension().is_none())
    })
    .await;
    hosts.log(2, &mut loans).await;
    assert_eq!(hosts.nodes[2].process.terminate().code(), Some(0));
    let (data, keys) = (text(&hosts.seats[2].data()), text(&hosts.seats[2].keys));
    let restore = ["node", "restore", "--backup", &text(&copy), "--data-dir", &data, "--keys", &keys];
    let refused = process::run(&restore);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("move it away first"));
    fs::remove_dir_all(hosts.seats[2].channel(LOANS)).expect("removed");
    let told = process::succeed(&restore);
    assert!(told.contains("loans: blocks 1 to 1") && told.contains("follows the others"), "{told}");
    hosts.nodes[2].restart(None);
    wait("it does not answer", async || hosts.nodes[2].get("/v1/channels").await).await;
    assert!(hosts.seats[2].follows_in(LOANS) && !hosts.seats[2].follows_in(SHARED));
    hosts.log(2, &mut shared).await;
    // It votes again once blocks were decided without it.
    wait("it does not come to vote again", async || {
        hosts.log(0, &mut loans).await;
        (!hosts.seats[2].follows_in(LOANS)).then_some(())
    })
    .await;
    hosts.log(2, &mut loans).await;
}
