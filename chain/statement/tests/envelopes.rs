//! Envelopes tell right from wrong.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::{
    Did, Envelope, EnvelopeError, Hash, Money, SigningKey, Statement, Timestamp,
    envelope::{SIGNATURES_MAX, pre_authentication_encoding, verify_leaf_signature},
    ids::JobId,
    statements::{Hold, Refund},
};
use proptest::prelude::*;
use std::sync::LazyLock;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

fn hold() -> Hold {
    Hold {
        job_id: JobId::compose(Timestamp(1_700_000_000_000), [7; 10]),
        order: Hash([1; 32]),
        agreement: Hash([2; 32]),
        consumer: key(5).did(),
        amount: Money { amount_minor: 1250, currency: "EUR".parse().unwrap() },
        held_at: Timestamp(1_700_000_000_001),
    }
}

static SIGNED: LazyLock<Envelope> = LazyLock::new(|| {
    let mut envelope = Envelope::sign(&hold(), &key(1), [9; 32]).unwrap();
    envelope.countersign(&key(2)).unwrap();
    envelope
});

fn all_hold(envelope: &Envelope) -> Result<Hold, EnvelopeError> {
    envelope.open_signed_by([&key(1).did(), &key(2).did()])
}

#[test]
fn pre_authentication_encoding_matches_the_published_vector() {
    // DSSE protocol.md, "Test Vectors".
    let pae = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
    assert_eq!(pae, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

#[test]
fn an_envelope_opens_for_its_signers_and_survives_json() {
    assert_eq!(all_hold(&SIGNED).unwrap(), hold());
    let again = Envelope::from_json(&SIGNED.to_json()).unwrap();
    assert_eq!(again, *SIGNED);
    assert_eq!(serde_json::from_slice::<Envelope>(&serde_json::to_vec(&*SIGNED).unwrap()).unwrap(), *SIGNED);
    let canonical = entrepot_chain_statement::canonical::to_canonical_json(&*SIGNED).unwrap();
    assert_eq!(String::from_utf8(canonical).unwrap(), String::from_utf8(SIGNED.to_json()).unwrap());
}

#[test]
fn identity_is_the_statement_and_the_leaf_is_salted() {
    let other_salt = Envelope::sign(&hold(), &key(3), [8; 32]).unwrap();
    assert_eq!(other_salt.statement_hash(), SIGNED.statement_hash());
    assert_ne!(other_salt.leaf(), SIGNED.leaf());
    let pae = pre_authentication_encoding(Hold::PAYLOAD_TYPE, SIGNED.payload());
    assert_eq!(SIGNED.statement_hash(), Hash::of(&[&pae]));
    assert_eq!(SIGNED.salted_hash(), Hash::of(&[&[9; 32], &pae]));
    assert_eq!(SIGNED.leaf(), Hash::of(&[b"entrepot/leaf/v2\n", &SIGNED.salted_hash().0, &SIGNED.facts().encode()]));
}

#[test]
fn a_leaf_signature_is_of_that_signer_and_that_leaf() {
    let signature = &SIGNED.signatures()[0];
    assert!(verify_leaf_signature(&key(1).did(), &SIGNED.leaf(), &signature.leaf_sig));
    assert!(!verify_leaf_signature(&key(2).did(), &SIGNED.leaf(), &signature.leaf_sig));
    assert!(!verify_leaf_signature(&key(1).did(), &SIGNED.statement_hash(), &signature.leaf_sig));
    assert!(!verify_leaf_signature(&key(1).did(), &SIGNED.leaf(), &signature.sig), "a statement's signature is none over its leaf");
}

#[test]
fn a_missing_signer_nobody_and_another_type_are_refused() {
    assert!(matches!(SIGNED.open_signed_by::<Hold>([&key(3).did()]), Err(EnvelopeError::NotSigned { signer }) if signer == key(3).did()));
    assert!(matches!(SIGNED.open_signed_by::<Hold>([]), Err(EnvelopeError::NobodyAsked)));
    assert!(matches!(SIGNED.open::<Refund>(), Err(EnvelopeError::Type { .. })));
}

#[test]
fn merging_collects_signatures_and_refuses_wrong_ones() {
    let mut first = Envelope::sign(&hold(), &key(1), [9; 32]).unwrap();
    let second = Envelope::sign(&hold(), &key(2), [9; 32]).unwrap();
    first.merge(&second).unwrap();
    assert_eq!(first, *SIGNED);
    let other_salt = Envelope::sign(&hold(), &key(3), [8; 32]).unwrap();
    assert!(matches!(first.merge(&other_salt), Err(EnvelopeError::Different)));
    let mut json: serde_json::Value = serde_json::from_slice(&second.to_json()).unwrap();
    json["signatures"][0]["keyid"] = key(3).did().as_str().into();
    let forged: Envelope = serde_json::from_value(json).unwrap();
    assert!(matches!(first.merge(&forged), Err(EnvelopeError::BadSignature { signer }) if signer == key(3).did()));
    assert_eq!(first, *SIGNED, "a refused merge changes nothing");
}

#[test]
fn limits_hold() {
    let mut envelope = Envelope::sign(&hold(), &key(1), [9; 32]).unwrap();
    for n in 2..=SIGNATURES_MAX as u8 {
        envelope.countersign(&key(n)).unwrap();
    }
    assert!(envelope.countersign(&key(100)).is_err());
    envelope.countersign(&key(5)).unwrap();
    assert_eq!(envelope.signatures().len(), SIGNATURES_MAX, "signing again replaces");
    let mut json: serde_json::Value = serde_json::from_slice(&SIGNED.to_json()).unwrap();
    json["signatures"][1]["keyid"] = json["signatures"][0]["keyid"].clone();
    assert!(serde_json::from_value::<Envelope>(json).is_err(), "a signer twice");
    assert!(Envelope::from_json(&vec![b' '; 3 << 20]).is_err());
}

fn change_payload(change: impl Fn(&mut serde_json::Value)) -> Result<Envelope, serde_json::Error> {
    let mut payload: serde_json::Value = serde_json::from_slice(SIGNED.payload()).unwrap();
    change(&mut payload);
    let mut json: serde_json::Value = serde_json::from_slice(&SIGNED.to_json()).unwrap();
    json["payload"] = BASE64_STANDARD.encode(payload.to_string()).into();
    serde_json::from_value(json)
}

#[test]
fn a_changed_statement_is_another_statement() {
    let dearer = change_payload(|hold| hold["amount"]["amount_minor"] = "1251".into()).unwrap();
    assert!(dearer.open::<Hold>().is_ok());
    assert!(matches!(all_hold(&dearer), Err(EnvelopeError::BadSignature { .. })));
    let stranger = change_payload(|hold| hold["extra"] = "1".into()).unwrap_err();
    assert!(stranger.to_string().contains("not a canonical statement"), "{stranger}");
}

proptest! {
    #[test]
    fn tampering_with_any_byte_is_found(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut json = SIGNED.to_json();
        let at = at.index(json.len());
        json[at] ^= flip;
        // What still reads as the same envelope (say, other white space) is no forgery.
        if let Ok(read) = Envelope::from_json(&json) && read != *SIGNED {
            prop_assert!(all_hold(&read).is_err(), "byte {at} became {}", json[at]);
        }
    }

    #[test]
    fn reading_hostile_bytes_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,80}") {
        let _ = Envelope::from_json(&bytes);
        let _ = text.parse::<Did>();
    }
}
