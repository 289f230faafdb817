//! A channel that began with the exchange alone, and became its members'.

use entrepot_chain_log::consortium::Genesis;
use entrepot_chain_statement::Hash;
use entrepot_tests::{
    consortium::{LOOK_EVERY, Node, Seat, Submitter, text, wait},
    exchange::free_address,
    market::{Market, wait_for},
    process::{self, PATIENCE},
    sample,
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// The exchange's channel, and those whom it lets in.
struct Channel {
    genesis: PathBuf,
    digest: Hash,
    listen: String,
    seats: Vec<Seat>,
}

impl Channel {
    fn of(market: &Market) -> Self {
        let genesis = market.exchange.data_dir.join("keys").join("main.genesis.json");
        let digest = Genesis::from_json(&fs::read(&genesis).expect("a genesis")).expect("a genesis").digest();
        let seats = ["first", "second", "third"].map(|name| Seat::make(market.folder(), name, "member")).into();
        Self { genesis, digest, listen: free_address(), seats }
    }

    /// Where everybody is, but for one.
    fn peers(&self, market: &Market, but: &str) -> Vec<(String, String)> {
        let exchange = (market.exchange.info.did.to_string(), self.listen.clone());
        let all = self.seats.iter().map(|seat| (seat.member.did.to_string(), seat.listen.clone())).chain([exchange]);
        all.filter(|(did, _)| did != but).collect()
    }

    /// The exchange proposes that one of them joins.
    fn propose(&self, market: &Market, seat: &Seat) -> Value {
        let key = market.exchange.data_dir.join("keys").join("exchange.key.json");
        let member = text(&seat.keys.join("member.json"));
        let (genesis, key) = (text(&self.genesis), text(&key));
        let arguments = ["--json", "chain", "propose", "join", "--member", &member, "--genesis", &genesis, "--key", &key];
        let answer = process::succeed(&[&arguments[..], &["--url", &market.exchange.info.rest]].concat());
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["verdict"]["status"], "accepted", "{answer}");
        answer
    }

    /// The exchange's configuration as one of several.
    fn configure(&self, market: &Market) -> PathBuf {
        let info = &market.exchange.info;
        let peer = |(member, address): (String, String)| {
            toml::Table::from_iter([("member".to_owned(), member.into()), ("address".to_owned(), address.into())])
        };
        let peers: Vec<_> = self.peers(market, info.did.as_str()).into_iter().map(peer).collect();
        let consortium = toml::Table::from_iter([
            ("genesis".to_owned(), text(&self.genesis).into()),
            ("listen".to_owned(), self.listen.clone().into()),
            ("peers".to_owned(), peers.into()),
        ]);
        let settings = toml::Table::from_iter([
            ("data_dir".to_owned(), text(&market.exchange.data_dir).into()),
            ("rest_listen".to_owned(), info.rest.trim_start_matches("http://").into()),
            ("grpc_listen".to_owned(), info.grpc.trim_start_matches("https://").into()),
            ("consortium".to_owned(), consortium.into()),
        ]);
        let path = market.folder().join("exchange.toml");
        fs::write(&path, settings.to_string()).expect("a configuration");
        path
    }
}

/// Buys a computation; the job.
async fn buy(market: &Market) -> String {
    let quote = market.quote(sample::SQL).await;
    let mut contract = market.agree().await;
    let order = market.next_order(&mut contract, sample::SQL, quote.plan);
    let job = market.place(&order).await;
    let finished = market.finished(&job).await;
    assert_eq!(finished["state"], "delivered", "{finished}");
    job
}

/// Its receipts, once all of them are witnessed and decided.
async fn receipts(market: &Market, job: &str, trust: &Value) -> (Value, Value) {
    wait_for(async || {
        let bundle = market.consumer.get(&format!("/v1/jobs/{job}/receipt")).await.ok();
        let verified = market.verify(&bundle, trust);
        assert_eq!(verified.code, 0, "{}", verified.report);
        (verified.state() == "witnessed" && !verified.report["decided"].is_null()).then(|| (bundle, verified.report["decided"].clone()))
    })
    .await
}

