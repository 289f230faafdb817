//! One subcommand a file.

pub mod admin;
pub mod chain;
pub mod dev;
pub mod keygen;
pub mod node;
pub mod schema;
pub mod serve;
pub mod sign;
pub mod token;
pub mod trust;
pub mod verify;
pub mod witness;
pub mod work;
