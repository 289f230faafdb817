//! One attempt of one job, from the accepted order to the signed receipt.

use crate::{
    clock,
    config::Settings,
    describe::{commitment, request, rounded},
    frames::{self, Frame, FrameError},
    gate::{Admitted, OwnDataset},
    input,
    peers::{Peer, PeerError, PeerNode, Run},
    state::{DatasetRecord, FinishedAttempt, StoredShare},
};
use entrepot_chain_statement::{
    Envelope, Hash,
    envelope::EnvelopeError,
    sealing::{RESULT_INFO, ResultShare, SealingError},
    split::rule_digest,
    statements::{SealedShareDigest, UsageReceipt},
};
use entrepot_mpc_protocol::{Channel, Context, Party, ProtocolError};
use entrepot_mpc_query::{Progress, QueryError, SharedResult, Stage};
use rand_core::{OsRng, RngCore as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const SESSION_CONTEXT: &[u8] = b"entrepot/session/v1\n";
/// Progress within a stage is told at most this often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Why an attempt ended without a receipt.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The exchange said so, or the worker stops.
    #[error("the attempt was stopped")]
    Aborted,
    /// The deadline came.
    #[error("the deadline has passed")]
    DeadlinePassed,
    /// The parties did not come together.
    #[error(transparent)]
    Peers(#[from] PeerError),
    /// The dataset's file cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The rows are not the registered ones.
    #[error("the dataset's rows are not those that were registered: restore the file, or register it as a new dataset")]
    DatasetChanged,
    /// The computation failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The session could not be opened.
    #[error("the session with the other parties could not be opened")]
    Session(#[source] ProtocolError),
    /// The result could not be sealed.
    #[error("the result could not be sealed")]
    Seal(#[source] SealingError),
    /// The receipt could not be signed.
    #[error("the receipt could not be signed")]
    Receipt(#[source] EnvelopeError),
    /// A defect of this worker.
    #[error("the worker failed: see its log")]
    Internal,
}

impl RunError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::DeadlinePassed => "deadline_passed",
            Self::Peers(error) => error.code(),
            Self::Frame(error) => error.code(),
            Self::DatasetChanged => "dataset_changed",
            Self::Query(error) => error.code(),
            Self::Session(ProtocolError::Channel(_)) => "peer_lost",
            Self::Session(_) => "protocol_violation",
            Self::Seal(_) | Self::Receipt(_) | Self::Internal => "internal",
        }
    }

    /// Whether no further attempt can succeed: our own data does not allow it.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Frame(error) => !matches!(error, FrameError::TimeLimit | FrameError::ChildFailed),
            Self::DatasetChanged => true,
            Self::Query(error) => {
                matches!(error, QueryError::OutsideDomain { .. } | QueryError::OutsideBounds { .. } | QueryError::WrongKind { .. })
                    || matches!(error.code(), "duplicate_key" | "key_too_long" | "too_many_rows")
            }
            _ => false,
        }
    }
}

/// Told how far an attempt is: step, done, total.
pub(crate) type Report<'a> = dyn Fn(&'static str, u64, u64) + Send + Sync + 'a;

/// What an attempt needs besides the order.
pub(crate) struct Resources<'a> {
    pub settings: &'a Settings,
    pub peers: &'a Arc<PeerNode>,
    /// Our dataset's record; none for the compute party.
    pub dataset: Option<DatasetRecord>,
    pub report: &'a Report<'a>,
}

/// Connects, computes, seals and signs. Everything up to here may be repeated as another attempt; what is returned must be stored before
/// it is told to anyone.
pub(crate) async fn run(admitted: &Admitted, resources: Resources<'_>) -> Result<FinishedAttempt, RunError> {
    let Resources { settings, peers, dataset, report } = resources;
    let party = Party::new(admitted.party).ok_or(RunError::Internal)?;
    report("connecting", 0, 1);
    // Both at once: the peers wait for the connection, not for our file.
    let (frame, channel) = tokio::try_join!(load(admitted, settings, dataset.as_ref()), connect(admitted, peers, party))?;
    entrepot_failpoint::reach("worker.after_connect");
    let rows = frame.as_ref().map_or(0, |frame| frame.rows() as u64);
    let input = match frame {
        Some(frame) => Some(input::of(&admitted.plan, admitted.party, &frame)?),
        None => None,
    };
    let mut context = Context::connect(party, channel, session(admitted), &mut OsRng).await.map_err(RunError::Session)?;
    report("connecting", 1, 1);
    let progress = Throttled { report, last: Mutex::new(None) };
    let result = entrepot_mpc_query::run(&admitted.plan, &mut context, input, &progress).await?;
    report("sealing", 0, 1);
    let shares = seal(admitted, &context, &result)?;
    let finished = sign(admitted, settings, dataset.as_ref(), rows, context.transcript(), shares)?;
    report("sealing", 1, 1);
    Ok(finished)
}

async fn load(admitted: &Admitted, settings: &Settings, dataset: Option<&DatasetRecord>) -> Result<Option<Frame>, RunError> {
    let Some(dataset) = dataset else { return Ok(None) };
    let mut request = request(settings, &dataset.name, admitted.rows_max.ok_or(RunError::Internal)?).ok_or(RunError::Internal)?;
    request.columns = Some(dataset.columns.clone());
    request.unique = admitted.plan.join.columns.get(usize::from(admitted.party)).cloned().into_iter().collect();
    let frame = frames::load(&settings.frames_child, &request).await?;
    let (seed, registered) = (dataset.seed.clone(), dataset.description.commitment);
    let (frame, found) = tokio::task::spawn_blocking(move || {
        let found = commitment(&seed, &frame);
        (frame, found)
    })
    .await
    .map_err(|_| RunError::Internal)?;
    if found == registered { Ok(Some(frame)) } else { Err(RunError::DatasetChanged) }
}

