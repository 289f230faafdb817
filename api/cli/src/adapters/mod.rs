//! What the market calls, joined to what does it.

mod backup;
mod notary;

pub use backup::FolderBackups;
pub use notary::NodeNotary;
