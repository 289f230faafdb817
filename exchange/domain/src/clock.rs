//! Time comes in from outside.

use entrepot_chain_statement::Timestamp;

/// Tells the time. The binary hands in the system's clock; tests hand in one that they move.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}
