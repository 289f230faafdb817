//! The channels of one process: what each is called, where its files are, how it is opened and copied, and what its end means.

use crate::{
    consortium::{self, ConsortiumSettings, read_genesis},
    exchange_keys::read_or_make,
    exit::Failure,
    files,
};
use entrepot_api_server::ambient::SystemClock;
use entrepot_chain_log::consortium::Genesis;
use entrepot_chain_node::{MemberOrderer, Mesh, Node, NodeConfig, NodeKeys, Orderer, Past, Reader, Verified};
use entrepot_chain_statement::SigningKey;
use entrepot_exchange_domain::Clock;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Channels of one process: each has a database, a thread and some open files.
const CHANNELS_MAX: usize = 256;
/// Channels that are opened at once: most of the time goes by waiting for the disk.
const OPENING_MAX: usize = 8;
/// As long as a label of DNS: names stand in paths, folders and figures.
const NAME_BYTES_MAX: usize = 63;
const FOLDER: &str = "channels";
const CHAIN_FOLDER: &str = "chain";
const CONSENSUS_FOLDER: &str = "consensus";
const GENESIS_FILE: &str = "genesis.json";
const LOG_KEY_FILE: &str = "log.key.json";
/// How often the channels are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The keys with which a node takes part. The logs' own keys are each channel's.
#[derive(Clone)]
pub struct SeatKeys {
    pub cosigning: SigningKey,
    pub consensus: SigningKey,
    pub transport: SigningKey,
}

impl SeatKeys {
    fn with_log(&self, log: SigningKey) -> NodeKeys {
        let Self { cosigning, consensus, transport } = self.clone();
        NodeKeys { log, cosigning, consensus, transport }
    }
}

/// To which of a node's channels a setting applies.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum ChannelSet {
    /// In all, or in none.
    All(bool),
    /// In those of these names.
    Named(BTreeSet<String>),
}

impl Default for ChannelSet {
    fn default() -> Self {
        Self::All(false)
    }
}

impl ChannelSet {
    fn holds(&self, name: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Named(names) => names.contains(name),
        }
    }

    fn check(&self, setting: &str, founded: &[Founded]) -> Result<(), Failure> {
        let Self::Named(names) = self else { return Ok(()) };
        match names.iter().find(|name| founded.iter().all(|channel| channel.name != **name)) {
            Some(unknown) => Err(Failure::bad_input(format!("`{setting}` names the channel {unknown}, of which no genesis is given"))),
            None => Ok(()),
        }
    }
}

/// A path, or several.
pub fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Paths {
        One(PathBuf),
        Several(Vec<PathBuf>),
    }
    Ok(match Paths::deserialize(deserializer)? {
        Paths::One(path) => vec![path],
        Paths::Several(paths) => paths,
    })
}

/// A channel by its genesis.
pub struct Founded {
    /// Its name in paths and folders: the last part of its origin.
    pub name: String,
    pub genesis: Genesis,
}

impl Founded {
    pub fn new(genesis: Genesis) -> Result<Self, Failure> {
        let name = genesis.origin.rsplit('/').next().unwrap_or_default();
        check_name(name).map_err(|why| Failure::bad_input(format!("the channel {}: {why}", genesis.origin)))?;
        Ok(Self { name: name.to_owned(), genesis })
    }

    /// Reads genesis files. Two channels of one name would share a folder and a path; one that is given twice is a mistake.
    pub fn read(paths: &[PathBuf]) -> Result<Vec<Self>, Failure> {
        let founded = paths.iter().map(|path| Self::new(read_genesis(path)?)).collect::<Result<Vec<_>, _>>()?;
        Self::check(&founded)?;
        Ok(founded)
    }

    fn check(founded: &[Self]) -> Result<(), Failure> {
        if founded.is_empty() || founded.len() > CHANNELS_MAX {
            return Err(Failure::bad_input(format!("name between 1 and {CHANNELS_MAX} genesis files, one for each channel")));
        }
        let (mut names, mut digests) = (BTreeSet::new(), BTreeSet::new());
        for channel in founded {
            if !digests.insert(channel.genesis.digest()) {
                return Err(Failure::bad_input(format!("the genesis of the channel {} is given twice", channel.name)));
            }
            if !names.insert(&channel.name) {
                let why = "two genesis files found a channel of this name: one process serves one of them";
                return Err(Failure::bad_input(format!("{}: {why}", channel.name)));
            }
        }
        Ok(())
    }
}

