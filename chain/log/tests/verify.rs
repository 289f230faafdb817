//! Offline verification of receipt bundles and certificates: the honest pass, and every lie is named.

mod world;

use entrepot_chain_log::{
    BundleEntry, NoteSigner, Outcome, ReceiptBundle, Status, TlogProof, TrustFile, VerificationReport, bundle::BundleError,
    trust::TrustError, verify::Subject, verify_certificate, verify_receipt,
};
use entrepot_chain_statement::{Hash, SigningKey, statements::*};
use world::{NOW, PRICE_MINOR, Tweaks, World, eur, job_id, log_of, prove, stranger};

fn world() -> World {
    World::new(1)
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn verify(bundle: &ReceiptBundle, trust: &TrustFile) -> VerificationReport {
    verify_receipt(&json(bundle), trust).unwrap()
}

fn honest() -> ReceiptBundle {
    world().bundle(&Tweaks::default(), &world().cosigners(), &[])
}

/// The names of the checks that fail.
fn failures(report: &VerificationReport) -> Vec<&str> {
    let failed: Vec<_> = report.checks.iter().filter(|check| !check.ok).map(|check| check.name.as_str()).collect();
    assert_eq!(failed.is_empty(), report.is_valid());
    assert!(report.checks.iter().all(|check| check.ok == check.detail.is_empty()));
    failed
}

fn failures_of(tweaks: Tweaks) -> Vec<String> {
    let report = verify(&world().bundle(&tweaks, &world().cosigners(), &[]), &world().trust());
    assert!(report.is_valid() || (report.outcome.is_none() && report.security.is_none()), "an invalid report tells no outcome");
    failures(&report).into_iter().map(str::to_owned).collect()
}

#[test]
fn an_honest_release_is_witnessed() {
    let report = verify(&honest(), &world().trust());
    assert_eq!(failures(&report), Vec::<&str>::new());
    assert_eq!(report.status, Status::Witnessed { k: 2, n: 3 });
    assert_eq!((report.validators, report.security), (1, Some(Security::SemiHonest)));
    assert_eq!(report.subject, Subject::Receipt { job_id: job_id() });
    let Some(Outcome::Released { amount, split }) = &report.outcome else { panic!("{:?}", report.outcome) };
    assert_eq!(*amount, eur(PRICE_MINOR));
    assert_eq!(split.iter().map(|part| part.amount.amount_minor).sum::<i64>(), PRICE_MINOR);
    let text = serde_json::to_value(&report).unwrap();
    assert_eq!(text["status"], serde_json::json!({"state": "witnessed", "k": 2, "n": 3}));
    assert_eq!(serde_json::from_value::<VerificationReport>(text).unwrap(), report);
}

#[test]
fn an_honest_refund_is_witnessed() {
    let tweaks = Tweaks { refunded: true, ..Tweaks::default() };
    let report = verify(&world().bundle(&tweaks, &world().cosigners(), &[]), &world().trust());
    assert_eq!(report.status, Status::Witnessed { k: 2, n: 3 });
    let expected = Outcome::Refunded { amount: eur(PRICE_MINOR), consumer: world().consumer().did(), reason: "worker_refused".into() };
    assert_eq!(report.outcome, Some(expected));
}

#[test]
fn below_the_quorum_is_unwitnessed() {
    let status = |cosigners: &[NoteSigner], trust: &TrustFile| verify(&world().bundle(&Tweaks::default(), cosigners, &[]), trust).status;
    let trust = world().trust();
    let validator_alone = [world().validator()];
    assert_eq!(status(&[], &trust), Status::Unwitnessed { k: 0, n: 3, quorum: 2 });
    assert_eq!(status(&validator_alone, &trust), Status::Unwitnessed { k: 0, n: 3, quorum: 2 });
    assert_eq!(status(&[world().witness(2)], &trust), Status::Unwitnessed { k: 1, n: 3, quorum: 2 });
    let of_another_world = [World::new(2).witness(0), World::new(2).witness(1)];
    assert_eq!(status(&of_another_world, &trust), Status::Unwitnessed { k: 0, n: 3, quorum: 2 });
    let without_witnesses = TrustFile { witnesses: vec![], quorum: 1, ..trust };
    assert_eq!(status(&validator_alone, &without_witnesses), Status::Unwitnessed { k: 0, n: 0, quorum: 1 });
}

#[test]
fn two_witnesses_of_one_participant_count_once() {
    let mut trust = world().trust();
    trust.witnesses[1].participant = trust.witnesses[0].participant.clone();
    assert_eq!(verify(&honest(), &trust).status, Status::Unwitnessed { k: 1, n: 2, quorum: 2 });
    // Of nobody known, each counts for itself.
    trust.witnesses[1].participant = None;
    assert_eq!(verify(&honest(), &trust).status, Status::Witnessed { k: 2, n: 3 });
}

#[test]
fn a_missing_proof_is_pending() {
    let bundle = world().bundle(&Tweaks::default(), &world().cosigners(), &["release", "receipt-1"]);
    let report = verify(&bundle, &world().trust());
    assert_eq!(report.status, Status::Pending { entries: vec!["receipt-1".into(), "release".into()] });
    assert!(matches!(report.outcome, Some(Outcome::Released { .. })), "what is signed is known before it is logged");
    // Pending never hides a lie.
    let tweaks = Tweaks { hold: Some(|hold| hold.amount = eur(1)), ..Tweaks::default() };
    let bundle = world().bundle(&tweaks, &world().cosigners(), &["release"]);
    assert_eq!(verify(&bundle, &world().trust()).status, Status::Invalid);
}

#[test]
fn the_least_witnessed_entry_decides() {
    let mut bundle = honest();
    let weaker = world().bundle(&Tweaks::default(), &[world().witness(0)], &[]);
    bundle.entries[4] = weaker.entries[4].clone();
    let report = verify(&bundle, &world().trust());
    assert_eq!((report.status, report.validators), (Status::Unwitnessed { k: 1, n: 3, quorum: 2 }, 0));
}

#[test]
fn a_forgery_consistent_under_other_keys_is_invalid() {
    let forged = World::new(2);
    let bundle = forged.bundle(&Tweaks::default(), &forged.cosigners(), &[]);
    assert!(verify(&bundle, &forged.trust()).is_valid(), "in its own world it is whole");
    let report = verify(&bundle, &world().trust());
    assert_eq!(report.status, Status::Invalid);
    assert_eq!((report.outcome.as_ref(), report.security), (None, None));
    let failed = failures(&report);
    for expected in ["participants", "signature:hold", "signature:release", "logged:product", "logged:release"] {
        assert!(failed.contains(&expected), "{expected} passed");
    }
}

#[test]
fn a_bundle_logged_elsewhere_is_invalid() {
    // Right statements, but the log's key is the forger's; and with the right key, but for another log.
    let forger = World::new(2);
    let statements = world().statements(&Tweaks::default());
    let tree = log_of(&statements);
    let checkpoint = forger.checkpoint(&tree, &world().cosigners());
    let mut bundle = honest();
    for (at, entry) in bundle.entries.iter_mut().enumerate() {
        entry.proof = Some(prove(&tree, at, &checkpoint));
    }
    assert!(failures(&verify(&bundle, &world().trust())).iter().all(|name| name.starts_with("logged:")));
    let mut trust = world().trust();
    trust.log.origin = "entrepot/other".into();
    assert!(failures(&verify(&honest(), &trust)).iter().all(|name| name.starts_with("logged:")));
}

#[test]
fn a_proof_is_of_its_own_entry() {
    let mut bundle = honest();
    (bundle.entries[0].proof, bundle.entries[1].proof) = (bundle.entries[1].proof.clone(), bundle.entries[0].proof.clone());
    let report = verify(&bundle, &world().trust());
    assert_eq!(failures(&report), ["logged:rights-0", "logged:rights-1"]);
}

#[test]
fn extra_data_in_a_proof_is_refused() {
    let mut bundle = honest();
    let proof: TlogProof = bundle.entries[0].proof.as_ref().unwrap().parse().unwrap();
    bundle.entries[0].proof = Some(TlogProof { extra: Some(b"trust me".to_vec()), ..proof }.to_string());
    assert_eq!(failures(&verify(&bundle, &world().trust())), ["logged:rights-0"]);
}

#[test]
fn two_roots_of_one_size_are_a_fork() {
    // A log that shows each entry in another history of the same length, properly signed.
    let statements = world().statements(&Tweaks::default());
    let mut other: entrepot_chain_log::MerkleTree = [[0xbb; 32]].into_iter().collect();
    for (_, envelope) in &statements {
        other.push(&envelope.leaf().0);
    }
    let mut bundle = honest();
    bundle.entries[3].proof = Some(prove(&other, 3, &world().checkpoint(&other, &world().cosigners())));
    assert_eq!(failures(&verify(&bundle, &world().trust())), ["one-history"]);
}

#[test]
fn a_wrong_line_under_a_known_key_spoils_the_checkpoint() {
    let mut bundle = honest();
    let proof = bundle.entries[0].proof.clone().unwrap();
    let witness = world().witness(1).public().name().to_owned();
    let other = world().bundle(&Tweaks { refunded: true, ..Tweaks::default() }, &world().cosigners(), &[]);
    let line = |text: &str| text.lines().find(|line| line.contains(&witness)).unwrap().to_owned();
    let (right, wrong) = (line(&proof), line(other.entries[0].proof.as_ref().unwrap()));
    bundle.entries[0].proof = Some(proof.replace(&right, &wrong));
    assert_eq!(failures(&verify(&bundle, &world().trust())), ["cosignatures:rights-0"]);
}

#[test]
fn every_statement_needs_its_own_signer() {
    for name in [
        "rights-0",
        "rights-1",
        "product",
        "grant-0",
        "grant-1",
        "grant-2",
        "agreement",
        "order",
        "hold",
        "receipt-0",
        "receipt-1",
        "receipt-2",
        "release",
    ] {
        assert_eq!(failures_of(Tweaks { wrong_signer: Some(name), ..Tweaks::default() }), [format!("signature:{name}")]);
    }
    assert_eq!(failures_of(Tweaks { wrong_signer: Some("refund"), refunded: true, ..Tweaks::default() }), ["signature:refund"]);
}

#[test]
fn a_product_lacks_a_signature_if_anyone_it_binds_has_not_signed() {
    for absent in 0..3 {
        let mut bundle: serde_json::Value = serde_json::to_value(honest()).unwrap();
        let product = bundle["entries"].as_array_mut().unwrap().iter_mut().find(|entry| entry["name"] == "product").unwrap();
        product["envelope"]["signatures"].as_array_mut().unwrap().remove(absent);
        let report = verify_receipt(&json(&bundle), &world().trust()).unwrap();
        assert_eq!(failures(&report), ["signature:product"]);
    }
}

#[test]
fn everyone_bound_has_to_be_known_beforehand() {
    let known = world().trust();
    let people = [world().participant(0), world().participant(1), world().participant(2), world().consumer()];
    for person in people.iter().map(SigningKey::did) {
        let mut trust = known.clone();
        trust.participants.remove(&person);
        assert_eq!(failures(&verify(&honest(), &trust)), ["participants"]);
    }
    let trust = TrustFile { exchange: stranger(), ..known };
    assert_eq!(failures(&verify(&honest(), &trust)), ["participants", "signature:hold", "signature:release"]);
}

/// One lie in an otherwise honest job, and the checks that find it.
macro_rules! lies {
    ($($test:ident: $field:ident = $tweak:expr => $expected:expr;)*) => {$(
        #[test]
        fn $test() {
            let expected: &[&str] = &$expected;
            assert_eq!(failures_of(Tweaks { $field: Some($tweak), ..Tweaks::default() }), expected);
        }
    )*};
}

lies! {
    rights_of_another_holder: rights = |r| r.holder = stranger() => ["signature:rights-0", "rights-0", "signature:rights-1", "rights-1"];
    rights_to_another_dataset: rights = |r| r.dataset_id = entrepot_chain_statement::ids::DatasetId::compose(NOW, [1; 10]) => ["rights-0", "rights-1"];
    rights_with_another_commitment: rights = |r| r.description.commitment = Hash([9; 32]) => ["rights-0", "rights-1"];
    rights_with_other_columns: rights = |r| r.description.columns[0].column = ColumnKind::Integer => ["rights-0", "rights-1"];
    a_product_without_its_rights: product = |p| p.tables[1].rights = Hash([9; 32]) => ["rights-1"];
    a_product_of_one_table: product = |p| p.tables.truncate(1) => ["product", "rights-1", "agreement", "receipt-1"];
    a_product_of_one_provider: product = |p| p.tables[1].provider = p.tables[0].provider.clone() => ["product", "rights-1", "agreement"];
    a_compute_party_not_accepted: product = |p| p.tables[0].policy.compute_parties.clear() => ["product"];
    a_product_for_others: product = |p| p.consumers = [stranger()].into() => ["agreement"];
    a_product_of_another_exchange: product = |p| p.exchange = stranger() => ["participants"];
    a_split_of_less_than_all: product = |p| { p.split.pop(); } => ["product", "split"];
    a_split_that_names_one_twice: product = |p| p.split[1].participant = p.split[0].participant.clone() => ["product", "split"];
    a_negative_price: product = |p| p.price_per_query = eur(-5) => ["product", "split"];
    a_product_that_never_was_valid: product = |p| p.issued_at = p.expires_at => ["product"];
    a_product_that_had_expired: product = |p| p.expires_at = NOW.plus_ms(2) => ["agreement", "hold"];

    a_grant_to_another_worker: grant = |party, g| if party == 1 { g.worker = stranger() } => ["grant-1"];
    a_grant_by_another: grant = |party, g| if party == 1 { g.participant = stranger() } => ["signature:grant-1", "grant-1"];
    a_grant_for_another_role: grant = |party, g| if party == 2 { g.role = WorkerRole::Data } => ["grant-2"];
    a_grant_that_had_ended: grant = |party, g| if party == 0 { g.expires_at = NOW.plus_ms(3) } => ["grant-0"];
    a_grant_that_ended_during_the_run: grant = |party, g| if party == 0 { g.expires_at = NOW.plus_ms(4) } => ["grant-0"];
    a_grant_not_yet_valid: grant = |party, g| if party == 0 { g.not_before = NOW.plus_ms(4) } => ["grant-0"];

    an_agreement_to_another_product: agreement = |a| a.product = Hash([9; 32]) => ["agreement"];
    an_agreement_at_another_price: agreement = |a| a.price_per_query = eur(1) => ["agreement", "split"];
    an_agreement_with_another_split: agreement = |a| a.split.reverse() => ["agreement"];
    an_agreement_with_another_quota: agreement = |a| a.quota_queries += 1 => ["agreement"];
    an_agreement_that_outlives_the_product: agreement = |a| a.expires_at = NOW.plus_ms(1 << 40) => ["agreement"];
    an_agreement_that_had_expired: agreement = |a| a.expires_at = NOW.plus_ms(3) => ["hold"];
    an_agreement_with_another_exchange: agreement = |a| a.exchange = stranger() => ["participants"];
    an_agreement_with_parties_swapped: agreement = |a| a.parties.swap(0, 1) => ["agreement", "grant-0", "grant-1", "receipt-0", "receipt-1"];
    an_agreement_with_another_worker: agreement = |a| a.parties[2].worker = stranger() => ["grant-2", "receipt-2"];
    an_agreement_with_one_worker_twice: agreement = |a| a.parties[1].worker = a.parties[0].worker.clone() => ["agreement", "grant-1", "receipt-1"];
    an_agreement_without_a_grant: agreement = |a| a.parties[0].grant = Hash([9; 32]) => ["grant-0"];
    an_agreement_by_another_consumer: agreement = |a| a.consumer = stranger() => [
        "participants", "signature:agreement", "agreement", "signature:order", "hold", "receipt-0", "receipt-1", "receipt-2",
    ];

    an_order_of_another_agreement: order = |o| o.agreement = Hash([9; 32]) => ["order"];
    an_order_at_another_price: order = |o| o.price = eur(1) => ["order", "split"];
    an_order_without_a_number: order = |o| o.sequence = 0 => ["order"];
    an_order_that_had_expired: order = |o| o.expires_at = NOW.plus_ms(3) => ["hold"];
    an_order_that_never_was_valid: order = |o| o.issued_at = o.expires_at => ["order"];
    an_order_after_the_agreement: order = |o| (o.issued_at, o.expires_at) = (NOW.plus_ms(1 << 40), NOW.plus_ms(1 << 41)) => ["order"];

    a_hold_of_another_order: hold = |h| h.order = Hash([9; 32]) => ["hold"];
    a_hold_of_another_agreement: hold = |h| h.agreement = Hash([9; 32]) => ["hold"];
    a_hold_of_another_consumers_money: hold = |h| h.consumer = stranger() => ["hold"];
    a_hold_of_another_amount: hold = |h| h.amount = eur(PRICE_MINOR + 1) => ["hold", "release"];
    a_hold_of_another_job: hold = |h| h.job_id = entrepot_chain_statement::ids::JobId::compose(NOW, [1; 10]) => ["job"];

    a_receipt_of_another_job: receipt = |_, r| r.job_id = entrepot_chain_statement::ids::JobId::compose(NOW, [1; 10]) => ["job"];
    a_receipt_of_another_order: receipt = |party, r| if party == 0 { r.order = Hash([9; 32]) } => ["receipt-0"];
    a_receipt_for_another_consumer: receipt = |party, r| if party == 0 { r.consumer = stranger() } => ["receipt-0"];
    a_receipt_of_another_agreement: receipt = |party, r| if party == 0 { r.agreement = Hash([9; 32]) } => ["receipt-0"];
    a_receipt_of_another_plan: receipt = |party, r| if party == 2 { r.plan = Hash([9; 32]) } => ["receipt-2"];
    a_receipt_of_another_party: receipt = |party, r| if party == 0 { r.party = 1 } => ["receipt-0"];
    a_receipt_on_behalf_of_another: receipt = |party, r| if party == 0 { r.participant = stranger() } => ["receipt-0"];
    a_receipt_by_a_worker_not_granted: receipt = |party, r| if party == 0 { r.worker = stranger() } => ["signature:receipt-0", "receipt-0"];
    a_receipt_over_other_data: receipt = |party, r| if party == 1 { r.input_commitment = Some(Hash([9; 32])) } => ["receipt-1"];
    a_receipt_without_its_data: receipt = |party, r| if party == 1 { r.input_commitment = None } => ["receipt-1"];
    a_compute_party_with_data: receipt = |party, r| if party == 2 { r.input_commitment = Some(Hash([9; 32])) } => ["receipt-2"];
    a_compute_party_with_rows: receipt = |party, r| if party == 2 { r.rows_input = 1 } => ["receipt-2"];
    a_receipt_of_attempt_zero: receipt = |_, r| r.attempt = 0 => ["receipt-0", "receipt-1", "receipt-2"];
    receipts_of_different_attempts: receipt = |party, r| if party == 1 { r.attempt = 2 } => ["receipts-agree"];
    a_ciphertext_that_one_holder_spoilt: receipt = |party, r| if party == 1 { r.shares[0].ciphertext = Hash([9; 32]) } => ["receipts-agree"];
    a_receipt_lacking_a_share: receipt = |party, r| if party == 1 { r.shares.truncate(1) } => ["receipt-1", "receipts-agree"];
    a_receipt_with_a_share_twice: receipt = |party, r| if party == 1 { r.shares[1] = r.shares[0] } => ["receipt-1", "receipts-agree"];
    a_receipt_after_its_grant: receipt = |party, r| if party == 1 { r.finished_at = NOW.plus_ms(1 << 40) } => ["grant-1"];

    a_release_of_another_order: release = |r| r.order = Hash([9; 32]) => ["release"];
    a_release_of_another_hold: release = |r| r.hold = Hash([9; 32]) => ["release"];
    a_release_for_other_receipts: release = |r| r.receipts[2] = Hash([9; 32]) => ["release"];
    a_release_for_receipts_in_another_order: release = |r| r.receipts.reverse() => ["release"];
    a_release_of_another_amount: release = |r| r.amount = eur(PRICE_MINOR - 1) => ["release", "split"];
    a_release_before_its_hold: release = |r| r.released_at = NOW => ["release"];
    a_release_that_pays_a_stranger: release = |r| r.split[2].participant = stranger() => ["split"];
    a_release_that_shifts_a_cent: release = |r| (r.split[0].amount, r.split[1].amount) = (eur(564), eur(562)) => ["split"];
    a_release_that_keeps_a_cent: release = |r| r.split[2].amount = eur(124) => ["split"];
    a_release_by_another_rule: release = |r| r.split_rule = Hash([9; 32]) => ["split"];
    a_release_that_pays_nobody: release = |r| r.split.clear() => ["split"];
    a_release_in_another_currency: release = |r| r.split[0].amount.currency = "USD".parse().unwrap() => ["split"];
    a_release_of_another_job: release = |r| r.job_id = entrepot_chain_statement::ids::JobId::compose(NOW, [1; 10]) => ["job"];
}

#[test]
fn a_refund_gives_back_what_was_held() {
    let lie = |tweak: fn(&mut Refund)| failures_of(Tweaks { refund: Some(tweak), refunded: true, ..Tweaks::default() });
    assert_eq!(lie(|refund| refund.amount = eur(1)), ["refund"]);
    assert_eq!(lie(|refund| refund.order = Hash([9; 32])), ["refund"]);
    assert_eq!(lie(|refund| refund.hold = Hash([9; 32])), ["refund"]);
    assert_eq!(lie(|refund| refund.refunded_at = NOW), ["refund"]);
}

fn without(mut bundle: ReceiptBundle, name: &str) -> ReceiptBundle {
    bundle.entries.retain(|entry| entry.name != name);
    bundle
}

#[test]
fn a_job_has_one_end() {
    let refunded = world().bundle(&Tweaks { refunded: true, ..Tweaks::default() }, &world().cosigners(), &[]);
    let mut both = honest();
    both.entries.push(BundleEntry { proof: None, ..refunded.entries.last().unwrap().clone() });
    assert_eq!(failures(&verify(&both, &world().trust())), ["end"]);
    assert_eq!(failures(&verify(&without(honest(), "release"), &world().trust())), ["end"]);
}

#[test]
fn a_refund_may_come_with_the_receipts_that_there_are() {
    let mut bundle = without(without(honest(), "release"), "receipt-1");
    let refunded = world().bundle(&Tweaks { refunded: true, ..Tweaks::default() }, &world().cosigners(), &[]);
    bundle.entries.push(BundleEntry { proof: None, ..refunded.entries.last().unwrap().clone() });
    let report = verify(&bundle, &world().trust());
    assert_eq!(report.status, Status::Pending { entries: vec!["refund".into()] });
    // But each of them is checked.
    let tweaks = Tweaks { receipt: Some(|_, receipt| receipt.plan = Hash([9; 32])), ..Tweaks::default() };
    let lying = world().bundle(&tweaks, &world().cosigners(), &[]);
    let receipt = lying.entries.iter().find(|entry| entry.name == "receipt-0").unwrap();
    bundle.entries.retain(|entry| entry.name != "receipt-0");
    bundle.entries.push(BundleEntry { proof: None, ..receipt.clone() });
    assert_eq!(failures(&verify(&bundle, &world().trust())), ["receipt-0"]);
}

#[test]
fn every_entry_is_needed() {
    for entry in honest().entries {
        let report = verify(&without(honest(), &entry.name), &world().trust());
        assert_eq!(report.status, Status::Invalid, "without {}", entry.name);
    }
    let empty = ReceiptBundle::new(job_id(), vec![]);
    assert_eq!(verify(&empty, &world().trust()).status, Status::Invalid);
}

#[test]
fn a_bundle_of_another_form_is_refused() {
    let trust = world().trust();
    let refused =
        |bundle: &serde_json::Value| matches!(verify_receipt(&json(bundle), &trust), Err(entrepot_chain_log::VerifyError::Bundle(_)));
    let mut bundle = serde_json::to_value(honest()).unwrap();
    assert!(!refused(&bundle));
    bundle["format"] = "entrepot.receipt.v2".into();
    assert!(refused(&bundle));
    bundle["format"] = "entrepot.receipt.v1".into();
    bundle["trust"] = "me".into();
    assert!(refused(&bundle));
    let mut twice = honest();
    twice.entries.push(twice.entries[0].clone());
    assert!(matches!(ReceiptBundle::from_json(&json(&twice)), Err(BundleError::Entries)));
    let mut unknown = honest();
    unknown.entries.push(BundleEntry { name: "quote".into(), ..unknown.entries[0].clone() });
    assert_eq!(failures(&verify(&unknown, &trust)), ["entries"]);
    assert!(matches!(ReceiptBundle::from_json(&vec![b' '; 17 << 20]), Err(BundleError::TooLong)));
}

/// What a flipped bit may leave behind: nothing readable, nothing valid, or the same statements under no better witness than before.
fn flips_are_harmless(original: &[u8], step: usize, verify: impl Fn(&[u8]) -> Option<(VerificationReport, Vec<BundleEntry>)>) {
    let (honest, entries) = verify(original).unwrap();
    assert!(matches!(honest.status, Status::Witnessed { .. }));
    let (mut found, mut weaker, mut same) = (0, 0, 0);
    for at in (0..original.len()).step_by(step) {
        let mut json = original.to_vec();
        json[at] ^= 1 << (at / step % 8);
        let Some((report, read)) = verify(&json).filter(|(report, _)| report.is_valid()) else {
            found += 1;
            continue;
        };
        let statements = |entries: &[BundleEntry]| entries.iter().map(|e| (e.name.clone(), e.envelope.clone())).collect::<Vec<_>>();
        assert_eq!(statements(&read), statements(&entries), "bit {} of byte {at}", at / step % 8);
        assert_eq!((&report.subject, &report.outcome, report.security), (&honest.subject, &honest.outcome, honest.security));
        if report.status == honest.status && report.validators == honest.validators {
            // A cosignature of nobody known, or nothing at all, has changed.
            same += 1;
        } else {
            assert!(matches!(report.status, Status::Unwitnessed { .. }) || report.validators < honest.validators);
            weaker += 1;
        }
    }
    // Only the names and ids of cosignatures, which make a line nobody's, may go unnoticed.
    assert!(found > 10 * (weaker + same), "{found} found, {weaker} weaker, {same} the same");
}

#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let trust = world().trust();
    let read = |json: &[u8]| Some((verify_receipt(json, &trust).ok()?, ReceiptBundle::from_json(json).ok()?.entries));
    flips_are_harmless(&json(&honest()), 29, read);
}

