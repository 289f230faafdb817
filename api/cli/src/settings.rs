//! Configuration in layers: flags over `ENTREPOT__` environment over a TOML file over defaults. Unknown keys are refused by the type
//! that the merged table is read into.

use crate::exit::Failure;
use serde::de::DeserializeOwned;
use std::{fs, path::Path};
use toml::{Table, Value};

const PREFIX: &str = "ENTREPOT__";

/// Merges the layers and reads them into `T`, whose defaults are the lowest one.
pub fn load<T: DeserializeOwned>(file: Option<&Path>, flags: Table) -> Result<T, Failure> {
    let merged = layers(file, std::env::vars(), flags)?;
    Value::Table(merged).try_into().map_err(|error| Failure::bad_input(format!("the configuration is not valid: {error}")))
}

fn layers(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>, flags: Table) -> Result<Table, Failure> {
    let mut merged = match file {
        None => Table::new(),
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| Failure::bad_input(format!("cannot read {}: {error}", path.display())))?;
            text.parse().map_err(|error| Failure::bad_input(format!("{} is not TOML: {error}", path.display())))?
        }
    };
    for (name, value) in environment {
        if let Some(path) = name.strip_prefix(PREFIX) {
            let keys: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
            set(&mut merged, &keys, scalar(&value)).map_err(|key| Failure::bad_input(format!("{name}: `{key}` is not a table")))?;
        }
    }
    overlay(&mut merged, flags);
    Ok(merged)
}

/// A value of the environment is read as TOML (`8`, `true`, `["a"]`), else as text.
fn scalar(text: &str) -> Value {
    format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v")).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(table: &mut Table, keys: &[String], value: Value) -> Result<(), String> {
    match keys {
        [] => Ok(()),
        [last] => {
            table.insert(last.clone(), value);
            Ok(())
        }
        [first, rest @ ..] => match table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => set(inner, rest, value),
            _ => Err(first.clone()),
        },
    }
}

fn overlay(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(table)) => overlay(inner, table),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        listen: String,
        #[serde(default)]
        limit: u32,
        #[serde(default)]
        tls: Option<Table>,
    }

    fn merge(toml: &str, environment: &[(&str, &str)], flags: &str) -> Result<Sample, Failure> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("c.toml");
        fs::write(&path, toml).expect("writable");
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let merged = layers(Some(&path), environment, flags.parse().expect("TOML"))?;
        Value::Table(merged).try_into().map_err(Failure::bad_input)
    }

    #[test]
    fn flags_win_over_environment_over_file() {
        let found = merge("listen = 'file'\nlimit = 1", &[("ENTREPOT__LISTEN", "env"), ("ENTREPOT__LIMIT", "2")], "listen = 'flag'")
            .expect("valid");
        assert_eq!(found, Sample { listen: "flag".into(), limit: 2, tls: None });
    }

    #[test]
    fn nested_keys_come_from_double_underscores() {
        let found = merge("listen = 'x'", &[("ENTREPOT__TLS__CERT", "a.pem")], "").expect("valid");
        assert_eq!(found.tls.expect("a table")["cert"].as_str(), Some("a.pem"));
    }

    #[test]
    fn unknown_keys_are_refused_wherever_they_come_from() {
        assert!(merge("listen = 'x'\nlissten = 'y'", &[], "").is_err());
        assert!(merge("listen = 'x'", &[("ENTREPOT__LISSTEN", "y")], "").is_err());
    }
}
