//! What the ledger itself decides, besides the log: who its members are, and who holds which right.

pub mod members;
pub mod rights;
