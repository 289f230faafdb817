//! Signed notes (c2sp.org/signed-note v1.0.0) with the two Ed25519 signature types in use here: a log's own (0x01) and the timestamped
//! cosignature over a checkpoint (0x04, c2sp.org/tlog-cosignature).

use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Longest note that is read.
pub const NOTE_MAX_BYTES: usize = 64 << 10;
/// Most signature lines of a note; the format asks for at least 16.
pub const NOTE_SIGNATURES_MAX: usize = 128;
/// Longest name of a key.
pub const KEY_NAME_MAX_BYTES: usize = 255;
/// Post-quantum signatures reach some 5 kB; ours have 72 bytes.
const SIGNATURE_MAX_BYTES: usize = 8 << 10;
const LINE_START: &str = "— ";

/// Why a note, a signature line or a verifier key is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Longer than [`NOTE_MAX_BYTES`].
    #[error("the note is too long")]
    TooLong,
    /// Not text, a blank line and signature lines; or control characters.
    #[error("not a signed note")]
    Form,
    /// A signature line is not `— <name> <base64>`.
    #[error("a signature line is malformed")]
    SignatureLine,
    /// More than [`NOTE_SIGNATURES_MAX`] signatures, or none.
    #[error("a note has between 1 and {NOTE_SIGNATURES_MAX} signatures")]
    SignatureCount,
    /// Not `<name>+<key id>+<base64 key>` of an Ed25519 key of type 0x01 or 0x04.
    #[error("not a verifier key of an Ed25519 log or cosigner")]
    VerifierKey,
    /// A key's name is empty, too long, or has spaces, plus signs or control characters.
    #[error("not a name of a note key")]
    KeyName,
}

/// What a key's signatures mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Type 0x01: the log itself. Signs what it publishes, confers no trust.
    Log,
    /// Type 0x04: a validator or witness, which has seen the log grow consistently up to here.
    Cosigner,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Cosigner => 4,
        }
    }
}

/// The public half of a key that signs notes; in text a *vkey*.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NoteKey {
    name: String,
    kind: KeyKind,
    key: Did,
}

/// The vkey of a cosigner that is named by its own `did:key`, as workers are.
pub fn cosignature_vkey(cosigner: &Did) -> NoteKey {
    NoteKey { name: cosigner.as_str().to_owned(), kind: KeyKind::Cosigner, key: cosigner.clone() }
}

impl NoteKey {
    /// A key under a name.
    pub fn new(name: &str, kind: KeyKind, key: Did) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), kind, key })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures mean.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key itself.
    pub fn key(&self) -> &Did {
        &self.key
    }

    /// First four bytes of SHA-256(name ‖ "\n" ‖ type ‖ key): finds the key, proves nothing.
    pub fn id(&self) -> [u8; 4] {
        let hash = Hash::of(&[self.name.as_bytes(), b"\n", &[self.kind.byte()], &self.key.public_bytes()]);
        [hash.0[0], hash.0[1], hash.0[2], hash.0[3]]
    }

    /// Whether the line claims to be this key's.
    pub fn claims(&self, signature: &NoteSignature) -> bool {
        signature.name == self.name && signature.key_id == self.id()
    }

    /// Checks a line over a note's text. A cosignature says when it was made, in seconds since 1970.
    pub fn verify(&self, text: &str, signature: &NoteSignature) -> Option<SignedAt> {
        if !self.claims(signature) {
            return None;
        }
        match self.kind {
            KeyKind::Log => self.key.verify(text.as_bytes(), &signature.signature).then_some(SignedAt(None)),
            KeyKind::Cosigner => {
                let (timestamp, signature) = signature.signature.split_first_chunk::<8>()?;
                let seconds = u64::from_be_bytes(*timestamp);
                let plausible = i64::try_from(seconds).is_ok();
                (plausible && self.key.verify(&cosigned_message(text, seconds), signature)).then_some(SignedAt(Some(seconds)))
            }
        }
    }
}

/// When a valid signature was made, in seconds since 1970, if its kind says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedAt(pub Option<u64>);

fn cosigned_message(text: &str, seconds: u64) -> Vec<u8> {
    format!("cosignature/v1\ntime {seconds}\n{text}").into_bytes()
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > KEY_NAME_MAX_BYTES || name.contains(wrong) { Err(NoteError::KeyName) } else { Ok(()) }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(&self.key.public_bytes());
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id()), BASE64_STANDARD.encode(key))
    }
}

impl FromStr for NoteKey {
    type Err = NoteError;
    fn from_str(text: &str) -> Result<Self, NoteError> {
        // Base64 has plus signs of its own: only the first two separate.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(NoteError::VerifierKey) };
        check_name(name)?;
        let key = BASE64_STANDARD.decode(key).map_err(|_| NoteError::VerifierKey)?;
        let (kind, key) = match key.split_first() {
            Some((1, key)) => (KeyKind::Log, key),
            Some((4, key)) => (KeyKind::Cosigner, key),
            _ => return Err(NoteError::VerifierKey),
        };
        let key = key.try_into().ok().and_then(|key| Did::from_public_bytes(key).ok()).ok_or(NoteError::VerifierKey)?;
        let read = Self { name: name.to_owned(), kind, key };
        // Written again it is the same text: the id is right, and in lower case.
        if read.to_string() == text { Ok(read) } else { Err(NoteError::VerifierKey) }
    }
}

