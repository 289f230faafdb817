//! The worker's configuration: whom it trusts, which files it may read, and under which policy.
//!
//! The caller has merged file, environment and flags. Relative paths start at the working directory.

use crate::frames::{ChildProgram, FrameLimits};
use entrepot_chain_statement::{
    Did, Envelope,
    key::{KeyFile, KeyFileError},
    statements::{DatasetPolicy, WorkerGrant},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use zeroize::Zeroizing;

/// Largest key, grant, certificate or policy file that is read.
const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Jobs at the same time, unless configured.
const JOBS_MAX_DEFAULT: u32 = 8;

/// Why a configuration is not usable. Each text says what to change.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {path} ({key} in the worker's configuration)")]
    File {
        /// Which key names it.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is too big to be what the key says.
    #[error("{path} ({key} in the worker's configuration) is larger than 1 MiB")]
    FileTooLarge {
        /// Which key names it.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// Others could read the key file.
    #[error("{path} holds a private key but others may read it (mode {mode:o}): run `chmod 600 {path}`", path = .path.display())]
    KeyFileMode {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The key file is not one.
    #[error("{path} is not a key file: make one with `entrepot keygen`", path = .path.display())]
    KeyFile {
        /// The key file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyFileError,
    },
    /// A policy file is not a policy.
    #[error("{path} is not a dataset policy: {source}", path = .path.display())]
    Policy {
        /// The policy file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The grant does not cover this worker.
    #[error("the grant is not usable: {0}")]
    Grant(&'static str),
    /// A value that is well formed but wrong.
    #[error("`{key}` in the worker's configuration: {problem}")]
    Value {
        /// Which key.
        key: String,
        /// What is wrong and what to write instead.
        problem: String,
    },
}

/// The configuration as written. Unknown keys are refused, so that a mistyped one does not silently leave a default in force.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerConfig {
    /// The exchange's gRPC address, `https://host:port`.
    pub exchange: String,
    /// PEM file of the certificate authority that is accepted for it, and no other.
    pub exchange_ca: PathBuf,
    /// The exchange whose signatures count.
    pub exchange_did: Did,
    /// On whose behalf this worker acts.
    pub participant: Did,
    /// Participants whose signatures count: providers, compute parties, consumers. `participant` itself need not be listed.
    pub trust: BTreeSet<Did>,
    /// Verifier key (C2SP note) of the log whose checkpoints this worker cosigns.
    pub log_key: String,
    /// The worker's key file; nobody else may read it.
    pub key: PathBuf,
    /// File of the envelope of the participant's WorkerGrant to this worker.
    pub grant: PathBuf,
    /// Folder of the worker's state.
    pub data_dir: PathBuf,
    /// Where other parties connect to; port 0 takes any.
    pub peer_listen: SocketAddr,
    /// `host:port` to tell them; the bound address if absent.
    pub peer_address: Option<String>,
    /// The datasets by name; none for a compute party.
    #[serde(default)]
    pub datasets: BTreeMap<String, DatasetConfig>,
    /// Limits.
    #[serde(default)]
    pub limits: LimitsConfig,
}

/// A dataset that this worker may read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// The CSV file.
    pub path: PathBuf,
    /// JSON of the DatasetPolicy that is obeyed. Read again for every order, so that tightening it needs no restart.
    pub policy: PathBuf,
}

/// Limits that may be changed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Jobs at the same time; 8 if absent.
    pub jobs_max: Option<u32>,
    /// Bytes of a CSV file; 512 MiB if absent.
    pub csv_file_bytes_max: Option<u64>,
    /// Address space of the process that reads a CSV file; 2 GiB if absent.
    pub csv_memory_bytes_max: Option<u64>,
    /// Time to read a CSV file; 120 if absent.
    pub csv_timeout_seconds: Option<u64>,
}

/// A checked configuration, with what its files hold.
#[derive(Debug)]
pub(crate) struct Settings {
    pub config: WorkerConfig,
    /// [`WorkerConfig::trust`] and the participant itself.
    pub trust: BTreeSet<Did>,
    pub exchange_ca: Vec<u8>,
    pub keys: KeyFile,
    pub grant: Envelope,
    pub jobs_max: u32,
    pub frame_limits: FrameLimits,
    pub frames_child: ChildProgram,
}

impl WorkerConfig {
    /// Whether the worker could start with this: every value is in order and every file that is named can be read.
    pub fn check(&self) -> Result<(), ConfigError> {
        Settings::open(self.clone()).map(drop)
    }
}

impl Settings {
    pub fn open(config: WorkerConfig) -> Result<Self, ConfigError> {
        check_values(&config)?;
        let keys = read_key_file(&config.key)?;
        let grant = Envelope::from_json(&read_small("grant", &config.grant)?)
            .map_err(|_| ConfigError::Grant("the file is not an envelope: make one with `entrepot sign`"))?;
        check_grant(&grant, &config.participant, &keys)?;
        let exchange_ca = read_small("exchange_ca", &config.exchange_ca)?.to_vec();
        for (name, dataset) in &config.datasets {
            read_policy(name, &dataset.policy)?;
        }
        let mut trust = config.trust.clone();
        trust.insert(config.participant.clone());
        let (limits, defaults) = (config.limits, FrameLimits::default());
        Ok(Self {
            trust,
            exchange_ca,
            keys,
            grant,
            jobs_max: limits.jobs_max.unwrap_or(JOBS_MAX_DEFAULT),
            frame_limits: FrameLimits {
                file_bytes_max: limits.csv_file_bytes_max.unwrap_or(defaults.file_bytes_max),
                memory_bytes_max: limits.csv_memory_bytes_max.unwrap_or(defaults.memory_bytes_max),
                timeout: limits.csv_timeout_seconds.map_or(defaults.timeout, Duration::from_secs),
                ..defaults
            },
            frames_child: ChildProgram::this_program(),
            config,
        })
    }
}

fn wrong(key: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), problem: problem.into() }
}

