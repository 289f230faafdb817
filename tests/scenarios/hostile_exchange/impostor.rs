//! Somebody who stands between two parties: answers for one, dials as another, or passes everything on and changes a byte.

use entrepot_chain_statement::SigningKey;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{
    io,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

/// DER of an Ed25519 PKCS#8 private key up to the 32 bytes of the seed (RFC 8410).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const ALPN: &[u8] = b"entrepot-party/1";

/// What somebody shows, and the key it signs the handshake with. In a thief's hands the two do not belong together.
pub(super) struct Papers {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

impl Papers {
    /// A certificate of a key, as a worker makes its own.
    pub fn of(key: &SigningKey) -> Self {
        let pkcs8 = [&PKCS8_PREFIX[..], &key.seed()[..]].concat();
        let der = PrivatePkcs8KeyDer::from(pkcs8);
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).expect("an Ed25519 key");
        let certificate = CertificateParams::new(vec!["party.invalid".to_owned()]).expect("a name").self_signed(&pair).expect("it signs");
        Self { certificate: certificate.der().clone(), key: der.into() }
    }
}

/// What an impostor saw of those who dialled it: a handshake that failed, or the first bytes they said.
pub(super) type Heard = Arc<Mutex<Vec<io::Result<Vec<u8>>>>>;

/// Answers TLS at an address of its own with these papers; the address.
pub(super) async fn answer(papers: Papers, heard: Heard) -> String {
    let key = rustls::crypto::ring::sign::any_supported_type(&papers.key).expect("an Ed25519 key");
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![papers.certificate], key));
    let mut config = ServerConfig::builder().with_no_client_auth().with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![ALPN.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let listened = async {
                let mut stream = acceptor.accept(stream).await?;
                let mut said = vec![0; 4096];
                let read = stream.read(&mut said).await?;
                said.truncate(read);
                Ok(said)
            };
            let listened = listened.await;
            heard.lock().expect("no panic while locked").push(listened);
        }
    });
    address
}

/// Dials a party with these papers, whoever answers.
pub(super) async fn dial(address: &str, papers: Papers) -> TlsStream<TcpStream> {
    let verifier = Arc::new(Anyone);
    let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier);
    let mut config = builder.with_client_auth_cert(vec![papers.certificate], papers.key).expect("a certificate");
    config.alpn_protocols = vec![ALPN.to_vec()];
    let stream = TcpStream::connect(address).await.expect("the worker listens");
    let name = ServerName::try_from("party.invalid").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the worker shows itself")
}

/// Passes bytes on to `target` both ways and flips one bit of the byte at `place` of what the dialling side sends; its address.
pub(super) async fn relay_and_change(target: String, place: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&target).await else { continue };
            let (mut near_read, mut near_write) = near.into_split();
            let (mut far_read, mut far_write) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut far_read, &mut near_write).await });
            tokio::spawn(async move {
                let (mut passed, mut buffer) = (0, vec![0; 16 * 1024]);
                while let Ok(read @ 1..) = near_read.read(&mut buffer).await {
                    if (passed..passed + read).contains(&place) {
                        buffer[place - passed] ^= 1;
                    }
                    passed += read;
                    if far_write.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Accepts whoever answers: a party would not.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
