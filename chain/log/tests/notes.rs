//! Notes, checkpoints, cosignatures and proofs in text: published examples, and hostile ones.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_log::{
    Checkpoint, CheckpointError, KeyKind, MerkleTree, NoteError, NoteKey, NoteSignature, NoteSigner, SignedCheckpoint, SignedNote,
    TlogProof, cosignature_vkey, merkle::ProofError,
};
use entrepot_chain_statement::{Hash, SigningKey};
use proptest::prelude::*;

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32])
}

/// The example of signed-note.md.
const EXAMPLE_VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
const EXAMPLE_NOTE: &str = "This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
";

/// A checkpoint of Go's checksum database, whose key has another name than its origin.
const GO_VKEY: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
const GO_CHECKPOINT: &str = "go.sum database tree
35225469
vt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=

— sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=
";

/// The checkpoint of tlog-cosignature.md, cosigned by another implementation with the seed 07…07.
const SOFA: &str = "example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
";
const SOFA_VKEY: &str = "witness.example.com/w1+8122a5ab+BOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs";
const SOFA_LINE: &str =
    "— witness.example.com/w1 gSKlqwAAAABkGFDLWr4Jea05CAgwNVtwky0Jgz6WfX0QJgM//FkB/W9BoT9TX0DkTxG+2cT4p/ViKNhUM/SnUwFcYQzugGFQ15LwDw==";

#[test]
fn the_published_note_verifies() {
    let key: NoteKey = EXAMPLE_VKEY.parse().unwrap();
    assert_eq!((key.name(), key.kind(), key.to_string()), ("example.com/foo", KeyKind::Log, EXAMPLE_VKEY.to_owned()));
    let note: SignedNote = EXAMPLE_NOTE.parse().unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert!(note.signed_by(&key).unwrap().is_some());
    assert_eq!(note.to_string(), EXAMPLE_NOTE);
    let changed: SignedNote = EXAMPLE_NOTE.replace("an example", "no example").parse().unwrap();
    assert!(changed.signed_by(&key).is_err(), "a wrong signature under a known key spoils the note");
    assert_eq!(note.signed_by(&GO_VKEY.parse().unwrap()), Ok(None));
}

#[test]
fn the_published_checkpoint_verifies() {
    let checkpoint: SignedCheckpoint = GO_CHECKPOINT.parse().unwrap();
    let key: NoteKey = GO_VKEY.parse().unwrap();
    checkpoint.verify_log("go.sum database tree", &key).unwrap();
    assert_eq!(checkpoint.checkpoint().size, 35_225_469);
    assert_eq!(checkpoint.to_string(), GO_CHECKPOINT);
    let found = "go.sum database tree".to_owned();
    assert_eq!(checkpoint.verify_log("another", &key), Err(CheckpointError::Origin { found }));
    assert_eq!(checkpoint.verify_log("go.sum database tree", &EXAMPLE_VKEY.parse().unwrap()), Err(CheckpointError::NotSigned));
}

#[test]
fn cosignatures_match_another_implementation() {
    let signer = NoteSigner::cosigner("witness.example.com/w1", key(7)).unwrap();
    assert_eq!(signer.public().to_string(), SOFA_VKEY);
    assert_eq!(signer.sign(SOFA, 1_679_315_147).to_string(), SOFA_LINE);
    let checkpoint: SignedCheckpoint = format!("{SOFA}\n{SOFA_LINE}\n").parse().unwrap();
    assert_eq!(checkpoint.cosigned_at(signer.public()), Ok(Some(1_679_315_147)));
    // The moment is signed too.
    let line: NoteSignature = SOFA_LINE.parse().unwrap();
    assert_eq!(line.name(), "witness.example.com/w1");
    let other = signer.sign(SOFA, 1_679_315_148);
    assert_ne!(other, line);
}

#[test]
fn published_cosigner_keys_are_read() {
    // From transparency-dev/formats, note_cosigv1_test.go.
    let vkey = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";
    let key: NoteKey = vkey.parse().unwrap();
    assert_eq!((key.kind(), key.to_string()), (KeyKind::Cosigner, vkey.to_owned()));
    for wrong in [
        "",
        "remora.n621.de+da77ade7",
        "remora.n621.de+da77ade8+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "remora.n621.de+DA77ADE7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw",
        "+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "rekor.sigstore.dev+12345678+AwEB",
        "test+5893dc2c+Bg==",
    ] {
        assert!(wrong.parse::<NoteKey>().is_err(), "{wrong}");
    }
}

