//! The transitions.

use super::{
    event::{Complaint, Effect, JobError, JobEvent, Note, Saying, Transition},
    state::{ATTEMPTS_MAX, Job, JobLimits, JobState, RefundReason, expiry, outstanding, queue_deadline},
};
use crate::receipt::{CheckedReceipt, PARTIES, agree, check_receipt};
use entrepot_chain_statement::{Hash, Timestamp, statements::UsageReceipt};

/// The machine.
pub fn apply(job: Job, event: JobEvent, now: Timestamp, limits: &JobLimits) -> Result<Transition, JobError> {
    match event {
        JobEvent::Dispatch => dispatch(job, now, limits),
        JobEvent::Said { party, attempt, saying } => Ok(hear(job, party, attempt, saying, now, limits)),
        JobEvent::HandedOver { shares } => Ok(take_shares(job, &shares)),
        JobEvent::Tick => Ok(tick(job, now, limits)),
        JobEvent::Cancel if job.state.is_held() => Ok(refund(job, RefundReason::Cancelled, None)),
        JobEvent::Cancel => Err(JobError::Over(job.state.name())),
        JobEvent::Withdrawn if matches!(job.state, JobState::Queued { .. }) => Ok(refund(job, RefundReason::ProductWithdrawn, None)),
        JobEvent::Withdrawn => Ok(unchanged(job)),
    }
}

fn unchanged(job: Job) -> Transition {
    Transition { job, effects: Vec::new() }
}

fn dispatch(job: Job, now: Timestamp, limits: &JobLimits) -> Result<Transition, JobError> {
    let JobState::Queued { attempt, not_before, .. } = job.state else { return Err(JobError::NotReady(job.state.name())) };
    if let Some(reason) = expiry(&job.terms, now) {
        return Ok(refund(job, reason, None));
    }
    if now < not_before {
        return Err(JobError::NotReady("queued"));
    }
    let deadline = now.plus_ms(limits.dispatched_ms);
    let run_until = deadline.plus_ms(limits.running_ms);
    let state = JobState::Dispatched { attempt, accepted: [false; PARTIES], deadline, run_until };
    let mut effects = vec![Effect::Note(Note::Dispatched { attempt })];
    effects.extend((0..3).map(|party| Effect::Send { party }));
    Ok(Transition { job: Job { state, ..job }, effects })
}

fn hear(job: Job, party: u8, attempt: u32, saying: Saying, now: Timestamp, limits: &JobLimits) -> Transition {
    let current = match &job.state {
        JobState::Dispatched { attempt, .. } | JobState::Running { attempt, .. } => *attempt,
        other => return hear_late(other.clone(), job, party, attempt, &saying),
    };
    if usize::from(party) >= PARTIES || attempt > current {
        return unchanged(job);
    }
    if attempt < current {
        return hear_late(job.state.clone(), job, party, attempt, &saying);
    }
    match saying {
        // A party that has signed its receipt cannot take it back.
        Saying::Refused(_) | Saying::Failed(_) if receipt_of(&job.state, party).is_some() => unchanged(job),
        Saying::Refused(complaint) => refund(job, RefundReason::WorkerRefused, Some((party, complaint))),
        Saying::Failed(complaint) => fail_attempt(job, Some(party), complaint, now, limits),
        Saying::Accepted => accept(job, party, limits),
        Saying::Progress(progress) => {
            let mut transition = start(job, limits);
            transition.effects.push(Effect::Note(Note::Progress { attempt, party, progress }));
            transition
        }
        Saying::Finished(receipt, hash) => finish(job, party, &receipt, hash, now, limits),
    }
}

/// Answers what is about an attempt that is over: whoever still works on it is told to stop; nothing else happens.
fn hear_late(state: JobState, job: Job, party: u8, attempt: u32, saying: &Saying) -> Transition {
    let over = match state {
        JobState::Released { .. } | JobState::Delivered { .. } | JobState::Undelivered { .. } => attempt < job.state.attempt(),
        _ => attempt <= state.attempt(),
    };
    let works = matches!(saying, Saying::Accepted | Saying::Progress(_));
    let effects = if over && works && usize::from(party) < PARTIES {
        vec![Effect::Abort { party, attempt, code: "attempt_over" }]
    } else {
        Vec::new()
    };
    Transition { job, effects }
}

