//! Published vectors, and what they do not cover: the strict edges of each format.

use entrepot_chain_statement::{
    Did, Hash, SealingKey, SealingSecret, SigningKey,
    canonical::{CanonicalError, from_canonical_json, to_canonical_json},
    did::DidError,
    sealing::{ResultShare, SealingError},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn bytes<const N: usize>(hex_text: &str) -> [u8; N] {
    hex::decode(hex_text).unwrap().try_into().unwrap()
}

fn canonical(text: &str) -> String {
    String::from_utf8(to_canonical_json(&serde_json::from_str::<Value>(text).unwrap()).unwrap()).unwrap()
}

#[test]
fn canonical_strings_match_rfc_8785() {
    // §3.2.2's sample, its string and literals; the project's numbers are integers.
    let sample = r#"{"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
    assert_eq!(canonical(sample), r#"{"literals":[null,true,false],"string":"€$\u000f\nA'B\"\\\\\"/"}"#);
    assert_eq!(canonical(r#""\b\f\t\r\u001f\u007f\u0000""#), "\"\\b\\f\\t\\r\\u001f\u{7f}\\u0000\"");
}

#[test]
fn canonical_order_matches_rfc_8785() {
    // §3.2.3's sample: UTF-16 code units put the smiley (a surrogate pair) before the Hebrew letter U+FB33.
    let sample = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
        "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let out = canonical(sample);
    let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"].map(|word| out.find(word).unwrap());
    assert!(order.is_sorted(), "{out}");
    assert_eq!(canonical(r#"{"sin":4,"pêche":3,"péché":2,"peach":1}"#), r#"{"peach":1,"péché":2,"pêche":3,"sin":4}"#);
}

#[test]
fn canonical_numbers_are_integers_that_every_language_has() {
    assert_eq!(canonical("[0,-1,9007199254740991,-9007199254740991]"), "[0,-1,9007199254740991,-9007199254740991]");
    for wrong in [json!(1.5), json!(1.0), json!(9_007_199_254_740_992_u64), json!(-9_007_199_254_740_992_i64), json!(u64::MAX)] {
        assert!(matches!(to_canonical_json(&wrong), Err(CanonicalError::Number { .. })), "{wrong}");
    }
}

#[test]
fn only_the_canonical_form_is_read() {
    type Map = BTreeMap<String, u32>;
    assert_eq!(from_canonical_json::<Map>(br#"{"a":1,"b":2}"#).unwrap().len(), 2);
    for other in [&br#"{"b":2,"a":1}"#[..], br#"{"a":1, "b":2}"#, br#"{"a":1,"a":1}"#, br#"{"\u0061":1}"#, b"{\"a\":1}\n", br#"{"a":1e0}"#]
    {
        assert!(from_canonical_json::<Map>(other).is_err(), "{}", String::from_utf8_lossy(other));
    }
    assert!(from_canonical_json::<Map>(br#"{"a":-0}"#).is_err());
    let long = format!("\"{}\"", "a".repeat(1 << 20));
    assert!(matches!(from_canonical_json::<String>(long.as_bytes()), Err(CanonicalError::TooLong)));
    let deep = "[".repeat(5000) + &"]".repeat(5000);
    assert!(from_canonical_json::<Value>(deep.as_bytes()).is_err());
}

#[test]
fn did_key_matches_the_published_vectors() {
    // did:key test vectors, ed25519-x25519.json: seeds 0, 1 and 2, big-endian.
    for (seed, did) in [
        (0, "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"),
        (1, "did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG"),
        (2, "did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf"),
    ] {
        let mut bytes = [0; 32];
        bytes[31] = seed;
        let key = SigningKey::from_seed(&bytes);
        assert_eq!(key.did().as_str(), did);
        assert_eq!(did.parse::<Did>().unwrap(), key.did());
        assert_eq!(Did::of(&key.did().verifying_key()), key.did());
        assert_eq!(Did::from_public_bytes(&key.did().public_bytes()).unwrap(), key.did());
    }
}

#[test]
fn other_keys_and_other_spellings_are_no_identity() {
    for wrong in [
        "",
        "did:key:z",
        "did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F",
        "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp ",
        "did:key:z16MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW",
        "did:web:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
        "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW0",
    ] {
        assert_eq!(wrong.parse::<Did>(), Err(DidError::Form), "{wrong}");
    }
}

#[test]
fn keys_of_small_order_and_second_encodings_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let order_eight = bytes("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05");
    for small in [one, minus_one, [0; 32], order_eight] {
        assert_eq!(Did::from_public_bytes(&small), Err(DidError::SmallOrder), "{}", hex::encode(small));
    }
    // y = p + 3 is a second text of y = 3, a point of large order.
    let mut three = [0; 32];
    three[0] = 3;
    assert!(Did::from_public_bytes(&three).is_ok());
    let mut p_plus_three = [0xff; 32];
    (p_plus_three[0], p_plus_three[31]) = (0xf0, 0x7f);
    assert_eq!(Did::from_public_bytes(&p_plus_three), Err(DidError::Key));
    // No point has y = 2.
    let mut two = [0; 32];
    two[0] = 2;
    assert_eq!(Did::from_public_bytes(&two), Err(DidError::Key));
}

#[test]
fn nothing_verifies_under_a_key_of_small_order() {
    // R of order 1 and S = 0 satisfy the equation for every message under a key of order 1; a peer may present such a key.
    let mut one = [0; 32];
    one[0] = 1;
    let did = Did::of(&ed25519_dalek::VerifyingKey::from_bytes(&one).unwrap());
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(!did.verify(b"anything", &signature));
    assert_eq!(did.as_str().parse::<Did>(), Err(DidError::SmallOrder));
}

#[test]
fn signatures_match_rfc_8032() {
    // §7.1, TEST 1 and TEST 2.
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let key = SigningKey::from_seed(&bytes(seed));
        let message = hex::decode(message).unwrap();
        assert_eq!(hex::encode(key.did().public_bytes()), public);
        assert_eq!(hex::encode(key.sign(&message)), signature);
        assert!(key.did().verify(&message, &hex::decode(signature).unwrap()));
        assert!(!key.did().verify(b"another", &hex::decode(signature).unwrap()));
        assert_eq!(*key.seed(), bytes::<32>(seed));
    }
}

#[test]
fn a_second_form_of_a_signature_is_refused() {
    let key = SigningKey::from_seed(&[5; 32]);
    let mut signature = key.sign(b"m");
    // S + L, where L is the order of the base point.
    let order: [u8; 32] = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    for (s, l) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*s) + u16::from(l) + carry;
        *s = sum as u8;
        carry = sum >> 8;
    }
    assert!(!key.did().verify(b"m", &signature));
    assert!(!key.did().verify(b"m", &signature[..63]));
}

/// RFC 9180 A.2.1: mode base, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305, first encryption.
struct Rfc9180;

impl Rfc9180 {
    const IKM_E: &str = "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b";
    const SECRET: &str = "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
    const PUBLIC: &str = "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
    const ENC: &str = "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
    const CIPHERTEXT: &str = "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28";
    const INFO: &[u8] = b"Ode on a Grecian Urn";
    const AAD: &[u8] = b"Count-0";
    const PLAINTEXT: &[u8] = b"Beauty is truth, truth beauty";
}

#[test]
fn sealing_matches_rfc_9180() {
    let secret = SealingSecret::from_bytes(&bytes(Rfc9180::SECRET));
    assert_eq!(hex::encode(secret.public().as_bytes()), Rfc9180::PUBLIC);
    let sealed = secret.public().seal_with(&bytes(Rfc9180::IKM_E), Rfc9180::INFO, Rfc9180::AAD, Rfc9180::PLAINTEXT).unwrap();
    assert_eq!(hex::encode(&sealed), [Rfc9180::ENC, Rfc9180::CIPHERTEXT].concat());
    assert_eq!(secret.open(Rfc9180::INFO, Rfc9180::AAD, &sealed).unwrap().as_slice(), Rfc9180::PLAINTEXT);
}

#[test]
fn sealed_bytes_open_only_whole_in_their_context_and_for_their_key() {
    let secret = SealingSecret::from_bytes(&[3; 32]);
    let sealed = secret.public().seal_with(&[1; 32], b"info", b"aad", b"plain").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(secret.open(b"info", b"aad", &changed).is_err(), "byte {at}");
        assert_eq!(secret.open(b"info", b"aad", &sealed[..at]).unwrap_err(), SealingError::Open);
    }
    assert!(secret.open(b"other", b"aad", &sealed).is_err());
    assert!(secret.open(b"info", b"other", &sealed).is_err());
    assert!(SealingSecret::from_bytes(&[4; 32]).open(b"info", b"aad", &sealed).is_err());
}

#[test]
fn sealing_keys_of_small_order_and_second_encodings_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    let order_eight = bytes("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800");
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    for small in [[0; 32], one, order_eight, minus_one] {
        assert_eq!(SealingKey::from_bytes(small), Err(SealingError::Key));
    }
    let mut nine = [0; 32];
    nine[0] = 9;
    assert!(SealingKey::from_bytes(nine).is_ok());
    nine[31] = 0x80;
    assert_eq!(SealingKey::from_bytes(nine), Err(SealingError::Key), "the top bit set");
    let mut p_plus_nine = [0xff; 32];
    (p_plus_nine[0], p_plus_nine[31]) = (0xf6, 0x7f);
    assert_eq!(SealingKey::from_bytes(p_plus_nine), Err(SealingError::Key), "u = p + 9");
}

#[test]
fn the_randomness_of_a_share_is_pinned_and_bound_to_its_run() {
    let run = ResultShare { order: Hash([1; 32]), attempt: 2, share: 1 };
    let seed = [9; 32];
    // HKDF-SHA256 without salt, info = "entrepot/seal/v1\n" ‖ order ‖ 00000002 ‖ 01, computed by another implementation.
    assert_eq!(hex::encode(*run.randomness(&seed)), "85fe40cb524c603ffc3b2f84f7d889dd450ee3c237e0442382ae549846a3faa0");
    assert_eq!(hex::encode(run.aad()), format!("{}0000000201", "01".repeat(32)));
    for other in [ResultShare { order: Hash([2; 32]), ..run }, ResultShare { attempt: 3, ..run }, ResultShare { share: 2, ..run }] {
        assert_ne!(*other.randomness(&seed), *run.randomness(&seed));
    }
    assert_ne!(*run.randomness(&[8; 32]), *run.randomness(&seed));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1i64 << 53) + 1..1i64 << 53).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn canonical_encoding_round_trips(value in any_json()) {
        let encoded = to_canonical_json(&value).unwrap();
        prop_assert_eq!(from_canonical_json::<Value>(&encoded).unwrap(), value);
    }

    #[test]
    fn two_holders_of_one_seed_seal_alike_and_of_another_differ(
        seed in any::<[u8; 32]>(), other in any::<[u8; 32]>(), receiver in any::<[u8; 32]>(), plain in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assume!(seed != other);
        let run = ResultShare { order: Hash([1; 32]), attempt: 1, share: 0 };
        let receiver = SealingSecret::from_bytes(&receiver);
        let seal = |seed: &[u8; 32]| receiver.public().seal_with(&run.randomness(seed), b"info", &run.aad(), &plain).unwrap();
        prop_assert_eq!(seal(&seed), seal(&seed));
        prop_assert_ne!(seal(&seed), seal(&other));
        prop_assert_eq!(receiver.open(b"info", &run.aad(), &seal(&seed)).unwrap().to_vec(), plain);
    }
}
