//! A channel of several members, each with a node of its own: real processes on loopback, and the ways between them.

mod link;
mod load;
mod node;
mod submitter;

pub use link::{Link, Way};
pub use load::{Acknowledged, Load};
pub use node::{CHANNEL, Client, LOOK_EVERY, Node, Seat, path_of, text};
pub use submitter::{Signed, Submitter};

use crate::process;
use entrepot_chain_log::consortium::Genesis;
use entrepot_chain_statement::Hash;
use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long the members may take to agree on something: rounds of members that are down, a restart, catching up.
pub const AGREEMENT_MAX: Duration = Duration::from_secs(60);
/// A channel that has halted or is idle is watched for so long.
pub const QUIET: Duration = Duration::from_secs(3);

/// The channel. Nodes are named by their place.
pub struct Consortium {
    /// The genesis file.
    pub genesis: PathBuf,
    /// Its digest.
    pub digest: Hash,
    /// Their nodes.
    pub nodes: Vec<Node>,
    /// Keys of all, members by the genesis or not.
    pub seats: Vec<Seat>,
    links: BTreeMap<(usize, usize), Link>,
    submitters: Vec<Submitter>,
    // Outlives the processes, which are dropped before it.
    home: TempDir,
}

impl Consortium {
    /// Four members, and their nodes.
    pub async fn start() -> Self {
        Self::with(&["member"; 4], 0).await
    }

