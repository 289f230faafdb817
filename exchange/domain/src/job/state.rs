//! Where a job is, and what follows from that alone.

use crate::receipt::{CheckedReceipt, PARTIES, shares_of};
use entrepot_chain_statement::{Did, Hash, Timestamp, ids::JobId, statements::Security};
use serde::{Deserialize, Serialize};

/// Tries before an order is refunded.
pub const ATTEMPTS_MAX: u32 = 3;
/// How long a job may stay in each state, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobLimits {
    /// Queued: until every worker is connected and earlier orders of the agreement are through.
    pub queued_ms: i64,
    /// Dispatched: until every worker accepted.
    pub dispatched_ms: i64,
    /// Running: until every worker computed.
    pub running_ms: i64,
    /// Running: what receipts may need after that to arrive.
    pub receipts_ms: i64,
    /// Released: between two requests for the sealed shares.
    pub hand_over_ms: i64,
    /// Released: how long workers keep the sealed shares.
    pub kept_ms: i64,
    /// Pause before the second attempt; doubles.
    pub pause_ms: i64,
    /// Jobs of one worker that are dispatched or running at once; further ones stay queued. As many as a worker runs unless it says less.
    pub worker_jobs_max: usize,
}

impl Default for JobLimits {
    fn default() -> Self {
        Self {
            queued_ms: 600_000,
            dispatched_ms: 30_000,
            running_ms: 600_000,
            receipts_ms: 30_000,
            hand_over_ms: 30_000,
            kept_ms: 30 * 24 * 3_600_000,
            pause_ms: 1_000,
            worker_jobs_max: 8,
        }
    }
}

/// One pinned worker of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobParty {
    /// On whose behalf.
    pub participant: Did,
    /// The worker's key.
    pub worker: Did,
    /// Commitment of the dataset that goes in; none for the compute party.
    pub commitment: Option<Hash>,
    /// Most rows the policy allows; 0 for the compute party.
    pub rows_max: u32,
    /// The worker's grant is void from then on.
    pub grant_expires_at: Timestamp,
}

/// What never changes about a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobTerms {
    /// The job.
    pub job_id: JobId,
    /// Statement hash of the order.
    pub order: Hash,
    /// Statement hash of the agreement.
    pub agreement: Hash,
    /// Who ordered.
    pub consumer: Did,
    /// Hash of the plan.
    pub plan: Hash,
    /// What the computation must withstand.
    pub security: Security,
    /// The workers, by party index.
    pub parties: [JobParty; PARTIES],
    /// No worker starts the order from then on.
    pub order_expires_at: Timestamp,
    /// No worker starts any order of the agreement from then on.
    pub agreement_expires_at: Timestamp,
}

/// Where a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobState {
    /// Waits for its turn and for its workers.
    Queued {
        /// The try that comes next, from 1.
        attempt: u32,
        /// Not dispatched before.
        not_before: Timestamp,
        /// Refunded from then on.
        deadline: Timestamp,
    },
    /// The work orders are out.
    Dispatched {
        /// Which try.
        attempt: u32,
        /// Who accepted, by party index.
        accepted: [bool; PARTIES],
        /// The attempt fails from then on.
        deadline: Timestamp,
        /// What the work orders say: the computation is given up then.
        run_until: Timestamp,
    },
    /// The workers compute.
    Running {
        /// Which try.
        attempt: u32,
        /// The receipts so far, by party index.
        receipts: [Option<CheckedReceipt>; PARTIES],
        /// The attempt fails from then on.
        deadline: Timestamp,
        /// What the work orders say: the computation is given up then.
        run_until: Timestamp,
    },
    /// Paid out; the sealed shares are being handed over.
    Released {
        /// The try that counted.
        attempt: u32,
        /// Statement hashes of the receipts, by party index.
        receipts: [Hash; PARTIES],
        /// Digests of the sealed shares, by share number.
        shares: [Hash; PARTIES],
        /// Which shares are here, by share number.
        delivered: [bool; PARTIES],
        /// When it was paid out.
        released_at: Timestamp,
        /// When to ask for the shares again, or to give up once no worker keeps them any more.
        deadline: Timestamp,
        /// Whether a first request was in vain: the operator's list of stuck jobs shows it.
        overdue: bool,
    },
    /// All three sealed shares are here.
    Delivered {
        /// The try that counted.
        attempt: u32,
        /// Statement hashes of the receipts, by party index.
        receipts: [Hash; PARTIES],
        /// Digests of the sealed shares, by share number.
        shares: [Hash; PARTIES],
    },
    /// Paid out, and not all sealed shares came while the workers kept them: what is missing is lost.
    Undelivered {
        /// The try that counted.
        attempt: u32,
        /// Statement hashes of the receipts, by party index.
        receipts: [Hash; PARTIES],
        /// Digests of the sealed shares, by share number.
        shares: [Hash; PARTIES],
    },
    /// The price went back to the consumer.
    Refunded {
        /// Why.
        reason: RefundReason,
        /// Tries that were begun.
        attempts: u32,
    },
}