#[test]
fn a_key_of_small_order_is_no_key() {
    // The point of order 1, under its right key id.
    let mut identity = [0; 32];
    identity[0] = 1;
    let id = Hash::of(&[b"x\n\x01", &identity]).to_string();
    let typed = [&[1][..], &identity].concat();
    let text = format!("x+{}+{}", &id[..8], BASE64_STANDARD.encode(typed));
    assert_eq!(text.parse::<NoteKey>(), Err(NoteError::VerifierKey));
}

#[test]
fn a_worker_cosigns_under_its_did() {
    let signer = NoteSigner::cosigner(key(1).did().as_str(), key(1)).unwrap();
    assert_eq!(*signer.public(), cosignature_vkey(&key(1).did()));
    let text = signer.public().to_string();
    assert_eq!(text.parse::<NoteKey>().unwrap(), *signer.public());
    assert_eq!(serde_json::to_string(signer.public()).unwrap(), format!("{text:?}"));
}

#[test]
fn kinds_of_keys_do_not_pass_for_each_other() {
    let log = NoteSigner::log("log", key(1)).unwrap();
    let cosigner = NoteSigner::cosigner("log", key(1)).unwrap();
    assert_ne!(log.public().id(), cosigner.public().id());
    let checkpoint = Checkpoint { origin: "log".into(), size: 1, root: Hash([1; 32]) };
    let mut signed = checkpoint.sign(&log).unwrap();
    signed.verify_log("log", log.public()).unwrap();
    assert_eq!(signed.cosigned_at(cosigner.public()), Ok(None));
    assert!(signed.verify_log("log", cosigner.public()).is_err());
    let line = signed.cosign(&cosigner, 5);
    signed.add_cosignature(cosigner.public(), line.clone()).unwrap();
    assert_eq!(signed.cosigned_at(cosigner.public()), Ok(Some(5)));
    assert!(signed.add_cosignature(log.public(), signed.cosign(&log, 5)).is_err());
    let other = Checkpoint { size: 2, ..checkpoint }.sign(&log).unwrap();
    assert!(signed.add_cosignature(cosigner.public(), other.cosign(&cosigner, 5)).is_err(), "of another checkpoint");
    signed.add_cosignature(cosigner.public(), signed.cosign(&cosigner, 9)).unwrap();
    assert_eq!(
        (signed.cosigned_at(cosigner.public()), signed.note().signatures().len()),
        (Ok(Some(9)), 2),
        "a newer line replaces the older"
    );
}

#[test]
fn malformed_notes_are_refused() {
    let line = "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=";
    for (wrong, why) in [
        (String::new(), NoteError::Form),
        ("text\n".into(), NoteError::Form),
        ("text\n\n".into(), NoteError::SignatureCount),
        (format!("text\n\n{line}"), NoteError::SignatureCount),
        (format!("te\tt\n\n{line}\n"), NoteError::Form),
        (format!("text\r\n\n{line}\n"), NoteError::Form),
        (format!("text\n\n{line} \n"), NoteError::SignatureLine),
        (format!("text\n\n{line}\nx\n"), NoteError::SignatureLine),
        (format!("text\n\n{}\n", line.replace("—", "-")), NoteError::SignatureLine),
        (format!("text\n\n{}\n", line.replace("example", "ex+ample")), NoteError::SignatureLine),
        ("text\n\n— name AAAA\n".into(), NoteError::SignatureLine),
        (format!("text\n\n{}", format!("{line}\n").repeat(129)), NoteError::SignatureCount),
        ("a".repeat(70_000), NoteError::TooLong),
    ] {
        assert_eq!(wrong.parse::<SignedNote>(), Err(why), "{wrong:.100}");
    }
    // Text may have blank lines: the last one separates.
    let note: SignedNote = format!("a\n\nb\n\n{line}\n").parse().unwrap();
    assert_eq!(note.text(), "a\n\nb\n");
}

