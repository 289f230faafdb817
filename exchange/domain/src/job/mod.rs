//! One order's computation, from queued to delivered or refunded.
//!
//! ```text
//! queued → dispatched → running → released → delivered
//!    ↑          └──────────┤
//!    └── next attempt ─────┘        any state before released → refunded
//! ```
//! [`apply`] is the whole machine: state and event in, state and effects out. Effects about money and events are done in the transaction
//! that stores the new state; messages go out after it is durable, and again whenever [`outstanding`] says so. An event that comes late,
//! twice, or from an attempt that is over changes nothing.

mod event;
mod state;
mod transition;

#[cfg(test)]
mod tests;

pub use event::{CODE_BYTES_MAX, Complaint, DETAIL_CHARS_MAX, Effect, JobError, JobEvent, Note, Progress, Saying, Step, Transition};
pub use state::{ATTEMPTS_MAX, Job, JobLimits, JobParty, JobState, JobTerms, Outstanding, RefundReason, outstanding};
pub use transition::apply;
