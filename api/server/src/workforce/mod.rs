//! The gRPC side: workers dial in, prove who they are, and keep one stream open.
//!
//! A worker is known by its grant: the exchange sends a random challenge, the worker signs it with its key and shows the grant of an
//! approved participant. Every message from a worker is hostile input: sizes and syntax are checked here, meaning by the market's
//! [`WorkerListener`](entrepot_exchange_market::workforce::WorkerListener)s.

mod hello;
mod messages;
mod registry;
mod service;
mod strangers;

pub use registry::Registry;
pub use service::{ServeError, serve};
