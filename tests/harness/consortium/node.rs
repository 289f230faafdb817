//! One member's node: its files, its process, and what anybody can ask it.

use super::submitter::Signed;
use crate::{
    exchange::free_address,
    process::{self, PATIENCE, Process},
    session::Session,
};
use entrepot_chain_log::{
    SignedCheckpoint,
    consortium::{Member, MemberDescription},
};
use entrepot_chain_statement::{Hash, SigningKey, key::KeyFile};
use reqwest::Method;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often something is asked for that is waited for.
pub const LOOK_EVERY: Duration = Duration::from_millis(25);
/// An answer takes no longer: a stopped process keeps its port open.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A transaction may wait for others to come back.
const VERDICT_MAX: Duration = Duration::from_secs(25);
/// The channel, where there is only one.
pub const CHANNEL: &str = "shared";
/// Items of a page.
const PAGE_ITEMS: u32 = 200;

/// What an organisation has before it is a member: keys, and the addresses of its node.
#[derive(Clone)]
pub struct Seat {
    /// Its folder.
    pub folder: PathBuf,
    /// The folder that `entrepot chain keys` made.
    pub keys: PathBuf,
    /// What it tells the others.
    pub member: Member,
    /// Where its node hears other members.
    pub listen: String,
    /// Where its node serves REST.
    pub rest: String,
}

impl Seat {
    /// New keys, by `entrepot chain keys`.
    pub fn make(home: &Path, name: &str, role: &str) -> Self {
        let folder = home.join(name);
        let keys = folder.join("keys");
        fs::create_dir_all(&folder).expect("a folder");
        process::succeed(&["chain", "keys", "--out", &text(&keys), "--name", name, "--role", role]);
        let described: MemberDescription =
            serde_json::from_slice(&fs::read(keys.join("member.json")).expect("member.json")).expect("a member");
        let member = described.member().expect("its own keys");
        Self { folder, keys, member, listen: free_address(), rest: free_address() }
    }

    /// The organisation's key.
    pub fn organisation(&self) -> SigningKey {
        let text = fs::read_to_string(self.organisation_file()).expect("a key file");
        KeyFile::from_json(&text).expect("a key file").signing
    }

    /// Its file.
    pub fn organisation_file(&self) -> PathBuf {
        self.keys.join("organisation.key.json")
    }

    /// Folder of its channels.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Folder of a channel's chain and consensus log.
    pub fn channel(&self, name: &str) -> PathBuf {
        self.data().join("channels").join(name)
    }

    /// Whether its node only follows, because it does not know what it signed: a founder's until enough others are there, too.
    pub fn follows(&self) -> bool {
        self.follows_in(CHANNEL)
    }

    /// The same in another channel.
    pub fn follows_in(&self, name: &str) -> bool {
        self.channel(name).join("consensus").join("rejoining").exists()
    }
}

/// A running node, or one that was.
pub struct Node {
    /// Whose.
    pub seat: Seat,
    /// The process.
    pub process: Process,
    config: PathBuf,
    session: Session,
}

impl Node {
    /// Starts the node; `peers` are the others' organisations or transport keys, and where they are.
    pub fn start(seat: &Seat, genesis: &Path, peers: &[(String, String)]) -> Self {
        Self::start_in(seat, &[genesis.to_owned()], peers)
    }

    /// The same in several channels.
    pub fn start_in(seat: &Seat, geneses: &[PathBuf], peers: &[(String, String)]) -> Self {
        let config = seat.folder.join("node.toml");
        configure(&config, seat, geneses, peers);
        let log = seat.folder.join("log");
        // Its keys were made for this.
        let process = Process::start(&seat.member.name, &["node", "--founding", "--config", &text(&config)], &log, None);
        Self { process, config, session: Session::anonymous(&format!("http://{}", seat.rest)), seat: seat.clone() }
    }

    /// Other settings, from the next start on.
    pub fn configure(&self, genesis: &Path, peers: &[(String, String)]) {
        configure(&self.config, &self.seat, &[genesis.to_owned()], peers);
    }

    /// Starts it again, killing it first if it runs.
    pub fn restart(&mut self, failpoint: Option<&str>) {
        self.process.set_arguments(&["node", "--config", &text(&self.config)]);
        self.process.restart(failpoint);
    }

    /// Starts it again as one that does not know what it signed.
    pub fn rejoin(&mut self) {
        self.restart_with(&["--rejoin"]);
    }

    /// Starts it again with more flags.
    pub fn restart_with(&mut self, flags: &[&str]) {
        let config = text(&self.config);
        self.process.set_arguments(&[&["node", "--config", &config], flags].concat());
        self.process.restart(None);
    }