fn receipt_of(state: &JobState, party: u8) -> Option<&CheckedReceipt> {
    match state {
        JobState::Running { receipts, .. } => receipts.get(usize::from(party))?.as_ref(),
        _ => None,
    }
}

fn accept(mut job: Job, party: u8, limits: &JobLimits) -> Transition {
    let JobState::Dispatched { attempt, accepted, .. } = &mut job.state else { return unchanged(job) };
    if std::mem::replace(&mut accepted[usize::from(party)], true) {
        return unchanged(job);
    }
    let note = Effect::Note(Note::Accepted { attempt: *attempt, party });
    if *accepted != [true; PARTIES] {
        return Transition { job, effects: vec![note] };
    }
    let mut transition = start(job, limits);
    transition.effects.insert(0, note);
    transition
}

/// Dispatched → Running. A party that computes or has computed proves that all three began, even if an acceptance was lost.
fn start(job: Job, limits: &JobLimits) -> Transition {
    let JobState::Dispatched { attempt, run_until, .. } = job.state else { return unchanged(job) };
    let state = JobState::Running { attempt, receipts: [None, None, None], deadline: run_until.plus_ms(limits.receipts_ms), run_until };
    Transition { job: Job { state, ..job }, effects: vec![Effect::Note(Note::Running { attempt })] }
}

fn finish(job: Job, party: u8, receipt: &UsageReceipt, hash: Hash, now: Timestamp, limits: &JobLimits) -> Transition {
    let Transition { mut job, mut effects } = start(job, limits);
    let attempt = job.state.attempt();
    let checked = match check_receipt(&job.terms, attempt, party, receipt, hash) {
        Ok(checked) => checked,
        Err(fault) => {
            return fail_attempt(job, Some(party), Complaint::ours(fault.code(), fault), now, limits);
        }
    };
    let JobState::Running { receipts, .. } = &mut job.state else { return unchanged(job) };
    let own = &mut receipts[usize::from(party)];
    if own.is_some() {
        // The first receipt counts: a second one is a repetition, or contradicts what the worker signed.
        return Transition { job, effects };
    }
    *own = Some(checked);
    effects.push(Effect::KeepReceipt { party });
    effects.push(Effect::Note(Note::Finished { attempt, party }));
    let [Some(first), Some(second), Some(third)] = receipts.clone() else { return Transition { job, effects } };
    let all = [first, second, third];
    match agree(&all) {
        Ok(shares) => release(job, &all, shares, effects, now, limits),
        Err(share) => {
            let found = format!("the two holders of share {share} name different ciphertexts");
            let failed = fail_attempt(job, None, Complaint::ours("receipts_disagree", found), now, limits);
            effects.extend(failed.effects);
            Transition { job: failed.job, effects }
        }
    }
}

fn release(
    job: Job,
    receipts: &[CheckedReceipt; PARTIES],
    shares: [Hash; PARTIES],
    mut effects: Vec<Effect>,
    now: Timestamp,
    limits: &JobLimits,
) -> Transition {
    let attempt = job.state.attempt();
    let state = JobState::Released {
        attempt,
        receipts: receipts.each_ref().map(|receipt| receipt.receipt),
        shares,
        delivered: [false; PARTIES],
        released_at: now,
        deadline: now.plus_ms(limits.hand_over_ms),
        overdue: false,
    };
    effects.push(Effect::PayOut);
    effects.push(Effect::Note(Note::Released { attempt }));
    effects.extend((0..3).map(|party| Effect::Send { party }));
    Transition { job: Job { state, ..job }, effects }
}