    /// Members of these roles; `later` are seats that the genesis does not name, with nodes of their own that the others know of.
    pub async fn with(roles: &[&str], later: usize) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let all = roles.iter().copied().chain(std::iter::repeat_n("regulator", later)).enumerate();
        let seats: Vec<Seat> = all.map(|(at, role)| Seat::make(home.path(), &format!("node-{at}"), role)).collect();
        let genesis = home.path().join("genesis.json");
        found(&genesis, CHANNEL, &seats[..roles.len()]);
        let digest = Genesis::from_json(&fs::read(&genesis).expect("a genesis")).expect("a genesis").digest();
        let mut links = BTreeMap::new();
        for from in 0..seats.len() {
            for to in (0..seats.len()).filter(|to| *to != from) {
                links.insert((from, to), Link::to(seats[to].listen.clone()).await);
            }
        }
        let submitters = seats.iter().map(|seat| Submitter::new(seat.organisation(), digest, 0)).collect();
        let mut consortium = Self { genesis, digest, nodes: Vec::new(), seats, links, submitters, home };
        for at in 0..consortium.seats.len() {
            let node = Node::start(&consortium.seats[at], &consortium.genesis, &consortium.peers(at));
            consortium.nodes.push(node);
        }
        for node in &mut consortium.nodes {
            node.ready().await;
        }
        consortium
    }

    /// A folder for what else a test needs.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Whom a node dials, by their organisations.
    pub fn peers(&self, at: usize) -> Vec<(String, String)> {
        let others = self.seats.iter().enumerate().filter(|(to, _)| *to != at);
        others.map(|(to, seat)| (seat.member.did.to_string(), self.links[&(at, to)].address().to_owned())).collect()
    }

    /// Cuts a node off from all others, or brings it back.
    pub fn set_ways(&self, at: usize, way: Way) {
        self.links.iter().filter(|((from, to), _)| *from == at || *to == at).for_each(|(_, link)| link.set(way));
    }

    /// One of the ways.
    pub fn link(&self, from: usize, to: usize) -> &Link {
        &self.links[&(from, to)]
    }

    /// The organisation of a node logs a leaf there, and it is accepted in time; the transaction.
    pub async fn log(&mut self, at: usize) -> Signed {
        let signed = self.submitters[at].leaf();
        let verdict = wait("the transaction is not accepted", async || self.nodes[at].submit(&signed).await).await;
        assert_eq!(verdict["status"], "accepted", "{verdict}");
        signed
    }

    /// The organisation of a node registers a right, and it is accepted; the right's name.
    pub async fn register(&mut self, at: usize) -> Hash {
        let (signed, right) = self.submitters[at].registration();
        let verdict = wait("the registration is not accepted", async || self.nodes[at].submit(&signed).await).await;
        assert_eq!(verdict["status"], "accepted", "{verdict}");
        right
    }

    /// A leaf of a node's organisation that nobody was given yet.
    pub fn leaf(&mut self, at: usize) -> Signed {
        self.submitters[at].leaf()
    }

    /// The organisation used up a number otherwise.
    pub fn used_number(&mut self, at: usize) {
        self.submitters[at].leaf();
    }

    /// Everybody submits until [`Load::stop`], to whoever answers.
    pub fn load(&mut self) -> Load {
        let clients: Vec<_> = self.nodes.iter().map(Node::client).collect();
        Load::start(std::mem::take(&mut self.submitters), &clients)
    }

    /// Ends a load; what was acknowledged.
    pub async fn finish(&mut self, load: Load) -> Vec<Acknowledged> {
        let (submitters, acknowledged) = load.stop().await;
        self.submitters = submitters;
        acknowledged
    }

    /// Waits until the nodes at these places stand at one height, at least this one; the height.
    pub async fn level(&self, places: &[usize], least: u64) -> u64 {
        wait(&format!("{places:?} do not come to one height above {least}"), async || {
            let mut heights = Vec::new();
            for at in places {
                heights.push(self.nodes[*at].height().await?);
            }
            heights.iter().all(|height| *height == heights[0] && *height >= least).then_some(heights[0])
        })
        .await
    }

    /// Waits until the nodes at these places have the same chain, and checks it block by block; nobody has seen a contradiction. The height.
    pub async fn agree(&self, places: &[usize], least: u64) -> u64 {
        let height = self.level(places, least).await;
        let first = self.nodes[places[0]].blocks().await;
        assert_eq!(first.len() as u64, height);
        for at in places {
            assert!(self.nodes[*at].blocks().await == first, "fork: {at} has another chain than {}", places[0]);
            let evidence = self.nodes[*at].list("/v1/chain/evidence").await;
            assert!(evidence.is_empty(), "{at} has evidence: {evidence:?}");
        }
        height
    }

    /// Every acknowledged transaction is on each of these nodes, with the verdict that was told.
    pub async fn holds(&self, places: &[usize], acknowledged: &[Acknowledged]) {
        for at in places {
            let of = |item: &serde_json::Value| (item["hash"].as_str().unwrap_or_default().to_owned(), item["verdict"]["index"].clone());
            let there: BTreeMap<_, _> = self.nodes[*at].list("/v1/chain/transactions").await.iter().map(of).collect();
            for told in acknowledged {
                assert_eq!(there.get(&told.hash.to_string()), Some(&told.index), "{at} lost what was acknowledged, {} in all", there.len());
            }
        }
    }

    /// For a while no node at these places gets a new block; their height.
    pub async fn quiet(&self, places: &[usize]) -> u64 {
        let height = self.level(places, 0).await;
        let until = Instant::now() + QUIET;
        while Instant::now() < until {
            for at in places {
                let now = self.nodes[*at].height().await;
                assert_eq!(now, Some(height), "{at} has a new block");
            }
            tokio::time::sleep(LOOK_EVERY * 4).await;
        }
        height
    }
}

/// Founds a channel, by `entrepot chain genesis`.
pub fn found(genesis: &std::path::Path, channel: &str, seats: &[Seat]) {
    found_as("consortium", genesis, channel, seats);
}

/// The same from another template.
pub fn found_as(template: &str, genesis: &std::path::Path, channel: &str, seats: &[Seat]) {
    let members: Vec<String> = seats.iter().flat_map(|seat| ["--member".to_owned(), text(&seat.keys.join("member.json"))]).collect();
    let own = ["chain", "genesis", "--template", template, "--channel", channel, "--out", &text(genesis)].map(str::to_owned);
    let arguments = [&own[..], &members].concat();
    process::succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Asks again and again until there is an answer.
pub async fn wait<T>(trouble: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + AGREEMENT_MAX;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{trouble}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
