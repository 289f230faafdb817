use super::*;
use crate::receipt::shares_of;
use entrepot_chain_statement::{
    Hash, SigningKey, Timestamp,
    ids::JobId,
    statements::{SealedShareDigest, Security, UsageReceipt},
};
use proptest::prelude::*;

const START: Timestamp = Timestamp(1_000_000);
const LIMITS: JobLimits = JobLimits {
    queued_ms: 600_000,
    dispatched_ms: 30_000,
    running_ms: 600_000,
    receipts_ms: 30_000,
    hand_over_ms: 30_000,
    kept_ms: 90_000,
    pause_ms: 1_000,
    worker_jobs_max: 8,
};

fn terms() -> JobTerms {
    let party = |index: u8| JobParty {
        participant: SigningKey::from_seed(&[index + 1; 32]).did(),
        worker: SigningKey::from_seed(&[index + 11; 32]).did(),
        commitment: (index < 2).then_some(Hash([index; 32])),
        rows_max: if index < 2 { 10_000 } else { 0 },
        grant_expires_at: START.plus_ms(10_000_000),
    };
    JobTerms {
        job_id: JobId::compose(START, [1; 10]),
        order: Hash([21; 32]),
        agreement: Hash([22; 32]),
        consumer: SigningKey::from_seed(&[31; 32]).did(),
        plan: Hash([23; 32]),
        security: Security::SemiHonest,
        parties: [party(0), party(1), party(2)],
        order_expires_at: START.plus_ms(5_000_000),
        agreement_expires_at: START.plus_ms(6_000_000),
    }
}

fn queued() -> Job {
    let terms = terms();
    Job { state: JobState::new(START, &terms, &LIMITS), terms }
}

fn receipt(attempt: u32, party: u8) -> UsageReceipt {
    let terms = terms();
    let pin = &terms.parties[usize::from(party)];
    UsageReceipt {
        job_id: terms.job_id.clone(),
        attempt,
        agreement: terms.agreement,
        order: terms.order,
        consumer: terms.consumer.clone(),
        plan: terms.plan,
        party,
        participant: pin.participant.clone(),
        worker: pin.worker.clone(),
        security: terms.security,
        input_commitment: pin.commitment,
        rows_input: if party < 2 { 9_900 } else { 0 },
        shares: shares_of(party).map(|share| SealedShareDigest { share, ciphertext: digest(share) }).to_vec(),
        transcript: Hash([party; 32]),
        finished_at: START,
    }
}

fn digest(share: u8) -> Hash {
    Hash([50 + share; 32])
}

fn finished(attempt: u32, party: u8) -> JobEvent {
    finished_with(receipt(attempt, party), attempt, party)
}

fn finished_with(receipt: UsageReceipt, attempt: u32, party: u8) -> JobEvent {
    said(party, attempt, Saying::Finished(Box::new(receipt), Hash([80 + party; 32])))
}

fn said(party: u8, attempt: u32, saying: Saying) -> JobEvent {
    JobEvent::Said { party, attempt, saying }
}

fn complaint() -> Complaint {
    Complaint::from_worker("peer_lost", "the bureau went away")
}

fn progress() -> Saying {
    Saying::Progress(Progress { step: Step::Computing, done: 1, total: 2 })
}

/// Runs events at one moment and returns the job and the last effects.
fn run(job: Job, now: Timestamp, events: impl IntoIterator<Item = JobEvent>) -> (Job, Vec<Effect>) {
    events.into_iter().fold((job, Vec::new()), |(job, _), event| {
        let Transition { job, effects } = apply(job, event, now, &LIMITS).expect("allowed");
        (job, effects)
    })
}

fn dispatched() -> Job {
    run(queued(), START, [JobEvent::Dispatch]).0
}

fn running() -> Job {
    run(dispatched(), START, (0..3).map(|party| said(party, 1, Saying::Accepted))).0
}

fn released() -> Job {
    run(running(), START, (0..3).map(|party| finished(1, party))).0
}

