//! One folder a resource, one file an endpoint: its input and output, its OpenAPI text, its handler.

pub mod account;
pub mod admin;
pub mod agreements;
pub mod audit;
pub mod credits;
pub mod datasets;
pub mod health;
pub mod jobs;
pub mod journal;
pub mod log;
pub mod orders;
pub mod participants;
pub mod products;
pub mod quotes;
pub mod token;
pub mod well_known;
pub mod worker_grants;