fn fail_attempt(job: Job, party: Option<u8>, complaint: Complaint, now: Timestamp, limits: &JobLimits) -> Transition {
    let attempt = job.state.attempt();
    let mut effects = vec![Effect::Note(Note::AttemptFailed { attempt, party, complaint })];
    let not_before = now.plus_ms(limits.pause_ms << attempt.saturating_sub(1).min(16));
    let reason = if attempt >= ATTEMPTS_MAX { Some(RefundReason::AttemptsExhausted) } else { expiry(&job.terms, not_before) };
    if let Some(reason) = reason {
        let refunded = refund(job, reason, None);
        effects.extend(refunded.effects);
        return Transition { job: refunded.job, effects };
    }
    effects.extend(
        abort_all(attempt, "attempt_failed").filter(|abort| !matches!(abort, Effect::Abort { party: to, .. } if Some(*to) == party)),
    );
    effects.push(Effect::Note(Note::Queued { attempt: attempt + 1, not_before }));
    let state = JobState::Queued { attempt: attempt + 1, not_before, deadline: queue_deadline(now, &job.terms, limits) };
    Transition { job: Job { state, ..job }, effects }
}

fn abort_all(attempt: u32, code: &'static str) -> impl Iterator<Item = Effect> {
    (0..3).map(move |party| Effect::Abort { party, attempt, code })
}

/// Any held state → Refunded.
fn refund(job: Job, reason: RefundReason, refusal: Option<(u8, Complaint)>) -> Transition {
    let attempts = job.state.attempt();
    let mut effects = Vec::new();
    let refuser = refusal.as_ref().map(|(party, _)| *party);
    if let Some((party, complaint)) = refusal {
        effects.push(Effect::Note(Note::Refused { attempt: attempts, party, complaint }));
    }
    effects.push(Effect::GiveBack(reason));
    effects.push(Effect::Note(Note::Refunded { reason }));
    if !matches!(job.state, JobState::Queued { .. }) {
        effects.extend(
            abort_all(attempts, reason.code()).filter(|abort| !matches!(abort, Effect::Abort { party, .. } if Some(*party) == refuser)),
        );
    }
    Transition { job: Job { state: JobState::Refunded { reason, attempts }, ..job }, effects }
}

fn tick(mut job: Job, now: Timestamp, limits: &JobLimits) -> Transition {
    if job.state.deadline().is_none_or(|deadline| now < deadline) {
        return unchanged(job);
    }
    match &mut job.state {
        JobState::Queued { .. } => {
            let reason = expiry(&job.terms, now).unwrap_or(RefundReason::WorkersUnavailable);
            refund(job, reason, None)
        }
        JobState::Dispatched { .. } => {
            let complaint = Complaint::ours("not_accepted_in_time", "not every worker accepted in time");
            fail_attempt(job, None, complaint, now, limits)
        }
        JobState::Running { .. } => {
            let complaint = Complaint::ours("not_finished_in_time", "not every worker sent its receipt in time");
            fail_attempt(job, None, complaint, now, limits)
        }
        JobState::Released { attempt, receipts, shares, released_at, deadline, overdue, .. } => {
            if now >= released_at.plus_ms(limits.kept_ms) {
                job.state = JobState::Undelivered { attempt: *attempt, receipts: *receipts, shares: *shares };
                return Transition { job, effects: vec![Effect::Note(Note::Undelivered)] };
            }
            *deadline = now.plus_ms(limits.hand_over_ms);
            let first = !std::mem::replace(overdue, true);
            let mut effects: Vec<_> = first.then_some(Effect::Note(Note::HandOverOverdue)).into_iter().collect();
            effects.extend((0..3).filter(|party| outstanding(&job.state, *party).is_some()).map(|party| Effect::Send { party }));
            Transition { job, effects }
        }
        JobState::Delivered { .. } | JobState::Undelivered { .. } | JobState::Refunded { .. } => unchanged(job),
    }
}

/// Takes the shares whose digests are those of the receipts and that are not here yet.
fn take_shares(mut job: Job, handed_over: &[(u8, Hash)]) -> Transition {
    let JobState::Released { attempt, receipts, shares, delivered, .. } = &mut job.state else { return unchanged(job) };
    let mut effects = Vec::new();
    for (share, digest) in handed_over {
        let index = usize::from(*share);
        if shares.get(index) == Some(digest) && !std::mem::replace(&mut delivered[index], true) {
            effects.push(Effect::KeepShare { share: *share });
            effects.push(Effect::Note(Note::ShareDelivered { share: *share }));
        }
    }
    if *delivered == [true; PARTIES] {
        job.state = JobState::Delivered { attempt: *attempt, receipts: *receipts, shares: *shares };
        effects.push(Effect::Note(Note::Delivered));
    }
    Transition { job, effects }
}
