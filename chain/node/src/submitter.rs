//! One submitter's way into the log: numbers and signs, one batch after the other.

use crate::{Node, NodeError};
use entrepot_chain_ledger::{Leaf, LeafTransaction, Outcome, Rejection};
use entrepot_chain_statement::SigningKey;
use std::sync::Arc;
use tokio::sync::Mutex;

/// How often leaves are numbered anew, should another process submit under the same key.
const RENUMBERINGS_MAX: usize = 3;

/// Submits under one key. Clones share the order.
#[derive(Clone)]
pub struct Submitter {
    node: Node,
    key: SigningKey,
    turn: Arc<Mutex<()>>,
}

impl Submitter {
    /// Submits to this node under this key.
    pub fn new(node: Node, key: SigningKey) -> Self {
        Self { node, key, turn: Arc::default() }
    }

    /// Logs leaves in this order, durably, and says what became of each. What is logged already gets the same index again.
    pub async fn submit(&self, leaves: &[Leaf]) -> Result<Vec<Outcome>, NodeError> {
        let _turn = self.turn.lock().await;
        let genesis = self.node.genesis_digest();
        let mut outcomes: Vec<Option<Outcome>> = vec![None; leaves.len()];
        for _ in 0..=RENUMBERINGS_MAX {
            let open: Vec<usize> = (0..leaves.len()).filter(|at| outcomes[*at].as_ref().is_none_or(is_misnumbered)).collect();
            if open.is_empty() {
                break;
            }
            let first = self.node.next_sequence(&self.key.did());
            let sign = |(sequence, at): (u64, &usize)| LeafTransaction::sign(&genesis, leaves[*at].clone(), sequence, &self.key);
            let transactions = (first..).zip(&open).map(sign).collect();
            for (at, outcome) in open.into_iter().zip(self.node.submit(transactions).await?) {
                outcomes[at] = Some(outcome);
            }
        }
        // What was never in turn is undecided.
        let outcomes: Option<Vec<_>> = outcomes.into_iter().map(|outcome| outcome.filter(|outcome| !is_misnumbered(outcome))).collect();
        outcomes.ok_or(NodeError::Renumbered { times: RENUMBERINGS_MAX })
    }
}

/// One that was not numbered in turn says nothing about the leaf.
fn is_misnumbered(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Rejected(Rejection::StaleSequence { .. } | Rejection::SequenceGap { .. }))
}