/// Waits until the exchange ends by itself, because it does not decide alone any more.
async fn ends(market: &mut Market) {
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match market.exchange.process.ended() {
            Some(status) => break status,
            None => assert!(Instant::now() < deadline, "it goes on alone:\n{}", market.exchange.process.log()),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let log = market.exchange.process.log();
    assert!(status.code().is_some_and(|code| code != 0 && code != 101), "{status}:\n{log}");
    assert!(log.contains("the channel has 2 members from block") && log.contains("restart with [consortium]"), "{log}");
}

fn approve(node: &Node, genesis: &Path, proposal: &Value) {
    let answer = node.act(genesis, &["vote", "--proposal", proposal["hash"].as_str().expect("a hash"), "--approve"]);
    assert_eq!(answer["verdict"]["status"], "accepted", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_alone_lets_others_in_and_goes_on_as_one_of_four() {
    let mut market = Market::start().await;
    let channel = Channel::of(&market);
    let mut trust = market.trust();
    trust["channel"] = json!({"genesis": channel.digest});
    let job = buy(&market).await;
    let (before, decided) = receipts(&market, &job, &trust).await;
    assert_eq!(decided, json!({"k": 1, "n": 1}));

    // Alone it consents by itself; whoever joined has a say in what comes next, and a part in deciding it.
    channel.propose(&market, &channel.seats[0]);
    let second = channel.propose(&market, &channel.seats[1]);
    ends(&mut market).await;
    // Nor does it begin anew.
    market.exchange.process.restart(None);
    ends(&mut market).await;

    let configuration = text(&channel.configure(&market));
    market.exchange.process.set_arguments(&["serve", "--config", &configuration]);
    market.exchange.restart(None).await;
    let start = |seat: &Seat| Node::start(seat, &channel.genesis, &channel.peers(&market, seat.member.did.as_str()));
    let mut nodes: Vec<Node> = channel.seats.iter().map(start).collect();
    for node in &mut nodes {
        node.ready().await;
    }
    wait("the first does not catch up", async || (nodes[0].height().await? > 1).then_some(())).await;
    wait("the first does not see itself", async || {
        let health = nodes[0].get("/v1/chain/health").await?;
        (health["member"] == channel.seats[0].member.did.as_str()).then_some(())
    })
    .await;
    approve(&nodes[0], &channel.genesis, &second);
    let third = channel.propose(&market, &channel.seats[2]);
    approve(&nodes[0], &channel.genesis, &third);

    market.renew_sessions().await;
    let later = buy(&market).await;
    let (_, _) = receipts(&market, &later, &trust).await;
    let height = wait("they are not four", async || {
        let height = nodes[2].height().await?;
        (nodes[2].members_at(height + 1).await == 4 && nodes[2].signers(height).await.len() >= 3).then_some(height)
    })
    .await;
    // Any three of them go on, and the newest is needed for that.
    nodes[0].process.kill();
    let leaf = Submitter::new(channel.seats[2].organisation(), channel.digest, 0).leaf();
    let verdict = wait("three of four decide nothing", async || nodes[2].submit(&leaf).await).await;
    assert_eq!(verdict["status"], "accepted");
    let last = nodes[2].height().await.expect("it answers");
    assert!(last > height);
    assert!(nodes[2].signers(last).await.contains(&channel.seats[2].member.keys.consensus.to_string()));

    // What the exchange alone had decided is as true as before, by itself and as the exchange tells it now.
    assert_eq!(market.verify(&before, &trust).state(), "witnessed");
    let (again, _) = receipts(&market, &job, &trust).await;
    assert_eq!(again["entries"].as_array().expect("entries").len(), before["entries"].as_array().expect("entries").len());
}