fn aborts(effects: &[Effect]) -> Vec<u8> {
    effects.iter().filter_map(|effect| if let Effect::Abort { party, .. } = effect { Some(*party) } else { None }).collect()
}

fn sends(effects: &[Effect]) -> Vec<u8> {
    effects.iter().filter_map(|effect| if let Effect::Send { party } = effect { Some(*party) } else { None }).collect()
}

#[test]
fn the_good_path_pays_out_once_and_delivers() {
    let (job, effects) = run(queued(), START, [JobEvent::Dispatch]);
    assert_eq!((job.state.name(), sends(&effects)), ("dispatched", vec![0, 1, 2]));
    let (job, _) = run(job, START, (0..3).map(|party| said(party, 1, Saying::Accepted)));
    assert_eq!(job.state.name(), "running");
    let (job, effects) = run(job, START, (0..3).map(|party| finished(1, party)));
    assert_eq!(job.state.name(), "released");
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::PayOut).count(), 1);
    assert_eq!(sends(&effects), [0, 1, 2]);
    let (job, _) = run(job, START, [JobEvent::HandedOver { shares: vec![(0, digest(0)), (1, digest(1))] }]);
    assert_eq!(job.state.name(), "released");
    let (job, effects) = run(job, START, [JobEvent::HandedOver { shares: vec![(1, digest(1)), (2, digest(2))] }]);
    assert_eq!(job.state.name(), "delivered");
    assert_eq!(effects, [Effect::KeepShare { share: 2 }, Effect::Note(Note::ShareDelivered { share: 2 }), Effect::Note(Note::Delivered)]);
}

#[test]
fn a_receipt_that_overtakes_acceptances_is_kept() {
    let (job, effects) = run(dispatched(), START, [finished(1, 1)]);
    assert_eq!(job.state.name(), "running");
    assert!(effects.contains(&Effect::KeepReceipt { party: 1 }));
    assert_eq!(outstanding(&job.state, 1), None);
    assert!(matches!(outstanding(&job.state, 0), Some(Outstanding::WorkOrder { attempt: 1, .. })));
}

#[test]
fn receipts_that_disagree_release_nothing_and_are_tried_again() {
    for party in 0..3u8 {
        for place in 0..2usize {
            let mut bad = receipt(1, party);
            bad.shares[place].ciphertext = Hash([1; 32]);
            let events = (0..3).map(|p| if p == party { finished_with(bad.clone(), 1, p) } else { finished(1, p) });
            let (job, effects) = run(running(), START, events);
            assert_eq!(job.state, JobState::Queued { attempt: 2, not_before: START.plus_ms(1_000), deadline: START.plus_ms(600_000) });
            assert!(!effects.contains(&Effect::PayOut));
            assert_eq!(aborts(&effects), [0, 1, 2]);
        }
    }
}

#[test]
fn a_receipt_about_anything_else_fails_the_attempt() {
    type Change = fn(&mut UsageReceipt);
    let changes: [(&str, Change); 14] = [
        ("job", |r| r.job_id = JobId::compose(START, [2; 10])),
        ("attempt", |r| r.attempt = 2),
        ("agreement", |r| r.agreement = Hash([0; 32])),
        ("order", |r| r.order = Hash([0; 32])),
        ("plan", |r| r.plan = Hash([0; 32])),
        ("party", |r| r.party = 1),
        ("participant", |r| r.participant = SigningKey::from_seed(&[99; 32]).did()),
        ("worker", |r| r.worker = SigningKey::from_seed(&[99; 32]).did()),
        ("commitment", |r| r.input_commitment = Some(Hash([9; 32]))),
        ("no commitment", |r| r.input_commitment = None),
        ("rows", |r| r.rows_input = 10_501),
        ("third share", |r| r.shares.push(SealedShareDigest { share: 2, ciphertext: Hash([2; 32]) })),
        ("missing share", |r| r.shares.truncate(1)),
        ("one share twice", |r| r.shares[1] = r.shares[0]),
    ];
    for (what, change) in changes {
        let mut bad = receipt(1, 0);
        change(&mut bad);
        let (job, effects) = run(running(), START, [finished_with(bad, 1, 0)]);
        assert!(matches!(job.state, JobState::Queued { attempt: 2, .. }), "{what}");
        assert!(
            effects.iter().any(
                |e| matches!(e, Effect::Note(Note::AttemptFailed { party: Some(0), complaint, .. }) if complaint.code == "receipt_wrong")
            ),
            "{what}"
        );
        assert_eq!(aborts(&effects), [1, 2], "{what}");
    }
}

