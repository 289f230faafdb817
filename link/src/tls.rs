//! TLS 1.3 between parties: no certificate authority, the key is the name.
//!
//! Each side shows a self-signed certificate of its own Ed25519 key. Whoever dials knows the key it wants and accepts no other. Whoever
//! accepts demands a certificate of an Ed25519 key that it [admits](Identity::server), and proof that the peer holds it. Nothing else of a
//! certificate means anything here: names, dates and extensions are not looked at.

use entrepot_chain_statement::{Did, SigningKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    server::{
        NoServerSessionStorage, ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use std::sync::Arc;
use zeroize::Zeroizing;

/// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 key bytes (RFC 8410).
const SPKI_PREFIX: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// DER of an Ed25519 PKCS#8 private key up to the 32 bytes of the seed (RFC 8410).
const PKCS8_PREFIX: &[u8] = &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// TLS wants a name; it is not looked at.
const NAME: &str = "party.invalid";

/// Why TLS cannot be set up with our own key.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The certificate could not be made.
    #[error("cannot make a certificate of the key")]
    Certificate(#[from] rcgen::Error),
    /// The library refused the configuration.
    #[error("cannot set up TLS")]
    Tls(#[from] Error),
}

/// Our side of connections of one protocol.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    provider: Arc<CryptoProvider>,
    protocol: Vec<u8>,
}

impl Identity {
    /// Of this key, for this protocol: peers that speak another are refused in the handshake.
    pub fn of(key: &SigningKey, protocol: &str) -> Result<Self, TlsSetupError> {
        let mut pkcs8 = Zeroizing::new(Vec::with_capacity(PKCS8_PREFIX.len() + 32));
        pkcs8.extend_from_slice(PKCS8_PREFIX);
        pkcs8.extend_from_slice(&key.seed()[..]);
        let key = PrivatePkcs8KeyDer::from(pkcs8.to_vec());
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&key, &rcgen::PKCS_ED25519)?;
        let certificate = rcgen::CertificateParams::new(vec![NAME.to_owned()])?.self_signed(&pair)?;
        Ok(Self {
            certificate: certificate.der().clone(),
            key: key.into(),
            provider: Arc::new(ring::default_provider()),
            protocol: protocol.as_bytes().to_vec(),
        })
    }

    /// What we show.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// For dialing exactly this peer.
    pub fn client(&self, peer: &Did) -> Result<Arc<ClientConfig>, TlsSetupError> {
        let verifier = Arc::new(PinnedPeer { peer: peer.clone(), provider: Arc::clone(&self.provider) });
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![self.protocol.clone()];
        // A resumed session would skip the certificate.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// For accepting peers whose key is admitted; the others hear a fatal alert in the handshake and nothing more.
    pub fn server(&self, admits: impl Fn(&Did) -> bool + Send + Sync + 'static) -> Result<Arc<ServerConfig>, TlsSetupError> {
        let verifier = Arc::new(Admitted { admits: Box::new(admits), provider: Arc::clone(&self.provider) });
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())?;
        config.alpn_protocols = vec![self.protocol.clone()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

/// The name that a connector wants and nobody looks at.
pub fn server_name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap_or_else(|_| unreachable!("it is a constant"))
}

/// Whose key a certificate holds.
pub fn key_of(certificate: &CertificateDer<'_>) -> Result<Did, Error> {
    let info = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    let key = info.strip_prefix(SPKI_PREFIX).and_then(|key| <&[u8; 32]>::try_from(key).ok());
    key.and_then(|key| Did::from_public_bytes(key).ok()).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn alone(intermediates: &[CertificateDer<'_>]) -> Result<(), Error> {
    if intermediates.is_empty() { Ok(()) } else { Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) }
}

fn no_tls12() -> Error {
    Error::General("TLS 1.3 only".to_owned())
}

/// Accepts one key.
#[derive(Debug)]
struct PinnedPeer {
    peer: Did,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedPeer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        alone(intermediates)?;
        if key_of(certificate)? != self.peer {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Accepts the keys that are admitted.
struct Admitted {
    admits: Box<dyn Fn(&Did) -> bool + Send + Sync>,
    provider: Arc<CryptoProvider>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admitted")
    }
}

impl ClientCertVerifier for Admitted {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        alone(intermediates)?;
        if !(self.admits)(&key_of(certificate)?) {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_the_key_it_was_made_of() {
        let key = SigningKey::from_seed(&[5; 32]);
        let identity = Identity::of(&key, "test/1").expect("any key will do");
        assert_eq!(key_of(&identity.certificate).expect("it is ours"), key.did());
    }

    #[test]
    fn a_certificate_of_another_algorithm_has_no_key_for_us() {
        let pair = rcgen::KeyPair::generate().expect("P-256");
        let certificate = rcgen::CertificateParams::default().self_signed(&pair).expect("it signs itself");
        assert!(key_of(certificate.der()).is_err());
        assert!(key_of(&CertificateDer::from(vec![0x30, 0x00])).is_err());
    }
}
