//! Use cases of the market, one file each. A use case takes the transaction it runs in, the [`Market`] around it and its input, and
//! returns what happened or a refusal that can be told; routes, gRPC and CLI only translate.

pub mod agree;
pub mod anchoring;
pub mod audit;
pub mod bell;
pub mod credit;
pub mod dataset;
pub mod deliver;
pub mod jobs;
pub mod market;
pub mod notary;
pub mod order;
pub mod participant;
pub mod planning;
pub mod product;
pub mod quote;
mod settle;
pub mod standing_witness;
pub mod token;
pub mod witnesses;
pub mod worker_grant;
pub mod workforce;

pub use bell::Bell;
pub use market::{Entropy, Market};
pub use notary::{Notary, NotaryError};
pub use workforce::Workforce;
