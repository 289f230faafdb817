//! DSSE envelopes (Dead Simple Signing Envelope v1.0.2), with a salt and a second signature for the log.
//!
//! Each signer signs twice: PAE(payload type, payload), as DSSE has it, and the leaf that goes to the log, which commits to the salted
//! statement and to the facts that a ledger may know of it. The second lets a ledger that sees only leaves and facts demand the signature of
//! everyone a statement binds; erasing salt and statement leaves a leaf that tells no more than its facts.

use crate::{
    Did, Facts, Hash, SigningKey,
    canonical::{CANONICAL_MAX_BYTES, CanonicalError, from_canonical_json, to_canonical_json},
    facts,
    statements::Statement,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

/// More signatures than any statement needs.
pub const SIGNATURES_MAX: usize = 16;
/// An envelope's JSON is at most this long: base64 of the longest payload, and the signatures.
pub const ENVELOPE_MAX_BYTES: usize = 2 << 20;
const PAYLOAD_TYPE_MAX_BYTES: usize = 128;
/// What is signed over a leaf begins so: no DSSE encoding and no token does.
const LEAF_CONTEXT: &[u8] = b"entrepot/leaf-signature/v2\n";

/// Why an envelope cannot be made, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// The envelope's own JSON is wrong.
    #[error("not an envelope: {0}")]
    Json(#[source] serde_json::Error),
    /// The envelope breaks a limit or a rule of its format.
    #[error("not an envelope: {0}")]
    Form(&'static str),
    /// The payload is of another type.
    #[error("expected a payload of type {expected}, found {found}")]
    Type {
        /// The wanted type.
        expected: &'static str,
        /// The type found.
        found: String,
    },
    /// The payload is not the canonical encoding of its type.
    #[error("the payload is not a canonical statement of its type")]
    Payload(#[source] CanonicalError),
    /// A signature is missing.
    #[error("{signer} has not signed")]
    NotSigned {
        /// Whose.
        signer: Did,
    },
    /// A signature is wrong.
    #[error("the signature of {signer} is wrong")]
    BadSignature {
        /// Whose.
        signer: Did,
    },
    /// Signatures were asked of nobody, which would accept anything.
    #[error("no signer was asked for")]
    NobodyAsked,
    /// Two envelopes of different statements or salts cannot be merged.
    #[error("the envelopes do not hold the same statement under the same salt")]
    Different,
}

/// What one signer adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeSignature {
    /// The signer.
    pub keyid: Did,
    /// Ed25519 over PAE(payload type, payload).
    #[serde(with = "base64_64")]
    pub sig: [u8; 64],
    /// Ed25519 over `"entrepot/leaf-signature/v2\n"` and the leaf.
    #[serde(with = "base64_64")]
    pub leaf_sig: [u8; 64],
}

/// A statement, its salt and its signatures. Reading one checks its form, not its signatures; a statement of a kind that a ledger has rules
/// for must be one of its type, because its facts are derived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EnvelopeText", into = "EnvelopeText")]
pub struct Envelope {
    payload: Vec<u8>,
    payload_type: String,
    salt: [u8; 32],
    signatures: Vec<EnvelopeSignature>,
    // Most of what holds an envelope would be twice as large.
    facts: Box<Facts>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeText {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    salt: String,
    signatures: Vec<EnvelopeSignature>,
}

impl Envelope {
    /// Signs a statement. The salt must be random and used once.
    pub fn sign<S: Statement>(statement: &S, key: &SigningKey, salt: [u8; 32]) -> Result<Self, EnvelopeError> {
        let payload = to_canonical_json(statement).map_err(EnvelopeError::Payload)?;
        let facts = Facts::of(S::PAYLOAD_TYPE, &payload).map(Box::new)?;
        let mut envelope = Self { payload, payload_type: S::PAYLOAD_TYPE.to_owned(), salt, signatures: Vec::new(), facts };
        envelope.countersign(key)?;
        Ok(envelope)
    }

    /// Adds this key's signatures, or makes them anew. Whoever calls it has opened the envelope and means what it says.
    pub fn countersign(&mut self, key: &SigningKey) -> Result<(), EnvelopeError> {
        let signature = EnvelopeSignature {
            keyid: key.did(),
            sig: key.sign(&self.pre_authentication_encoding()),
            leaf_sig: key.sign(&leaf_message(&self.leaf())),
        };
        self.signatures.retain(|present| present.keyid != signature.keyid);
        if self.signatures.len() >= SIGNATURES_MAX {
            return Err(EnvelopeError::Form("too many signatures"));
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// Takes over the other's signatures by signers that this one lacks. One that is wrong refuses the whole and changes nothing.
    pub fn merge(&mut self, other: &Self) -> Result<(), EnvelopeError> {
        if (&self.payload, &self.payload_type, &self.salt) != (&other.payload, &other.payload_type, &other.salt) {
            return Err(EnvelopeError::Different);
        }
        let mut merged = self.signatures.clone();
        for signature in &other.signatures {
            if merged.iter().any(|present| present.keyid == signature.keyid) {
                continue;
            }
            other.verify_signed_by(&signature.keyid)?;
            if merged.len() >= SIGNATURES_MAX {
                return Err(EnvelopeError::Form("too many signatures"));
            }
            merged.push(signature.clone());
        }
        self.signatures = merged;
        Ok(())
    }

    /// The type of the statement.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// The statement's bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Who claims to have signed, without a check.
    pub fn signers(&self) -> impl Iterator<Item = &Did> {
        self.signatures.iter().map(|signature| &signature.keyid)
    }

    /// The signatures, without a check.
    pub fn signatures(&self) -> &[EnvelopeSignature] {
        &self.signatures
    }

    /// The statement, if it is of this type and canonical. Checks no signature.
    pub fn open<S: Statement>(&self) -> Result<S, EnvelopeError> {
        if self.payload_type != S::PAYLOAD_TYPE {
            return Err(EnvelopeError::Type { expected: S::PAYLOAD_TYPE, found: self.payload_type.clone() });
        }
        from_canonical_json(&self.payload).map_err(EnvelopeError::Payload)
    }

    /// Whether this signer signed both the statement and the leaf.
    pub fn verify_signed_by(&self, signer: &Did) -> Result<(), EnvelopeError> {
        let Some(found) = self.signatures.iter().find(|signature| signature.keyid == *signer) else {
            return Err(EnvelopeError::NotSigned { signer: signer.clone() });
        };
        let valid =
            signer.verify(&self.pre_authentication_encoding(), &found.sig) && verify_leaf_signature(signer, &self.leaf(), &found.leaf_sig);
        if valid { Ok(()) } else { Err(EnvelopeError::BadSignature { signer: signer.clone() }) }
    }

    /// The statement, if all of these signed it. There must be at least one.
    pub fn open_signed_by<'a, S: Statement>(&self, signers: impl IntoIterator<Item = &'a Did>) -> Result<S, EnvelopeError> {
        let mut asked = false;
        for signer in signers {
            self.verify_signed_by(signer)?;
            asked = true;
        }
        if asked { self.open() } else { Err(EnvelopeError::NobodyAsked) }
    }

    /// SHA-256 of PAE(payload type, payload): the identity of the statement, by which others refer to it.
    pub fn statement_hash(&self) -> Hash {
        Hash::of(&[&self.pre_authentication_encoding()])
    }

    /// What the ledger may know of the statement.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// SHA-256 of salt and PAE(payload type, payload): hides the statement from a ledger that is given it.
    pub fn salted_hash(&self) -> Hash {
        Hash::of(&[&self.salt, &self.pre_authentication_encoding()])
    }

    /// The 32-byte entry of the log: commits to the salted hash and to the facts.
    pub fn leaf(&self) -> Hash {
        facts::leaf(&self.salted_hash(), &self.facts)
    }

    /// Reads the JSON; checks its form, not its signatures.
    pub fn from_json(json: &[u8]) -> Result<Self, EnvelopeError> {
        if json.len() > ENVELOPE_MAX_BYTES {
            return Err(EnvelopeError::Form("too long"));
        }
        serde_json::from_slice(json).map_err(EnvelopeError::Json)
    }

    /// The JSON, canonical.
    pub fn to_json(&self) -> Vec<u8> {
        let signatures: Vec<_> =
            self.signatures.iter().map(|s| (s.keyid.as_str(), BASE64_STANDARD.encode(s.sig), BASE64_STANDARD.encode(s.leaf_sig))).collect();
        let signatures: Vec<_> = signatures
            .iter()
            .map(|(keyid, sig, leaf_sig)| format!(r#"{{"keyid":"{keyid}","leaf_sig":"{leaf_sig}","sig":"{sig}"}}"#))
            .collect();
        // Written by hand because a longest payload's base64 is beyond what the canonical encoder takes; no value needs an escape.
        format!(
            r#"{{"payload":"{}","payloadType":"{}","salt":"{}","signatures":[{}]}}"#,
            BASE64_STANDARD.encode(&self.payload),
            self.payload_type,
            BASE64_STANDARD.encode(self.salt),
            signatures.join(",")
        )
        .into_bytes()
    }

    fn pre_authentication_encoding(&self) -> Vec<u8> {
        pre_authentication_encoding(&self.payload_type, &self.payload)
    }
}

/// Whether the signer signed this leaf: what a ledger checks, which never sees the statement.
pub fn verify_leaf_signature(signer: &Did, leaf: &Hash, signature: &[u8]) -> bool {
    signer.verify(&leaf_message(leaf), signature)
}

/// What is signed over a leaf.
pub fn leaf_message(leaf: &Hash) -> Vec<u8> {
    [LEAF_CONTEXT, &leaf.0].concat()
}

/// DSSE's PAE: `"DSSEv1" SP len(type) SP type SP len(payload) SP payload`.
pub fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl TryFrom<EnvelopeText> for Envelope {
    type Error = EnvelopeError;
    fn try_from(text: EnvelopeText) -> Result<Self, EnvelopeError> {
        let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if text.payload_type.is_empty() || text.payload_type.len() > PAYLOAD_TYPE_MAX_BYTES || !text.payload_type.bytes().all(plain) {
            return Err(EnvelopeError::Form("the payload type is not a media type"));
        }
        if text.signatures.len() > SIGNATURES_MAX {
            return Err(EnvelopeError::Form("too many signatures"));
        }
        for (at, signature) in text.signatures.iter().enumerate() {
            if text.signatures[..at].iter().any(|earlier| earlier.keyid == signature.keyid) {
                return Err(EnvelopeError::Form("a signer signs once"));
            }
        }
        let payload = BASE64_STANDARD.decode(&text.payload).map_err(|_| EnvelopeError::Form("the payload is not base64"))?;
        if payload.len() > CANONICAL_MAX_BYTES {
            return Err(EnvelopeError::Form("the payload is too long"));
        }
        let salt = BASE64_STANDARD.decode(&text.salt).ok().and_then(|salt| salt.try_into().ok());
        let salt = salt.ok_or(EnvelopeError::Form("the salt is not the base64 of 32 bytes"))?;
        let facts = Facts::of(&text.payload_type, &payload).map(Box::new)?;
        Ok(Self { payload, payload_type: text.payload_type, salt, signatures: text.signatures, facts })
    }
}

impl From<Envelope> for EnvelopeText {
    fn from(envelope: Envelope) -> Self {
        Self {
            payload: BASE64_STANDARD.encode(&envelope.payload),
            payload_type: envelope.payload_type,
            salt: BASE64_STANDARD.encode(envelope.salt),
            signatures: envelope.signatures,
        }
    }
}

/// 64 bytes as padded standard base64.
mod base64_64 {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64_STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| D::Error::custom("expected the base64 of 64 bytes"))
    }
}