#[test]
fn a_flipped_bit_of_a_certificate_is_found_or_changes_nothing() {
    let trust = world().trust();
    let certificate = world().certificate(&Tweaks::default(), &world().cosigners());
    let read = |json: &[u8]| Some((verify_certificate(json, &trust).ok()?, entrepot_chain_log::Certificate::from_json(json).ok()?.entries));
    flips_are_harmless(&json(&certificate), 3, read);
}

#[test]
fn an_honest_certificate_is_witnessed() {
    let certificate = world().certificate(&Tweaks::default(), &world().cosigners());
    let report = verify_certificate(&json(&certificate), &world().trust()).unwrap();
    assert_eq!(report.status, Status::Witnessed { k: 2, n: 3 });
    let Subject::Certificate { dataset_id: Some(_), holder: Some(holder) } = &report.subject else { panic!("{:?}", report.subject) };
    assert_eq!(*holder, world().participant(0).did());
    assert_eq!((report.security, report.outcome.as_ref()), (None, None));
}

#[test]
fn a_certificate_is_of_a_known_holder_who_signed() {
    let of = |tweaks: &Tweaks| verify_certificate(&json(&world().certificate(tweaks, &world().cosigners())), &world().trust()).unwrap();
    assert_eq!(failures(&of(&Tweaks { wrong_signer: Some("rights-0"), ..Tweaks::default() })), ["signature:rights"]);
    let stranger = Tweaks { rights: Some(|rights| rights.holder = stranger()), ..Tweaks::default() };
    assert_eq!(failures(&of(&stranger)), ["participants", "signature:rights"]);
    let mut pending = world().certificate(&Tweaks::default(), &[]);
    pending.entries[0].proof = None;
    let report = verify_certificate(&json(&pending), &world().trust()).unwrap();
    assert_eq!(report.status, Status::Pending { entries: vec!["rights".into()] });
    pending.entries.clear();
    assert_eq!(verify_certificate(&json(&pending), &world().trust()).unwrap().status, Status::Invalid);
    let receipt = honest();
    assert!(verify_certificate(&json(&receipt), &world().trust()).is_err(), "a receipt is no certificate");
}

