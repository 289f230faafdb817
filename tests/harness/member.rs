//! Participants and their keys. The keys never leave the test's process but for their owner's key file.

use entrepot_chain_statement::{
    Did, Envelope, Statement, Timestamp,
    key::KeyFile,
    statements::{ParticipantEnrolment, Role},
};
use rand_core::{OsRng, RngCore};
use std::{
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// A day, in milliseconds.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A participant.
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its keys.
    pub key: KeyFile,
}

impl Member {
    /// A participant with new keys.
    pub fn new(name: &str, role: Role) -> Self {
        Self { name: name.to_owned(), role, key: KeyFile::generate(&mut OsRng) }
    }

    /// Its identity.
    pub fn did(&self) -> Did {
        self.key.signing.did()
    }

    /// How it introduces itself.
    pub fn enrolment(&self) -> ParticipantEnrolment {
        ParticipantEnrolment {
            participant: self.did(),
            name: self.name.clone(),
            roles: vec![self.role],
            sealing_key: self.key.sealing.public(),
            issued_at: now(),
        }
    }

    /// Signs a statement.
    pub fn sign<S: Statement>(&self, statement: &S) -> Envelope {
        Envelope::sign(statement, &self.key.signing, random()).expect("a statement can be signed")
    }
}

/// This moment.
pub fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Timestamp(i64::try_from(elapsed.as_millis()).expect("before the end of time"))
}

/// Random bytes.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

/// Writes a key file that its owner alone may read.
pub fn write_key(path: &Path, key: &KeyFile) {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("key file");
    file.write_all(key.to_json().as_bytes()).expect("key file");
}
