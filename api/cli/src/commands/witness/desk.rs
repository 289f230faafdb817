//! What a witness must not forget, a folder for each log: the last checkpoint that it cosigned, and evidence against the log.
//!
//! `checkpoint` is a signed note with the log's signature and this witness's: its own proof that it is whole and ours. It is on disk before
//! the cosignature leaves. `evidence.json` ends the following of its log until somebody takes it away.

use crate::{
    commands::witness::durable,
    exit::{ExitCode, Failure},
    files,
};
use entrepot_chain_log::{
    NoteKey, NoteSigner, SignedCheckpoint, SignedNote, TreeHead, TrustedLog, Witness, WitnessRefusal, witness::Offer,
};
use entrepot_chain_statement::Hash;
use serde_json::json;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

const CHECKPOINT: &str = "checkpoint";
const EVIDENCE: &str = "evidence.json";

/// Why nothing was cosigned.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The rule says no.
    #[error(transparent)]
    Refused(#[from] WitnessRefusal),
    /// The log contradicted itself before.
    #[error("{}", contradicted(.origin, .evidence))]
    Contradicted {
        /// The log.
        origin: String,
        /// The file that shows it.
        evidence: PathBuf,
    },
    /// The disk failed; nothing was cosigned.
    #[error("cannot write {path}: {source}; nothing was cosigned", path = .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn contradicted(origin: &str, evidence: &Path) -> String {
    format!(
        "the log {origin} contradicted itself and is followed no more: show {} to everybody who relies on it; remove the file once that is settled",
        evidence.display()
    )
}

/// One log's part of the desk.
pub struct FollowedLog {
    origin: String,
    key: NoteKey,
    signer: NoteSigner,
    rule: Witness,
    folder: PathBuf,
    last: Mutex<Last>,
}

struct Last {
    checkpoint: Option<SignedCheckpoint>,
    contradicted: bool,
}

/// Everything that this witness follows. One process at a time.
pub struct Desk {
    logs: Vec<FollowedLog>,
    /// Ends when every log has contradicted itself.
    pub nothing_left: CancellationToken,
    _lock: File,
}

impl Desk {
    /// Opens the folder, or makes it. Refuses one that another process has open, one of another key, and one that is damaged.
    pub fn open(folder: &Path, signer: &NoteSigner, logs: Vec<TrustedLog>) -> Result<Self, Failure> {
        files::make_private_folder(folder)?;
        let lock_path = folder.join("lock");
        let lock =
            File::create(&lock_path).map_err(|error| Failure::bad_input(format!("cannot write {}: {error}", lock_path.display())))?;
        if lock.try_lock().is_err() {
            let message = format!("{} is in use by another witness: give each a state_dir and a key of its own", folder.display());
            return Err(Failure::new(ExitCode::BadInput, message));
        }
        let logs = logs.into_iter().map(|log| FollowedLog::open(folder, signer, log)).collect::<Result<Vec<_>, _>>()?;
        durable::sync_folder(folder).map_err(|error| Failure::bad_input(format!("cannot sync {}: {error}", folder.display())))?;
        let desk = Self { logs, nothing_left: CancellationToken::new(), _lock: lock };
        desk.look_whether_any_is_left();
        Ok(desk)
    }

    /// The logs, as they were configured.
    pub fn logs(&self) -> &[FollowedLog] {
        &self.logs
    }

    /// The log of this origin.
    pub fn find(&self, origin: &str) -> Option<&FollowedLog> {
        self.logs.iter().find(|log| log.origin == origin)
    }

    /// Every log that contradicted itself, in words.
    pub fn contradictions(&self) -> Vec<String> {
        let found = self.logs.iter().filter(|log| log.last().contradicted);
        found.map(|log| contradicted(&log.origin, &log.evidence_path())).collect()
    }

    /// Writes down that a log contradicts itself; from now on nothing of it is cosigned.
    pub fn accuse(&self, log: &FollowedLog, offer: Offer<'_>, refusal: &WitnessRefusal, now_ms: i64) -> Result<(), DeskError> {
        let written = log.accuse(offer, refusal, now_ms);
        self.look_whether_any_is_left();
        written
    }

    fn look_whether_any_is_left(&self) {
        if self.logs.iter().all(|log| log.last().contradicted) {
            self.nothing_left.cancel();
        }
    }
}