#[test]
fn three_failures_refund_and_the_pause_doubles() {
    let mut job = queued();
    let mut now = START;
    for attempt in 1..=3u32 {
        (job, _) = run(job, now, [JobEvent::Dispatch]);
        let (next, effects) = run(job, now, [said(0, attempt, Saying::Failed(complaint()))]);
        job = next;
        match attempt {
            3 => {
                assert_eq!(job.state, JobState::Refunded { reason: RefundReason::AttemptsExhausted, attempts: 3 });
                assert_eq!(effects.iter().filter(|e| matches!(e, Effect::GiveBack(_))).count(), 1);
            }
            _ => {
                let JobState::Queued { not_before, .. } = job.state else { panic!("{:?}", job.state) };
                assert_eq!(not_before, now.plus_ms(1_000 << (attempt - 1)));
                assert_eq!(apply(job.clone(), JobEvent::Dispatch, now, &LIMITS), Err(JobError::NotReady("queued")));
                now = not_before;
            }
        }
    }
}

#[test]
fn a_refusal_is_final_and_stops_the_others() {
    let (job, effects) = run(dispatched(), START, [said(2, 1, Saying::Refused(complaint()))]);
    assert_eq!(job.state, JobState::Refunded { reason: RefundReason::WorkerRefused, attempts: 1 });
    assert_eq!(aborts(&effects), [0, 1]);
}

#[test]
fn a_signed_receipt_cannot_be_taken_back_or_replaced() {
    let (job, _) = run(running(), START, [finished(1, 0)]);
    for saying in [Saying::Failed(complaint()), Saying::Refused(complaint())] {
        assert_eq!(run(job.clone(), START, [said(0, 1, saying)]), (job.clone(), vec![]));
    }
    let mut other = receipt(1, 0);
    other.shares[0].ciphertext = Hash([1; 32]);
    assert_eq!(run(job.clone(), START, [finished_with(other, 1, 0)]), (job, vec![]));
}

#[test]
fn what_is_about_an_attempt_that_is_over_only_stops_whoever_works_on_it() {
    let (second, _) = run(running(), START, [said(0, 1, Saying::Failed(complaint()))]);
    let (second, _) = run(second, START.plus_ms(1_000), [JobEvent::Dispatch]);
    let (refunded, _) = run(running(), START, [JobEvent::Cancel]);
    for job in [second, refunded] {
        for saying in [Saying::Accepted, progress()] {
            let (after, effects) = run(job.clone(), START, [said(1, 1, saying)]);
            assert_eq!(after, job);
            assert_eq!(effects, [Effect::Abort { party: 1, attempt: 1, code: "attempt_over" }]);
        }
        for saying in [Saying::Failed(complaint()), Saying::Refused(complaint())] {
            assert_eq!(run(job.clone(), START, [said(1, 1, saying)]), (job.clone(), vec![]));
        }
        assert_eq!(run(job.clone(), START, [finished(1, 1)]), (job.clone(), vec![]));
        // From the future or from nobody.
        assert_eq!(run(job.clone(), START, [said(1, 9, Saying::Accepted)]), (job.clone(), vec![]));
        assert_eq!(run(job.clone(), START, [said(7, 2, Saying::Refused(complaint()))]), (job.clone(), vec![]));
    }
}

