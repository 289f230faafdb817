//! A receipt whose checkpoints are shown to be decided: by the channel's genesis alone, without a list of validators.

use crate::{
    channel::{Channel, cosigner, members},
    world::{Tweaks, World, job_id, log_of, stranger},
};
use entrepot_chain_log::{
    BundleEntry, Certificate, Checkpoint, Decided, Decisions, NoteSigner, ReceiptBundle, Status, TlogProof, TrustFile, VerificationReport,
    VerifyError,
    bundle::{BUNDLE_ENTRIES_MAX, BundleError},
    consortium::TrustedChannel,
    verify_certificate, verify_receipt,
};
use entrepot_chain_statement::Hash;

const TERMS: [(u64, &[u8]); 2] = [(1, &[0, 1, 2, 3]), (4, &[0, 1, 2, 4])];

fn world() -> World {
    World::new(1)
}

/// A channel whose sixth block commits to the log that the world's job is in.
fn channel() -> Channel {
    let mut channel = Channel::new(5, &TERMS);
    let tree = log_of(&world().statements(&Tweaks::default()));
    channel.push(tree.size(), tree.root());
    channel
}

fn trust() -> TrustFile {
    TrustFile { validators: vec![], channel: Some(channel().trusted()), ..world().trust() }
}

/// With three of the four members' signatures under the decision.
fn decisions() -> Decisions {
    let channel = channel();
    Decisions { history: channel.history(), headers: vec![channel.decided_by(6, [0, 1, 4])] }
}

fn bundle(cosigners: &[NoteSigner], decisions: Decisions) -> ReceiptBundle {
    let cosigners = [world().cosigners(), cosigners.to_vec()].concat();
    world().bundle(&Tweaks::default(), &cosigners, &[]).with_decisions(decisions)
}

fn verify(bundle: &ReceiptBundle, trust: &TrustFile) -> VerificationReport {
    verify_receipt(&serde_json::to_vec(bundle).unwrap(), trust).unwrap()
}

fn failures(report: &VerificationReport) -> Vec<(&str, &str)> {
    report.checks.iter().filter(|check| !check.ok).map(|check| (check.name.as_str(), check.detail.as_str())).collect()
}

/// The one check that fails, and why.
fn failure(change: impl FnOnce(&mut Decisions)) -> (String, String) {
    let mut decisions = decisions();
    change(&mut decisions);
    let report = verify(&bundle(&[], decisions), &trust());
    assert_eq!((&report.status, report.decided), (&Status::Invalid, None));
    let [(name, detail)] = failures(&report)[..] else { panic!("{:?}", failures(&report)) };
    (name.to_owned(), detail.to_owned())
}

#[test]
fn the_genesis_alone_shows_that_the_members_decided() {
    let report = verify(&bundle(&[], decisions()), &trust());
    assert_eq!(failures(&report), []);
    assert_eq!((&report.status, report.validators), (&Status::Witnessed { k: 2, n: 3 }, 0));
    assert_eq!(report.decided, Some(Decided { k: 3, n: 4 }));
    let text = serde_json::to_value(&report).unwrap();
    assert_eq!(text["decided"], serde_json::json!({"k": 3, "n": 4}));
    assert_eq!(serde_json::from_value::<VerificationReport>(text).unwrap(), report);
}

#[test]
fn a_decision_needs_no_witness_and_makes_none() {
    let bundle = world().bundle(&Tweaks::default(), &[], &[]).with_decisions(decisions());
    let report = verify(&bundle, &trust());
    assert_eq!((report.status, report.decided), (Status::Unwitnessed { k: 0, n: 3, quorum: 2 }, Some(Decided { k: 3, n: 4 })));
}

#[test]
fn a_member_that_only_cosigned_counts_and_none_counts_twice() {
    let decided = |cosigners: &[u8]| {
        let cosigners: Vec<_> = cosigners.iter().copied().map(cosigner).collect();
        verify(&bundle(&cosigners, decisions()), &trust()).decided.unwrap().k
    };
    assert_eq!(decided(&[0, 1]), 3);
    assert_eq!(decided(&[2]), 4);
    assert_eq!(decided(&[3, 9]), 3, "a former member and a stranger");
}

