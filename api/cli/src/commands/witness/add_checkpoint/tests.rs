use super::*;
use entrepot_chain_log::{Checkpoint, MerkleTree, NoteSigner, TrustedLog, cosignature_vkey};
use entrepot_chain_statement::SigningKey;
use std::fs;
use tempfile::TempDir;

const ORIGIN: &str = "example.com/behind-the-sofa";

struct Log {
    tree: MerkleTree,
    signer: NoteSigner,
}

impl Log {
    fn named(origin: &str, entries: &[&str]) -> Self {
        Self { tree: entries.iter().collect(), signer: NoteSigner::log(origin, SigningKey::from_seed(&[1; 32])).expect("a name") }
    }

    fn of(entries: &[&str]) -> Self {
        Self::named(ORIGIN, entries)
    }

    fn note(&self) -> String {
        let checkpoint = Checkpoint { origin: self.signer.public().name().to_owned(), size: self.tree.size(), root: self.tree.root() };
        checkpoint.sign(&self.signer).expect("it signs").to_string()
    }

    fn proof(&self, old_size: u64) -> Vec<Hash> {
        self.tree.consistency_proof(old_size, self.tree.size()).unwrap_or_default()
    }

    fn request(&self, old_size: u64) -> String {
        request(old_size, &self.proof(old_size), &self.note())
    }
}

fn request(old_size: u64, proof: &[Hash], note: &str) -> String {
    let proof: String = proof.iter().map(|hash| format!("{}\n", BASE64_STANDARD.encode(hash.0))).collect();
    format!("old {old_size}\n{proof}\n{note}")
}

struct Stand {
    folder: TempDir,
    desk: Desk,
}

fn signer() -> NoteSigner {
    let secret = SigningKey::from_seed(&[2; 32]);
    NoteSigner::cosigner(secret.did().as_str(), secret).expect("a name")
}

fn open(folder: &TempDir) -> Desk {
    let trusted = |origin: &str| TrustedLog { origin: origin.to_owned(), key: Log::named(origin, &[]).signer.public().clone() };
    Desk::open(folder.path(), &signer(), vec![trusted(ORIGIN), trusted("example.com/second")]).expect("it opens")
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { desk: open(&folder), folder }
    }

    fn restart(self) -> Self {
        let Self { folder, desk } = self;
        drop(desk);
        Self { desk: open(&folder), folder }
    }

    fn ask(&self, body: &str) -> Result<String, u16> {
        match answer(&self.desk, body.as_bytes(), 5_000) {
            Ok(cosigned) => Ok(cosigned.line),
            Err(refusal) => Err(refusal.into_response().status().as_u16()),
        }
    }
}

#[test]
fn a_log_that_grows_is_cosigned_step_by_step_and_so_after_a_restart() {
    let mut stand = Stand::new();
    for (old, entries) in [(0, &["a"][..]), (1, &["a", "b", "c"]), (3, &["a", "b", "c"]), (3, &["a", "b", "c", "d"])] {
        let log = Log::of(entries);
        let line = stand.ask(&log.request(old)).unwrap_or_else(|status| panic!("{status} for {entries:?}"));
        let mut cosigned: SignedCheckpoint = log.note().parse().expect("a checkpoint");
        let witness = cosignature_vkey(signer().public().key());
        cosigned.add_cosignature(&witness, line.parse().expect("a line")).expect("a cosignature");
        assert_eq!(cosigned.cosigned_at(&witness), Ok(Some(5)));
        stand = stand.restart();
        assert_eq!(stand.desk.find(ORIGIN).and_then(FollowedLog::checkpoint).expect("kept").checkpoint().size, entries.len() as u64);
    }
}

#[test]
fn every_refusal_has_the_status_of_the_specification() {
    let stand = Stand::new();
    let (three, four) = (Log::of(&["a", "b", "c"]), Log::of(&["a", "b", "c", "d"]));
    stand.ask(&three.request(0)).expect("the first");
    let stranger = Log { signer: NoteSigner::log(ORIGIN, SigningKey::from_seed(&[9; 32])).expect("a name"), tree: four.tree.clone() };
    let mut wrong_line = four.note();
    wrong_line.truncate(wrong_line.len() - 6);
    let other_root = Log::of(&["a", "x", "c", "d"]);
    let cases = [
        ("not a request", 400, "old 3".to_owned()),
        ("no old size", 400, four.request(3).replacen("old 3", "old  3", 1)),
        ("a leading zero", 400, four.request(3).replacen("old 3", "old 03", 1)),
        ("no hash", 400, four.request(3).replacen("old 3\n", "old 3\nAAAA\n", 1)),
        ("too many hashes", 400, request(3, &[Hash([0; 32]); 64], &four.note())),
        ("no note", 400, request(3, &four.proof(3), "")),
        ("above the checkpoint", 400, request(5, &[], &four.note())),
        ("another log", 404, Log::named("example.com/third", &["a"]).request(0)),
        ("another key", 403, stranger.request(3)),
        ("a wrong signature", 403, request(3, &four.proof(3), &format!("{wrong_line}AAAA=\n"))),
        ("an earlier size", 409, four.request(0)),
        ("another earlier size", 409, four.request(2)),
        ("no proof", 422, request(3, &[], &four.note())),
        ("a proof of something else", 422, other_root.request(3)),
        ("a proof of nothing", 422, request(3, &three.proof(2), &three.note())),
        (
            "a proof from nothing",
            422,
            Log::named("example.com/second", &["a"]).request(0).replacen(
                "old 0\n",
                &format!("old 0\n{}\n", BASE64_STANDARD.encode([0; 32])),
                1,
            ),
        ),
    ];
    for (what, status, body) in cases {
        assert_eq!(stand.ask(&body), Err(status), "{what}: {body}");
    }
    assert!(stand.desk.contradictions().is_empty(), "what anybody may send is no evidence");
    stand.ask(&four.request(3)).expect("and a right one is cosigned after all that");
}

