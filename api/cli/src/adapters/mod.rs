//! What the market calls, joined to what does it.

mod notary;

pub use notary::NodeNotary;
