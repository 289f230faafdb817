//! Who gets through to whom, over real sockets on loopback.

use super::*;
use entrepot_chain_statement::Timestamp;
use entrepot_mpc_protocol::Channel as _;
use tokio::io::AsyncReadExt as _;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn run(attempt: u32) -> Run {
    Run { job_id: JobId::compose(Timestamp(1), [1; 10]), attempt, order: Hash([2; 32]) }
}

async fn node(seed: u8) -> Arc<PeerNode> {
    PeerNode::start(&key(seed), ([127, 0, 0, 1], 0).into()).await.expect("loopback can be listened on")
}

fn peers(nodes: &[Arc<PeerNode>; 3], keys: [u8; 3]) -> [Peer; 3] {
    [0, 1, 2].map(|at| Peer { worker: key(keys[at]).did(), address: nodes[at].local_address().to_string() })
}

async fn three() -> [Arc<PeerNode>; 3] {
    [node(1).await, node(2).await, node(3).await]
}

/// All three call at once.
async fn connect_all(nodes: &[Arc<PeerNode>; 3], peers: &[Peer; 3], run: &Run) -> [Result<PeerChannel, PeerError>; 3] {
    let [a, b, c] = nodes;
    let (a, b, c) = tokio::join!(a.connect(run, Party::ZERO, peers), b.connect(run, Party::ONE, peers), c.connect(run, Party::TWO, peers));
    [a, b, c]
}

#[tokio::test]
async fn frames_arrive_whole_in_order_and_from_whom_they_say() {
    let nodes = three().await;
    let [a, b, c] = connect_all(&nodes, &peers(&nodes, [1, 2, 3]), &run(1)).await.map(|channel| channel.expect("they are honest"));
    for (from, to, end) in [(&a, &b, (Party::ZERO, Party::ONE)), (&b, &c, (Party::ONE, Party::TWO)), (&c, &a, (Party::TWO, Party::ZERO))] {
        for length in [0, 1, 70_000, entrepot_mpc_protocol::FRAME_BYTES_MAX] {
            let frame = bytes::Bytes::from(vec![length as u8; length]);
            let (sent, received) = tokio::join!(from.send(end.1, frame.clone()), to.receive(end.0));
            sent.expect("the peer is there");
            assert_eq!(received.expect("the peer is there"), frame);
        }
    }
    let too_long = bytes::Bytes::from(vec![0; entrepot_mpc_protocol::FRAME_BYTES_MAX + 1]);
    assert!(matches!(a.send(Party::ONE, too_long).await, Err(entrepot_mpc_protocol::ChannelError::TooLong { .. })));
    assert!(matches!(a.receive(Party::ZERO).await, Err(entrepot_mpc_protocol::ChannelError::NotAPeer { .. })));
}

#[tokio::test]
async fn what_was_sent_arrives_although_the_sender_is_gone() {
    let nodes = three().await;
    let [a, b, _c] = connect_all(&nodes, &peers(&nodes, [1, 2, 3]), &run(1)).await.map(|channel| channel.expect("they are honest"));
    for number in 0..3u8 {
        a.send(Party::ONE, vec![number; 500_000].into()).await.expect("the peer is there");
    }
    drop(a);
    for number in 0..3u8 {
        assert_eq!(b.receive(Party::ZERO).await.expect("it was sent").first(), Some(&number));
    }
    assert!(b.receive(Party::ZERO).await.is_err(), "nothing more comes");
}

#[tokio::test]
async fn a_dialed_peer_with_another_key_is_refused() {
    let nodes = three().await;
    // Somebody else answers at party 2's address.
    let pinned = peers(&nodes, [1, 2, 9]);
    let found = timeout(Duration::from_secs(10), nodes[1].connect(&run(1), Party::ONE, &pinned)).await.expect("it is found out at once");
    assert!(matches!(found.err(), Some(PeerError::WrongKey { peer: Party::TWO })));
}

#[tokio::test]
async fn an_accepted_peer_with_another_key_is_never_let_in() {
    let nodes = three().await;
    let (this_run, deadline) = (run(1), Instant::now() + Duration::from_secs(2));
    // Party 1 expects key 9 of party 0; the dialing node has key 1 and says that it is party 0.
    let expected = peers(&nodes, [9, 2, 3]);
    let claim = Claim { run: run(1), from: 0, worker: expected[0].worker.clone() };
    let waiting = nodes[1].await_peer(claim, Party::ZERO, deadline);
    let dialing = nodes[0].dial(&this_run, Party::ZERO, Party::ONE, &expected[1].worker, &expected[1].address, deadline);
    let (waited, dialed) = tokio::join!(waiting, dialing);
    assert!(matches!(waited.err(), Some(PeerError::Unreachable { .. })));
    assert!(dialed.is_err());
}