/// Names stand in folders, in paths and in figures.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_name_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_name_byte) {
        Ok(())
    } else {
        Err("a channel's name has 1 to 63 characters of a-z, 0-9 and -")
    }
}

/// Where a channel's files are.
struct Folder(PathBuf);

impl Folder {
    fn of(data_dir: &Path, name: &str) -> Self {
        Self(data_dir.join(FOLDER).join(name))
    }

    fn config(&self, genesis: Genesis) -> NodeConfig {
        NodeConfig { path: self.0.join(CHAIN_FOLDER), genesis, clock: Arc::new(|| SystemClock.now()) }
    }

    /// Makes it where it is missing; its log's key.
    fn make(&self) -> Result<SigningKey, Failure> {
        files::make_private_folder(&self.0)?;
        self.log_key()
    }

    fn log_key(&self) -> Result<SigningKey, Failure> {
        Ok(read_or_make(&self.0.join(LOG_KEY_FILE))?.signing)
    }
}

/// An open channel.
#[derive(Clone)]
pub struct Channel {
    pub name: String,
    pub node: Node,
    folder: PathBuf,
}

impl Channel {
    /// What others have to know of it beforehand.
    pub fn describe(&self) -> Value {
        json!({
            "channel": self.name,
            "origin": self.node.origin(),
            "genesis": self.node.genesis_digest(),
            "log_key": self.node.log_vkey().to_string(),
        })
    }

    /// Copies it into a folder that does not exist yet, while it goes on: the chain, the genesis, and the log's key, without which nothing could
    /// go on there. No other keys, and no consensus log: that of a copy would not know what was signed since.
    pub fn copy(&self, target: &Path) -> anyhow::Result<()> {
        files::make_private_folder(target).map_err(|failure| anyhow::anyhow!(failure.to_string()))?;
        self.node.backup(&target.join(CHAIN_FOLDER))?;
        fs::write(target.join(GENESIS_FILE), serde_json::to_vec_pretty(self.node.genesis())?)?;
        fs::copy(self.folder.join(LOG_KEY_FILE), target.join(LOG_KEY_FILE))?;
        for entry in fs::read_dir(target)? {
            fs::File::open(entry?.path())?.sync_all()?;
        }
        Ok(fs::File::open(target)?.sync_all()?)
    }
}

/// Puts a copy of a channel into its folder below `data_dir`, and replays it with every signature. A member of several has to follow the
/// others before it votes: it may have signed since the copy was made.
pub async fn restore(copy: &Path, data_dir: &Path, keys: &SeatKeys) -> Result<Restored, Failure> {
    let Founded { name, genesis } = Founded::new(read_genesis(&copy.join(GENESIS_FILE))?)?;
    let folder = Folder::of(data_dir, &name);
    if folder.0.exists() {
        return Err(Failure::bad_input(format!("{} exists: move it away first", folder.0.display())));
    }
    let restored = restore_into(&folder, copy, genesis, keys).await;
    if restored.is_err() {
        // The failure to tell is the first one.
        let _ = fs::remove_dir_all(&folder.0);
    }
    let (config, keys, verified) = restored?;
    Ok(Restored { name, config, keys, verified })
}

async fn restore_into(
    folder: &Folder,
    copy: &Path,
    genesis: Genesis,
    keys: &SeatKeys,
) -> Result<(NodeConfig, NodeKeys, Verified), Failure> {
    files::make_private_folder(&folder.0)?;
    files::write_secret(&folder.0.join(LOG_KEY_FILE), &zeroize::Zeroizing::new(files::read(&copy.join(LOG_KEY_FILE))?))?;
    if genesis.members.len() > 1 {
        files::write_public(&folder.0.join(CONSENSUS_FOLDER).join("rejoining"), b"")?;
    }
    let (keys, config) = (keys.with_log(folder.log_key()?), folder.config(genesis));
    let verified = entrepot_chain_node::restore(&copy.join(CHAIN_FOLDER), config.clone(), &keys).await.map_err(anyhow::Error::from)?;
    Ok((config, keys, verified))
}

