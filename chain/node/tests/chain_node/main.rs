//! The node's facts, on a real RocksDB.

mod channel;
mod durability;
mod early;
mod exploring;
mod ordering;
mod proofs;
