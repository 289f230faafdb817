//! Who takes part in the sample market, each with keys of its own.

use crate::{exit::Failure, files};
use entrepot_chain_statement::{Did, key::KeyFile, statements::Role};
use rand_core::OsRng;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// One participant.
pub struct Member {
    /// Short name, also of its folder.
    pub short: &'static str,
    /// Name shown to people.
    pub name: &'static str,
    /// Its one role.
    pub role: Role,
    /// Its folder.
    pub home: PathBuf,
    /// Its keys.
    pub key: KeyFile,
}

impl Member {
    fn make(home: &Path, short: &'static str, name: &'static str, role: Role) -> Result<Self, Failure> {
        let home = home.join(short);
        let key = KeyFile::generate(&mut OsRng);
        files::write_secret(&home.join("key.json"), key.to_json().as_bytes())?;
        Ok(Self { short, name, role, home, key })
    }

    /// The participant's DID.
    pub fn did(&self) -> Did {
        self.key.signing.did()
    }
}

/// Everybody.
pub struct Cast {
    pub operator: Member,
    pub lender: Member,
    pub bureau: Member,
    pub compute: Member,
    pub consumer: Member,
    pub regulator: Member,
}

impl Cast {
    /// Makes everybody's keys, each in a folder of its own.
    pub fn make(home: &Path) -> Result<Self, Failure> {
        let member = |short, name, role| Member::make(home, short, name, role);
        Ok(Self {
            operator: member("operator", "Exchange operator", Role::Operator)?,
            lender: member("lender", "First Lender", Role::Provider)?,
            bureau: member("bureau", "Credit Bureau", Role::Provider)?,
            compute: member("compute", "Neutral Compute", Role::ComputeParty)?,
            consumer: member("consumer", "Market Analyst", Role::Consumer)?,
            regulator: member("regulator", "Regulator", Role::Regulator)?,
        })
    }

    /// Everybody but the operator, who bootstraps the exchange.
    pub fn enrolling(&self) -> [&Member; 5] {
        [&self.lender, &self.bureau, &self.compute, &self.consumer, &self.regulator]
    }

    /// Those who run a worker, by party index.
    pub fn working(&self) -> [&Member; 3] {
        [&self.lender, &self.bureau, &self.compute]
    }

    /// Where each key file is.
    pub fn key_paths(&self) -> Value {
        let members = self.enrolling().into_iter().chain([&self.operator]);
        members.map(|m| (m.short.to_owned(), Value::from(m.home.join("key.json").display().to_string()))).collect::<Map<_, _>>().into()
    }
}