impl FollowedLog {
    fn open(folder: &Path, signer: &NoteSigner, log: TrustedLog) -> Result<Self, Failure> {
        let TrustedLog { origin, key } = log;
        let rule = Witness::new(signer.clone(), &origin, key.clone())
            .ok_or_else(|| Failure::bad_input(format!("{key} is not the verifier key of a log")))?;
        let folder = folder.join(Hash::of(&[origin.as_bytes()]).to_string());
        files::make_private_folder(&folder)?;
        let mut log =
            Self { origin, key, signer: signer.clone(), rule, folder, last: Mutex::new(Last { checkpoint: None, contradicted: false }) };
        let last = Last { checkpoint: log.read()?, contradicted: log.evidence_path().exists() };
        log.last = Mutex::new(last);
        Ok(log)
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The log's own key.
    pub fn key(&self) -> &NoteKey {
        &self.key
    }

    /// The key that this witness cosigns with.
    pub fn cosigner(&self) -> &NoteKey {
        self.signer.public()
    }

    /// What was cosigned last, with the log's signature and ours.
    pub fn checkpoint(&self) -> Option<SignedCheckpoint> {
        self.last().checkpoint.clone()
    }

    /// Its head.
    pub fn head(&self) -> Option<TreeHead> {
        self.last().head()
    }

    /// Fails if there is evidence against the log.
    pub fn check(&self) -> Result<(), DeskError> {
        self.unless_contradicted(&self.last())
    }

    /// Decides on an offer, makes the new head durable, and only then gives the cosignature's line out. All under
    /// one lock: two questions at once cannot move the head back.
    pub fn cosign(&self, offer: Offer<'_>, now_ms: i64) -> Result<Cosigned, DeskError> {
        let mut last = self.last();
        self.unless_contradicted(&last)?;
        let seconds = u64::try_from(now_ms / 1000).unwrap_or(0).max(1);
        let cosigned = self.rule.consider(last.head(), offer, seconds)?;
        if last.head() != Some(cosigned.head) {
            let kept = self.with_both_signatures(offer.checkpoint, &cosigned.signature.to_string());
            let kept = kept.ok_or(WitnessRefusal::Checkpoint(entrepot_chain_log::CheckpointError::Form))?;
            entrepot_failpoint::reach("witness.before_head");
            self.write(CHECKPOINT, kept.to_string().as_bytes())?;
            last.checkpoint = Some(kept);
        }
        entrepot_failpoint::reach("witness.after_head");
        Ok(Cosigned { size: cosigned.head.size, line: cosigned.signature.to_string() })
    }

    /// The checkpoint without the lines of others, which would only take up room.
    fn with_both_signatures(&self, offered: &str, line: &str) -> Option<SignedCheckpoint> {
        let note: SignedNote = offered.parse().ok()?;
        let logs = note.signatures().iter().find(|signature| self.key.claims(signature))?;
        format!("{}\n{logs}\n{line}\n", note.text()).parse().ok()
    }

    fn accuse(&self, offer: Offer<'_>, refusal: &WitnessRefusal, now_ms: i64) -> Result<(), DeskError> {
        let mut last = self.last();
        self.unless_contradicted(&last)?;
        let proof: Vec<String> = offer.consistency.iter().map(Hash::to_string).collect();
        let evidence = json!({
            "format": "entrepot.witness-evidence.v1",
            "origin": self.origin,
            "log_key": self.key.to_string(),
            "code": refusal.code(),
            "problem": refusal.to_string(),
            "seen_at_ms": now_ms.to_string(),
            "cosigned": last.checkpoint.as_ref().map(ToString::to_string),
            "offered": offer.checkpoint,
            "proof_from": offer.old_size.to_string(),
            "proof": proof,
        });
        // Even if the disk is full: not in this life.
        last.contradicted = true;
        self.write(EVIDENCE, format!("{evidence:#}\n").as_bytes())
    }

    fn unless_contradicted(&self, last: &Last) -> Result<(), DeskError> {
        match last.contradicted {
            true => Err(DeskError::Contradicted { origin: self.origin.clone(), evidence: self.evidence_path() }),
            false => Ok(()),
        }
    }

    fn evidence_path(&self) -> PathBuf {
        self.folder.join(EVIDENCE)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, name: &str, contents: &[u8]) -> Result<(), DeskError> {
        let path = self.folder.join(name);
        durable::write(&path, contents).map_err(|source| DeskError::Disk { path, source })
    }

    /// What an earlier run cosigned. Guessing here could mean cosigning two histories.
    fn read(&self) -> Result<Option<SignedCheckpoint>, Failure> {
        let path = self.folder.join(CHECKPOINT);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| Failure::bad_input(format!("cannot read {}: {error}", path.display())))?,
        };
        let wrong =
            |why: &str| Failure::bad_input(format!("{}: {why}; restore the folder, or start a new witness with a new key", path.display()));
        let checkpoint: SignedCheckpoint = text.parse().map_err(|_| wrong("it is damaged"))?;
        checkpoint.verify_log(&self.origin, &self.key).map_err(|error| wrong(&error.to_string()))?;
        match checkpoint.cosigned_at(self.signer.public()) {
            Ok(Some(_)) => Ok(Some(checkpoint)),
            _ => Err(wrong("it was not cosigned with the key that this witness has now")),
        }
    }
}

impl Last {
    fn head(&self) -> Option<TreeHead> {
        self.checkpoint.as_ref().map(|signed| TreeHead { size: signed.checkpoint().size, root: signed.checkpoint().root })
    }
}

/// A cosignature that may leave: what it says is durable.
pub struct Cosigned {
    /// Entries of the checkpoint.
    pub size: u64,
    /// The note's signature line.
    pub line: String,
}
