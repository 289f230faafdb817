//! One stream a worker: greeting, then commands out and events in until either side ends it.

use super::{
    Registry, hello,
    messages::{self, Incoming},
    registry::{Outgoing, Place, QUEUE_MAX},
    strangers::{self, Greeted, Strangers},
};
use entrepot_api_wire::{
    MESSAGE_BYTES_MAX,
    v1::{self as wire, FromWorker, ToWorker, from_worker, to_worker, workforce_server},
};
use entrepot_exchange_market::{
    Market,
    workforce::{ConnectedWorker, WorkerListener},
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_stream::{
    StreamExt,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Identity, Server, ServerTlsConfig},
};
use tower::util::MapRequestLayer;

/// How often a worker is asked to show that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// A stream that was silent for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);
/// How long a worker may take to greet.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams one connection may open: one is enough, two overlap at a reconnect.
const STREAMS_PER_CONNECTION_MAX: u32 = 4;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of all who have greeted.
const STREAMS_MAX: usize = 1024;

/// The control plane cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificate or key cannot be read.
    #[error("the control plane's certificate or key cannot be read")]
    Identity(#[source] std::io::Error),
    /// The transport failed.
    #[error("the control plane stopped")]
    Transport(#[from] tonic::transport::Error),
}

/// Serves workers on `listener` until `stop` is cancelled. `certificate` and `key` are PEM files; the workers pin the certificate.
pub async fn serve(
    listener: TcpListener,
    certificate: &Path,
    key: &Path,
    market: Arc<Market>,
    registry: Arc<Registry>,
    listeners: Vec<Arc<dyn WorkerListener>>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let identity =
        Identity::from_pem(std::fs::read(certificate).map_err(ServeError::Identity)?, std::fs::read(key).map_err(ServeError::Identity)?);
    let slots = Arc::new(Semaphore::new(STREAMS_MAX));
    let service = Service { market, registry, listeners: listeners.into(), slots, strangers: Arc::default(), stop: stop.clone() };
    let service = workforce_server::WorkforceServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_TIMEOUT))?
        .layer(MapRequestLayer::new(strangers::bound))
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(HEARTBEAT))
        .http2_keepalive_timeout(Some(SILENCE_MAX))
        .tcp_nodelay(true)
        .add_service(service)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.cancelled_owned())
        .await?;
    Ok(())
}

#[derive(Clone)]
struct Service {
    market: Arc<Market>,
    registry: Arc<Registry>,
    listeners: Arc<[Arc<dyn WorkerListener>]>,
    slots: Arc<Semaphore>,
    strangers: Arc<Strangers>,
    stop: CancellationToken,
}

#[tonic::async_trait]
impl workforce_server::Workforce for Service {
    type ConnectStream = ReceiverStream<Outgoing>;

    async fn connect(&self, request: Request<Streaming<FromWorker>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (queue, outgoing) = mpsc::channel(QUEUE_MAX);
        let greeted = request.extensions().get::<Greeted>().cloned().unwrap_or_default();
        tokio::spawn(self.clone().talk(request.into_inner(), greeted, queue));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

impl Service {
    async fn talk(self, mut incoming: Streaming<FromWorker>, greeted: Greeted, queue: mpsc::Sender<Outgoing>) {
        let (worker, _slot) = match self.let_in(&mut incoming, &queue).await {
            Ok(let_in) => let_in,
            Err(status) => {
                let _ = queue.try_send(Err(status));
                return;
            }
        };
        greeted.set();
        let welcome = wire::Welcome { heartbeat_seconds: HEARTBEAT.as_secs() as u32 };
        let _ = queue.send(Ok(message(to_worker::Message::Welcome(welcome)))).await;
        let place = self.registry.enter(worker.clone(), queue.clone());
        tracing::info!(worker = %worker.worker, participant = %worker.participant, version = worker.version, "a worker connected");
        for listener in &*self.listeners {
            listener.connected(&worker).await;
        }
        let why = self.listen(&worker, &place, incoming, &queue).await;
        tracing::info!(worker = %worker.worker, why, "a worker's stream ended");
        if self.registry.leave(&worker.worker, &place) {
            for listener in &*self.listeners {
                listener.disconnected(&worker.worker).await;
            }
        }
    }

    /// Greeting, for as long as there is a place among the strangers; then a place among the workers.
    async fn let_in(
        &self,
        incoming: &mut Streaming<FromWorker>,
        queue: &mpsc::Sender<Outgoing>,
    ) -> Result<(ConnectedWorker, OwnedSemaphorePermit), Status> {
        let stranger = self.strangers.enter();
        let greeting = tokio::select! {
            () = self.stop.cancelled() => return Err(Status::unavailable("the exchange stops")),
            () = stranger.pushed_out.cancelled() => return Err(Status::resource_exhausted("too many streams wait: greet at once")),
            greeting = tokio::time::timeout(HELLO_TIMEOUT, self.greet(incoming, queue)) => greeting,
        };
        let worker = greeting.map_err(|_| Status::deadline_exceeded("the greeting did not come"))?.map_err(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "a worker was turned away");
            Status::unauthenticated(error.to_string())
        })?;
        let slot = self.slots.clone().try_acquire_owned();
        Ok((worker, slot.map_err(|_| Status::resource_exhausted("too many workers are connected: try again"))?))
    }

    /// Challenge, Hello.
    async fn greet(
        &self,
        incoming: &mut Streaming<FromWorker>,
        queue: &mpsc::Sender<Outgoing>,
    ) -> Result<ConnectedWorker, hello::HelloError> {
        let nonce: [u8; 32] = self.market.random();
        let exchange = self.market.exchange_did().to_string();
        let _ = queue.send(Ok(message(to_worker::Message::Challenge(wire::Challenge { nonce: nonce.to_vec(), exchange })))).await;
        let Some(Ok(FromWorker { message: Some(from_worker::Message::Hello(hello)) })) = incoming.next().await else {
            return Err(hello::HelloError::NotHello);
        };
        hello::check(&self.market, &nonce, &hello).await
    }

    /// Hands events on, one after the other, until the stream ends; says why it did.
    async fn listen(
        &self,
        worker: &ConnectedWorker,
        place: &Place,
        mut incoming: Streaming<FromWorker>,
        queue: &mpsc::Sender<Outgoing>,
    ) -> &'static str {
        loop {
            if self.market.now() >= worker.grant_expires_at {
                let _ = queue.try_send(Err(Status::unauthenticated("the grant has expired: register a new one")));
                return "the grant expired";
            }
            let received = tokio::select! {
                () = self.stop.cancelled() => return "the exchange stops",
                () = place.replaced.cancelled() => return "another stream of this worker took over",
                received = tokio::time::timeout(SILENCE_MAX, incoming.next()) => received,
            };
            let received = match received {
                Err(_) => return "silence",
                Ok(None | Some(Err(_))) => return "the worker ended it",
                Ok(Some(Ok(received))) => received,
            };
            match messages::read(received.message) {
                Ok(Incoming::Heartbeat(sequence)) => {
                    // A full queue means that the worker does not read; it will see silence.
                    let _ = queue.try_send(Ok(message(to_worker::Message::HeartbeatEcho(wire::HeartbeatEcho { sequence }))));
                }
                Ok(Incoming::Event(event)) => {
                    for listener in &*self.listeners {
                        listener.received(worker, &event).await;
                    }
                }
                Err(error) => {
                    let _ = queue.try_send(Err(Status::invalid_argument(error.to_string())));
                    return "a message that is not one";
                }
            }
        }
    }
}

fn message(message: to_worker::Message) -> ToWorker {
    ToWorker { message: Some(message) }
}
