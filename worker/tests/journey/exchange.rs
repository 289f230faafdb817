//! The exchange's end of the worker stream, in a test's hand: it greets as the protocol says and then says what the test says.

use entrepot_api_wire::{
    hello_to_sign,
    v1::{
        self, FromWorker, ToWorker,
        from_worker::Message as FromWorkerMessage,
        to_worker::Message as ToWorkerMessage,
        workforce_server::{Workforce, WorkforceServer},
    },
};
use entrepot_chain_statement::{Did, SigningKey};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Identity, Server, ServerTlsConfig},
};

/// How long a test waits for a worker.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A worker that has said hello.
pub struct Connected {
    pub worker: Did,
    pub peer_address: String,
    to_worker: mpsc::Sender<Result<ToWorker, Status>>,
    from_worker: mpsc::Receiver<FromWorkerMessage>,
}

impl Connected {
    pub async fn say(&self, message: ToWorkerMessage) {
        self.to_worker.send(Ok(ToWorker { message: Some(message) })).await.expect("the worker is connected");
    }

    /// The worker's next message that is neither progress nor acceptance.
    pub async fn answer(&mut self) -> FromWorkerMessage {
        loop {
            match tokio::time::timeout(PATIENCE, self.from_worker.recv()).await.expect("the worker answers in time") {
                Some(FromWorkerMessage::WorkProgress(_) | FromWorkerMessage::WorkAccepted(_)) => {}
                Some(message) => return message,
                None => panic!("the worker went away"),
            }
        }
    }

    /// Waits for any message that fits.
    pub async fn hear(&mut self, fits: impl Fn(&FromWorkerMessage) -> bool) {
        while !fits(&tokio::time::timeout(PATIENCE, self.from_worker.recv()).await.expect("in time").expect("it is connected")) {}
    }

    pub async fn receipt(&mut self) -> Vec<u8> {
        match self.answer().await {
            FromWorkerMessage::WorkFinished(finished) => finished.receipt,
            other => panic!("{other:?}"),
        }
    }

    pub async fn refusal(&mut self) -> String {
        match self.answer().await {
            FromWorkerMessage::WorkRefused(refused) => refused.code,
            other => panic!("{other:?}"),
        }
    }

    pub async fn failure(&mut self) -> String {
        match self.answer().await {
            FromWorkerMessage::WorkFailed(failed) => failed.code,
            other => panic!("{other:?}"),
        }
    }
}

struct Greeter {
    exchange: Did,
    arrivals: mpsc::Sender<Connected>,
}

#[tonic::async_trait]
impl Workforce for Greeter {
    type ConnectStream = ReceiverStream<Result<ToWorker, Status>>;

    async fn connect(&self, request: Request<Streaming<FromWorker>>) -> Result<Response<Self::ConnectStream>, Status> {
        let mut incoming = request.into_inner();
        let (to_worker, messages) = mpsc::channel(16);
        let (exchange, arrivals) = (self.exchange.clone(), self.arrivals.clone());
        tokio::spawn(async move {
            let nonce = vec![7; 32];
            let send = |message| ToWorker { message: Some(message) };
            let challenge = v1::Challenge { nonce: nonce.clone(), exchange: exchange.to_string() };
            to_worker.send(Ok(send(ToWorkerMessage::Challenge(challenge)))).await.ok()?;
            let FromWorkerMessage::Hello(hello) = incoming.message().await.ok()??.message? else { return None };
            let worker: Did = hello.worker.parse().ok()?;
            assert!(worker.verify(&hello_to_sign(exchange.as_str(), &hello.worker, &nonce), &hello.signature));
            to_worker.send(Ok(send(ToWorkerMessage::Welcome(v1::Welcome { heartbeat_seconds: 1 })))).await.ok()?;
            let (sender, from_worker) = mpsc::channel(1_000);
            let connected = Connected { worker, peer_address: hello.peer_address, to_worker: to_worker.clone(), from_worker };
            arrivals.send(connected).await.ok()?;
            while let Ok(Some(FromWorker { message: Some(message) })) = incoming.message().await {
                match message {
                    FromWorkerMessage::Heartbeat(v1::Heartbeat { sequence }) => {
                        let echo = v1::HeartbeatEcho { sequence };
                        to_worker.send(Ok(send(ToWorkerMessage::HeartbeatEcho(echo)))).await.ok()?;
                    }
                    message => sender.send(message).await.ok()?,
                }
            }
            Some(())
        });
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

/// A listening exchange.
pub struct Exchange {
    pub key: SigningKey,
    /// PEM of its certificate.
    pub certificate: String,
    pub url: String,
    arrivals: mpsc::Receiver<Connected>,
}

impl Exchange {
    pub async fn start(key: SigningKey) -> Self {
        Self::start_as(key.did(), key).await
    }

    /// One that calls itself `did` whatever its key.
    pub async fn start_as(did: Did, key: SigningKey) -> Self {
        let pair = rcgen::KeyPair::generate().expect("P-256");
        let names = vec!["localhost".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).expect("a name").self_signed(&pair).expect("it signs itself").pem();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback can be listened on");
        let port = listener.local_addr().expect("it is bound").port();
        let (sender, arrivals) = mpsc::channel(8);
        let service = WorkforceServer::new(Greeter { exchange: did, arrivals: sender });
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(&certificate, pair.serialize_pem()));
        let server = Server::builder().tls_config(tls).expect("the certificate is ours").add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { key, certificate, url: format!("https://localhost:{port}"), arrivals }
    }

    /// The next worker that says hello.
    pub async fn arrival(&mut self) -> Connected {
        tokio::time::timeout(PATIENCE, self.arrivals.recv()).await.expect("a worker comes in time").expect("it listens")
    }

    /// Whether a worker comes within a short while.
    pub async fn nobody_comes(&mut self) -> bool {
        tokio::time::timeout(Duration::from_secs(2), self.arrivals.recv()).await.is_err()
    }
}
