//! The ledger, pure: transactions, blocks, and how a block changes the state.
//!
//! A ledger never sees a statement. It sees a *leaf*, which commits to the salted hash of one and to a few public facts of it, with the
//! signatures over that leaf of every key the statement binds; it judges the facts, appends the leaf to one RFC 6962 log and remembers
//! each submitter's last sequence number. Besides the log it keeps what the members decide about each other, who holds which right, and
//! how agreements are used and settled. A transaction that is
//! not accepted is *rejected* with a reason, which is an answer like the other: nothing is dropped in silence. A leaf that was accepted
//! before gets the same index again, so that submitting at least once is safe.
//!
//! The state is small; the leaves themselves are looked up through [`Lookup`].

pub mod block;
pub mod contracts;
pub mod outcome;
mod signatures;
pub mod state;
pub mod transaction;

pub use block::Block;
pub use contracts::{
    members::Proposal,
    rights::{Right, RightStatus},
    settlement,
};
pub use entrepot_chain_log::{BlockHeader, DecodeError, KnownKeys, codec, consortium, state_tree};
pub use entrepot_chain_statement::{Facts, LeafKind};
pub use outcome::{MembersOutcome, Outcome, Rejection};
pub use signatures::Submission;
pub use state::{Applied, ApplyError, Draft, DraftError, Lookup, LookupError, Signatures, State, StateError, Verdict};
pub use transaction::{
    Leaf, LeafTransaction, MembersAction, MembersChange, MembersTransaction, RightAction, RightKind, RightRecord, RightTransaction,
    Transaction,
};
