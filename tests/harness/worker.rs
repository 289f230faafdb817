//! A worker process: its keys, its grant, its configuration.

use crate::{
    exchange::free_address,
    member::{DAY_MS, Member, now, random, write_key},
    process::Process,
};
use entrepot_chain_statement::{
    Did, Envelope,
    ids::GrantId,
    key::KeyFile,
    statements::{DatasetPolicy, Role, WorkerGrant, WorkerRole},
};
use rand_core::OsRng;
use std::path::{Path, PathBuf};

/// What a worker's configuration says of its exchange.
#[derive(Clone)]
pub struct PinnedExchange {
    /// `https://host:port` of the control plane.
    pub url: String,
    /// PEM file of the accepted certificate.
    pub ca: PathBuf,
    /// Its identity.
    pub did: Did,
    /// Verifier key of its log.
    pub log_key: String,
}

/// A dataset that a worker may read.
pub struct DatasetFiles {
    /// Name in the worker's configuration.
    pub name: &'static str,
    /// The CSV file's text.
    pub csv: String,
    /// The worker's own policy.
    pub policy: DatasetPolicy,
}

/// A worker's files, ready to start.
pub struct WorkerHome {
    /// Short name, as in `worker-lender`.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its keys.
    pub key: KeyFile,
    /// On whose behalf.
    pub participant: Did,
    /// Its grant.
    pub grant: Envelope,
}

impl WorkerHome {
    /// Writes keys, grant, data, policy and configuration into `home/<name>`.
    pub fn prepare(
        home: &Path,
        name: &str,
        member: &Member,
        exchange: &PinnedExchange,
        trust: &[Did],
        dataset: Option<&DatasetFiles>,
    ) -> Self {
        let folder = home.join(name);
        std::fs::create_dir_all(&folder).expect("folder");
        let key = KeyFile::generate(&mut OsRng);
        write_key(&folder.join("key.json"), &key);
        let grant = member.sign(&grant_of(member, &key));
        std::fs::write(folder.join("grant.json"), grant.to_json()).expect("grant");
        let path = |name: &str| folder.join(name).display().to_string();
        let mut table = toml::Table::new();
        for (name, value) in [
            ("exchange", exchange.url.clone()),
            ("exchange_ca", exchange.ca.display().to_string()),
            ("exchange_did", exchange.did.to_string()),
            ("log_key", exchange.log_key.clone()),
            ("participant", member.did().to_string()),
            ("key", path("key.json")),
            ("grant", path("grant.json")),
            ("data_dir", path("state")),
            // Fixed, so that a restarted worker is found again.
            ("peer_listen", free_address()),
        ] {
            table.insert(name.to_owned(), value.into());
        }
        table.insert("trust".to_owned(), trust.iter().map(Did::to_string).collect::<Vec<_>>().into());
        if let Some(dataset) = dataset {
            std::fs::write(folder.join("data.csv"), &dataset.csv).expect("data");
            let mut entry = toml::Table::new();
            entry.insert("path".to_owned(), path("data.csv").into());
            entry.insert("policy".to_owned(), path("policy.json").into());
            let datasets: toml::Table = [(dataset.name.to_owned(), entry.into())].into_iter().collect();
            table.insert("datasets".to_owned(), datasets.into());
        }
        std::fs::write(folder.join("worker.toml"), table.to_string()).expect("configuration");
        let home = Self { name: name.to_owned(), folder, key, participant: member.did(), grant };
        if let Some(dataset) = dataset {
            home.write_policy(&dataset.policy);
        }
        home
    }

    /// Replaces the worker's own policy.
    pub fn write_policy(&self, policy: &DatasetPolicy) {
        std::fs::write(self.folder.join("policy.json"), serde_json::to_vec_pretty(policy).expect("a policy is JSON")).expect("policy");
    }

    /// Starts the worker.
    pub fn start(&self, failpoint: Option<&str>) -> Process {
        let configuration = self.folder.join("worker.toml").display().to_string();
        Process::start(&self.name, &["work", "--config", &configuration], &self.folder.join("worker.log"), failpoint)
    }
}

/// A grant of `member` to the worker with `key`, for 30 days.
pub fn grant_of(member: &Member, key: &KeyFile) -> WorkerGrant {
    WorkerGrant {
        grant_id: GrantId::compose(now(), random()),
        participant: member.did(),
        worker: key.signing.did(),
        witness: key.witness.did(),
        role: if member.role == Role::Provider { WorkerRole::Data } else { WorkerRole::Compute },
        not_before: now(),
        expires_at: now().plus_ms(30 * DAY_MS),
    }
}
