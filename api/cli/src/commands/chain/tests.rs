use super::{
    act, genesis, keys,
    read::{self, Events},
    readable::readable,
    right,
    show::Entry,
};
use crate::{files, output::Output};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::Parser;
use entrepot_chain_ledger::settlement::{Hold, HoldStatus};
use entrepot_chain_ledger::{Facts, MembersAction, MembersChange, RightKind, RightRecord, Transaction};
use entrepot_chain_log::{
    codec::KnownKeys,
    consortium::{Genesis, VotingRule},
};
use entrepot_chain_statement::{Envelope, Hash, Money, SigningKey, Timestamp, ids::JobId, statements::Refund};
use serde_json::json;
use std::{collections::BTreeSet, path::Path};
use tempfile::TempDir;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: super::Arguments,
}

async fn run(words: &[&str]) -> Result<(), crate::exit::Failure> {
    // As `main` does; the second time it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let line = Line::try_parse_from([&["chain"], words].concat()).map_err(crate::exit::Failure::bad_input)?;
    super::run(line.arguments, &Output { json: true }).await
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Three members' folders, and their genesis.
async fn found(rule: &str) -> (TempDir, Genesis) {
    let home = tempfile::tempdir().expect("a folder");
    let mut words =
        vec!["genesis".to_owned(), "--rule".to_owned(), rule.to_owned(), "--out".to_owned(), text(&home.path().join("genesis.json"))];
    for (name, role) in [("north", "member"), ("south", "member"), ("office", "regulator")] {
        run(&["keys", "--out", &text(&home.path().join(name)), "--name", name, "--role", role]).await.expect("keys");
        words.extend(["--member".to_owned(), text(&home.path().join(name).join(keys::MEMBER))]);
    }
    run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await.expect("a genesis");
    let genesis = genesis::read(&home.path().join("genesis.json")).expect("it is one");
    (home, genesis)
}

#[tokio::test]
async fn a_genesis_has_the_described_members_and_the_files_their_keys() {
    let (home, genesis) = found("regulator-veto").await;
    assert_eq!((genesis.origin.as_str(), genesis.voting_rule), ("entrepot/main", VotingRule::RegulatorVeto));
    let members = genesis.members().expect("they can be members");
    assert_eq!((members.count(), members.quorum()), (3, 3));
    for name in ["north", "south", "office"] {
        let folder = home.path().join(name);
        let key = |file: &str| files::read_key(&folder.join(file)).expect("private to its owner").signing.did();
        let member = members.by_did(&key(keys::ORGANISATION)).expect("a member");
        let found = [&member.keys.consensus, &member.keys.cosigning, &member.keys.transport];
        assert_eq!(found, [&key(keys::CONSENSUS), &key(keys::COSIGNING), &key(keys::TRANSPORT)]);
        assert_eq!(member, &keys::read_member(&folder.join(keys::MEMBER)).expect("a description").0);
    }
}

#[tokio::test]
async fn a_description_whose_keys_have_not_signed_it_founds_nothing() {
    let (home, _) = found("majority").await;
    let [north, south] = ["north", "south"].map(|name| home.path().join(name).join(keys::MEMBER));
    let mut taken: serde_json::Value = serde_json::from_slice(&std::fs::read(&south).expect("readable")).expect("JSON");
    let other: serde_json::Value = serde_json::from_slice(&std::fs::read(&north).expect("readable")).expect("JSON");
    taken["keys"]["transport"] = other["keys"]["transport"].clone();
    taken["possession"]["transport"] = other["possession"]["transport"].clone();
    std::fs::write(&south, taken.to_string()).expect("written");
    let failure = run(&["genesis", "--member", &text(&south)]).await.expect_err("the key is another's");
    assert!(failure.message.contains("has not signed"), "{failure}");
}

#[tokio::test]
async fn the_same_member_twice_founds_nothing_and_nothing_is_overwritten() {
    let (home, _) = found("majority").await;
    let member = text(&home.path().join("north").join(keys::MEMBER));
    assert!(run(&["genesis", "--member", &member, "--member", &member]).await.is_err());
    assert!(run(&["keys", "--out", &text(&home.path().join("north")), "--name", "north"]).await.is_err());
    assert!(run(&["genesis", "--member", &member, "--out", &text(&home.path().join("genesis.json"))]).await.is_err());
    assert!(run(&["keys", "--out", &text(&home.path().join("west")), "--name", "a\nb"]).await.is_err());
}

/// Whether an action is the expected one.
type IsIt = fn(&MembersAction) -> bool;

#[tokio::test]
async fn what_is_signed_offline_is_the_organisations_and_for_its_channel_alone() {
    let (home, genesis) = found("majority").await;
    run(&["keys", "--out", &text(&home.path().join("west")), "--name", "west"]).await.expect("keys");
    let (genesis_path, key) = (text(&home.path().join("genesis.json")), text(&home.path().join("north").join(keys::ORGANISATION)));
    let west = text(&home.path().join("west").join(keys::MEMBER));
    let (proposal, rotated) = ("ab".repeat(32), text(&home.path().join("rotated")));
    let acts: [(&[&str], IsIt); 7] = [
        (
            &["propose", "join", "--member", &west],
            |action| matches!(action, MembersAction::Propose(MembersChange::Join(west)) if west.name == "west"),
        ),
        (&["propose", "rule", "--rule", "unanimous"], |action| {
            *action == MembersAction::Propose(MembersChange::SetRule(VotingRule::Unanimous))
        }),
        (&["vote", "--proposal", &proposal, "--approve"], |action| matches!(action, MembersAction::Vote { approve: true, .. })),
        (&["vote", "--proposal", &proposal, "--reject"], |action| matches!(action, MembersAction::Vote { approve: false, .. })),
        (&["rotate", "--keys", &rotated], |action| matches!(action, MembersAction::RotateKeys(_))),
        (&["leave"], |action| matches!(action, MembersAction::Propose(MembersChange::Leave(_)))),
        (&["propose", "remove", "--member", genesis.members[0].did.as_str()], |action| {
            matches!(action, MembersAction::Propose(MembersChange::Leave(_)))
        }),
    ];
    for (number, (words, is_meant)) in acts.into_iter().enumerate() {
        let (out, sequence) = (home.path().join(format!("{number}.json")), (number + 1).to_string());
        let signing = ["--genesis", &genesis_path, "--key", &key, "--sequence", &sequence, "--out", &text(&out)];
        run(&[words, &signing].concat()).await.unwrap_or_else(|failure| panic!("{words:?}: {failure}"));
        let signed = act::Signed::read(&out).expect("it is one");
        assert_eq!(signed.genesis, genesis.digest());
        let bytes = BASE64_STANDARD.decode(&signed.transaction).expect("base64");
        let Ok(Transaction::Members(transaction)) = Transaction::decode(&bytes, &mut KnownKeys::default()) else { panic!("{words:?}") };
        assert!(is_meant(&transaction.action), "{words:?}: {:?}", transaction.action);
        assert_eq!(transaction.sequence, number as u64 + 1);
        assert_eq!(transaction.submitter, files::read_key(Path::new(&key)).expect("a key").signing.did());
        let again = entrepot_chain_ledger::MembersTransaction::sign(
            &genesis.digest(),
            transaction.action.clone(),
            transaction.possession.clone(),
            transaction.sequence,
            &files::read_key(Path::new(&key)).expect("a key").signing,
        );
        assert_eq!(again.submitter_signature, transaction.submitter_signature, "signed for this genesis");
    }
    let rotated = home.path().join("rotated");
    assert!([keys::CONSENSUS, keys::COSIGNING, keys::TRANSPORT].iter().all(|file| rotated.join(file).exists()));
    assert!(!rotated.join(keys::ORGANISATION).exists(), "the organisation stays who it is");
}

#[tokio::test]
async fn a_changed_transaction_file_is_refused_before_it_is_sent() {
    let (home, _) = found("majority").await;
    let (genesis, key) = (text(&home.path().join("genesis.json")), text(&home.path().join("north").join(keys::ORGANISATION)));
    let out = home.path().join("leave.json");
    run(&["leave", "--genesis", &genesis, "--key", &key, "--sequence", "1", "--out", &text(&out)]).await.expect("signed");
    let text = std::fs::read_to_string(&out).expect("readable");
    let signed: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let encoded = signed["transaction"].as_str().expect("base64");
    let other = if encoded.as_bytes()[60] == b'A' { "B" } else { "A" };
    std::fs::write(&out, text.replace(encoded, &format!("{}{other}{}", &encoded[..60], &encoded[61..]))).expect("written");
    assert!(act::Signed::read(&out).is_err());
    let failure = run(&["leave", "--genesis", &genesis, "--key", &key, "--sequence", "1"]).await.expect_err("neither sent nor kept");
    assert!(failure.message.contains("--url") || failure.message.contains("--out"), "{failure}");
}

#[test]
fn events_come_whole_however_they_are_cut() {
    let stream = ": hello\n\nid: 7\nevent: block\ndata: {\"height\":\"7\"}\n\nid: 8\r\ndata: a\r\ndata: b\r\n\r\nretry: 5\n\n";
    for size in 1..stream.len() {
        let mut events = Events::default();
        let found: Vec<_> = stream.as_bytes().chunks(size).flat_map(|piece| events.take(piece).expect("short")).collect();
        let found: Vec<_> = found.iter().map(|event| (event.height, event.data.as_str())).collect();
        assert_eq!(found, [(Some(7), "{\"height\":\"7\"}"), (Some(8), "a\nb")], "in pieces of {size}");
    }
    assert!(Events::default().take(&vec![b'x'; 5 << 20]).is_err(), "a line without an end");
}

#[test]
fn documents_are_readable_and_control_no_terminal() {
    let document = json!({"height": "3", "members": [{"name": "north\u{1b}[2J", "role": "member"}], "last": {"hash": "ab"}, "empty": []});
    let text = readable(&document);
    for line in ["height: 3", "members:", "  name north\u{fffd}[2J  role member", "last:", "  hash: ab"] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_rejection_is_found_and_an_acceptance_is_none() {
    let verdict = |status: &str| json!({"hash": "ab", "verdict": {"status": status, "code": "not_member", "reason": "only members"}});
    assert_eq!(act::rejection(&verdict("rejected")), Some("not_member"));
    assert_eq!(act::rejection(&verdict("pending")), None);
    assert_eq!(act::rejection(&json!({"verdict": {"status": "accepted", "index": "4"}})), None);
}

#[test]
fn what_stands_in_a_query_stands_for_itself() {
    let fields = [("cursor", Some("a&b=c d/é".to_owned())), ("leaf", None), ("limit", Some("5".to_owned()))];
    assert_eq!(read::with_query("/v1/x", &fields), "/v1/x?cursor=a%26b%3Dc%20d%2F%C3%A9&limit=5");
    assert_eq!(read::with_query("/v1/x", &[("leaf", None)]), "/v1/x");
}

/// A node that ends or breaks off its streams after every block; what was asked of it, in order.
async fn breaking_node(blocks: u64, breaks_off: bool) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let served = tokio::spawn(async move {
        let mut asked = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.expect("a request");
            let path = String::from_utf8_lossy(&head[..length]).split(' ').nth(1).expect("a path").to_owned();
            asked.push(path.clone());
            let body = match path.strip_prefix("/v1/chain/events?from=") {
                None => format!("{{\"height\":\"{blocks}\"}}"),
                Some(from) => format!("id: {from}\nevent: block\ndata: {{\"height\":\"{from}\"}}\n\n"),
            };
            let announced = body.len() + if breaks_off && path.contains("events") { 9 } else { 0 };
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {announced}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.expect("sent");
            if path == format!("/v1/chain/events?from={blocks}") {
                return asked;
            }
        }
    });
    (url, served)
}

