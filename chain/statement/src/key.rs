//! Signing keys, and the file in which a participant or a worker keeps its secrets.

use crate::{Did, SealingKey, SealingSecret};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use ed25519_dalek::Signer as _;
use rand_core::{CryptoRng, RngCore};
use serde::Deserialize;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// An Ed25519 signing key (RFC 8032). Wiped when dropped; shows only its public half.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key.
    pub fn generate(rng: &mut (impl CryptoRng + RngCore)) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut seed[..]);
        Self::from_seed(&seed)
    }

    /// The key of an RFC 8032 seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The RFC 8032 seed: the secret itself.
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The identity that is this key.
    pub fn did(&self) -> Did {
        Did::of(&self.0.verifying_key())
    }

    /// Signs; the same message gives the same signature.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.did())
    }
}

const FORMAT: &str = "entrepot.key.v1";
/// A key file is some 600 bytes; nothing longer is read.
const KEY_FILE_MAX_BYTES: usize = 4096;

/// Why a key file was refused. Says nothing about the secrets.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyFileError {
    /// Not JSON of this shape.
    #[error("not a key file: expected JSON with the fields of {FORMAT}")]
    Shape,
    /// Another format or version.
    #[error("the key file's format is not {FORMAT}")]
    Format,
    /// A secret is not the base64 of 32 bytes.
    #[error("the field `{field}` is not the base64 of 32 bytes")]
    Secret {
        /// Which one.
        field: &'static str,
    },
    /// The public half in the file belongs to another secret.
    #[error("the field `{field}` does not belong to the secret beside it")]
    Mismatch {
        /// Which one.
        field: &'static str,
    },
}

/// A participant's or worker's secrets. On disk: JSON `{format, did, signing_seed, witness, witness_seed, sealing_key, sealing_secret}`,
/// secrets in base64 of 32 bytes, each beside its public half so that a person sees whose file it is.
#[derive(Debug)]
pub struct KeyFile {
    /// Signs statements.
    pub signing: SigningKey,
    /// Cosigns checkpoints, and nothing else.
    pub witness: SigningKey,
    /// Opens what is sealed to this participant.
    pub sealing: SealingSecret,
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct KeyFileText {
    format: String,
    did: String,
    signing_seed: String,
    witness: String,
    witness_seed: String,
    sealing_key: String,
    sealing_secret: String,
}

impl KeyFile {
    /// New keys.
    pub fn generate(rng: &mut (impl CryptoRng + RngCore)) -> Self {
        Self { signing: SigningKey::generate(rng), witness: SigningKey::generate(rng), sealing: SealingSecret::generate(rng) }
    }

    /// The file's text. Holds the secrets; wiped when dropped.
    pub fn to_json(&self) -> Zeroizing<String> {
        // Room for everything beforehand: a buffer that grows leaves copies of secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_MAX_BYTES));
        let secret = |bytes: &[u8; 32]| Zeroizing::new(BASE64_STANDARD.encode(bytes));
        let fields: [(&str, Zeroizing<String>); 7] = [
            ("format", Zeroizing::new(FORMAT.to_owned())),
            ("did", Zeroizing::new(self.signing.did().into())),
            ("signing_seed", secret(&self.signing.seed())),
            ("witness", Zeroizing::new(self.witness.did().into())),
            ("witness_seed", secret(&self.witness.seed())),
            ("sealing_key", Zeroizing::new(self.sealing.public().to_string())),
            ("sealing_secret", secret(&self.sealing.to_bytes())),
        ];
        for (at, (name, value)) in fields.iter().enumerate() {
            // No value has a character that JSON escapes.
            text.push_str(if at == 0 { "{\n  \"" } else { ",\n  \"" });
            text.push_str(name);
            text.push_str("\": \"");
            text.push_str(value);
            text.push('"');
        }
        text.push_str("\n}\n");
        text
    }

    /// Reads the file's text; the public halves must belong to the secrets.
    pub fn from_json(text: &str) -> Result<Self, KeyFileError> {
        if text.len() > KEY_FILE_MAX_BYTES {
            return Err(KeyFileError::Shape);
        }
        // serde's message could quote a secret; only the fact is passed on.
        let file: KeyFileText = serde_json::from_str(text).map_err(|_| KeyFileError::Shape)?;
        if file.format != FORMAT {
            return Err(KeyFileError::Format);
        }
        let keys = Self {
            signing: SigningKey::from_seed(&*secret(&file.signing_seed, "signing_seed")?),
            witness: SigningKey::from_seed(&*secret(&file.witness_seed, "witness_seed")?),
            sealing: SealingSecret::from_bytes(&*secret(&file.sealing_secret, "sealing_secret")?),
        };
        let sealing_key: Option<SealingKey> = file.sealing_key.parse().ok();
        for (field, matches) in [
            ("did", keys.signing.did().as_str() == file.did),
            ("witness", keys.witness.did().as_str() == file.witness),
            ("sealing_key", sealing_key == Some(keys.sealing.public())),
        ] {
            if !matches {
                return Err(KeyFileError::Mismatch { field });
            }
        }
        Ok(keys)
    }
}

fn secret(text: &str, field: &'static str) -> Result<Zeroizing<[u8; 32]>, KeyFileError> {
    // `decode_slice` wants room for the largest text of this length.
    let mut buffer = Zeroizing::new([0; 33]);
    match BASE64_STANDARD.decode_slice(text, &mut buffer[..]) {
        Ok(32) => {
            let mut bytes = Zeroizing::new([0; 32]);
            bytes.copy_from_slice(&buffer[..32]);
            Ok(bytes)
        }
        _ => Err(KeyFileError::Secret { field }),
    }
}
