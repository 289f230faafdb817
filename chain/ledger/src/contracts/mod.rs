//! What the ledger itself decides, besides the log: who its members are, who holds which right, and what follows from an agreement.

pub mod members;
pub mod rights;
pub mod settlement;
