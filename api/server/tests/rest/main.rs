//! The REST side through the real router on a real database; files mirror the URLs.

mod datasets;
mod harness;
mod hostile;
mod idempotency;
mod openapi;
mod participants;
mod products;
mod serve;
mod token;
mod worker_grants;
