//! Key files, and that secrets do not show.

use entrepot_chain_statement::{
    Did, SigningKey,
    key::{KeyFile, KeyFileError},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use serde_json::Value;

fn keys() -> KeyFile {
    KeyFile::generate(&mut ChaCha20Rng::seed_from_u64(7))
}

fn changed(change: impl Fn(&mut Value)) -> KeyFileError {
    let mut json: Value = serde_json::from_str(&keys().to_json()).unwrap();
    change(&mut json);
    KeyFile::from_json(&json.to_string()).unwrap_err()
}

#[test]
fn identities_are_sorted_as_their_texts_are() {
    let mut random = ChaCha20Rng::seed_from_u64(8);
    let mut all: Vec<Did> = (0..500).map(|_| SigningKey::generate(&mut random).did()).collect();
    all.sort();
    assert!(all.is_sorted_by_key(|did| did.to_string()));
    assert!(
        all.iter().all(|did| did.as_str().parse() == Ok(did.clone()) && Did::from_public_bytes(&did.public_bytes()) == Ok(did.clone()))
    );
}

#[test]
fn a_key_file_round_trips() {
    let keys = keys();
    let text = keys.to_json();
    let read = KeyFile::from_json(&text).unwrap();
    assert_eq!(read.signing.seed(), keys.signing.seed());
    assert_eq!(read.witness.seed(), keys.witness.seed());
    assert_eq!(read.sealing.to_bytes(), keys.sealing.to_bytes());
    assert_eq!(read.to_json(), text);
    assert_ne!(keys.signing.did(), keys.witness.did());
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["format"], "entrepot.key.v1");
    assert_eq!(json["did"], keys.signing.did().as_str());
    assert_eq!(json["sealing_key"], keys.sealing.public().to_string());
}

#[test]
fn a_wrong_key_file_is_refused() {
    assert_eq!(changed(|json| json["format"] = "entrepot.key.v2".into()), KeyFileError::Format);
    assert_eq!(changed(|json| json["extra"] = 1.into()), KeyFileError::Shape);
    assert_eq!(changed(|json| json["signing_seed"] = "AAAA".into()), KeyFileError::Secret { field: "signing_seed" });
    let other = SigningKey::from_seed(&[1; 32]).did().to_string();
    assert_eq!(changed(|json| json["did"] = other.clone().into()), KeyFileError::Mismatch { field: "did" });
    assert_eq!(changed(|json| json["witness"] = other.clone().into()), KeyFileError::Mismatch { field: "witness" });
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert_eq!(changed(|json| json["sealing_secret"] = zeros.into()), KeyFileError::Mismatch { field: "sealing_key" });
    assert_eq!(KeyFile::from_json(&" ".repeat(5000)).unwrap_err(), KeyFileError::Shape);
}

#[test]
fn neither_debug_nor_errors_show_a_secret() {
    let keys = keys();
    let text = keys.to_json();
    let json: Value = serde_json::from_str(&text).unwrap();
    let shown = format!("{keys:?} {:?}", KeyFile::from_json(&text.replace("entrepot.key.v1", "x")));
    for field in ["signing_seed", "witness_seed", "sealing_secret"] {
        assert!(!shown.contains(json[field].as_str().unwrap()));
    }
    for (secret, shown) in [(keys.signing.seed(), format!("{:?}", keys.signing)), (keys.sealing.to_bytes(), format!("{:?}", keys.sealing))]
    {
        assert!(!shown.contains(&hex::encode(*secret)));
        assert!(!shown.contains(&format!("{:?}", secret.as_slice())));
    }
}
