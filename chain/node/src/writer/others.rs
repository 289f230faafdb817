//! What other members say: their transactions, cosignatures and contradictions; and what they are told again.

use super::{Instant, LOOK_EVERY, Orderer, Turn, Writer, blocking};
use crate::{CosignatureAnswer, NodeError, pool::Pooled, store::Durability};
use entrepot_chain_ledger::{Submission, Transaction};
use entrepot_chain_statement::Did;
use std::sync::PoisonError;

/// Loads of other members' transactions whose signatures are being checked; more are dropped.
pub(super) const GOSSIP_MAX: usize = 4;
/// Transactions of one such load.
const GOSSIP_TRANSACTIONS_MAX: usize = 4096;
/// Transactions that are told again at a time, the oldest.
const TELL_AGAIN_MAX: usize = 8192;
/// Cosignatures of other members that are held until the checkpoint is here.
const EARLY_COSIGNATURES_MAX: usize = 256;
/// Pieces of evidence that are kept.
const EVIDENCE_MAX: usize = 1024;
/// Longest piece of evidence.
const EVIDENCE_BYTES_MAX: usize = 64 << 10;

impl<O: Orderer> Writer<O> {
    /// Checks signatures of another member's transactions, apart from all else; what is too much is dropped, for that member proposes it
    /// itself.
    pub(super) fn check_gossip(&self, transactions: Vec<Vec<u8>>) {
        let Ok(place) = self.gossip_places.clone().try_acquire_owned() else { return };
        let (known_keys, genesis, heard) = (self.shared.known_keys.clone(), self.state.genesis_digest(), self.gossip.0.clone());
        tokio::spawn(async move {
            let check = move || {
                let mut known = known_keys.lock().unwrap_or_else(PoisonError::into_inner);
                let first = transactions.iter().take(GOSSIP_TRANSACTIONS_MAX);
                let decoded: Vec<_> = first.filter_map(|bytes| Transaction::decode(bytes, &mut known).ok()).collect();
                drop(known);
                let signed = Submission::check(&genesis, decoded).into_iter().filter(Submission::is_signed);
                signed.map(|submission| Pooled::new(submission, false)).collect::<Vec<_>>()
            };
            if let Ok(checked) = blocking(check).await {
                // The writer may have stopped.
                let _gone = heard.send(checked).await;
            }
            drop(place);
        });
    }

    /// Takes another member's transactions among the waiting.
    pub(super) fn hear(&mut self, transactions: Vec<Pooled>) {
        let mut added = false;
        for pooled in transactions {
            let (hash, turn) = (pooled.hash, self.turn(&pooled));
            if turn == Turn::Never || !self.pool.has_room() || !self.pool.add(pooled, None, self.state.height()) {
                continue;
            }
            if turn == Turn::Early {
                self.defer(&hash);
            } else {
                added = true;
            }
        }
        if added {
            self.orderer.offer();
        }
    }

    /// Tells the others once more what was submitted here and still waits: who was not connected has not heard of it.
    pub(super) fn tell_again(&mut self, now: Instant) {
        if !self.shared.gossips {
            return;
        }
        let waiting = now.checked_sub(LOOK_EVERY).map(|moment| self.pool.waiting_since(moment, TELL_AGAIN_MAX)).unwrap_or_default();
        if !waiting.is_empty() {
            self.orderer.tell(waiting);
        }
    }

    /// Keeps another member's cosignature; one that comes before the block does waits for it.
    pub(super) fn cosignature(&mut self, size: u64, key: Did, line: String) -> Result<(), NodeError> {
        if !self.state.members().as_slice().iter().any(|member| member.keys.cosigning == key) {
            return Ok(());
        }
        if size > self.state.log_size() {
            if self.early_cosignatures.len() >= EARLY_COSIGNATURES_MAX {
                self.early_cosignatures.pop_front();
            }
            self.early_cosignatures.push_back((size, key, line));
            return Ok(());
        }
        let answer = self.shared.add_cosignature(size, &key, &line, Durability::Later)?;
        if answer != CosignatureAnswer::Kept {
            tracing::warn!(size, ?answer, "a member's cosignature was not kept");
        }
        Ok(())
    }

    pub(super) fn catch_up_cosignatures(&mut self) -> Result<(), NodeError> {
        let log_size = self.state.log_size();
        let (here, early): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.early_cosignatures).into_iter().partition(|(size, ..)| *size <= log_size);
        self.early_cosignatures = early.into();
        for (size, key, line) in here {
            self.cosignature(size, key, line)?;
        }
        Ok(())
    }

    pub(super) fn evidence(&self, height: u64, bytes: &[u8]) -> Result<(), NodeError> {
        tracing::warn!(height, bytes = bytes.len(), "a member misbehaved");
        if bytes.len() > EVIDENCE_BYTES_MAX {
            return Ok(());
        }
        self.shared.store.add_evidence(height, bytes, EVIDENCE_MAX).map(drop)
    }
}