async fn connect(admitted: &Admitted, peers: &Arc<PeerNode>, party: Party) -> Result<Arc<dyn Channel>, RunError> {
    let run = Run { job_id: admitted.job_id.clone(), attempt: admitted.attempt, order: admitted.order_hash };
    let mut addresses = admitted.peer_addresses.iter();
    let found: Vec<Peer> = admitted
        .agreement
        .parties
        .iter()
        .map(|pin| Peer { worker: pin.worker.clone(), address: addresses.next().cloned().unwrap_or_default() })
        .collect();
    let three: [Peer; 3] = found.try_into().map_err(|_| RunError::Internal)?;
    Ok(Arc::new(peers.connect(&run, party, &three).await?))
}

/// Names this very run to the protocol: two attempts never share randomness or hashes.
fn session(admitted: &Admitted) -> [u8; 32] {
    Hash::of(&[SESSION_CONTEXT, &admitted.order_hash.0, &admitted.attempt.to_be_bytes(), admitted.job_id.as_str().as_bytes()]).0
}

/// Seals both shares to the consumer, with randomness that the other holder of each share derives too, so that both make the same bytes.
fn seal(admitted: &Admitted, context: &Context, result: &SharedResult) -> Result<Vec<StoredShare>, RunError> {
    let mut sealed = Vec::with_capacity(2);
    for (share, cells) in &result.shares {
        let which = ResultShare { order: admitted.order_hash, attempt: admitted.attempt, share: *share };
        let seed = context.pairwise_seed(*share).ok_or(RunError::Internal)?;
        let mut plaintext = Zeroizing::new(Vec::with_capacity(cells.len() * 8));
        cells.iter().for_each(|cell| plaintext.extend_from_slice(&cell.to_le_bytes()));
        let ciphertext = admitted
            .agreement
            .sealing_key
            .seal_with(&which.randomness(&seed), RESULT_INFO, &which.aad(), &plaintext)
            .map_err(RunError::Seal)?;
        sealed.push(StoredShare { share: *share, ciphertext });
    }
    sealed.sort_by_key(|share| share.share);
    Ok(sealed)
}

fn sign(
    admitted: &Admitted,
    settings: &Settings,
    dataset: Option<&DatasetRecord>,
    rows: u64,
    transcript: [u8; 32],
    shares: Vec<StoredShare>,
) -> Result<FinishedAttempt, RunError> {
    let finished_at = clock::now();
    let digests = shares.iter().map(|sealed| SealedShareDigest { share: sealed.share, ciphertext: Hash::of(&[&sealed.ciphertext]) });
    let receipt = UsageReceipt {
        job_id: admitted.job_id.clone(),
        attempt: admitted.attempt,
        agreement: admitted.agreement_hash,
        order: admitted.order_hash,
        consumer: admitted.agreement.consumer.clone(),
        plan: admitted.plan.hash(),
        party: admitted.party,
        participant: settings.config.participant.clone(),
        worker: settings.keys.signing.did(),
        security: admitted.agreement.security,
        input_commitment: dataset.map(|dataset| dataset.description.commitment),
        rows_input: rounded(rows, 2),
        shares: digests.collect(),
        transcript: Hash(transcript),
        finished_at,
    };
    let mut salt = [0; 32];
    OsRng.fill_bytes(&mut salt);
    let receipt = Envelope::sign(&receipt, &settings.keys.signing, salt).map_err(RunError::Receipt)?;
    Ok(FinishedAttempt {
        job_id: admitted.job_id.clone(),
        attempt: admitted.attempt,
        party: admitted.party,
        agreement: admitted.agreement_hash,
        order: admitted.order_hash,
        hold: admitted.hold_hash,
        price: admitted.price().clone(),
        split: admitted.split.clone(),
        split_rule: rule_digest(&admitted.agreement_hash, &admitted.agreement.split),
        receipt,
        shares,
        finished_at,
    })
}

/// What the gate needs to know of our datasets, with each policy file as it is now.
pub(crate) fn own_dataset(settings: &Settings, record: &DatasetRecord) -> OwnDataset {
    let policy = settings.config.datasets.get(&record.name).and_then(|dataset| {
        crate::config::read_policy(&record.name, &dataset.policy)
            .inspect_err(|error| tracing::error!(dataset = record.name, %error, "the dataset's policy cannot be used"))
            .ok()
    });
    OwnDataset { commitment: record.description.commitment, columns: record.columns.clone(), policy }
}

/// Tells each stage when it begins and then at most every [`PROGRESS_PAUSE`].
struct Throttled<'a> {
    report: &'a Report<'a>,
    last: Mutex<Option<(Stage, Instant)>>,
}

impl Progress for Throttled<'_> {
    fn report(&self, stage: Stage, done: u64, total: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.map(|(stage, _)| stage);
        if before == Some(stage) && done < total && last.is_some_and(|(_, at)| at.elapsed() < PROGRESS_PAUSE) {
            return;
        }
        *last = Some((stage, Instant::now()));
        drop(last);
        if before != Some(stage) {
            match stage {
                Stage::Intersecting => {}
                Stage::Sharing => entrepot_failpoint::reach("worker.after_intersection"),
                Stage::Computing => entrepot_failpoint::reach("worker.after_sharing"),
            }
        }
        (self.report)(stage.as_str(), done, total);
    }
}