impl TryFrom<String> for NoteKey {
    type Error = NoteError;
    fn try_from(text: String) -> Result<Self, NoteError> {
        text.parse()
    }
}

impl From<NoteKey> for String {
    fn from(key: NoteKey) -> Self {
        key.to_string()
    }
}

/// A key that signs notes under a name.
#[derive(Clone, Debug)]
pub struct NoteSigner {
    public: NoteKey,
    secret: SigningKey,
}

impl NoteSigner {
    /// A log's signer. Its name should be the log's origin.
    pub fn log(name: &str, secret: SigningKey) -> Result<Self, NoteError> {
        Ok(Self { public: NoteKey::new(name, KeyKind::Log, secret.did())?, secret })
    }

    /// A cosigner. The key must serve nothing else: a cosignature does not say under which name it was made.
    pub fn cosigner(name: &str, secret: SigningKey) -> Result<Self, NoteError> {
        Ok(Self { public: NoteKey::new(name, KeyKind::Cosigner, secret.did())?, secret })
    }

    /// The public half.
    pub fn public(&self) -> &NoteKey {
        &self.public
    }

    /// Signs a note's text; a cosigner states the moment, in seconds since 1970, which a log's signature leaves out.
    pub fn sign(&self, text: &str, at_seconds: u64) -> NoteSignature {
        let signature = match self.public.kind {
            KeyKind::Log => self.secret.sign(text.as_bytes()).to_vec(),
            KeyKind::Cosigner => {
                // The format ends at 2^63 − 1.
                let at = at_seconds.min(i64::MAX as u64);
                [&at.to_be_bytes()[..], &self.secret.sign(&cosigned_message(text, at))].concat()
            }
        };
        NoteSignature { name: self.public.name.clone(), key_id: self.public.id(), signature }
    }
}

/// One signature line: `— <name> base64(key id ‖ signature)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

impl NoteSignature {
    /// The name of the key that claims to have signed.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LINE_START}{} {}", self.name, BASE64_STANDARD.encode([&self.key_id[..], &self.signature].concat()))
    }
}

impl FromStr for NoteSignature {
    type Err = NoteError;
    /// Reads one line, without its newline.
    fn from_str(line: &str) -> Result<Self, NoteError> {
        let (name, signature) = line.strip_prefix(LINE_START).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::SignatureLine)?;
        check_name(name).map_err(|_| NoteError::SignatureLine)?;
        if signature.len() > SIGNATURE_MAX_BYTES {
            return Err(NoteError::SignatureLine);
        }
        let bytes = BASE64_STANDARD.decode(signature).map_err(|_| NoteError::SignatureLine)?;
        match bytes.split_first_chunk::<4>() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
            }
            _ => Err(NoteError::SignatureLine),
        }
    }
}

/// Text and its signatures, none of them checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl SignedNote {
    /// Signs a text, which ends in a newline.
    pub fn sign(text: String, signer: &NoteSigner, at_seconds: u64) -> Result<Self, NoteError> {
        let signature = signer.sign(&text, at_seconds);
        // Reading back what was written keeps every rule in one place.
        Self { text, signatures: vec![signature] }.to_string().parse()
    }

    /// The signed text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Adds a line, in place of the one that the same key had. Whoever calls it has verified it.
    pub fn add(&mut self, signature: NoteSignature) -> Result<(), NoteError> {
        self.signatures.retain(|present| (&present.name, present.key_id) != (&signature.name, signature.key_id));
        if self.signatures.len() >= NOTE_SIGNATURES_MAX {
            return Err(NoteError::SignatureCount);
        }
        self.signatures.push(signature);
        Ok(())
    }

    /// What this key signed: none if no line claims it, an error if one does and is wrong, for then the note is not to be believed at all.
    pub fn signed_by(&self, key: &NoteKey) -> Result<Option<SignedAt>, WrongSignature> {
        let mut found = None;
        for signature in self.signatures.iter().filter(|signature| key.claims(signature)) {
            found = Some(key.verify(&self.text, signature).ok_or_else(|| WrongSignature { name: key.name.clone() })?);
        }
        Ok(found)
    }
}

/// A line claims a known key and is not its signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the note's signature of {name} is wrong")]
pub struct WrongSignature {
    /// The key's name.
    pub name: String,
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl FromStr for SignedNote {
    type Err = NoteError;
    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_MAX_BYTES {
            return Err(NoteError::TooLong);
        }
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Form);
        }
        let split = note.rfind("\n\n").ok_or(NoteError::Form)?;
        let (text, lines) = (&note[..=split], &note[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::SignatureCount)?;
        let signatures: Vec<NoteSignature> = lines.split('\n').take(NOTE_SIGNATURES_MAX + 1).map(str::parse).collect::<Result<_, _>>()?;
        if signatures.len() > NOTE_SIGNATURES_MAX {
            return Err(NoteError::SignatureCount);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }
}