#[test]
fn every_state_before_the_release_can_be_cancelled_and_none_after() {
    for job in [queued(), dispatched(), running()] {
        let (job, effects) = run(job, START, [JobEvent::Cancel]);
        assert_eq!(job.state.name(), "refunded");
        assert!(effects.contains(&Effect::GiveBack(RefundReason::Cancelled)));
        assert_eq!(apply(job, JobEvent::Cancel, START, &LIMITS), Err(JobError::Over("refunded")));
    }
    assert_eq!(apply(released(), JobEvent::Cancel, START, &LIMITS), Err(JobError::Over("released")));
}

#[test]
fn an_expired_agreement_order_or_grant_is_refunded_instead_of_dispatched() {
    type Change = fn(&mut JobTerms);
    let cases: [(Change, RefundReason); 3] = [
        (|t| t.agreement_expires_at = START.plus_ms(1), RefundReason::AgreementExpired),
        (|t| t.order_expires_at = START.plus_ms(1), RefundReason::OrderExpired),
        (|t| t.parties[1].grant_expires_at = START.plus_ms(1), RefundReason::GrantExpired),
    ];
    for (change, reason) in cases {
        let mut job = queued();
        change(&mut job.terms);
        let (job, effects) = run(job, START.plus_ms(1), [JobEvent::Dispatch]);
        assert_eq!(job.state, JobState::Refunded { reason, attempts: 0 });
        assert!(sends(&effects).is_empty());
    }
}

#[test]
fn every_deadline_leads_on() {
    let late = |job: &Job| job.state.deadline().expect("a deadline");
    let job = queued();
    let (job, _) = run(job.clone(), late(&job), [JobEvent::Tick]);
    assert_eq!(job.state, JobState::Refunded { reason: RefundReason::WorkersUnavailable, attempts: 0 });
    for job in [dispatched(), running()] {
        let before = Timestamp(late(&job).0 - 1);
        assert_eq!(run(job.clone(), before, [JobEvent::Tick]), (job.clone(), vec![]));
        let (next, effects) = run(job.clone(), late(&job), [JobEvent::Tick]);
        assert!(matches!(next.state, JobState::Queued { attempt: 2, .. }));
        assert_eq!(aborts(&effects), [0, 1, 2]);
    }
}

#[test]
fn shares_are_asked_for_again_until_no_worker_keeps_them() {
    let (job, _) = run(released(), START, [JobEvent::HandedOver { shares: vec![(0, digest(0)), (1, digest(1))] }]);
    // Party 0 holds shares 0 and 1, which are here.
    assert_eq!(outstanding(&job.state, 0), None);
    let (job, effects) = run(job, START.plus_ms(30_000), [JobEvent::Tick]);
    assert_eq!(effects, [Effect::Note(Note::HandOverOverdue), Effect::Send { party: 1 }, Effect::Send { party: 2 }]);
    let (job, effects) = run(job, START.plus_ms(60_000), [JobEvent::Tick]);
    assert_eq!(effects, [Effect::Send { party: 1 }, Effect::Send { party: 2 }]);
    let (job, effects) = run(job, START.plus_ms(90_000), [JobEvent::Tick]);
    assert_eq!(effects, [Effect::Note(Note::Undelivered)]);
    // Paid for and never delivered has an end of its own, which nothing moves.
    assert_eq!((job.state.name(), job.state.deadline(), job.state.is_final()), ("undelivered", None, true));
    assert_eq!(outstanding(&job.state, 1), None);
    let late = [JobEvent::HandedOver { shares: vec![(2, digest(2))] }, JobEvent::Tick];
    assert_eq!(run(job.clone(), START.plus_ms(120_000), late), (job.clone(), vec![]));
    assert_eq!(apply(job, JobEvent::Cancel, START.plus_ms(120_000), &LIMITS), Err(JobError::Over("undelivered")));
}

