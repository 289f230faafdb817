//! `did:key` identifiers of Ed25519 keys: an identity is a key, so nothing has to be looked up and nobody vouches.
//!
//! Source: W3C CCG, "The did:key Method v0.7": `did:key:` and the multibase (base58btc, `z`) of multicodec `0xed01` and the 32 key bytes.

use curve25519_dalek::edwards::CompressedEdwardsY;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
    sync::{Arc, OnceLock},
};

const PREFIX: &str = "did:key:z";
const ED25519_MULTICODEC: [u8; 2] = [0xed, 0x01];
/// The text of every Ed25519 `did:key` has this length: 34 bytes that begin with `0xed` take 47 base-58 digits.
const TEXT_LEN: usize = PREFIX.len() + 47;

/// Why a text or a key is not an identity we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DidError {
    /// Not `did:key:z6Mk…`.
    #[error("expected the did:key of an Ed25519 key, as in did:key:z6Mk…")]
    Form,
    /// Not the one encoding of a point of the curve.
    #[error("the bytes are not the encoding of an Ed25519 key")]
    Key,
    /// A key of small order: one signature under it fits many messages.
    #[error("the key is of small order")]
    SmallOrder,
}

/// The `did:key` of an Ed25519 key. Read from text, the key is valid, in its one encoding, and not of small order. Sorted by its bytes,
/// which is how the texts sort, too: all have one length, and the digits of base 58 are in the order of ASCII.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Did(Arc<Key>);

struct Key {
    bytes: [u8; 32],
    /// Made when it is first asked for: chains are read without it.
    text: OnceLock<String>,
}

impl PartialEq for Did {
    fn eq(&self, other: &Self) -> bool {
        self.0.bytes == other.0.bytes
    }
}

impl Eq for Did {}

impl PartialOrd for Did {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Did {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.bytes.cmp(&other.0.bytes)
    }
}

impl Hash for Did {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes.hash(state);
    }
}

impl Did {
    /// The identity that is this key. (Under a key of small order, which only a forger has, [`Did::verify`] believes nothing, and nobody
    /// reads its text.)
    pub fn of(key: &VerifyingKey) -> Self {
        Self::from_checked_bytes(key.as_bytes())
    }

    /// The identity of a key given as 32 bytes from elsewhere.
    pub fn from_public_bytes(bytes: &[u8; 32]) -> Result<Self, DidError> {
        checked_key(bytes).map(|_| Self::from_checked_bytes(bytes))
    }

    /// The identity of a key given as 32 bytes that were read as a key before: checking them again would take longer than all else.
    pub fn from_checked_bytes(bytes: &[u8; 32]) -> Self {
        Self(Arc::new(Key { bytes: *bytes, text: OnceLock::new() }))
    }

    /// The key.
    pub fn verifying_key(&self) -> VerifyingKey {
        // The text came from a key or was checked on the way in, and cannot change.
        VerifyingKey::from_bytes(&self.0.bytes).unwrap_or_else(|_| unreachable!("a Did holds a valid key"))
    }

    /// The 32 bytes of the key.
    pub fn public_bytes(&self) -> [u8; 32] {
        self.0.bytes
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.text.get_or_init(|| encode(&self.0.bytes))
    }

    /// Whether this key signed the message. Strict: the one canonical encoding of a signature, no points of small order.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.verifying_key().verify_strict(message, &signature).is_ok())
    }
}

fn encode(bytes: &[u8; 32]) -> String {
    let mut tagged = [0; 34];
    tagged[..2].copy_from_slice(&ED25519_MULTICODEC);
    tagged[2..].copy_from_slice(bytes);
    format!("{PREFIX}{}", bs58::encode(tagged).into_string())
}

fn decode(text: &str) -> Result<[u8; 32], DidError> {
    let digits = text.strip_prefix(PREFIX).filter(|_| text.len() == TEXT_LEN).ok_or(DidError::Form)?;
    let mut tagged = [0; 34];
    match bs58::decode(digits).onto(&mut tagged[..]) {
        Ok(34) if tagged[..2] == ED25519_MULTICODEC => {}
        _ => return Err(DidError::Form),
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(&tagged[2..]);
    Ok(bytes)
}

fn checked_key(bytes: &[u8; 32]) -> Result<VerifyingKey, DidError> {
    // Decompression also takes y ≥ p and a negative zero: two texts of one key, so the encoding is made again and compared.
    let point = CompressedEdwardsY(*bytes).decompress().ok_or(DidError::Key)?;
    if point.compress().0 != *bytes {
        return Err(DidError::Key);
    }
    if point.is_small_order() {
        return Err(DidError::SmallOrder);
    }
    VerifyingKey::from_bytes(bytes).map_err(|_| DidError::Key)
}

impl FromStr for Did {
    type Err = DidError;
    fn from_str(text: &str) -> Result<Self, DidError> {
        let bytes = decode(text)?;
        checked_key(&bytes)?;
        let did = Self::from_checked_bytes(&bytes);
        if did.as_str() == text { Ok(did) } else { Err(DidError::Form) }
    }
}

impl TryFrom<String> for Did {
    type Error = DidError;
    fn try_from(text: String) -> Result<Self, DidError> {
        text.parse()
    }
}

impl From<Did> for String {
    fn from(did: Did) -> Self {
        did.as_str().to_owned()
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for Did {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
