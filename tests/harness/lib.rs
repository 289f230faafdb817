//! Spawns `entrepot` processes and plays their participants: enrols, offers, buys, kills, listens in, lies.
//!
//! Everything goes through the interfaces a stranger would use. What is linked is the vocabulary alone: statements, keys, the log's
//! formats and the control plane's messages.

pub mod books;
pub mod consortium;
pub mod consumer;
pub mod exchange;
pub mod hostile;
pub mod market;
pub mod member;
pub mod offer;
pub mod process;
pub mod recorder;
pub mod sample;
pub mod session;
pub mod trust;
pub mod worker;

use std::sync::Once;

/// TLS needs one provider of cryptography for the whole process.
pub fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("no other provider is there");
    });
}

/// The repository's folder.
pub fn repository() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_owned()
}
