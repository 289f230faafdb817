//! What workers say about jobs. All of it is hostile input.

use super::{driver::JobDriver, step::Payload};
use crate::workforce::{ConnectedWorker, WorkerEvent, WorkerListener};
use async_trait::async_trait;
use entrepot_chain_statement::{Did, Envelope, EnvelopeError, Hash, ids::JobId, statements::UsageReceipt};
use entrepot_exchange_domain::job::{Complaint, JobEvent, JobState, Saying};
use entrepot_exchange_store::{
    StoreError,
    job::{self, JobRow},
};

/// What a worker says that runs as many jobs as it may.
const BUSY: &str = "busy";

#[async_trait]
impl WorkerListener for JobDriver {
    async fn connected(&self, worker: &ConnectedWorker) {
        if let Err(error) = self.welcome(worker).await {
            tracing::error!(worker = %worker.worker, error = &error as &dyn std::error::Error, "what is outstanding could not be sent");
        }
        // A queued job may have waited for this worker.
        self.market.bell.ring();
    }

    async fn received(&self, worker: &ConnectedWorker, event: &WorkerEvent) {
        if let Err(error) = self.hear(&worker.worker, event).await {
            tracing::error!(worker = %worker.worker, error = &error as &dyn std::error::Error, "a worker's message about a job was lost");
        }
    }

    async fn disconnected(&self, _worker: &Did) {}
}

impl JobDriver {
    /// Sends a worker all that is outstanding. Of a job whose work orders are out, the other parties get theirs again, too: those may
    /// have lacked the address of this worker.
    async fn welcome(&self, worker: &ConnectedWorker) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let open = job::open_of_worker(&mut *self.market.store.reader().await?, &worker.worker, after.as_ref()).await?;
            for job_id in &open {
                let found = self.find_part(job_id, &worker.worker).await.unwrap_or_else(|error| {
                    tracing::error!(job = %job_id, error = &error as &dyn std::error::Error, "a worker's job could not be read");
                    None
                });
                let Some((row, party)) = found else { continue };
                let parties = if matches!(row.job.state, JobState::Dispatched { .. }) { vec![0, 1, 2] } else { vec![party] };
                for party in parties {
                    if let Err(error) = self.resend(job_id, party).await {
                        tracing::error!(job = %job_id, party, error = &error as &dyn std::error::Error, "what is outstanding could not be sent");
                    }
                }
            }
            match open.into_iter().last() {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// The job and the worker's index in it; none if it has no part in it, or there is no such job.
    async fn find_part(&self, job_id: &JobId, worker: &Did) -> Result<Option<(JobRow, u8)>, StoreError> {
        let Some(row) = job::find(&mut *self.market.store.reader().await?, job_id).await? else { return Ok(None) };
        let index = row.job.terms.parties.iter().position(|party| party.worker == *worker);
        Ok(index.and_then(|index| u8::try_from(index).ok()).map(|party| (row, party)))
    }

    /// Takes one message of a worker.
    pub async fn hear(&self, worker: &Did, event: &WorkerEvent) -> Result<(), StoreError> {
        let Some(job_id) = job_of(event) else { return Ok(()) };
        let Some((_, party)) = self.find_part(job_id, worker).await? else {
            tracing::warn!(%worker, job = %job_id, "a worker spoke about a job that it has no part in");
            return Ok(());
        };
        let busy = matches!(event, WorkerEvent::WorkFailed { code, .. } if code == BUSY);
        let Some((event, payload)) = self.read(worker, party, event) else { return Ok(()) };
        self.advance(job_id, event, payload).await?;
        if busy { self.learn_limit(worker).await } else { Ok(()) }
    }

    /// What a busy worker has taken on is what it can run at once.
    async fn learn_limit(&self, worker: &Did) -> Result<(), StoreError> {
        let sent = job::sent_to_worker(&mut *self.market.store.reader().await?, worker).await?;
        let mut accepted = 0;
        for job_id in &sent {
            let part = self.find_part(job_id, worker).await?;
            accepted += usize::from(part.is_some_and(|(row, party)| row.job.state.is_accepted_by(party)));
        }
        self.limits.busy(worker, accepted, self.market.now());
        Ok(())
    }

    fn read(&self, worker: &Did, party: u8, event: &WorkerEvent) -> Option<(JobEvent, Payload)> {
        let said = |attempt: &u32, saying| JobEvent::Said { party, attempt: *attempt, saying };
        Some(match event {
            WorkerEvent::WorkAccepted { attempt, .. } => (said(attempt, Saying::Accepted), Payload::None),
            WorkerEvent::WorkRefused { job_id, attempt, code, detail } => {
                let complaint = Complaint::from_worker(code, detail);
                // Of a job that is paid for, this is all that anybody learns of why the shares do not come.
                tracing::warn!(%worker, job = %job_id, attempt, code = complaint.code, detail = complaint.detail, "a worker refuses");
                (said(attempt, Saying::Refused(complaint)), Payload::None)
            }
            WorkerEvent::WorkFailed { attempt, code, detail, .. } => {
                (said(attempt, Saying::Failed(Complaint::from_worker(code, detail))), Payload::None)
            }
            WorkerEvent::WorkProgress { job_id, attempt, done, total, step } => {
                let progress = self.progress.admit(job_id, (party, *attempt), step, *done, *total)?;
                (said(attempt, Saying::Progress(progress)), Payload::None)
            }
            WorkerEvent::WorkFinished { attempt, receipt, .. } => match open_receipt(worker, receipt) {
                Ok(said_so) => {
                    let saying = Saying::Finished(Box::new(said_so), receipt.statement_hash());
                    (said(attempt, saying), Payload::Receipt(Box::new(receipt.clone())))
                }
                Err(error) => {
                    let complaint = Complaint::from_worker("receipt_wrong", &error.to_string());
                    (said(attempt, Saying::Failed(complaint)), Payload::None)
                }
            },
            WorkerEvent::SharesHandedOver { shares, .. } => {
                let digests = shares.iter().map(|(share, ciphertext)| (*share, Hash::of(&[ciphertext]))).collect();
                (JobEvent::HandedOver { shares: digests }, Payload::Shares(shares.clone()))
            }
            _ => return None,
        })
    }
}

/// The receipt, if this worker and nobody else signed it.
fn open_receipt(worker: &Did, envelope: &Envelope) -> Result<UsageReceipt, EnvelopeError> {
    if let Some(stranger) = envelope.signers().find(|signer| *signer != worker) {
        return Err(EnvelopeError::BadSignature { signer: stranger.clone() });
    }
    envelope.open_signed_by([worker])
}

fn job_of(event: &WorkerEvent) -> Option<&JobId> {
    match event {
        WorkerEvent::WorkAccepted { job_id, .. }
        | WorkerEvent::WorkRefused { job_id, .. }
        | WorkerEvent::WorkProgress { job_id, .. }
        | WorkerEvent::WorkFailed { job_id, .. }
        | WorkerEvent::WorkFinished { job_id, .. }
        | WorkerEvent::SharesHandedOver { job_id, .. } => Some(job_id),
        _ => None,
    }
}
