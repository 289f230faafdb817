//! The market's log is this process's node.

use super::decisions;
use async_trait::async_trait;
use entrepot_chain_ledger::{Leaf, Outcome};
use entrepot_chain_log::{NoteSignature, SignedCheckpoint, Tile, bundle::Decisions};
use entrepot_chain_node::{CosignatureAnswer, Node, NodeError, Submitter};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use entrepot_exchange_market::{
    Notary, NotaryError,
    notary::{LogCheckpoint, NotaryLeaf, NotaryOutcome},
};
use std::collections::BTreeSet;

/// Submits under the exchange's key and reads proofs from the node.
pub struct NodeNotary {
    node: Node,
    submitter: Submitter,
}

impl NodeNotary {
    /// On this node.
    pub fn new(node: Node, exchange: SigningKey) -> Self {
        Self { submitter: Submitter::new(node.clone(), exchange), node }
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> NotaryError {
    NotaryError(Box::new(error))
}

fn leaf(leaf: &NotaryLeaf) -> Leaf {
    Leaf {
        salted: leaf.salted,
        facts: leaf.facts.clone(),
        binds: leaf.signatures.iter().map(|(did, _)| did.clone()).collect(),
        signatures: leaf.signatures.iter().cloned().collect(),
    }
}

fn checkpoint(found: Result<Option<SignedCheckpoint>, NodeError>) -> Result<Option<LogCheckpoint>, NotaryError> {
    Ok(found.map_err(failed)?.map(|signed| LogCheckpoint { size: signed.checkpoint().size, note: signed.note().to_string() }))
}

#[async_trait]
impl Notary for NodeNotary {
    async fn submit(&self, leaves: &[NotaryLeaf]) -> Result<Vec<NotaryOutcome>, NotaryError> {
        let leaves: Vec<Leaf> = leaves.iter().map(leaf).collect();
        let outcomes = self.submitter.submit(&leaves).await.map_err(failed)?;
        let told = outcomes.into_iter().map(|outcome| match outcome {
            Outcome::Accepted { index } => NotaryOutcome::Logged { index },
            // No leaf is answered so.
            Outcome::Members(_) | Outcome::Right { .. } => {
                NotaryOutcome::Rejected { reason: "the ledger took it for something else".to_owned() }
            }
            Outcome::Rejected(rejection) => NotaryOutcome::Rejected { reason: format!("{}: {rejection}", rejection.code()) },
        });
        Ok(told.collect())
    }

    async fn proof(&self, leaf: &Hash) -> Result<Option<String>, NotaryError> {
        match self.node.index_of(leaf).map_err(failed)? {
            Some(index) => self.proof_at(index, None).await,
            None => Ok(None),
        }
    }

    async fn proof_at(&self, index: u64, size: Option<u64>) -> Result<Option<String>, NotaryError> {
        Ok(self.node.proof(index, size).map_err(failed)?.map(|proof| proof.to_string()))
    }

    async fn checkpoint(&self) -> Result<Option<LogCheckpoint>, NotaryError> {
        checkpoint(self.node.checkpoint())
    }

    async fn checkpoint_at(&self, size: u64) -> Result<Option<LogCheckpoint>, NotaryError> {
        checkpoint(self.node.checkpoint_at(size))
    }

    async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, NotaryError> {
        self.node.consistency(from, to).map_err(failed)
    }

    async fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, NotaryError> {
        self.node.tile(tile).map_err(failed)
    }

    async fn decisions(&self, sizes: &BTreeSet<u64>) -> Result<Option<Decisions>, NotaryError> {
        let (node, sizes) = (self.node.clone(), sizes.clone());
        tokio::task::spawn_blocking(move || decisions(&node, &sizes)).await.map_err(failed)?.map_err(failed)
    }

    async fn add_cosignature(&self, size: u64, line: &str) -> Result<bool, NotaryError> {
        let Some(witness) = line.parse::<NoteSignature>().ok().and_then(|signature| signature.name().parse::<Did>().ok()) else {
            return Ok(false);
        };
        Ok(self.node.add_cosignature(size, &witness, line).await.map_err(failed)? == CosignatureAnswer::Kept)
    }
}
