//! Products: proposed by one whom they bind, active once all have signed, paused and withdrawn by any of them.

mod check;
mod propose;
mod sign;
mod state;

pub use check::UnmetNeed;
pub use propose::{ProposeError, propose};
pub use sign::{SignProductError, sign};
pub use state::{ChangeStateError, StateChange, change_state};