fn check_values(keys: &WorkerConfig) -> Result<(), ConfigError> {
    if !keys.exchange.starts_with("https://") {
        return Err(wrong("exchange", "must begin with https://: a worker speaks to its exchange over TLS only"));
    }
    if keys.trust.contains(&keys.exchange_did) {
        return Err(wrong("trust", "must not hold the exchange's did: the exchange introduces participants, it does not vouch for them"));
    }
    if keys.limits.jobs_max == Some(0) {
        return Err(wrong("limits.jobs_max", "must be at least 1"));
    }
    if keys.limits.csv_timeout_seconds == Some(0) {
        return Err(wrong("limits.csv_timeout_seconds", "must be at least 1"));
    }
    if keys.peer_listen.ip().is_unspecified() && keys.peer_address.is_none() {
        return Err(wrong(
            "peer_address",
            "is needed when peer_listen is a wildcard: name the host:port at which other parties reach this one",
        ));
    }
    for name in keys.datasets.keys() {
        if !crate::frames::is_name(name) {
            return Err(wrong("datasets", format!("the name `{name}` must match [a-z_][a-z0-9_]{{0,62}}")));
        }
    }
    Ok(())
}

fn check_grant(grant: &Envelope, participant: &Did, keys: &KeyFile) -> Result<(), ConfigError> {
    let statement: WorkerGrant =
        grant.open_signed_by([participant]).map_err(|_| ConfigError::Grant("it is not a worker grant signed by `participant`"))?;
    if statement.participant != *participant {
        return Err(ConfigError::Grant("it was given by another participant"));
    }
    if statement.worker != keys.signing.did() {
        return Err(ConfigError::Grant("it was given to another worker's key: sign a grant for the did in the worker's key file"));
    }
    if statement.witness != keys.witness.did() {
        return Err(ConfigError::Grant("its witness key is not the one in the worker's key file"));
    }
    Ok(())
}

fn read_small(key: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    let failed = |source| ConfigError::File { key: key.to_owned(), path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    // Room for everything from the start: a vector that grows would leave copies of a key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    file.take(SMALL_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > SMALL_FILE_BYTES_MAX {
        return Err(ConfigError::FileTooLarge { key: key.to_owned(), path: path.to_owned() });
    }
    Ok(bytes)
}

fn read_key_file(path: &Path) -> Result<KeyFile, ConfigError> {
    let metadata = std::fs::metadata(path).map_err(|source| ConfigError::File { key: "key".to_owned(), path: path.to_owned(), source })?;
    if metadata.mode() & 0o077 != 0 {
        return Err(ConfigError::KeyFileMode { path: path.to_owned(), mode: metadata.mode() & 0o777 });
    }
    let bytes = read_small("key", path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("key", "the file is not UTF-8: make one with `entrepot keygen`"))?;
    KeyFile::from_json(text).map_err(|source| ConfigError::KeyFile { path: path.to_owned(), source })
}

/// Reads a policy file.
pub(crate) fn read_policy(dataset: &str, path: &Path) -> Result<DatasetPolicy, ConfigError> {
    let bytes = read_small(&format!("datasets.{dataset}.policy"), path)?;
    serde_json::from_slice(&bytes).map_err(|source| ConfigError::Policy { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DID: &str = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw";

    fn table(more: &str) -> Result<WorkerConfig, toml::de::Error> {
        toml::from_str(&format!(
            "exchange = 'https://localhost:1'\nexchange_ca = 'ca.pem'\nexchange_did = '{DID}'\nparticipant = '{DID}'\ntrust = []\n\
             log_key = 'k'\nkey = 'worker.key'\ngrant = 'grant.json'\ndata_dir = 'data'\npeer_listen = '127.0.0.1:0'\n{more}"
        ))
    }

    #[test]
    fn an_unknown_key_is_refused_at_every_level() {
        assert!(table("").is_ok());
        assert!(table("trusted = []").is_err());
        assert!(table("[limits]\njobs = 3").is_err());
        assert!(table("[datasets.loans]\npath = 'a.csv'\npolicy = 'p.json'\nkey = 'x'").is_err());
        assert!(table("[datasets.loans]\npath = 'a.csv'").is_err(), "a dataset without a policy");
    }

    #[test]
    fn values_that_would_weaken_the_worker_are_refused() {
        let change = |change: fn(&mut WorkerConfig)| {
            let mut config = table("").expect("it is valid");
            change(&mut config);
            matches!(check_values(&config), Err(ConfigError::Value { .. }))
        };
        assert!(!change(|_| {}));
        assert!(change(|config| config.exchange = "http://localhost:1".into()));
        assert!(change(|config| _ = config.trust.insert(DID.parse().expect("a did"))), "the exchange as a trusted participant");
        assert!(change(|config| config.peer_listen = "0.0.0.0:0".parse().expect("an address")));
        assert!(change(|config| config.limits.jobs_max = Some(0)));
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("worker.key");
        let keys = KeyFile::generate(&mut rand_core::OsRng);
        std::fs::write(&path, keys.to_json().as_bytes()).expect("it can be written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("it is ours");
        assert!(matches!(read_key_file(&path), Err(ConfigError::KeyFileMode { mode: 0o640, .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        assert_eq!(read_key_file(&path).expect("it is a key file").signing.did(), keys.signing.did());
    }
}
