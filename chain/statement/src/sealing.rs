//! Sealing to one receiver: HPKE (RFC 9180), mode base, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.
//!
//! A sealed message is `enc` (32 bytes) and the ciphertext. The ephemeral key is `DeriveKeyPair(randomness)` of RFC 9180 §7.1.3, so two
//! holders of one plaintext and one seed make identical bytes, and anyone with a HPKE library can make them again. Deviation: callers of
//! HPKE usually draw that randomness; here it is an argument, and using one value for two plaintexts would reveal both.

use crate::Hash;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use curve25519_dalek::{MontgomeryPoint, Scalar, traits::IsIdentity as _};
use hkdf::Hkdf;
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _, aead::ChaCha20Poly1305, kdf::HkdfSha256, kem::X25519HkdfSha256};
use rand_core::{CryptoRng, RngCore};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::{fmt, str::FromStr};
use zeroize::Zeroizing;

type Kem = X25519HkdfSha256;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

/// Bytes of the encapsulated key at the start of a sealed message.
const ENC_BYTES: usize = 32;
/// HPKE `info` of a sealed share of a result.
pub const RESULT_INFO: &[u8] = b"entrepot/result/v1";
const SEAL_CONTEXT: &[u8] = b"entrepot/seal/v1\n";

/// Why something was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    /// Not the one encoding of an X25519 key, or a key of small order.
    #[error("not the base64 of an X25519 key")]
    Key,
    /// The message could not be sealed.
    #[error("sealing failed")]
    Seal,
    /// Too short, made for another key or context, or changed on the way.
    #[error("the sealed message does not open with this key and context")]
    Open,
}

/// The public half of a [`SealingSecret`]: X25519, never of small order; padded base64 in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// The key of 32 bytes from elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, SealingError> {
        // X25519 ignores the top bit and reduces mod p = 2^255 − 19: other texts of the same key.
        let reduced = bytes[31] < 0x7f || (bytes[31] == 0x7f && !(bytes[1..31].iter().all(|b| *b == 0xff) && bytes[0] >= 0xed));
        if !reduced || (MontgomeryPoint(bytes) * Scalar::from(8u8)).is_identity() {
            return Err(SealingError::Key);
        }
        Ok(Self(bytes))
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Seals; the same arguments give the same bytes. `randomness` must be uniform, secret, and used for this plaintext alone.
    pub fn seal_with(&self, randomness: &[u8; 32], info: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealingError> {
        let receiver = PublicKey::from_bytes(&self.0).map_err(|_| SealingError::Key)?;
        let mut source = Once { bytes: Zeroizing::new(*randomness), used: 0 };
        let (enc, ciphertext) =
            hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem, _>(&OpModeS::Base, &receiver, info, plaintext, aad, &mut source)
                .map_err(|_| SealingError::Seal)?;
        if source.used != 32 {
            return Err(SealingError::Seal);
        }
        let mut sealed = enc.to_bytes().to_vec();
        sealed.extend_from_slice(&ciphertext);
        Ok(sealed)
    }
}

impl FromStr for SealingKey {
    type Err = SealingError;
    fn from_str(text: &str) -> Result<Self, SealingError> {
        let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(SealingError::Key)?;
        Self::from_bytes(bytes)
    }
}

impl TryFrom<String> for SealingKey {
    type Error = SealingError;
    fn try_from(text: String) -> Result<Self, SealingError> {
        text.parse()
    }
}

impl From<SealingKey> for String {
    fn from(key: SealingKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret that opens what was sealed to its [`SealingKey`]. Wiped when dropped.
pub struct SealingSecret(x25519_dalek::StaticSecret);

impl SealingSecret {
    /// A new secret.
    pub fn generate(rng: &mut (impl CryptoRng + RngCore)) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut bytes[..]);
        Self::from_bytes(&bytes)
    }

    /// The secret of 32 bytes.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(x25519_dalek::StaticSecret::from(*bytes))
    }

    /// The 32 bytes: the secret itself.
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> SealingKey {
        // A clamped scalar times the base point is never of small order.
        SealingKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// Opens what was sealed to this key under the same `info` and `aad`.
    pub fn open(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let (enc, ciphertext) = sealed.split_at_checked(ENC_BYTES).ok_or(SealingError::Open)?;
        let enc = EncappedKey::from_bytes(enc).map_err(|_| SealingError::Open)?;
        let secret = PrivateKey::from_bytes(&self.to_bytes()[..]).map_err(|_| SealingError::Open)?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(&OpModeR::Base, &secret, &enc, info, ciphertext, aad)
            .map(Zeroizing::new)
            .map_err(|_| SealingError::Open)
    }
}

impl fmt::Debug for SealingSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingSecret({})", self.public())
    }
}

/// Which sealed share of which run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultShare {
    /// Statement hash of the order.
    pub order: Hash,
    /// Which try, 1, 2, 3 …
    pub attempt: u32,
    /// Which share, 0 to 2.
    pub share: u8,
}

impl ResultShare {
    /// The associated data under which the share is sealed: order, attempt (big-endian), share.
    pub fn aad(&self) -> [u8; 37] {
        let mut aad = [0; 37];
        aad[..32].copy_from_slice(&self.order.0);
        aad[32..36].copy_from_slice(&self.attempt.to_be_bytes());
        aad[36] = self.share;
        aad
    }

    /// The randomness that both holders of the pairwise seed seal this share with: HKDF-SHA256.
    pub fn randomness(&self, pairwise_seed: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let mut randomness = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, pairwise_seed)
            .expand_multi_info(&[SEAL_CONTEXT, &self.aad()], &mut randomness[..])
            .unwrap_or_else(|_| unreachable!("32 bytes are within HKDF's limit"));
        randomness
    }
}

/// Gives the randomness away once: HPKE draws exactly the 32 bytes of `DeriveKeyPair`'s input. What is drawn beyond is counted, and refused.
struct Once {
    bytes: Zeroizing<[u8; 32]>,
    used: usize,
}

impl hpke::rand_core::RngCore for Once {
    fn next_u32(&mut self) -> u32 {
        hpke::rand_core::impls::next_u32_via_fill(self)
    }
    fn next_u64(&mut self) -> u64 {
        hpke::rand_core::impls::next_u64_via_fill(self)
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        for byte in out {
            *byte = self.bytes.get(self.used).copied().unwrap_or(0);
            self.used += 1;
        }
    }
}

impl hpke::rand_core::CryptoRng for Once {}
