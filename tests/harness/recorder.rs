//! Listens in: proxies that end TLS on both sides and keep every byte the exchange receives or sends in the clear, and a search
//! through bytes and files for what must never be there, in every form it could take.

use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// All that passed, by connection and direction.
#[derive(Clone, Default)]
pub struct Recording(Arc<Mutex<Vec<Vec<u8>>>>);

impl Recording {
    fn stream(&self) -> usize {
        let mut streams = self.0.lock().expect("no panic while recording");
        streams.push(Vec::new());
        streams.len() - 1
    }

    fn append(&self, stream: usize, bytes: &[u8]) {
        self.0.lock().expect("no panic while recording")[stream].extend_from_slice(bytes);
    }

    /// Every stream as it passed.
    pub fn raw(&self) -> Vec<Vec<u8>> {
        self.0.lock().expect("no panic while recording").clone()
    }

    /// Every stream with what HTTP/2 framing would tear apart put together: the payloads of its DATA frames, by stream.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.raw().iter().flat_map(|bytes| http2_bodies(bytes)).collect()
    }

    /// Bytes in all.
    pub fn len(&self) -> usize {
        self.raw().iter().map(Vec::len).sum()
    }

    /// Whether nothing passed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A proxy in front of a plain-text HTTP address; its own address.
pub async fn record_http(target: String, recording: Recording) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (target, recording) = (target.clone(), recording.clone());
            tokio::spawn(async move {
                if let Ok(far) = TcpStream::connect(target).await {
                    relay(near, far, recording).await;
                }
            });
        }
    });
    address
}

/// A proxy in front of a TLS address whose certificate is in `target_ca`: ends TLS with a certificate of its own, written to
/// `own_certificate`, and begins it anew. Its own address.
pub async fn record_tls(target: String, target_ca: &Path, own_certificate: &Path, recording: Recording) -> String {
    crate::install_crypto();
    let (certificate, key) = make_certificate(own_certificate);
    let mut server = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).expect("a certificate");
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(target_ca).expect("PEM")).expect("a certificate");
    let mut client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let (acceptor, connector) = (TlsAcceptor::from(Arc::new(server)), TlsConnector::from(Arc::new(client)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (acceptor, connector, target, recording) = (acceptor.clone(), connector.clone(), target.clone(), recording.clone());
            tokio::spawn(async move {
                let host = target.rsplit_once(':').map(|(host, _)| host.to_owned()).expect("host:port");
                let Ok(near) = acceptor.accept(near).await else { return };
                let Ok(far) = TcpStream::connect(&target).await else { return };
                let Ok(far) = connector.connect(ServerName::try_from(host).expect("a name"), far).await else { return };
                relay(near, far, recording).await;
            });
        }
    });
    address
}