#[tokio::test]
async fn events_are_read_to_the_head_over_streams_that_end_and_break_off() {
    for breaks_off in [false, true] {
        let (url, served) = breaking_node(3, breaks_off).await;
        run(&["events", "--from", "2", "--url", &url]).await.expect("to the end");
        assert_eq!(served.await.expect("served"), ["/v1/chain/head", "/v1/chain/events?from=2", "/v1/chain/events?from=3"]);
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_is_told_at_once() {
    let failure = run(&["events", "--follow", "--url", "http://127.0.0.1:1"]).await.expect_err("nobody answers");
    assert_eq!(failure.code, crate::exit::ExitCode::Unreachable);
}

#[tokio::test]
async fn a_record_of_a_right_goes_from_signer_to_signer_and_is_submitted_by_anybody() {
    let (home, genesis) = found("majority").await;
    let at = |name: &str| text(&home.path().join(name));
    let key = |name: &str| text(&home.path().join(name).join(keys::ORGANISATION));
    let did = |name: &str| files::read_key(&home.path().join(name).join(keys::ORGANISATION)).expect("a key").signing.did();
    let action = right::Action::Transfer { to: did("south") };
    let record = right::RecordFile::new(genesis.digest(), (Hash([7; 32]), RightKind::Process), 3, action);
    std::fs::write(home.path().join("record.json"), serde_json::to_vec(&record).expect("JSON")).expect("written");
    let genesis_file = at("genesis.json");
    for (record, signer, out) in [("record.json", "north", "once.json"), ("once.json", "south", "twice.json")] {
        let words = ["right", "sign", "--record", &at(record), "--genesis", &genesis_file, "--key", &key(signer), "--out", &at(out)];
        run(&words).await.expect("signs");
    }
    let submit = async |record: &str, out: &str| {
        let words = ["right", "submit", "--record", &at(record), "--genesis", &genesis_file, "--key", &key("office")];
        run(&[&words[..], &["--sequence", "5", "--out", &at(out)]].concat()).await
    };
    submit("twice.json", "signed.json").await.expect("is signed");
    let signed = act::Signed::read(&home.path().join("signed.json")).expect("a transaction");
    let encoded = BASE64_STANDARD.decode(signed.transaction).expect("base64");
    let Ok(Transaction::Right(transaction)) = Transaction::decode(&encoded, &mut KnownKeys::default()) else { panic!("of a right") };
    let action = entrepot_chain_ledger::RightAction::Transfer { to: did("south") };
    assert_eq!(transaction.record, RightRecord { right: Hash([7; 32]), kind: RightKind::Process, number: 3, action });
    let message = transaction.record.message(&genesis.digest());
    assert_eq!(transaction.signatures.keys().cloned().collect::<BTreeSet<_>>(), [did("north"), did("south")].into());
    assert!(transaction.signatures.iter().all(|(did, signature)| did.verify(&message, signature)));
    assert_eq!((transaction.submitter, transaction.sequence), (did("office"), 5));
    // Whoever changes the record on its way spoils the signatures.
    let changed = std::fs::read_to_string(home.path().join("twice.json")).expect("text").replace("\"number\": \"3\"", "\"number\": \"4\"");
    std::fs::write(home.path().join("changed.json"), changed).expect("written");
    let refused = submit("changed.json", "never.json").await.expect_err("the signatures are of another record");
    assert!(refused.to_string().contains("is wrong"), "{refused}");
}

#[test]
fn a_statement_leads_to_its_entry_of_the_state() {
    let key = SigningKey::from_seed(&[1; 32]);
    let refund = Refund {
        job_id: JobId::compose(Timestamp(1), [1; 10]),
        order: Hash([1; 32]),
        hold: Hash([2; 32]),
        amount: Money { amount_minor: 1, currency: "EUR".parse().expect("a currency") },
        reason: "cancelled".to_owned(),
        refunded_at: Timestamp(2),
    };
    let mut envelope = Envelope::sign(&refund, &key, [3; 32]).expect("signs");
    let Facts::Refund { hold } = *envelope.facts() else { panic!("a refund") };
    let entry = Entry::of(&envelope).expect("has one");
    assert_eq!(entry, Entry::Hold(key.did(), hold));
    let status = HoldStatus::Released { leaf: Hash([4; 32]), height: 9 };
    let stored = Hold { consumer: key.did(), order: Hash([5; 32]), leaf: Hash([6; 32]), status };
    let words = entry.words(&stored.encode()).expect("reads");
    assert_eq!((words["status"].as_str(), words["closed_height"].as_str(), &words["hold"]), (Some("released"), Some("9"), &json!(hold)));
    assert!(entry.words(&[1, 2, 3]).is_err());
    envelope.countersign(&SigningKey::from_seed(&[2; 32])).expect("signs");
    assert!(Entry::of(&envelope).is_err(), "whose hold it is, is not clear");
}
