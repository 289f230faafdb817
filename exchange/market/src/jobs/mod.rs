//! Drives jobs from what is persisted and nothing else: whatever crashed, the next round or the next connection of a worker goes on.

mod cancel;
mod driver;
mod listener;
mod load;
mod messages;
mod poison;
mod progress;
mod step;

pub use cancel::{CancelError, cancel, tell_workers};
pub use driver::{ANSWERS_KEPT_MS, JobDriver, TICK};

pub(crate) use messages::envelope;