/// A channel that was put back.
pub struct Restored {
    pub name: String,
    pub config: NodeConfig,
    pub keys: NodeKeys,
    pub verified: Verified,
}

/// The channels of a process, open, in the order of their geneses.
pub struct Channels {
    pub open: Vec<Channel>,
    /// The links to other members, should there be any.
    pub mesh: Option<Arc<Mesh>>,
}

impl Channels {
    /// Opens each, or none: at the start somebody is there to be told.
    pub async fn open(
        founded: Vec<Founded>,
        data_dir: &Path,
        keys: &SeatKeys,
        others: Option<&ConsortiumSettings>,
    ) -> Result<Self, Failure> {
        allow_files();
        let geneses: Vec<&Genesis> = founded.iter().map(|channel| &channel.genesis).collect();
        let mesh = match others {
            Some(others) if !others.peers.is_empty() || geneses.iter().any(|genesis| genesis.members.len() > 1) => {
                geneses.iter().try_for_each(|genesis| consortium::check_keys(genesis, keys))?;
                others.rejoin.check("rejoin", &founded)?;
                others.founding.check("founding", &founded)?;
                Some(consortium::links(others, &geneses, keys).await?)
            }
            _ => None,
        };
        let past = |name: &str| others.map_or(Ok(Past::Logged), |others| past(others, name));
        let pasts = founded.iter().map(|channel| past(&channel.name)).collect::<Result<Vec<_>, _>>()?;
        let mut opening = founded.into_iter().zip(pasts).map(|(channel, past)| {
            let (folder, keys, mesh) = (Folder::of(data_dir, &channel.name), keys.clone(), mesh.clone());
            tokio::task::spawn_blocking(move || open_one(channel, folder, &keys, mesh.as_ref(), past))
        });
        let mut open = Vec::new();
        loop {
            let some: Vec<_> = opening.by_ref().take(OPENING_MAX).collect();
            if some.is_empty() {
                return Ok(Self { open, mesh });
            }
            for opened in some {
                open.push(opened.await.map_err(anyhow::Error::from)??);
            }
        }
    }

    /// Opens the first to read it, and none to take part.
    pub fn open_aside(founded: Vec<Founded>, data_dir: &Path, keys: &SeatKeys) -> Result<Self, Failure> {
        let opened = founded.into_iter().take(1).map(|channel| {
            let folder = Folder::of(data_dir, &channel.name);
            let keys = keys.with_log(folder.make()?);
            open_by(channel, folder, keys, Reader)
        });
        Ok(Self { open: opened.collect::<Result<_, _>>()?, mesh: None })
    }

    /// The one that needs no name.
    pub fn first(&self) -> &Channel {
        // There is one at least: see `Founded::read`.
        &self.open[0]
    }

    /// Lets go of all of them.
    pub async fn close(&self) {
        for channel in &self.open {
            channel.node.close().await;
        }
    }
}

/// What this member knows of what it signed in a channel.
fn past(others: &ConsortiumSettings, name: &str) -> Result<Past, Failure> {
    match (others.founding.holds(name), others.rejoin.holds(name)) {
        (false, false) => Ok(Past::Logged),
        (true, false) => Ok(Past::Nothing),
        (false, true) => Ok(Past::Unknown),
        (true, true) => Err(Failure::bad_input(format!("in the channel {name} a member is founding or rejoins, not both"))),
    }
}

fn open_one(channel: Founded, folder: Folder, keys: &SeatKeys, mesh: Option<&Arc<Mesh>>, past: Past) -> Result<Channel, Failure> {
    let keys = keys.with_log(folder.make()?);
    let log = folder.0.join(CONSENSUS_FOLDER);
    let seat = mesh.map(|mesh| consortium::seat(mesh, &channel.genesis, &keys, log.clone(), past));
    let orderer = MemberOrderer::new(&keys, &channel.genesis, log, seat);
    open_by(channel, folder, keys, orderer)
}

fn open_by(channel: Founded, folder: Folder, keys: NodeKeys, orderer: impl Orderer) -> Result<Channel, Failure> {
    let Founded { name, genesis } = channel;
    let opened = Node::open(folder.config(genesis), keys, orderer);
    let node = opened.map_err(|error| anyhow::Error::from(error).context(format!("the channel {name} cannot be opened")))?;
    Ok(Channel { name, node, folder: folder.0 })
}