#[test]
fn a_certificate_of_a_right_is_shown_to_be_decided_too() {
    let certificate = world().certificate(&Tweaks::default(), &world().cosigners());
    let of = |certificate: Certificate| {
        verify_certificate(&serde_json::to_vec(&certificate.with_decisions(decisions())).unwrap(), &trust()).unwrap()
    };
    let report = of(certificate);
    assert_eq!((report.status, report.decided), (Status::Witnessed { k: 2, n: 3 }, Some(Decided { k: 3, n: 4 })));
    let of_a_stranger = Tweaks { rights: Some(|rights| rights.holder = stranger()), ..Tweaks::default() };
    let report = of(world().certificate(&of_a_stranger, &world().cosigners()));
    assert_eq!((report.status, report.decided), (Status::Invalid, None), "what is invalid was decided in vain");
}

#[test]
fn who_names_no_channel_or_gets_no_decisions_learns_of_none() {
    let plain = world().bundle(&Tweaks::default(), &world().cosigners(), &[]);
    let expected = (Status::Witnessed { k: 2, n: 3 }, None);
    let report = verify(&plain, &trust());
    assert_eq!((report.status, report.decided), expected);
    let report = verify(&bundle(&[], decisions()), &world().trust());
    assert_eq!((report.status.clone(), report.decided, report.validators), (expected.0, None, 1));
    assert!(serde_json::to_value(&report).unwrap().get("decided").is_none());
    let empty = Decisions { headers: vec![], ..decisions() };
    assert_eq!(verify(&bundle(&[], empty), &trust()).decided, None);
    let mut pending = bundle(&[], decisions());
    pending.entries[3].proof = None;
    let report = verify(&pending, &trust());
    assert!(matches!(report.status, Status::Pending { .. }));
    assert_eq!(report.decided, None);
}

/// The job's statements under two checkpoints, the smaller with the first four of them.
fn under_two_checkpoints() -> (Channel, ReceiptBundle) {
    let statements = world().statements(&Tweaks::default());
    let tree = log_of(&statements);
    let mut channel = Channel::new(2, &TERMS);
    channel.push(5, tree.root_at(5).unwrap());
    channel.push(tree.size(), tree.root());
    let entries = statements.into_iter().enumerate().map(|(at, (name, envelope))| {
        let size = if at < 4 { 5 } else { tree.size() };
        let checkpoint = Checkpoint { origin: "entrepot/main".into(), size, root: tree.root_at(size).unwrap() };
        let index = at as u64 + 1;
        let path = tree.inclusion_proof(index, size).unwrap();
        let proof = TlogProof { extra: None, index, path, checkpoint: checkpoint.sign(&world().log()).unwrap() };
        BundleEntry { name, envelope, proof: Some(proof.to_string()) }
    });
    let bundle = ReceiptBundle::new(job_id(), entries.collect());
    (channel, bundle)
}

#[test]
fn a_bundle_is_as_decided_as_its_least_decided_entry() {
    let (channel, plain) = under_two_checkpoints();
    let trust = TrustFile { channel: Some(channel.trusted()), ..trust() };
    let with = |headers| {
        let decisions = Decisions { history: channel.history(), headers };
        verify(&plain.clone().with_decisions(decisions), &trust)
    };
    let (few, all) = (channel.decided_by(3, [0, 1, 2]), channel.decided(4));
    assert_eq!(with(vec![few.clone(), all.clone()]).decided, Some(Decided { k: 3, n: 4 }));
    let report = with(vec![all]);
    assert_eq!((report.is_valid(), report.decided), (true, None), "nothing is shown about the smaller checkpoint");
}

#[test]
fn a_checkpoint_beside_what_was_decided_is_a_fork() {
    let mut other = channel();
    other.headers.pop();
    other.push(log_of(&world().statements(&Tweaks::default())).size(), Hash([0xee; 32]));
    let forked = |decisions: &mut Decisions| decisions.headers = vec![other.decided(6)];
    let (name, detail) = failure(forked);
    assert!(name == "one-history" && detail.contains("the log forked"), "{name}: {detail}");
    let both = |decisions: &mut Decisions| decisions.headers.push(other.decided(6));
    assert_eq!(failure(both), ("decided".into(), "the channel forked: two blocks of height 6 are decided".into()));
}