/// Why an order was refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// The consumer cancelled.
    Cancelled,
    /// A worker will never run this order.
    WorkerRefused,
    /// Every try failed.
    AttemptsExhausted,
    /// The order expired before a worker could start it.
    OrderExpired,
    /// The agreement expired before a worker could start the order.
    AgreementExpired,
    /// A pinned worker's grant expired.
    GrantExpired,
    /// The product was withdrawn before a worker could start the order.
    ProductWithdrawn,
    /// The workers were not all connected in time.
    WorkersUnavailable,
}

impl RefundReason {
    /// Stable code, as in the signed refund.
    pub fn code(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::WorkerRefused => "worker_refused",
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::OrderExpired => "order_expired",
            Self::AgreementExpired => "agreement_expired",
            Self::GrantExpired => "grant_expired",
            Self::ProductWithdrawn => "product_withdrawn",
            Self::WorkersUnavailable => "workers_unavailable",
        }
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// What never changes.
    pub terms: JobTerms,
    /// Where it is.
    pub state: JobState,
}

/// What a party has to be sent in a job's present state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outstanding {
    /// Its work order for this attempt.
    WorkOrder {
        /// Which try.
        attempt: u32,
        /// The computation is given up then.
        run_until: Timestamp,
    },
    /// The request to hand its sealed shares over.
    HandOver,
}

impl JobState {
    /// The state of a new job.
    pub fn new(now: Timestamp, terms: &JobTerms, limits: &JobLimits) -> Self {
        Self::Queued { attempt: 1, not_before: now, deadline: queue_deadline(now, terms, limits) }
    }

    /// The state's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Dispatched { .. } => "dispatched",
            Self::Running { .. } => "running",
            Self::Released { .. } => "released",
            Self::Delivered { .. } => "delivered",
            Self::Undelivered { .. } => "undelivered",
            Self::Refunded { .. } => "refunded",
        }
    }

    /// When [`JobEvent::Tick`](super::JobEvent::Tick) will change something; none in a final state.
    pub fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Queued { deadline, .. } | Self::Dispatched { deadline, .. } | Self::Running { deadline, .. } => Some(*deadline),
            Self::Released { deadline, .. } => Some(*deadline),
            Self::Delivered { .. } | Self::Undelivered { .. } | Self::Refunded { .. } => None,
        }
    }

    /// The try this state is about; for a queued job the one before the next.
    pub fn attempt(&self) -> u32 {
        match self {
            Self::Queued { attempt, .. } => attempt.saturating_sub(1),
            Self::Dispatched { attempt, .. }
            | Self::Running { attempt, .. }
            | Self::Released { attempt, .. }
            | Self::Delivered { attempt, .. }
            | Self::Undelivered { attempt, .. } => *attempt,
            Self::Refunded { attempts, .. } => *attempts,
        }
    }

    /// The try that was paid for and its receipts; none before the release.
    pub fn paid_for(&self) -> Option<(u32, [Hash; PARTIES])> {
        match self {
            Self::Released { attempt, receipts, .. }
            | Self::Delivered { attempt, receipts, .. }
            | Self::Undelivered { attempt, receipts, .. } => Some((*attempt, *receipts)),
            _ => None,
        }
    }

    /// Whether a party has taken the present try on.
    pub fn is_accepted_by(&self, party: u8) -> bool {
        match self {
            Self::Dispatched { accepted, .. } => accepted.get(usize::from(party)).copied().unwrap_or(false),
            Self::Running { .. } => true,
            _ => false,
        }
    }

    /// Whether nothing will change it any more.
    pub fn is_final(&self) -> bool {
        self.deadline().is_none()
    }

    /// Whether the escrow is still held.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Queued { .. } | Self::Dispatched { .. } | Self::Running { .. })
    }
}

/// What `party` has to be sent, now or when it connects again.
pub fn outstanding(state: &JobState, party: u8) -> Option<Outstanding> {
    let index = usize::from(party);
    match state {
        JobState::Dispatched { attempt, run_until, .. } => Some(Outstanding::WorkOrder { attempt: *attempt, run_until: *run_until }),
        // A worker that restarted has lost its part: it learns of the attempt again and says that it failed, or repeats its receipt.
        JobState::Running { attempt, run_until, receipts, .. } if receipts.get(index)?.is_none() => {
            Some(Outstanding::WorkOrder { attempt: *attempt, run_until: *run_until })
        }
        JobState::Released { delivered, .. } => {
            let missing = shares_of(party).into_iter().any(|share| !delivered[usize::from(share)]);
            missing.then_some(Outstanding::HandOver)
        }
        _ => None,
    }
}

pub(super) fn queue_deadline(now: Timestamp, terms: &JobTerms, limits: &JobLimits) -> Timestamp {
    now.plus_ms(limits.queued_ms).min(terms.order_expires_at).min(terms.agreement_expires_at)
}

/// Why no worker would start the job now.
pub(super) fn expiry(terms: &JobTerms, now: Timestamp) -> Option<RefundReason> {
    if now >= terms.agreement_expires_at {
        Some(RefundReason::AgreementExpired)
    } else if now >= terms.order_expires_at {
        Some(RefundReason::OrderExpired)
    } else if terms.parties.iter().any(|party| now >= party.grant_expires_at) {
        Some(RefundReason::GrantExpired)
    } else {
        None
    }
}