/// Takes as many open files as the system lets this process have: shells and service managers begin with few, for programs of another age.
fn allow_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "nothing else asks the system for it")]
    // SAFETY: both calls only read or write the struct, which lives as long as they take.
    let allowed = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
        }
    };
    if !allowed {
        tracing::warn!("the limit of open files stays as it is");
    }
}

/// With which channels a process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// With the first: without it the process would serve without evidence.
    WithFirst,
    /// With the last: the members of the others still count on them.
    WithLast,
}

/// Looks after the channels until `stop`. One that cannot go on is told once and answers no submissions any more, while the others do:
/// whoever breaks one channel must not reach those of other members. Fails when the process has to end.
pub async fn watch(channels: Vec<Channel>, ends: Ends, stop: CancellationToken) -> Result<(), anyhow::Error> {
    let mut told = BTreeSet::new();
    while tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await.is_err() {
        for (at, channel) in channels.iter().enumerate() {
            let Some(why) = channel.node.failure() else { continue };
            if !told.insert(at) {
                continue;
            }
            let is_last = told.len() == channels.len();
            if is_last || (ends == Ends::WithFirst && at == 0) {
                anyhow::bail!("the channel {} has stopped: {why}", channel.name);
            }
            tracing::error!(channel = channel.name, why, "the channel has stopped; the others go on");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_log::consortium::{Member, MemberKeys, MemberRole, Members, VotingRule};

    fn founded(origin: &str, member: u8) -> Result<Founded, Failure> {
        let key = |purpose: u8| SigningKey::from_seed(&[member ^ purpose; 32]).did();
        let keys = MemberKeys { consensus: key(0x10), cosigning: key(0x20), transport: key(0x30) };
        let member = Member { did: key(0), name: "one".to_owned(), role: MemberRole::Member, keys };
        let members = Members::new(vec![member]).expect("one member");
        Founded::new(Genesis::new(origin, VotingRule::Majority, &members).expect("a genesis"))
    }

    fn refusal(channels: Vec<Founded>) -> String {
        Founded::check(&channels).expect_err("they do not go together").message
    }

    #[test]
    fn a_channel_is_named_by_the_last_part_of_its_origin() {
        let name = |origin| founded(origin, 1).map(|channel| channel.name).map_err(|failure| failure.message);
        assert_eq!(name("entrepot/loans").as_deref(), Ok("loans"));
        assert_eq!(name("example.com/log/a-1").as_deref(), Ok("a-1"));
        for wrong in ["entrepot/", "entrepot/..", "entrepot/Main", &format!("entrepot/{}", "a".repeat(64))] {
            assert!(name(wrong).is_err_and(|why| why.contains("1 to 63 characters")), "{wrong}");
        }
    }

    #[test]
    fn two_channels_of_one_name_and_one_channel_twice_are_refused() {
        let channel = |origin, member| founded(origin, member).expect("a name");
        assert!(Founded::check(&[channel("entrepot/a", 1), channel("entrepot/b", 1)]).is_ok());
        assert!(refusal(vec![channel("entrepot/a", 1), channel("entrepot/a", 1)]).contains("given twice"));
        assert!(refusal(vec![channel("entrepot/a", 1), channel("other/a", 1)]).contains("a: two genesis files"));
        assert!(refusal(vec![channel("entrepot/a", 1), channel("entrepot/a", 2)]).contains("a: two genesis files"));
        assert!(refusal(Vec::new()).contains("between 1 and 256"));
    }

    #[test]
    fn a_setting_is_for_all_channels_or_for_those_that_are_named() {
        let read = |text: &str| text.parse::<toml::Table>().expect("TOML")["rejoin"].clone().try_into::<ChannelSet>().expect("a rejoin");
        let channels = [founded("entrepot/a", 1).expect("a name")];
        let (all, one) = (read("rejoin = true"), read("rejoin = ['a']"));
        assert!(all.holds("a") && one.holds("a") && !one.holds("b") && !ChannelSet::default().holds("a"));
        assert!(one.check("rejoin", &channels).is_ok() && all.check("rejoin", &channels).is_ok());
        assert!(read("rejoin = ['b']").check("rejoin", &channels).is_err());
    }
}