/// A certificate for loopback, written to a PEM file for those who are to accept it, and its key.
pub fn make_certificate(path: &Path) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(path, certificate.pem()).expect("certificate file");
    (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

async fn relay(near: impl AsyncRead + AsyncWrite, far: impl AsyncRead + AsyncWrite, recording: Recording) {
    let (near_read, near_write) = tokio::io::split(near);
    let (far_read, far_write) = tokio::io::split(far);
    tokio::join!(copy(near_read, far_write, &recording), copy(far_read, near_write, &recording));
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, recording: &Recording) {
    let stream = recording.stream();
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        recording.append(stream, &buffer[..read]);
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Payloads of the DATA frames, joined by stream. What is not HTTP/2 gives nothing.
fn http2_bodies(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes.strip_prefix(HTTP2_PREFACE).unwrap_or(bytes);
    let mut bodies: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
    while let Some((header, after)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let Some(payload) = after.get(..length) else { break };
        let (is_data, is_padded) = (header[3] == 0, header[4] & 8 != 0);
        if is_data {
            let stream = u32::from_be_bytes([header[5] & 0x7f, header[6], header[7], header[8]]);
            let (start, padding) = if is_padded { (1, usize::from(payload[0])) } else { (0, 0) };
            bodies.entry(stream).or_default().extend_from_slice(payload.get(start..length.saturating_sub(padding)).unwrap_or_default());
        }
        rest = &after[length..];
    }
    bodies.into_values().collect()
}

/// Something that must not be seen.
#[derive(Clone, Debug)]
pub struct Secret {
    /// What it is.
    pub what: String,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    /// Bytes: as they are, in hex, in base64 at each of its three alignments.
    pub fn bytes(what: impl Into<String>, bytes: &[u8]) -> Self {
        let hex = hex::encode(bytes);
        let mut forms = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        for shift in 0..3 {
            // Only the digits that hang on these bytes alone.
            let padded: Vec<u8> = std::iter::repeat_n(0, shift).chain(bytes.iter().copied()).collect();
            let text = BASE64_STANDARD.encode(&padded);
            let (start, end) = ((shift * 8).div_ceil(6), padded.len() * 8 / 6);
            let digits = &text[start..end];
            forms.push(digits.as_bytes().to_vec());
            forms.push(digits.replace('+', "-").replace('/', "_").into_bytes());
        }
        forms.sort();
        forms.dedup();
        Self { what: what.into(), forms }
    }

    /// A text.
    pub fn text(text: &str) -> Self {
        Self::bytes(format!("the text {text}"), text.as_bytes())
    }

    /// A number that is too long to stand anywhere by chance: in digits, and as eight bytes in both orders.
    pub fn number(number: u64) -> Self {
        assert!(number > 1 << 32, "{number} could stand there by chance");
        let mut secret = Self::bytes(format!("the number {number}"), number.to_string().as_bytes());
        for bytes in [number.to_le_bytes(), number.to_be_bytes()] {
            secret.forms.extend(Self::bytes("", &bytes).forms);
        }
        secret
    }

    fn is_in(&self, haystack: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(haystack, form))
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some((&first, rest)) = needle.split_first() else { return false };
    let mut at = 0;
    while let Some(found) = haystack[at..].iter().position(|byte| *byte == first) {
        at += found + 1;
        if haystack[at..].starts_with(rest) {
            return true;
        }
    }
    false
}

/// Which secrets are in which of these places.
pub fn search<'a>(secrets: &[Secret], places: impl IntoIterator<Item = (String, &'a [u8])>) -> Vec<String> {
    let mut found = Vec::new();
    for (place, bytes) in places {
        found.extend(secrets.iter().filter(|secret| secret.is_in(bytes)).map(|secret| format!("{} in {place}", secret.what)));
    }
    found
}

/// Every file below a folder, whole.
pub fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("folder").map(|entry| entry.expect("entry").path()) {
            if entry.is_dir() {
                open.push(entry);
            } else if let Ok(bytes) = std::fs::read(&entry) {
                found.push((entry, bytes));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = [Secret::bytes("seed", b"0123456789abcdef0123456789abcdef")];
        for shift in 0..3 {
            let text = BASE64_STANDARD.encode([&b"xyz"[..shift], b"0123456789abcdef0123456789abcdef", b"tail"].concat());
            assert_eq!(search(&secret, [("base64".to_owned(), text.as_bytes())]).len(), 1, "shift {shift}");
        }
        let hex = hex::encode(b"0123456789abcdef0123456789abcdef");
        assert_eq!(search(&secret, [("hex".to_owned(), hex.as_bytes())]).len(), 1);
        assert_eq!(search(&secret, [("near".to_owned(), &b"0123456789abcdef0123456789abcdeX"[..])]).len(), 0);
    }

    #[test]
    fn a_number_is_found_in_digits_and_in_binary() {
        let secret = [Secret::number(123_456_789_012)];
        let places = [
            b"x 123456789012".to_vec(),
            [&[7][..], &123_456_789_012_u64.to_le_bytes()].concat(),
            123_456_789_012_u64.to_be_bytes().to_vec(),
        ];
        for place in &places {
            assert_eq!(search(&secret, [("place".to_owned(), &place[..])]).len(), 1);
        }
        assert!(search(&secret, [("place".to_owned(), &b"123456789013"[..])]).is_empty());
    }

    #[test]
    fn bodies_torn_into_frames_are_put_together() {
        let frame = |stream: u8, payload: &[u8]| [&[0, 0, payload.len() as u8, 0, 0, 0, 0, 0, stream][..], payload].concat();
        let bytes = [HTTP2_PREFACE, &frame(1, b"cust"), &frame(3, b"other"), &frame(1, b"omer")].concat();
        assert_eq!(http2_bodies(&bytes), [b"customer".to_vec(), b"other".to_vec()]);
    }
}
