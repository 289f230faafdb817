//! Witnesses that are no workers: a participant enrols one key, and from then on whoever holds that key sends cosignatures without a token.
//!
//! The exchange keeps cosignatures of keys that it knows and of no others: a checkpoint has room for a limited number of them, and a
//! stranger with many keys could take it all. Being known here says nothing about trust: that is for trust files to say.

use crate::{Market, NotaryError};
use entrepot_chain_log::NoteSignature;
use entrepot_chain_statement::{Did, Timestamp};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use entrepot_exchange_store::{StoreError, Tx, witness, witness::WitnessRow};

/// A participant's witness is not replaced within this time after it was enrolled or cosigned: else one participant could fill a
/// checkpoint with keys.
pub const REPLACED_AFTER_MS: i64 = 24 * 3_600_000;
/// Longest cosignature line.
pub const COSIGNATURE_BYTES_MAX: usize = 1_024;

/// Why a witness was not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolWitnessError {
    /// The key of the participant itself.
    #[error("a witness has a key of its own: this one is the participant's")]
    SharedKey,
    /// There is another, and it is at work.
    #[error("you have enrolled {present}, which has cosigned within the last day")]
    Exists {
        /// The one that is there.
        present: Did,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for EnrolWitnessError {
    fn code(&self) -> &'static str {
        match self {
            Self::SharedKey => "shared_key",
            Self::Exists { .. } => "witness_exists",
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::SharedKey => RefusalKind::Unprocessable,
            Self::Exists { .. } => RefusalKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::SharedKey => Some("make one with `entrepot keygen` and name the `witness` that it prints".to_owned()),
            Self::Exists { .. } => Some("stop the old witness; a day after its last cosignature another one can be enrolled".to_owned()),
            Self::Store(_) => None,
        }
    }
}

/// Enrols the caller's witness, in place of one that has been silent for a day. A key that is known already stays as it is, whoever named
/// it first: nobody can keep a witness out by naming its key.
pub async fn enrol(tx: &mut Tx<'_>, now: Timestamp, caller: &Did, key: &Did) -> Result<WitnessRow, EnrolWitnessError> {
    if key == caller {
        return Err(EnrolWitnessError::SharedKey);
    }
    if let Some(present) = witness::find(tx, key).await? {
        return Ok(present);
    }
    if let Some(present) = witness::standing(tx, caller).await? {
        if now.0 < present.cosigned_at.plus_ms(REPLACED_AFTER_MS).0 {
            return Err(EnrolWitnessError::Exists { present: present.witness });
        }
        witness::remove(tx, &present.witness).await?;
    }
    let row = WitnessRow { witness: key.clone(), participant: caller.clone(), worker: key.clone(), size: 0, cosigned_at: now };
    witness::cosigned(tx, &row).await?;
    Ok(row)
}

/// Why a cosignature was not kept.
#[derive(Debug, thiserror::Error)]
pub enum CosignatureError {
    /// Not a note signature under a key that is named by its own DID.
    #[error("this is no cosignature: one line, `— <did:key> <base64>`, is expected")]
    Malformed,
    /// Nobody enrolled that key.
    #[error("the witness {witness} is not known here")]
    Unknown {
        /// The key.
        witness: Did,
    },
    /// Not over the checkpoint of this size, or there is none, or it is full.
    #[error("this is not {witness}'s cosignature of a checkpoint of {size} entries of this log")]
    Wrong {
        /// The key.
        witness: Did,
        /// The size.
        size: u64,
    },
    /// The log does not answer.
    #[error(transparent)]
    Notary(#[from] NotaryError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal for CosignatureError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed_cosignature",
            Self::Unknown { .. } => "unknown_witness",
            Self::Wrong { .. } => "wrong_cosignature",
            Self::Notary(error) => error.code(),
            Self::Store(error) => error.code(),
        }
    }
    fn kind(&self) -> RefusalKind {
        match self {
            Self::Malformed => RefusalKind::Invalid,
            Self::Unknown { .. } => RefusalKind::Forbidden,
            Self::Wrong { .. } => RefusalKind::Unprocessable,
            Self::Notary(error) => error.kind(),
            Self::Store(error) => error.kind(),
        }
    }
    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => Some("a participant enrols it once: `entrepot witness enrol`, or POST /v1/log/witnesses".to_owned()),
            Self::Wrong { .. } => Some("read /v1/log/checkpoint again and cosign what it says".to_owned()),
            Self::Notary(error) => error.hint(),
            _ => None,
        }
    }
}

/// Keeps a cosignature of a witness that is known. The line speaks for itself: whoever brings it needs no token.
pub async fn keep(market: &Market, size: u64, line: &str) -> Result<WitnessRow, CosignatureError> {
    if line.len() > COSIGNATURE_BYTES_MAX {
        return Err(CosignatureError::Malformed);
    }
    let signature: NoteSignature = line.parse().map_err(|_| CosignatureError::Malformed)?;
    let key: Did = signature.name().parse().map_err(|_| CosignatureError::Malformed)?;
    let known = witness::find(&mut *market.store.reader().await?, &key).await?;
    let known = known.ok_or_else(|| CosignatureError::Unknown { witness: key.clone() })?;
    if !market.notary.add_cosignature(size, line).await? {
        return Err(CosignatureError::Wrong { witness: key, size });
    }
    let row = WitnessRow { size, cosigned_at: market.now(), ..known };
    let cosigned = &row;
    market.store.run_tx("witnesses.cosigned", |tx| Box::pin(witness::cosigned(tx, cosigned))).await?;
    Ok(row)
}
