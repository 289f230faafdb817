//! The listener: plain and TLS connections, a graceful stop.

use crate::harness::TestExchange;
use entrepot_api_server::{
    serve::{self, Patience},
    tls,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

async fn talk(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> String {
    stream.write_all(REQUEST).await.expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn plain_connections_are_served_until_the_stop() {
    let exchange = TestExchange::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve::serve(listener, exchange.router.clone(), None, Patience::default(), stop.clone()));
    assert!(talk(TcpStream::connect(address).await.expect("connects")).await.starts_with("HTTP/1.1 200"));
    // An idle connection does not hold the stop up.
    let idle = TcpStream::connect(address).await.expect("connects");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("it stops").expect("no panic");
    drop(idle);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn tls_connections_are_served_with_the_given_certificate() {
    let exchange = TestExchange::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(&certificate_file, issued.cert.pem()).expect("written");
    std::fs::write(&key_file, issued.signing_key.serialize_pem()).expect("written");
    let config = tls::server_config(&certificate_file, &key_file).expect("a configuration");

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve::serve(listener, exchange.router.clone(), Some(config), Patience::default(), stop.clone()));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(issued.cert.der().clone()).expect("a root");
    let client = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.expect("connects");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.expect("a handshake");
    assert!(talk(stream).await.starts_with("HTTP/1.1 200"));
    // Whoever speaks no TLS gets no answer and disturbs nobody.
    let mut plain = TcpStream::connect(address).await.expect("connects");
    plain.write_all(REQUEST).await.expect("written");
    let mut answer = Vec::new();
    let _reset = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"));
    stop.cancel();
    server.await.expect("no panic");
}

#[tokio::test]
async fn silent_connections_do_not_keep_others_out() {
    let exchange = TestExchange::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let patience = Patience { connections_max: 8, header_timeout: Duration::from_millis(200) };
    let server = tokio::spawn(serve::serve(listener, exchange.router.clone(), None, patience, stop.clone()));
    let mut silent = Vec::new();
    // Nothing at all, the beginning of HTTP/2's preface, all of it, and the beginning of a request.
    for begun in ["", "PRI * HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /livez HTTP/1.1\r\n"] {
        for _ in 0..8 {
            let mut stream = TcpStream::connect(address).await.expect("connects");
            stream.write_all(begun.as_bytes()).await.expect("written");
            silent.push(stream);
        }
    }
    let answer = tokio::time::timeout(Duration::from_secs(60), talk(TcpStream::connect(address).await.expect("connects"))).await;
    assert!(answer.expect("it is its turn").starts_with("HTTP/1.1 200"));
    // Whoever speaks in time is not cut off: a connection outlives the limit between two requests.
    let mut stream = TcpStream::connect(address).await.expect("connects");
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("written");
        let mut begun = [0; 12];
        stream.read_exact(&mut begun).await.expect("an answer");
        assert_eq!(&begun, b"HTTP/1.1 200");
        let mut rest = [0; 4096];
        let _ = stream.read(&mut rest).await.expect("the rest of it");
    }
    stop.cancel();
    server.await.expect("no panic");
}

#[test]
fn files_that_are_no_certificate_or_key_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (empty, key_file) = (folder.path().join("empty.pem"), folder.path().join("key.pem"));
    std::fs::write(&empty, "").expect("written");
    std::fs::write(&key_file, "nonsense").expect("written");
    assert!(matches!(tls::server_config(&empty, &key_file), Err(tls::TlsError::NoCertificate)));
    assert!(matches!(tls::server_config(&folder.path().join("absent"), &key_file), Err(tls::TlsError::Certificate(_))));
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let certificate_file = folder.path().join("cert.pem");
    std::fs::write(&certificate_file, issued.cert.pem()).expect("written");
    assert!(matches!(tls::server_config(&certificate_file, &key_file), Err(tls::TlsError::Key(_))));
}

#[tokio::test]
async fn a_client_that_still_sends_too_much_hears_why_it_is_refused() {
    let exchange = TestExchange::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve::serve(listener, exchange.router.clone(), None, Patience::default(), stop.clone()));
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let length = 6 * 1024 * 1024;
    let head = format!("POST /v1/quotes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    // More than the buffers between us hold.
    stream.write_all(&vec![b' '; length]).await.expect("the exchange goes on reading");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("body_too_large"), "{answer}");
    stop.cancel();
    server.await.expect("no panic");
}
