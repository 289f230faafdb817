//! Nouns, rules and state machines of the market; pure: no I/O, no clock, no randomness.

pub mod agreement;
pub mod clock;
pub mod dataset;
pub mod escrow;
pub mod evidence;
pub mod job;
pub mod journal;
pub mod name;
pub mod order;
pub mod participant;
pub mod product;
pub mod receipt;
pub mod refusal;

pub use clock::Clock;
pub use refusal::{Refusal, RefusalKind};
