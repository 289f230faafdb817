//! The ledger, pure: transactions, blocks, and how a block changes the state.
//!
//! A ledger never sees a statement. It sees a *leaf*, the salted hash of one, with the signatures over that leaf of every key the
//! statement binds; it appends the leaf to one RFC 6962 log and remembers each submitter's last sequence number. A transaction that is
//! not accepted is *rejected* with a reason, which is an answer like the other: nothing is dropped in silence. One that was accepted
//! before gets the same index again, so that submitting at least once is safe.
//!
//! The state is small; the leaves themselves are looked up through [`LeafLookup`].

pub mod block;
pub mod kind;
pub mod outcome;
mod signatures;
pub mod state;
pub mod transaction;

pub use block::Block;
pub use entrepot_chain_log::{BlockHeader, DecodeError, KnownKeys, codec};
pub use kind::LeafKind;
pub use outcome::{Outcome, Rejection};
pub use signatures::Submission;
pub use state::{Applied, ApplyError, Draft, LeafLookup, LookupError, Signatures, State, StateError, Verdict};
pub use transaction::{Leaf, LeafTransaction};
