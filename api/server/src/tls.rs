//! TLS for the REST side, from a certificate and a key in PEM.

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{path::Path, sync::Arc};

/// The server must not start with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate chain cannot be read.
    #[error("the TLS certificate file cannot be read as PEM")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// It is empty.
    #[error("the TLS certificate file holds no certificate")]
    NoCertificate,
    /// The key cannot be read.
    #[error("the TLS key file cannot be read as a PEM private key")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// The two do not fit.
    #[error("the TLS certificate and key do not go together")]
    Mismatch(#[source] rustls::Error),
}

/// Reads a certificate chain and its key; TLS 1.3 and 1.2.
pub fn server_config(certificates: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(certificates).and_then(Iterator::collect).map_err(TlsError::Certificate)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(TlsError::Key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(TlsError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