    /// Waits until it says that it can work.
    pub async fn ready(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.get("/readyz").await.is_none() {
            let ended = self.process.ended();
            assert!(ended.is_none(), "{} ended ({ended:?}):\n{}", self.seat.member.name, self.process.log());
            assert!(Instant::now() < deadline, "{} does not get ready:\n{}", self.seat.member.name, self.process.log());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until it ends by itself, with an exit code that is no success and this sentence.
    pub async fn ends_with(&mut self, sentence: &str) {
        let deadline = Instant::now() + PATIENCE;
        let before = self.process.log().len();
        let status = loop {
            if let Some(status) = self.process.ended() {
                break status;
            }
            assert!(Instant::now() < deadline, "{} goes on:\n{}", self.seat.member.name, self.process.log());
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let log = self.process.log();
        assert!(status.code().is_some_and(|code| code != 0 && code != 101), "{status}:\n{log}");
        let last = log.lines().rev().find(|line| line.starts_with("entrepot: ")).unwrap_or_default();
        assert!(last.contains(sentence), "it should have said `{sentence}`, and ended with `{last}`; {before} bytes before:\n{log}");
    }

    /// A JSON document or a text; none if there is no answer, or no success.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let response = self.session.request(Method::GET, path).timeout(ANSWER_MAX).send().await.ok()?;
        let success = response.status().is_success();
        let bytes = response.bytes().await.ok()?;
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        success.then(|| serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
    }

    /// Height of its last block; none if it does not answer.
    pub async fn height(&self) -> Option<u64> {
        self.get("/v1/chain/head").await?["height"].as_str()?.parse().ok()
    }

    /// Hands in a transaction and waits; what became of it, if that is final and known.
    pub async fn submit(&self, signed: &Signed) -> Option<Value> {
        self.client().submit(signed).await
    }

    /// Asks it from elsewhere.
    pub fn client(&self) -> Client {
        Client { session: self.session.clone(), transactions: "/v1/chain/transactions".to_owned() }
    }

    /// Asks it about one of its channels.
    pub fn client_in(&self, channel: &str) -> Client {
        Client { transactions: format!("/v1/channels/{channel}/chain/transactions"), ..self.client() }
    }

    /// The newest checkpoint.
    pub async fn checkpoint(&self) -> Option<SignedCheckpoint> {
        self.get("/v1/log/checkpoint").await?.as_str()?.parse().ok()
    }

    /// Everything a list has, oldest first.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{path}?limit={PAGE_ITEMS}{cursor}")).await;
            let page = page.unwrap_or_else(|| panic!("{} does not list {path}", self.seat.member.name));
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        items.reverse();
        items
    }

    /// Hash and state root of every block, by height.
    pub async fn blocks(&self) -> Vec<(String, String)> {
        let field = |block: &Value, name: &str| block[name].as_str().expect("a field of a block").to_owned();
        let blocks = self.list("/v1/chain/blocks").await;
        for (block, height) in blocks.iter().zip(1_u64..) {
            assert_eq!(field(block, "height"), height.to_string(), "a gap in the chain of {}", self.seat.member.name);
        }
        blocks.iter().map(|block| (field(block, "hash"), field(block, "state_root"))).collect()
    }

    /// Who signed the block of a height, by consensus keys, as far as this node knows.
    pub async fn signers(&self, height: u64) -> Vec<String> {
        let certificate = self.get(&format!("/v1/chain/blocks/{height}/certificate")).await.expect("a certificate");
        certificate["signers"].as_array().expect("signers").iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()
    }

    /// How many decide on the block of a height.
    pub async fn members_at(&self, height: u64) -> usize {
        let members = self.get(&format!("/v1/chain/members?height={height}")).await.expect("members");
        members["members"].as_array().expect("members").len()
    }

    /// Acts as the organisation, by `entrepot chain`; the answer of this node.
    pub fn act(&self, genesis: &Path, arguments: &[&str]) -> Value {
        let (url, key) = (format!("http://{}", self.seat.rest), text(&self.seat.organisation_file()));
        let signing = ["--genesis", &text(genesis), "--key", &key, "--url", &url];
        let answer = process::succeed(&[&["--json", "chain"], arguments, &signing[..]].concat());
        serde_json::from_str(&answer).expect("JSON")
    }
}

/// Hands transactions in at a node.
#[derive(Clone)]
pub struct Client {
    session: Session,
    transactions: String,
}

impl Client {
    /// Waits for a transaction's verdict; none if that is not final, or not known.
    pub async fn submit(&self, signed: &Signed) -> Option<Value> {
        let body = json!({"transaction": signed.encoded});
        let request = self.session.request(Method::POST, &self.transactions).timeout(VERDICT_MAX).json(&body);
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let answer: Value = response.json().await.ok()?;
        // Busy or about to stop, or still pending.
        if matches!(status, 202 | 429 | 503) {
            return None;
        }
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["hash"], signed.hash.to_string(), "it knows the transaction by another name");
        Some(answer["verdict"].clone())
    }
}

fn configure(config: &Path, seat: &Seat, geneses: &[PathBuf], peers: &[(String, String)]) {
    let mut table = toml::Table::new();
    for (name, value) in
        [("data_dir", text(&seat.data())), ("keys", text(&seat.keys)), ("listen", seat.listen.clone()), ("rest_listen", seat.rest.clone())]
    {
        table.insert(name.to_owned(), value.into());
    }
    let geneses: Vec<String> = geneses.iter().map(|path| text(path)).collect();
    table.insert("genesis".to_owned(), geneses.into());
    let peer = |(member, address): &(String, String)| {
        toml::Table::from_iter([("member".to_owned(), member.as_str().into()), ("address".to_owned(), address.as_str().into())])
    };
    table.insert("peers".to_owned(), peers.iter().map(peer).collect::<Vec<_>>().into());
    fs::write(config, table.to_string()).expect("a configuration");
}

/// A path, as an argument.
pub fn text(path: &Path) -> String {
    path.display().to_string()
}

/// An identity of a leaf's transaction, as the explorer writes it.
pub fn path_of(transaction: &Hash) -> String {
    format!("/v1/chain/transactions/{transaction}")
}