#[test]
fn malformed_checkpoints_are_refused() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    assert!(format!("o\n7\n{root}\n").parse::<Checkpoint>().is_ok());
    for wrong in [
        format!("\n7\n{root}\n"),
        format!("o\n07\n{root}\n"),
        format!("o\n+7\n{root}\n"),
        format!("o\n-7\n{root}\n"),
        format!("o\n9223372036854775808\n{root}\n"),
        format!("o\n7\n{root}"),
        format!("o\n7\n{root}\nextension\n"),
        format!("o\n7\n{}\n", &root[..43]),
        format!("o\n7\n{}J=\n", &root[..42]),
        format!("o\n0\n{root}\n"),
        "o\n7\n".to_owned(),
    ] {
        assert_eq!(wrong.parse::<Checkpoint>(), Err(CheckpointError::Form), "{wrong:?}");
    }
    assert!("o\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n".parse::<Checkpoint>().is_ok(), "the empty tree");
    let log = NoteSigner::log("log", key(1)).unwrap();
    assert!(Checkpoint { origin: "two\nlines".into(), size: 1, root: Hash([1; 32]) }.sign(&log).is_err());
    assert!(Checkpoint { origin: "".into(), size: 1, root: Hash([1; 32]) }.sign(&log).is_err());
}

fn proof(index: u64, size: u64) -> TlogProof {
    let tree: MerkleTree = (0..size).map(u64::to_be_bytes).collect();
    let checkpoint = Checkpoint { origin: "log".into(), size, root: tree.root() };
    let checkpoint = checkpoint.sign(&NoteSigner::log("log", key(1)).unwrap()).unwrap();
    TlogProof { extra: None, index, path: tree.inclusion_proof(index, size).unwrap(), checkpoint }
}

#[test]
fn proofs_have_the_published_form() {
    let proof = proof(2, 3);
    let text = proof.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["c2sp.org/tlog-proof@v1", "index 2"]);
    assert_eq!((lines[3], lines[4], lines[5]), ("", "log", "3"));
    assert_eq!(text.parse::<TlogProof>().unwrap(), proof);
    let extra = TlogProof { extra: Some(b"age".to_vec()), ..proof };
    assert_eq!(extra.to_string().lines().nth(1), Some("extra YWdl"));
    assert_eq!(extra.to_string().parse::<TlogProof>().unwrap(), extra);
}

#[test]
fn a_proof_is_of_its_entry_at_its_index() {
    let proof = proof(2, 5);
    proof.verify_entry(&2u64.to_be_bytes()).unwrap();
    assert_eq!(proof.verify_entry(&3u64.to_be_bytes()), Err(ProofError::Root));
    assert!(TlogProof { index: 3, ..proof.clone() }.verify_entry(&2u64.to_be_bytes()).is_err());
    assert_eq!(TlogProof { index: 5, ..proof }.verify_entry(&2u64.to_be_bytes()), Err(ProofError::Range));
}

#[test]
fn malformed_proofs_are_refused() {
    let good = proof(2, 5).to_string();
    assert!(good.parse::<TlogProof>().is_ok());
    let hash = good.lines().nth(2).unwrap();
    for wrong in [
        good.replace("@v1", "@v2"),
        good.replace("index 2", "index 02"),
        good.replace("index 2", "index -1"),
        good.replace("index 2\n", ""),
        good.replace("index 2", "extra !\nindex 2"),
        good.replace("index 2", "index 2\nextra AA=="),
        good.replacen(hash, &hash[1..], 1),
        good.replacen(hash, &format!("{hash}\n").repeat(64), 1),
        good.replacen("\n\n", "\n", 1),
        good.replace("index 2", &format!("extra {}\nindex 2", "A".repeat(1 << 20))),
        good.replace('\n', "\r\n"),
    ] {
        assert!(wrong.parse::<TlogProof>().is_err(), "{wrong:.200}");
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_back_alike(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        // One text has one reading: whatever is accepted comes out byte by byte as it came in.
        for text in [GO_CHECKPOINT.to_owned(), proof(2, 5).to_string()] {
            let mut bytes = text.into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if let Ok(read) = text.parse::<SignedCheckpoint>() {
                prop_assert_eq!(read.to_string(), text.clone());
            }
            if let Ok(read) = text.parse::<TlogProof>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }
    }

    #[test]
    fn hostile_text_never_panics(text in "(\\PC|\n){0,200}") {
        let _ = (text.parse::<SignedNote>(), text.parse::<TlogProof>(), text.parse::<NoteKey>(), text.parse::<NoteSignature>());
        let _ = format!("c2sp.org/tlog-proof@v1\n{text}").parse::<TlogProof>();
        let _ = format!("{text}\n\n— a AAAAAAA=\n").parse::<SignedCheckpoint>();
    }
}
