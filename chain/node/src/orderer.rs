//! Who decides which block comes next. One member decides alone; a consortium's consensus engine goes behind the same trait.

use async_trait::async_trait;
use entrepot_chain_ledger::Block;
use std::collections::VecDeque;

/// The orderer cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct OrdererError(pub String);

/// Orders blocks. Used by one task, which asks for decisions in turn and stores each before it asks for the next.
#[async_trait]
pub trait Orderer: Send + 'static {
    /// Offers a block for the height after the last decided one. Returns when the offer is taken, which says nothing about the decision:
    /// another member's block may be decided at that height.
    async fn propose(&mut self, block: Block) -> Result<(), OrdererError>;

    /// The next decided block, by height and without gaps; waits while there is none. Calling it again says that the block before is
    /// durable. Dropping the future loses nothing.
    async fn decided(&mut self) -> Result<Block, OrdererError>;
}

/// A consortium of one: what it proposes is decided.
#[derive(Debug, Default)]
pub struct SoleMember {
    proposed: VecDeque<Block>,
}

#[async_trait]
impl Orderer for SoleMember {
    async fn propose(&mut self, block: Block) -> Result<(), OrdererError> {
        self.proposed.push_back(block);
        Ok(())
    }

    async fn decided(&mut self) -> Result<Block, OrdererError> {
        match self.proposed.pop_front() {
            Some(block) => Ok(block),
            None => std::future::pending().await,
        }
    }
}
