//! The REST side through the real router on a real database, files mirror the URLs; and the gRPC side over real TLS.

mod admin;
mod agreements;
mod audit;
mod books;
mod chain;
mod chain_events;
mod channels;
mod datasets;
mod harness;
mod health;
mod hostile;
mod idempotency;
mod jobs;
mod log;
mod memory_chain;
#[path = "../../../../exchange/market/tests/market/log.rs"]
mod memory_log;
mod node;
mod openapi;
mod orders;
mod participants;
mod products;
mod quotes;
mod serve;
mod token;
mod trade;
mod witnesses;
mod worker_grants;
mod workforce;
