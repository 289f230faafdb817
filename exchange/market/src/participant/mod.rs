//! Who takes part.

mod approve;
mod bootstrap;
mod enrol;

pub use approve::{ApproveError, approve};
pub use bootstrap::{BootstrapError, bootstrap_operator};
pub use enrol::{EnrolError, PENDING_MAX, enrol};
