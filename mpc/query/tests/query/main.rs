//! Plans on shares, with all three parties in memory.

mod oracle;
mod refusals;
mod scenario;
