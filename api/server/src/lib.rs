//! REST and gRPC surface of the exchange.
//!
//! A route translates: it reads the request, calls one use case of the market in one transaction, and words the answer. Which status a
//! refusal gets is decided in [`error`] and nowhere else.

pub mod ambient;
pub mod auth;
pub mod backup;
pub mod chain;
pub mod channels;
pub mod error;
pub mod extract;
pub mod idempotency;
pub mod jwt;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod openapi;
pub mod page;
mod respond;
pub mod router;
pub mod routes;
pub mod schema;
pub mod serve;
pub mod state;
pub mod tls;
pub mod workforce;

pub use auth::Caller;
pub use error::Problem;
pub use idempotency::{Answer, Submission};
pub use state::AppState;
