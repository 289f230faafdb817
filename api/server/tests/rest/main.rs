//! The REST side through the real router on a real database; files mirror the URLs.

mod admin;
mod audit;
mod datasets;
mod harness;
mod hostile;
mod idempotency;
mod log;
#[path = "../../../../exchange/market/tests/market/log.rs"]
mod memory_log;
mod openapi;
mod participants;
mod products;
mod serve;
mod token;
mod worker_grants;