#[test]
fn members_that_were_replaced_decide_nothing_anymore() {
    let (name, detail) = failure(|decisions| decisions.headers = vec![channel().decided_by(6, [0, 1, 3])]);
    assert_eq!(name, "decided");
    assert!(detail.contains("is no member at this height"), "{detail}");
    // Nor if the history does not tell that they were.
    let (name, detail) = failure(|decisions| {
        decisions.headers = vec![channel().decided_by(6, [0, 1, 3])];
        decisions.history.steps.clear();
    });
    assert!(name == "decided" && detail.contains("a change of the members is missing"), "{name}: {detail}");
}

#[test]
fn a_made_up_history_is_refused() {
    let (name, _) = failure(|decisions| decisions.history.steps[0].members = members([9]));
    assert_eq!(name, "members");
    let (name, detail) = failure(|decisions| {
        let mut elsewhere = channel().genesis;
        elsewhere.origin = "entrepot/other".into();
        decisions.history.start = entrepot_chain_log::consortium::HistoryStart::Genesis(elsewhere);
    });
    assert!(name == "members" && detail.contains("is trusted"), "{name}: {detail}");
    let since = TrustFile { channel: Some(Channel::new(9, &[(1, &[0, 1, 2, 3])]).trusted_since(5)), ..trust() };
    let report = verify(&bundle(&[], decisions()), &since);
    assert!(matches!(failures(&report)[..], [("members", _)]), "others decide at 5 than this trust file says");
}

#[test]
fn the_genesis_has_to_be_of_the_log_that_is_trusted() {
    let mut other = Channel::new(0, &TERMS[..1]);
    other.genesis.origin = "entrepot/other".into();
    let trust = TrustFile { channel: Some(TrustedChannel { genesis: other.genesis.digest(), since: None }), ..trust() };
    let report = verify(&bundle(&[], Decisions { history: other.history(), headers: vec![] }), &trust);
    assert_eq!(failures(&report), [("members", "the trust file names one channel by its genesis and another by its log")]);
}

#[test]
fn a_wrong_line_under_a_members_key_spoils_the_checkpoint() {
    let lines = |report: &VerificationReport| failures(report).iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
    let mut bundle = bundle(&[cosigner(2)], decisions());
    let name = cosigner(2).public().name().to_owned();
    for entry in &mut bundle.entries {
        // The id stays, the signature changes.
        let text = entry.proof.take().unwrap();
        let at = text.find(&name).unwrap() + name.len() + 1 + 60;
        let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
        entry.proof = Some([&text[..at], other, &text[at + 1..]].concat());
    }
    assert_eq!(lines(&verify(&bundle, &trust())), ["validators"]);
}

#[test]
fn a_changed_character_of_the_decisions_is_found() {
    let honest = bundle(&[], decisions());
    let json = String::from_utf8(serde_json::to_vec(&honest).unwrap()).unwrap();
    let begin = json.find("\"history\":\"").unwrap() + 11;
    let (trust, end) = (trust(), json.rfind('"').unwrap());
    for at in (begin..end).step_by(37) {
        let mut json = json.clone().into_bytes();
        json[at] = if json[at] == b'A' { b'B' } else { b'A' };
        match verify_receipt(&json, &trust) {
            Err(VerifyError::Bundle(_)) => {}
            report => assert_eq!(report.unwrap().status, Status::Invalid, "character {at}"),
        }
    }
}

#[test]
fn more_decided_blocks_than_entries_are_refused() {
    let mut decisions = decisions();
    decisions.headers = vec![decisions.headers[0].clone(); BUNDLE_ENTRIES_MAX + 1];
    let json = serde_json::to_vec(&bundle(&[], decisions)).unwrap();
    assert!(matches!(ReceiptBundle::from_json(&json), Err(BundleError::Decisions)));
}

#[test]
fn trust_files_without_a_channel_stay_as_they_were() {
    let plain = serde_json::to_value(world().trust()).unwrap();
    assert!(plain.get("channel").is_none());
    let with = TrustFile { channel: Some(channel().trusted_since(5)), ..world().trust() };
    let text = serde_json::to_value(&with).unwrap();
    let (genesis, members) = (channel().genesis.digest().to_string(), members([0, 1, 2, 4]).digest().to_string());
    assert_eq!(text["channel"], serde_json::json!({"genesis": genesis, "since": {"height": "5", "members": members}}));
    assert_eq!(TrustFile::from_json(&serde_json::to_vec(&text).unwrap()).unwrap(), with);
}
