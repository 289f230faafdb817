//! The ledger on disk: blocks ordered by an [`Orderer`], made durable in RocksDB before anyone is told, and the log's proofs read from it.
//!
//! Submissions that arrive together share one block and one fsync; without submissions nothing is written. A restart replays the chain
//! from its first block and must arrive at the stored state. Each block that grows the log gets a checkpoint, signed by the log's key
//! (which confers no trust) and cosigned by this validator once the block is decided; witnesses' cosignatures are kept beside it.

mod backup;
mod error;
mod node;
pub mod orderer;
mod replay;
mod store;
mod submitter;
mod writer;

pub use backup::restore;
pub use error::NodeError;
pub use node::{CosignatureAnswer, Node, NodeConfig, NodeHead, NodeKeys};
pub use orderer::{Orderer, OrdererError, SoleMember};
pub use store::StoredLeaf;
pub use submitter::Submitter;
