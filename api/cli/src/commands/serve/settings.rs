//! The settings of an exchange: their names, defaults and rules.

use crate::{channels::check_name, consortium::ConsortiumSettings, exit::Failure, settings};
use entrepot_exchange_domain::job::JobLimits;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use toml::Table;

/// No step of a job waits longer.
const JOB_LIMIT_MS_MAX: i64 = 30 * 24 * 3_600_000;

/// The settings, merged.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder of keys, database and channels.
    pub data_dir: PathBuf,
    /// Where REST listens.
    #[serde(default = "rest_default")]
    pub rest_listen: SocketAddr,
    /// Where others reach REST, if that is not where it listens: behind a proxy, or on every address of the machine.
    pub rest_url: Option<String>,
    /// Where workers dial in.
    #[serde(default = "grpc_default")]
    pub grpc_listen: SocketAddr,
    /// Where workers reach that, if that is not where it listens.
    pub grpc_url: Option<String>,
    /// Host names and addresses in the control plane's own certificate, made at the first start.
    #[serde(default = "names_default")]
    pub grpc_names: Vec<String>,
    /// TLS for REST; plain HTTP without it, which belongs behind a proxy or on one machine.
    pub rest_tls: Option<RestTls>,
    /// The channel whose log receipts go to.
    #[serde(default = "channel_default")]
    pub channel: String,
    /// Channels of several members: the market's, and those that the exchange takes part in besides. Without it the market's channel has one
    /// member, the exchange.
    pub consortium: Option<ConsortiumSettings>,
    /// How long a job may take.
    #[serde(default)]
    pub job_limits: JobLimitSettings,
}

/// PEM files for REST.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RestTls {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How long a job may stay in each state before it is tried again or refunded, in milliseconds.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobLimitSettings {
    /// Until every worker is connected and earlier orders of the agreement are through.
    pub queued_ms: i64,
    /// Until every worker accepted.
    pub dispatched_ms: i64,
    /// Until every worker computed.
    pub running_ms: i64,
}

impl Default for JobLimitSettings {
    fn default() -> Self {
        let JobLimits { queued_ms, dispatched_ms, running_ms, .. } = JobLimits::default();
        Self { queued_ms, dispatched_ms, running_ms }
    }
}

impl JobLimitSettings {
    /// The limits of jobs: these, and the defaults of what nobody needs to set.
    pub fn limits(&self) -> JobLimits {
        let Self { queued_ms, dispatched_ms, running_ms } = *self;
        JobLimits { queued_ms, dispatched_ms, running_ms, ..JobLimits::default() }
    }
}

fn rest_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8080))
}

fn grpc_default() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8081))
}

fn names_default() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

fn channel_default() -> String {
    "main".to_owned()
}

impl Settings {
    /// Merges `flags`, environment, file and defaults, and checks the whole.
    pub fn read(config: Option<&Path>, flags: Table) -> Result<Self, Failure> {
        let settings: Self = settings::load(config, flags)?;
        settings.check()?;
        Ok(settings)
    }

    /// Those of a data folder, for tools that look after it. Without a folder the configuration names it.
    pub fn of(data_dir: Option<&Path>, config: Option<&Path>) -> Result<Self, Failure> {
        let flags = data_dir.map(|path| ("data_dir".to_owned(), path.display().to_string().into()));
        Self::read(config, flags.into_iter().collect())
    }

    fn check(&self) -> Result<(), Failure> {
        check_name(&self.channel).map_err(|why| Failure::bad_input(format!("`channel`: {why}")))?;
        if let Some(name) = self.grpc_names.iter().find(|name| ServerName::try_from(name.as_str()).is_err()) {
            return Err(Failure::bad_input(format!("`grpc_names`: `{name}` is no host name and no address")));
        }
        if self.grpc_names.is_empty() {
            return Err(Failure::bad_input("`grpc_names` is empty: no worker could believe the certificate"));
        }
        let is_url = |url: &Option<String>, schemes: &[&str]| {
            url.as_ref().is_none_or(|url| schemes.iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())))
        };
        if !is_url(&self.rest_url, &["http://", "https://"]) {
            return Err(Failure::bad_input("`rest_url` begins with http:// or https://"));
        }
        if !is_url(&self.grpc_url, &["https://"]) {
            return Err(Failure::bad_input("`grpc_url` begins with https://"));
        }
        let JobLimitSettings { queued_ms, dispatched_ms, running_ms } = self.job_limits;
        if let Some(limit) = [queued_ms, dispatched_ms, running_ms].into_iter().find(|limit| !(1..=JOB_LIMIT_MS_MAX).contains(limit)) {
            return Err(Failure::bad_input(format!("`job_limits` are milliseconds from 1 to {JOB_LIMIT_MS_MAX}, not {limit}")));
        }
        Ok(())
    }
}
