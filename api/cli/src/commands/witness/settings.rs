//! The settings of a witness: whose key, which logs, how often.

use crate::{channels::check_name, exit::Failure, files, settings};
use entrepot_chain_log::{NoteKey, TrustFile, TrustedLog};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use toml::Table;

/// Logs that one witness follows.
const LOGS_MAX: usize = 1_000;
/// Shortest and longest pause between two looks at a log.
const INTERVAL_MS: std::ops::RangeInclusive<u64> = 100..=86_400_000;

/// The settings, merged.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Key file whose `witness` key cosigns. It must cosign nowhere else.
    pub key: PathBuf,
    /// Folder of what must not be forgotten; made at the first start.
    pub state_dir: PathBuf,
    /// Pause between two looks at a log, in milliseconds.
    #[serde(default = "interval_default")]
    pub interval_ms: u64,
    /// Where logs may ask by themselves (c2sp.org/tlog-witness); nowhere if absent.
    pub listen: Option<SocketAddr>,
    /// The logs.
    #[serde(default)]
    pub logs: Vec<LogSettings>,
}

/// A log: which it is, and where it is read.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// Trust file that names the log.
    pub trust: Option<PathBuf>,
    /// Instead of it, the log's verifier key, `<name>+<key id>+<base64>`.
    pub log_key: Option<NoteKey>,
    /// The log's origin, if that is not the name of its key.
    pub origin: Option<String>,
    /// Address of the exchange that publishes it; without it, the log has to ask.
    pub url: Option<String>,
    /// The channel there whose log it is; the first if absent.
    pub channel: Option<String>,
    /// PEM file of a certificate to believe besides the public authorities'.
    pub ca: Option<PathBuf>,
}

fn interval_default() -> u64 {
    10_000
}

impl Settings {
    /// Merges flags, environment and file.
    pub fn read(file: Option<&Path>, flags: Table) -> Result<Self, Failure> {
        let settings: Self = settings::load(file, flags)?;
        settings.check()?;
        Ok(settings)
    }

    /// Pause between two looks at a log.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    /// The logs with their keys, each once.
    pub fn trusted(&self) -> Result<Vec<TrustedLog>, Failure> {
        let logs = self.logs.iter().map(LogSettings::trusted).collect::<Result<Vec<_>, _>>()?;
        let mut origins = BTreeSet::new();
        match logs.iter().find(|log| !origins.insert(&log.origin)) {
            Some(twice) => Err(Failure::bad_input(format!("the log {} is configured twice: name it once", twice.origin))),
            None => Ok(logs),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.logs.is_empty() || self.logs.len() > LOGS_MAX {
            return Err(Failure::bad_input(format!(
                "a witness follows between 1 and {LOGS_MAX} logs: give --url and --trust, or [[logs]] in the configuration"
            )));
        }
        if !INTERVAL_MS.contains(&self.interval_ms) {
            return Err(Failure::bad_input(format!(
                "interval_ms is between {} and {} milliseconds",
                INTERVAL_MS.start(),
                INTERVAL_MS.end()
            )));
        }
        if let Some(channel) = self.logs.iter().filter_map(|log| log.channel.as_ref()).find(|name| check_name(name).is_err()) {
            return Err(Failure::bad_input(format!("`{channel}` is no name of a channel")));
        }
        if self.listen.is_none() && self.logs.iter().any(|log| log.url.is_none()) {
            return Err(Failure::bad_input("a log without `url` has to ask by itself: set `listen`, or the log's `url`"));
        }
        Ok(())
    }
}

impl LogSettings {
    fn trusted(&self) -> Result<TrustedLog, Failure> {
        let log = match (&self.trust, &self.log_key) {
            (Some(path), None) => {
                let wrong = |error| Failure::bad_input(format!("{}: {error}", path.display()));
                TrustFile::from_json(&files::read(path)?).map_err(wrong)?.log
            }
            (None, Some(key)) => TrustedLog { origin: key.name().to_owned(), key: key.clone() },
            _ => return Err(Failure::bad_input("a log is named by `trust`, a trust file, or by `log_key`, its verifier key: give one")),
        };
        Ok(TrustedLog { origin: self.origin.clone().unwrap_or(log.origin), key: log.key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_log::NoteSigner;
    use entrepot_chain_statement::SigningKey;

    fn read(logs: &str) -> Result<Settings, Failure> {
        let settings: Settings =
            format!("key = 'k'\nstate_dir = 's'\n{logs}").parse::<Table>().expect("TOML").try_into().map_err(Failure::bad_input)?;
        settings.check()?;
        settings.trusted()?;
        Ok(settings)
    }

    #[test]
    fn a_log_is_named_once_by_a_key_and_either_read_or_waited_for() {
        let key = NoteSigner::log("example.com/log", SigningKey::from_seed(&[1; 32])).expect("a name").public().to_string();
        let log = format!("[[logs]]\nlog_key = '{key}'\n");
        let url = "url = 'http://127.0.0.1:1'\n";
        assert_eq!(read(&format!("{log}{url}")).expect("valid").interval_ms, 10_000);
        assert!(read(&format!("listen = '127.0.0.1:0'\n{log}")).is_ok());
        assert!(read(&format!("{log}{url}channel = 'loans'")).is_ok());
        for wrong in [
            String::new(),
            log.clone(),
            format!("[[logs]]\n{url}"),
            format!("{log}{url}{log}{url}"),
            format!("interval_ms = 1\n{log}{url}"),
            format!("{log}{url}sizes = 1"),
            format!("{log}trust = 't'\n{url}"),
            format!("{log}{url}channel = 'a/b'"),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        assert!(read(&format!("{log}{url}{log}origin = 'example.com/second'\n{url}")).is_ok());
    }
}