#[test]
fn a_trust_file_that_makes_no_sense_is_refused() {
    let trust = world().trust();
    assert_eq!(TrustFile::from_json(&json(&trust)).unwrap(), trust);
    let changed = |change: &dyn Fn(&mut TrustFile)| {
        let mut trust = trust.clone();
        change(&mut trust);
        assert!(verify_receipt(&json(&honest()), &trust).is_err(), "verification asks too");
        TrustFile::from_json(&json(&trust)).unwrap_err()
    };
    assert!(matches!(changed(&|trust| trust.quorum = 0), TrustError::Quorum));
    assert!(matches!(changed(&|trust| trust.witnesses[1].vkey = trust.witnesses[0].vkey.clone()), TrustError::KeyTwice { .. }));
    assert!(matches!(changed(&|trust| trust.validators.push(trust.witnesses[0].vkey.clone())), TrustError::KeyTwice { .. }));
    assert!(matches!(changed(&|trust| trust.log.key = trust.validators.pop().unwrap()), TrustError::KeyKind { .. }));
    assert!(matches!(changed(&|trust| trust.validators.push(World::new(3).log().public().clone())), TrustError::KeyKind { .. }));
    let mut text = serde_json::to_value(&trust).unwrap();
    text["format"] = "entrepot.trust.v2".into();
    assert!(matches!(TrustFile::from_json(&json(&text)), Err(TrustError::Json(_))));
}
