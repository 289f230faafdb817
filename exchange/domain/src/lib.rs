//! Nouns, rules and state machines of the market; pure: no I/O, no clock, no randomness.

pub mod clock;
pub mod dataset;
pub mod evidence;
pub mod name;
pub mod participant;
pub mod product;
pub mod refusal;

pub use clock::Clock;
pub use refusal::{Refusal, RefusalKind};
