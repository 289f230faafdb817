//! Their types, from the texts that we publish. Every hash and signature here is computed by them.

use base64::{Engine, prelude::BASE64_STANDARD};
use entrepot_chain_statement::Facts;
use serde_json::Value;
use signed_note::{Note, StandardVerifier, VerifierList, key_id};
use tlog_tiles::{Checkpoint, Hash};

/// A verifier of cosignature/v1 (c2sp.org/tlog-cosignature), which `signed_note` leaves to its users; the signature is `sigsum`'s to check.
struct Cosigner {
    name: String,
    id: u32,
    key: sigsum::PublicKey,
}

impl Cosigner {
    /// Of a verifier key `<name>+<id>+<base64>` of type 4.
    fn new(vkey: &str) -> Self {
        let mut parts = vkey.splitn(3, '+');
        let (name, id, key) = (parts.next().expect("a name"), parts.next().expect("an id"), parts.next().expect("a key"));
        let key = BASE64_STANDARD.decode(key).expect("base64");
        assert_eq!(key[0], 4, "not a cosigner's key");
        assert_eq!(format!("{:08x}", key_id(name, &key)), id);
        let bytes: [u8; 32] = key[1..].try_into().expect("an Ed25519 key");
        Self { name: name.to_owned(), id: key_id(name, &key), key: bytes.into() }
    }
}

impl signed_note::Verifier for Cosigner {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
        let Ok(signature) = <[u8; 64]>::try_from(signature) else { return false };
        let cosigned = [format!("cosignature/v1\ntime {}\n", u64::from_be_bytes(*time)).as_bytes(), message].concat();
        self.key.verify_signature(&cosigned, &signature.into())
    }
}

/// A checkpoint that the log signed, and how many of the witnesses cosigned.
pub fn open(trust: &Value, note: &str) -> Result<(Checkpoint, usize), String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let log = StandardVerifier::new(&text(&trust["log"]["key"])).expect("a log's key");
    let note = Note::from_bytes(note.as_bytes()).map_err(|error| error.to_string())?;
    note.verify(&VerifierList::new(vec![Box::new(log)])).map_err(|error| error.to_string())?;
    let witnesses = trust["witnesses"].as_array().expect("witnesses").iter();
    let cosigners = witnesses.map(|witness| Box::new(Cosigner::new(&text(&witness["vkey"]))) as Box<dyn signed_note::Verifier>);
    let count = match note.verify(&VerifierList::new(cosigners.collect())) {
        Ok((verified, _)) => verified.len(),
        Err(signed_note::NoteError::UnverifiedNote) => 0,
        Err(error) => return Err(error.to_string()),
    };
    let checkpoint = Checkpoint::from_bytes(note.text()).map_err(|error| error.to_string())?;
    if checkpoint.origin() != text(&trust["log"]["origin"]) {
        return Err(format!("a checkpoint of {}", checkpoint.origin()));
    }
    Ok((checkpoint, count))
}

/// Follows a tlog-proof from an entry to a checkpoint of the log; how many witnesses cosigned that.
pub fn proven(trust: &Value, entry: &[u8], proof: &str) -> Result<usize, String> {
    let (head, note) = proof.split_once("\n\n").ok_or("no checkpoint")?;
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(|index| index.parse().ok()).ok_or("no index")?;
    let path = lines.map(Hash::parse_hash).collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    let (checkpoint, witnesses) = open(trust, note)?;
    tlog_tiles::check_record(&path, checkpoint.size(), *checkpoint.hash(), index, tlog_tiles::record_hash(entry))
        .map_err(|error| error.to_string())?;
    Ok(witnesses)
}

/// The entry of an envelope in the log: SHA-256 over SHA-256(salt ‖ DSSE's pre-authentication encoding) and the facts, which are ours here and
/// Go's own in `verify.go`.
pub fn entry(envelope: &Value) -> Vec<u8> {
    let bytes = |field: &str| BASE64_STANDARD.decode(envelope[field].as_str().expect("text")).expect("base64");
    let (kind, payload, salt) = (envelope["payloadType"].as_str().expect("a type"), bytes("payload"), bytes("salt"));
    let encoded = [format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).as_bytes(), &payload].concat();
    let (salted, facts) = (sigsum::Hash::new([salt, encoded].concat()), Facts::of(kind, &payload).expect("a statement").encode());
    sigsum::Hash::new([&b"entrepot/leaf/v2\n"[..], salted.as_ref(), &facts].concat()).as_ref().to_vec()
}
