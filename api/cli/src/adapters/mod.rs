//! What the market calls, joined to what does it.

mod backup;
mod chain;
mod channels;
mod notary;

pub use backup::FolderBackups;
pub use chain::{NodeChain, Strangers, decisions};
pub use channels::served;
pub use notary::NodeNotary;
