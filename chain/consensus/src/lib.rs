//! Agreement among the members of a channel.
//!
//! The consensus itself is Malachite's core library, the pure state machine of Tendermint BFT ([`host`]). Around it is what a member needs to
//! run it: a write-ahead log so that a crash never makes it contradict itself ([`wal`]), links to the other members that nobody else can
//! open ([`mesh`]), and the loop that joins them with the ledger ([`consortium`]).
//!
//! Who learns what: members see each other's proposals, votes, transactions and cosignatures, all of which end on the chain they share;
//! whoever is no member learns that a port is open. What a member can do: nothing alone; a third or more of the members can stop the
//! channel; more than two thirds can decide anything that the ledger's rules allow.

mod catch_up;
mod consortium;
pub mod context;
mod driver;
mod early;
mod evidence;
mod gossip;
pub mod host;
pub mod mesh;
mod output;
mod rejoin;
mod replies;
mod serve;
pub mod signing;
pub mod task;
pub mod wal;
pub mod wire;

pub use consortium::{Consortium, ConsortiumConfig, ConsortiumError, Past, stand_alone};
pub use context::{Address, Chain, Height};
pub use host::{Fault, Host, Output, timeouts};
pub use mesh::{Mesh, MeshConfig, MeshError};
pub use signing::Signature;
pub use task::{Archive, ArchiveError, Committed, Drafted, Task};
pub use wal::{Wal, WalError};
pub use wire::{Evidence, Message, Record};
