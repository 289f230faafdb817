//! Logs go to standard error: text for people, JSON lines for machines; `RUST_LOG` chooses what.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Starts logging for this process.
pub fn start(json: bool) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,h2=warn,hyper=warn,arc_malachitebft=error"));
    let registry = tracing_subscriber::registry().with(filter);
    if json {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).init();
    } else {
        registry.with(fmt::layer().with_writer(std::io::stderr).with_ansi(false)).init();
    }
}
