//! This worker as a witness of the log: it cosigns a checkpoint only if the log has grown consistently since the last one it cosigned.

use crate::{
    config::{ConfigError, Settings},
    state::{StateError, Store},
};
use entrepot_api_wire::v1;
use entrepot_chain_log::{NoteKey, NoteSigner, Witness, WitnessRefusal, witness::Offer};
use entrepot_chain_statement::{Hash, Timestamp};

/// A cosignature that may be told: it is durable that it was given.
pub(crate) struct Cosigned {
    pub size: u64,
    pub line: String,
}

/// Why nothing was cosigned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CosignError {
    #[error(transparent)]
    Refused(#[from] WitnessRefusal),
    #[error("the checkpoint or its proof cannot be read")]
    Malformed,
    #[error(transparent)]
    State(#[from] StateError),
}

impl CosignError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Malformed => "wrong_checkpoint",
            Self::State(_) => "state_unusable",
        }
    }
}

/// The witness that the configuration describes: the log's key is named by the log's origin.
pub(crate) fn of(settings: &Settings) -> Result<Witness, ConfigError> {
    let wrong = |problem: &str| ConfigError::Value { key: "log_key".to_owned(), problem: problem.to_owned() };
    let not_a_key = "must be the log's verifier key, <origin>+<key id>+<base64>, as the exchange's trust file has it";
    let log: NoteKey = settings.config.log_key.parse().map_err(|_| wrong(not_a_key))?;
    let secret = settings.keys.witness.clone();
    let signer = NoteSigner::cosigner(secret.did().as_str(), secret).map_err(|_| wrong(not_a_key))?;
    let origin = log.name().to_owned();
    Witness::new(signer, &origin, log).ok_or_else(|| wrong("must be the key of a log, not of a witness"))
}

/// Cosigns, and remembers it before the cosignature leaves: else a crash would let this witness cosign two histories.
pub(crate) fn cosign(
    witness: &Witness,
    message: &v1::CosignCheckpoint,
    store: &mut Store,
    now: Timestamp,
) -> Result<Cosigned, CosignError> {
    let checkpoint = std::str::from_utf8(&message.checkpoint).map_err(|_| CosignError::Malformed)?;
    let hashes = message.consistency.iter().map(|hash| hash.as_slice().try_into().map(Hash));
    let consistency: Vec<Hash> = hashes.collect::<Result<_, _>>().map_err(|_| CosignError::Malformed)?;
    let offer = Offer { checkpoint, old_size: message.old_size, consistency: &consistency };
    let seconds = u64::try_from(now.0 / 1000).unwrap_or(0);
    let cosigned = witness.consider(store.tree_head(), offer, seconds)?;
    entrepot_failpoint::reach("worker.before_cosign");
    if store.tree_head() != Some(cosigned.head) {
        store.put_tree_head(cosigned.head)?;
    }
    Ok(Cosigned { size: cosigned.head.size, line: cosigned.signature.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_log::{Checkpoint, MerkleTree};
    use entrepot_chain_statement::SigningKey;

    const ORIGIN: &str = "entrepot/main";

    struct Log {
        tree: MerkleTree,
        signer: NoteSigner,
    }

    impl Log {
        fn of(entries: &[&str]) -> Self {
            Self { tree: entries.iter().collect(), signer: NoteSigner::log(ORIGIN, SigningKey::from_seed(&[1; 32])).expect("a name") }
        }

        fn offer(&self, old_size: u64) -> v1::CosignCheckpoint {
            let size = self.tree.size();
            let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: self.tree.root() };
            let proof = self.tree.consistency_proof(old_size, size).unwrap_or_default();
            v1::CosignCheckpoint {
                checkpoint: checkpoint.sign(&self.signer).expect("it signs").to_string().into_bytes(),
                old_size,
                consistency: proof.iter().map(|hash| hash.0.to_vec()).collect(),
            }
        }
    }

    fn witness() -> Witness {
        let secret = SigningKey::from_seed(&[2; 32]);
        let signer = NoteSigner::cosigner(secret.did().as_str(), secret).expect("a name");
        Witness::new(signer, ORIGIN, Log::of(&[]).signer.public().clone()).expect("the kinds fit")
    }

    #[test]
    fn what_was_cosigned_is_remembered_across_a_restart_and_never_contradicted() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut store = Store::open(folder.path()).expect("it is new");
        let ask = |store: &mut Store, message: &v1::CosignCheckpoint| cosign(&witness(), message, store, Timestamp(5_000));
        assert_eq!(ask(&mut store, &Log::of(&["a", "b"]).offer(0)).expect("it is the first").size, 2);
        drop(store);
        let mut store = Store::open(folder.path()).expect("it is whole");
        let refused = |store: &mut Store, message| ask(store, &message).err().map(|error| error.code());
        assert_eq!(refused(&mut store, Log::of(&["a", "x"]).offer(0)), Some("fork"));
        assert_eq!(refused(&mut store, Log::of(&["a"]).offer(0)), Some("rollback"));
        assert_eq!(refused(&mut store, Log::of(&["a", "b", "c"]).offer(0)), Some("known_size"));
        assert_eq!(refused(&mut store, Log::of(&["a", "x", "c"]).offer(2)), Some("inconsistent"));
        assert_eq!(
            refused(&mut store, v1::CosignCheckpoint { checkpoint: vec![0xff], ..Log::of(&["a"]).offer(0) }),
            Some("wrong_checkpoint")
        );
        assert_eq!(ask(&mut store, &Log::of(&["a", "b", "c"]).offer(2)).expect("it only grew").size, 3);
    }
}
