//! Which worker acts for whom.

mod submit;

pub use submit::{SubmitGrantError, submit};