#[test]
fn the_empty_log_has_one_root() {
    let stand = Stand::new();
    let wrong = format!("{ORIGIN}\n0\n{}\n", BASE64_STANDARD.encode([7; 32]));
    let signed = SignedNote::sign(wrong, &Log::of(&[]).signer, 0).expect("a note");
    assert_eq!(stand.ask(&request(0, &[], &signed.to_string())), Err(422));
    stand.ask(&Log::of(&[]).request(0)).expect("the empty log");
    stand.ask(&Log::of(&["a"]).request(0)).expect("and what grew from it");
}

#[tokio::test]
async fn a_conflict_names_the_size_that_is_known() {
    let stand = Stand::new();
    stand.ask(&Log::of(&["a", "b"]).request(0)).expect("the first");
    let refusal = answer(&stand.desk, Log::of(&["a", "b", "c"]).request(0).as_bytes(), 5_000).err().expect("refused");
    let response = refusal.into_response();
    assert_eq!(response.headers()["content-type"], "text/x.tlog.size");
    assert_eq!(axum::body::to_bytes(response.into_body(), 100).await.expect("a body"), "2\n");
}

#[test]
fn two_roots_of_one_size_end_the_following_until_the_evidence_is_taken_away() {
    let stand = Stand::new();
    let (log, forked) = (Log::of(&["a", "b"]), Log::of(&["a", "x"]));
    stand.ask(&log.request(0)).expect("the first");
    assert_eq!(stand.ask(&forked.request(2)), Err(422));
    let stand = stand.restart();
    assert_eq!(stand.ask(&log.request(2)), Err(404), "it is followed no more");
    stand.ask(&Log::named("example.com/second", &["a"]).request(0)).expect("others are");
    let path = stand.folder.path().join(Hash::of(&[ORIGIN.as_bytes()]).to_string()).join("evidence.json");
    let evidence: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("written")).expect("JSON");
    assert_eq!(evidence["code"], "fork");
    let key = log.signer.public();
    let signed = ["cosigned", "offered"].map(|name| evidence[name].as_str().expect("a note").parse::<SignedCheckpoint>().expect("a note"));
    assert!(signed.iter().all(|checkpoint| checkpoint.verify_log(ORIGIN, key).is_ok()), "both are signed by the log");
    assert!(signed[0].checkpoint().size == signed[1].checkpoint().size && signed[0].checkpoint().root != signed[1].checkpoint().root);
    fs::remove_file(&path).expect("removed");
    let stand = stand.restart();
    stand.ask(&log.request(2)).expect("it is settled");
    assert_eq!(stand.ask(&forked.request(2)), Err(422), "but what was cosigned is still known");
}

#[test]
fn a_folder_is_one_witness_with_one_key() {
    let stand = Stand::new();
    stand.ask(&Log::of(&["a"]).request(0)).expect("the first");
    let trusted = || vec![TrustedLog { origin: ORIGIN.to_owned(), key: Log::of(&[]).signer.public().clone() }];
    let refused = |signer: &NoteSigner| Desk::open(stand.folder.path(), signer, trusted()).err().expect("refused").message;
    assert!(refused(&signer()).contains("in use by another witness"));
    let Stand { folder, desk } = stand;
    drop(desk);
    let other = SigningKey::from_seed(&[3; 32]);
    let other = NoteSigner::cosigner(other.did().as_str(), other).expect("a name");
    let refused = |signer: &NoteSigner| Desk::open(folder.path(), signer, trusted()).err().expect("refused").message;
    assert!(refused(&other).contains("not cosigned with the key that this witness has now"));
    let path = folder.path().join(Hash::of(&[ORIGIN.as_bytes()]).to_string()).join("checkpoint");
    let kept = fs::read_to_string(&path).expect("kept");
    for damaged in [kept.replacen("\n1\n", "\n2\n", 1), kept[..kept.len() / 2].to_owned(), String::new()] {
        fs::write(&path, damaged).expect("written");
        assert!(refused(&signer()).contains("restore the folder"));
    }
    fs::write(&path, kept).expect("written");
    Desk::open(folder.path(), &signer(), trusted()).expect("it is whole again");
}