#[tokio::test]
async fn a_connection_for_another_run_or_place_is_never_let_in() {
    let nodes = three().await;
    let pinned = peers(&nodes, [1, 2, 3]);
    let mut other_order = run(1);
    other_order.order = Hash([3; 32]);
    let mut other_job = run(1);
    other_job.job_id = JobId::compose(Timestamp(2), [1; 10]);
    for (theirs, from) in [(run(2), Party::ZERO), (other_order, Party::ZERO), (other_job, Party::ZERO), (run(1), Party::TWO)] {
        let deadline = Instant::now() + Duration::from_millis(700);
        let claim = Claim { run: run(1), from: 0, worker: pinned[0].worker.clone() };
        let waiting = nodes[1].await_peer(claim, Party::ZERO, deadline);
        let dialing = nodes[0].dial(&theirs, from, Party::ONE, &pinned[1].worker, &pinned[1].address, deadline);
        let (waited, dialed) = tokio::join!(waiting, dialing);
        assert!(waited.is_err() && dialed.is_err(), "{theirs:?} from {from}");
    }
}

#[tokio::test]
async fn a_peer_that_comes_before_its_job_is_parked_until_the_job_comes() {
    let nodes = three().await;
    let pinned = peers(&nodes, [1, 2, 3]);
    let deadline = Instant::now() + Duration::from_secs(4);
    let (run_1, address) = (run(1), &pinned[1].address);
    let dialing = nodes[0].dial(&run_1, Party::ZERO, Party::ONE, &pinned[1].worker, address, deadline);
    let waiting = async {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(nodes[1].rendezvous().parked.len(), 1);
        let claim = Claim { run: run(1), from: 0, worker: pinned[0].worker.clone() };
        nodes[1].await_peer(claim, Party::ZERO, deadline).await
    };
    let (dialed, waited) = tokio::join!(dialing, waiting);
    assert!(dialed.is_ok() && waited.is_ok());
    assert!(nodes[1].rendezvous().parked.is_empty());
}

#[tokio::test]
async fn strangers_can_neither_fill_the_room_nor_stay() {
    let nodes = three().await;
    let address = nodes[1].local_address().to_string();
    let connector = TlsConnector::from(nodes[0].identity.client(&key(2).did()).expect("any key will do"));
    let mut dials = Vec::new();
    for attempt in 0..PARKED_PER_KEY_MAX as u32 + 4 {
        let (connector, address) = (connector.clone(), address.clone());
        dials.push(tokio::spawn(async move { dial_once(&connector, &run(attempt), Party::ZERO, &address).await.is_ok() }));
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(nodes[1].rendezvous().parked.len(), PARKED_PER_KEY_MAX);
    for dial in dials {
        assert!(!dial.await.expect("it does not panic"));
    }
    assert!(nodes[1].rendezvous().parked.is_empty());
}

#[tokio::test]
async fn silent_connections_of_one_stranger_keep_nobody_out() {
    let nodes = three().await;
    let mut silent = Vec::new();
    for node in &nodes {
        for _ in 0..HANDSHAKES_MAX {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(([127, 0, 0, 2], 0).into()).expect("an address of loopback");
            silent.push(socket.connect(node.local_address()).await.expect("the port is open"));
        }
    }
    sleep(Duration::from_millis(200)).await;
    let (peers, run) = (peers(&nodes, [1, 2, 3]), run(1));
    let connected = timeout(HANDSHAKE_TIMEOUT / 2, connect_all(&nodes, &peers, &run)).await.expect("long before the silent ones are gone");
    assert!(connected.iter().all(Result::is_ok));
}

#[tokio::test]
async fn without_a_certificate_or_below_tls_1_3_nobody_gets_in() {
    let nodes = three().await;
    let address = nodes[1].local_address();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(nodes[1].identity.certificate()).expect("it is a certificate");
    for versions in [&[&rustls::version::TLS13][..], &[&rustls::version::TLS12][..]] {
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("the provider has it")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.expect("it listens");
        // With TLS 1.3 the client is done before the server has refused; then the first read says so.
        if let Ok(mut stream) = TlsConnector::from(Arc::new(config)).connect(server_name(), stream).await {
            let hello = br#"{"job_id":"x"}"#;
            let _ = write_frame(&mut stream, hello).await;
            let _ = stream.flush().await;
            assert!(!matches!(stream.read(&mut [0; 16]).await, Ok(1..)));
        }
        assert!(nodes[1].rendezvous().parked.is_empty());
    }
}
