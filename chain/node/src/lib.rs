//! The ledger on disk: blocks ordered by an [`Orderer`], made durable in RocksDB before anyone is told, and the log's proofs read from it.
//!
//! Submissions that arrive together share one block and one fsync; without submissions nothing is written. A restart replays the chain
//! from the first block that is kept and must arrive at the stored state. Each block has the certificate of who decided on it; each that
//! grows the log gets a checkpoint, signed by the log's key (which confers no trust) and cosigned by this validator once the block is
//! decided; other members' and witnesses' cosignatures are kept beside it.

mod backup;
mod candidate;
mod error;
pub mod explore;
mod member;
mod node;
pub mod orderer;

mod pool;
mod replay;
mod shared;
mod store;
mod submitter;
mod writer;

pub use backup::restore;
pub use entrepot_chain_consensus::{
    Archive, ArchiveError, Committed, ConsortiumConfig, Drafted, Mesh, MeshConfig, MeshError, Past, Task, timeouts,
};
pub use error::NodeError;
pub use explore::{BlockSummary, DecidedTransaction, Evidence, MembersStep, Place, StateEntry, TransactionVerdict};
pub use member::MemberOrderer;
pub use node::{CosignatureAnswer, Node, NodeConfig, NodeHead, NodeKeys, Verified};
pub use orderer::{Orderer, OrdererError, Reader, Seat, SoleMember};
pub use pool::{EARLY_OF_SUBMITTER_MAX, EARLY_PATIENCE, PROPOSAL_BYTES_MAX};
pub use store::StoredLeaf;
pub use submitter::Submitter;
