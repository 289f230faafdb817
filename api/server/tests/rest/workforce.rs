//! The gRPC side: workers over real TLS on loopback.

use crate::harness::{DAY_MS, Person, TestExchange};
use async_trait::async_trait;
use entrepot_api_server::workforce::{Registry, serve};
use entrepot_api_wire::{
    MESSAGE_BYTES_MAX, hello_to_sign,
    v1::{
        FromWorker, Heartbeat, Hello, ToWorker, WorkAccepted, WorkProgress, from_worker::Message as Say, to_worker::Message as Hear,
        workforce_client::WorkforceClient,
    },
};
use entrepot_chain_statement::{
    Did, SigningKey, Timestamp,
    ids::{DatasetId, JobId},
    statements::{Role, WorkerRole},
};
use entrepot_exchange_market::{
    Market, Workforce,
    workforce::{ConnectedWorker, SendError, WorkerCommand, WorkerEvent, WorkerListener},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

const SOON: Duration = Duration::from_secs(10);

/// Writes down what it is told.
#[derive(Default)]
struct Witnessed(Mutex<Vec<String>>);

impl Witnessed {
    fn note(&self, what: String) {
        self.0.lock().expect("unpoisoned").push(what);
    }

    /// Waits until something that contains `what` was written down.
    async fn expect(&self, what: &str) {
        let seen = async {
            while !self.0.lock().expect("unpoisoned").iter().any(|line| line.contains(what)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = tokio::time::timeout(SOON, seen).await;
        assert!(seen.is_ok(), "{what} is not in {:?}", self.0.lock().expect("unpoisoned"));
    }

    fn count(&self, what: &str) -> usize {
        self.0.lock().expect("unpoisoned").iter().filter(|line| line.contains(what)).count()
    }
}

#[async_trait]
impl WorkerListener for Witnessed {
    async fn connected(&self, worker: &ConnectedWorker) {
        self.note(format!("connected {}", worker.worker));
    }
    async fn received(&self, worker: &ConnectedWorker, event: &WorkerEvent) {
        self.note(format!("received {} {event:?}", worker.worker));
    }
    async fn disconnected(&self, worker: &Did) {
        self.note(format!("disconnected {worker}"));
    }
}

struct Plane {
    exchange: TestExchange,
    registry: Arc<Registry>,
    witnessed: Arc<Witnessed>,
    endpoint: Endpoint,
    channel: Channel,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// One worker's side of a stream.
struct Line {
    say: mpsc::Sender<FromWorker>,
    hear: Streaming<ToWorker>,
}

impl Plane {
    async fn start() -> Self {
        let exchange = TestExchange::start().await;
        let registry = Arc::new(Registry::default());
        let market = Arc::new(Market { workforce: registry.clone(), ..(*exchange.market).clone() });
        let folder = tempfile::tempdir().expect("a folder");
        let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, issued.cert.pem()).expect("written");
        std::fs::write(&key, issued.signing_key.serialize_pem()).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (witnessed, stop) = (Arc::new(Witnessed::default()), CancellationToken::new());
        let (streams, told, ends) = (registry.clone(), witnessed.clone(), stop.clone());
        let serving = tokio::spawn(async move {
            serve(listener, &certificate, &key, market, streams, vec![told], ends).await.expect("it serves");
        });
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(issued.cert.pem())).domain_name("localhost");
        let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}")).expect("an address").tls_config(tls).expect("TLS");
        let channel = endpoint.connect().await.expect("connected");
        Self { exchange, registry, witnessed, endpoint, channel, stop, serving, _folder: folder }
    }

    async fn dial(&self) -> Line {
        let (say, said) = mpsc::channel(16);
        let mut client =
            WorkforceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(usize::MAX);
        let hear = client.connect(ReceiverStream::new(said)).await.expect("a stream").into_inner();
        Line { say, hear }
    }

    /// Answers the challenge as `change` makes it.
    async fn greet(&self, person: &Person, change: impl FnOnce(&mut Hello, &[u8])) -> Line {
        let mut line = self.dial().await;
        let Some(Hear::Challenge(challenge)) = line.next().await else { panic!("no challenge") };
        assert_eq!(challenge.exchange, self.exchange.market.exchange_did().to_string());
        let mut hello = Hello {
            worker: person.worker.did().to_string(),
            signature: person.worker.sign(&hello_to_sign(&challenge.exchange, person.worker.did().as_str(), &challenge.nonce)).to_vec(),
            grant: person.sign(&person.grant(WorkerRole::Data)).to_json(),
            peer_address: "127.0.0.1:9000".to_owned(),
            version: "1.2.3".to_owned(),
            checkpoint_size: 7,
        };
        change(&mut hello, &challenge.nonce);
        line.say(Say::Hello(hello)).await;
        line
    }

    async fn welcomed(&self, person: &Person) -> Line {
        let mut line = self.greet(person, |_, _| ()).await;
        assert!(matches!(line.next().await, Some(Hear::Welcome(welcome)) if welcome.heartbeat_seconds > 0));
        self.witnessed.expect(&format!("connected {}", person.worker.did())).await;
        line
    }

    async fn refused(&self, person: &Person, change: impl FnOnce(&mut Hello, &[u8])) {
        let status = self.greet(person, change).await.end().await;
        assert_eq!(status.map(|status| status.code()), Some(Code::Unauthenticated));
        assert!(self.registry.connected().is_empty());
    }
}

impl Line {
    async fn say(&self, message: Say) {
        self.say.send(FromWorker { message: Some(message) }).await.expect("the stream is open");
    }

    async fn next(&mut self) -> Option<Hear> {
        tokio::time::timeout(SOON, self.hear.message()).await.expect("in time").ok().flatten().and_then(|message| message.message)
    }

    /// Reads to the end; the status it ended with, if that is an error.
    async fn end(mut self) -> Option<Status> {
        loop {
            match tokio::time::timeout(SOON, self.hear.message()).await.expect("in time") {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

#[tokio::test]
async fn a_worker_with_a_registered_grant_comes_in_hears_commands_and_leaves() {
    let plane = Plane::start().await;
    let lender = plane.exchange.provider(1).await;
    let worker = lender.worker.did();
    let mut line = plane.welcomed(&lender).await;
    let found = plane.registry.find(&worker).expect("it is connected");
    assert_eq!((found.participant, found.checkpoint_size, found.version.as_str()), (lender.did(), 7, "1.2.3"));

    let dataset_id = DatasetId::compose(Timestamp(1), [1; 10]);
    plane
        .registry
        .send(&worker, WorkerCommand::DescribeDataset { dataset_id: dataset_id.clone(), name: "loans".to_owned() })
        .expect("sent");
    let Some(Hear::DescribeDataset(heard)) = line.next().await else { panic!("no command") };
    assert_eq!((heard.dataset_id, heard.name.as_str()), (dataset_id.to_string(), "loans"));

    line.say(Say::Heartbeat(Heartbeat { sequence: 42 })).await;
    assert!(matches!(line.next().await, Some(Hear::HeartbeatEcho(echo)) if echo.sequence == 42));

    let job_id = JobId::compose(Timestamp(1), [2; 10]).to_string();
    line.say(Say::WorkAccepted(WorkAccepted { job_id: job_id.clone(), attempt: 3 })).await;
    plane.witnessed.expect(&format!("WorkAccepted {{ job_id: JobId(\"{job_id}\"), attempt: 3 }}")).await;

    drop(line);
    plane.witnessed.expect(&format!("disconnected {worker}")).await;
    assert_eq!(
        plane.registry.send(&worker, WorkerCommand::DescribeDataset { dataset_id, name: "x".to_owned() }),
        Err(SendError::NotConnected)
    );
}

#[tokio::test]
async fn strangers_and_liars_are_turned_away() {
    let plane = Plane::start().await;
    let lender = plane.exchange.provider(1).await;
    let bureau = plane.exchange.provider(2).await;
    let other = SigningKey::from_seed(&[99; 32]);
    plane.refused(&lender, |hello, _| hello.signature = vec![0; 64]).await;
    plane.refused(&lender, |hello, _| hello.signature.truncate(63)).await;
    plane.refused(&lender, |hello, nonce| hello.signature = other.sign(nonce).to_vec()).await;
    plane.refused(&lender, |hello, _| hello.worker = "did:key:z6Mk".to_owned()).await;
    plane.refused(&lender, |hello, _| hello.grant = b"{}".to_vec()).await;
    plane.refused(&lender, |hello, _| hello.peer_address = "a\nb".to_owned()).await;
    plane.refused(&lender, |hello, _| hello.version = "v".repeat(10_000)).await;
    // Another worker's grant, and one that was never registered.
    plane.refused(&lender, |hello, _| hello.grant = bureau.sign(&bureau.grant(WorkerRole::Data)).to_json()).await;
    let mut longer = lender.grant(WorkerRole::Data);
    longer.expires_at = longer.expires_at.plus_ms(1);
    plane.refused(&lender, |hello, _| hello.grant = lender.sign(&longer).to_json()).await;
    let unknown = Person::new(7, &[Role::Provider]);
    plane.refused(&unknown, |_, _| ()).await;
    // A signature for another nonce is a recording.
    plane
        .refused(&lender, |hello, _| {
            let exchange = plane.exchange.market.exchange_did();
            hello.signature = lender.worker.sign(&hello_to_sign(exchange.as_str(), &hello.worker, &[0; 32])).to_vec();
        })
        .await;
    plane.exchange.clock.forward(31 * DAY_MS);
    plane.refused(&lender, |_, _| ()).await;
}

#[tokio::test]
async fn whoever_does_not_greet_first_is_cut_off() {
    let plane = Plane::start().await;
    let mut line = plane.dial().await;
    assert!(matches!(line.next().await, Some(Hear::Challenge(_))));
    line.say(Say::Heartbeat(Heartbeat { sequence: 1 })).await;
    assert_eq!(line.end().await.map(|status| status.code()), Some(Code::Unauthenticated));
}

#[tokio::test]
async fn a_stranger_may_send_little_and_a_worker_much() {
    let plane = Plane::start().await;
    let lender = plane.exchange.provider(1).await;
    let status = plane.greet(&lender, |hello, _| hello.version = "v".repeat(100_000)).await.end().await.expect("it is cut off");
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the first message must be a Hello"));
    let line = plane.welcomed(&lender).await;
    line.say(Say::WorkAccepted(WorkAccepted { job_id: "j".repeat(1_000_000), attempt: 1 })).await;
    let status = line.end().await.expect("it is no message");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

#[tokio::test]
async fn strangers_that_do_not_greet_make_room_for_those_who_do() {
    let mut plane = Plane::start().await;
    let lender = plane.exchange.provider(1).await;
    let mut oldest = plane.dial().await;
    assert!(matches!(oldest.next().await, Some(Hear::Challenge(_))));
    let mut silent = Vec::new();
    // More than wait at once; four go on one connection.
    for _ in 0..66 {
        plane.channel = plane.endpoint.connect().await.expect("connected");
        for _ in 0..4 {
            silent.push(plane.dial().await);
        }
    }
    assert_eq!(oldest.end().await.map(|status| status.code()), Some(Code::ResourceExhausted));
    plane.channel = plane.endpoint.connect().await.expect("connected");
    plane.welcomed(&lender).await;
}

#[tokio::test]
async fn a_new_stream_takes_over_from_the_old() {
    let plane = Plane::start().await;
    let lender = plane.exchange.provider(1).await;
    let old = plane.welcomed(&lender).await;
    let mut new = plane.greet(&lender, |_, _| ()).await;
    assert!(matches!(new.next().await, Some(Hear::Welcome(_))));
    old.end().await;
    let worker = lender.worker.did();
    assert!(plane.registry.find(&worker).is_some(), "the end of the old stream does not remove the new one");
    assert_eq!(plane.witnessed.count("disconnected"), 0);
    plane
        .registry
        .send(&worker, WorkerCommand::AbortWork { job_id: JobId::compose(Timestamp(1), [1; 10]), attempt: 1, code: "x".to_owned() })
        .expect("sent");
    assert!(matches!(new.next().await, Some(Hear::AbortWork(_))));
}

#[tokio::test]
async fn what_is_no_message_ends_the_stream_and_nothing_else() {
    let plane = Plane::start().await;
    let (lender, bureau) = (plane.exchange.provider(1).await, plane.exchange.provider(2).await);
    let mut sound = plane.welcomed(&bureau).await;
    let job_id = JobId::compose(Timestamp(1), [1; 10]).to_string();
    let progress = |job_id: &str, step: &str| {
        Say::WorkProgress(WorkProgress { job_id: job_id.to_owned(), attempt: 1, done: 1, total: 2, step: step.to_owned() })
    };
    let nonsense = [
        progress("job_x", "computing"),
        progress("", "computing"),
        progress(&job_id, "two\nlines"),
        progress(&"j".repeat(1 << 20), "computing"),
        Say::Hello(Hello::default()),
        // Larger than any message may be.
        progress(&job_id, &"s".repeat(MESSAGE_BYTES_MAX + 1)),
    ];
    for message in nonsense {
        let line = plane.welcomed(&lender).await;
        line.say(message).await;
        line.end().await;
    }
    assert_eq!(plane.witnessed.count("received"), 0);
    sound.say(Say::Heartbeat(Heartbeat { sequence: 1 })).await;
    assert!(matches!(sound.next().await, Some(Hear::HeartbeatEcho(_))));
}

#[tokio::test]
async fn a_worker_that_does_not_read_fills_its_own_queue_and_blocks_nobody() {
    let plane = Plane::start().await;
    let lender = plane.exchange.provider(1).await;
    let _deaf = plane.welcomed(&lender).await;
    let command = || WorkerCommand::CosignCheckpoint { checkpoint: vec![0; 1 << 20], old_size: 0, consistency: vec![] };
    let results: Vec<_> = (0..300).map(|_| plane.registry.send(&lender.worker.did(), command())).collect();
    assert!(results.contains(&Err(SendError::QueueFull)));
}

#[tokio::test]
async fn stopping_ends_every_stream() {
    let plane = Plane::start().await;
    let lender = plane.exchange.provider(1).await;
    let line = plane.welcomed(&lender).await;
    plane.stop.cancel();
    line.end().await;
    tokio::time::timeout(SOON, plane.serving).await.expect("in time").expect("no panic");
}