#[test]
fn a_ciphertext_that_no_receipt_names_is_not_taken() {
    let job = released();
    for shares in [vec![(0, Hash([1; 32]))], vec![(0, digest(1))], vec![(3, digest(0))], vec![]] {
        assert_eq!(run(job.clone(), START, [JobEvent::HandedOver { shares }]), (job.clone(), vec![]));
    }
    // Nothing is handed over before the release.
    let early = running();
    assert_eq!(run(early.clone(), START, [JobEvent::HandedOver { shares: vec![(0, digest(0))] }]), (early, vec![]));
}

#[test]
fn any_two_parties_deliver_everything() {
    for absent in 0..3u8 {
        let present = (0..3u8).filter(|party| *party != absent);
        let events = present.map(|party| JobEvent::HandedOver { shares: shares_of(party).map(|share| (share, digest(share))).to_vec() });
        assert_eq!(run(released(), START, events).0.state.name(), "delivered", "without party {absent}");
    }
}

#[test]
fn a_workers_words_are_cut_and_cleaned() {
    let cleaned = Complaint::from_worker("Bad code\n", &format!("a\u{0}b\n{}", "x".repeat(1_000)));
    assert_eq!(cleaned.code, "unspecified");
    assert!(cleaned.detail.starts_with("abx") && cleaned.detail.chars().count() == DETAIL_CHARS_MAX);
    assert_eq!(Complaint::from_worker("policy_minimum_group", "").code, "policy_minimum_group");
}

#[test]
fn a_state_reads_back_as_it_was_written() {
    for job in [queued(), dispatched(), running(), released()] {
        let text = serde_json::to_string(&job.state).expect("json");
        assert_eq!(serde_json::from_str::<JobState>(&text).expect("a state"), job.state);
        let terms = serde_json::to_string(&job.terms).expect("json");
        assert_eq!(serde_json::from_str::<JobTerms>(&terms).expect("terms"), job.terms);
    }
}

fn any_event() -> impl Strategy<Value = (JobEvent, i64)> {
    let saying = (0..3u8, 0..5u32, 0..6usize).prop_map(|(party, attempt, what)| {
        let saying = match what {
            0 => Saying::Accepted,
            1 => Saying::Refused(complaint()),
            2 => progress(),
            3 => Saying::Failed(complaint()),
            _ => return finished(attempt, party),
        };
        said(party, attempt, saying)
    });
    let event = prop_oneof![
        8 => saying,
        4 => Just(JobEvent::Dispatch),
        2 => Just(JobEvent::Tick),
        1 => Just(JobEvent::Cancel),
        1 => Just(JobEvent::Withdrawn),
        2 => (0..4u8, 0..4u8).prop_map(|(share, of)| JobEvent::HandedOver { shares: vec![(share, digest(of))] }),
    ];
    (event, prop_oneof![Just(0i64), Just(1_000), Just(40_000), Just(700_000)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    /// Whatever comes in whatever order: the escrow is closed at most once, by the effect that fits the state, attempts never pass three,
    /// and a final state stays.
    #[test]
    fn money_moves_once_and_attempts_are_bounded(events in proptest::collection::vec(any_event(), 0..60)) {
        let mut job = queued();
        let mut now = START;
        let (mut paid, mut returned, mut dispatches) = (0, 0, 0);
        for (event, later) in events {
            now = now.plus_ms(later);
            let before = job.clone();
            let Ok(Transition { job: after, effects }) = apply(job.clone(), event, now, &LIMITS) else { continue };
            paid += effects.iter().filter(|e| **e == Effect::PayOut).count();
            returned += effects.iter().filter(|e| matches!(e, Effect::GiveBack(_))).count();
            dispatches += effects.iter().filter(|e| matches!(e, Effect::Note(Note::Dispatched { .. }))).count();
            if before.state.is_final() {
                prop_assert_eq!(&before, &after);
            }
            if matches!(before.state, JobState::Released { .. }) {
                prop_assert!(after.state.paid_for().is_some());
            }
            job = after;
        }
        prop_assert_eq!(paid, usize::from(job.state.paid_for().is_some()));
        prop_assert_eq!(returned, usize::from(matches!(job.state, JobState::Refunded { .. })));
        prop_assert!(dispatches <= 3);
    }
}
