//! The one stream to the exchange: dialed from here, kept open, opened again when it breaks.
//!
//! The exchange's certificate must come from the configured authority, and the exchange must name the configured did; the worker answers
//! its challenge with its own key. What the stream delivers is believed no more for that: every order is checked by the gate.

use crate::{
    config::ConfigError,
    desk::{Desk, OUTBOX_MAX},
};
use entrepot_api_wire::{
    MESSAGE_BYTES_MAX, hello_to_sign,
    v1::{self, from_worker::Message as Say, to_worker::Message as Hear, workforce_client::WorkforceClient},
};
use rand_core::{OsRng, RngCore as _};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Challenge and welcome must come within.
const GREETING_TIMEOUT: Duration = Duration::from_secs(10);
/// A message that cannot be handed to the connection for so long means that it is dead.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
const KEEPALIVE: Duration = Duration::from_secs(10);
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MAX: Duration = Duration::from_secs(15);
/// Heartbeats may be asked for at most this rarely.
const HEARTBEAT_SECONDS_MAX: u32 = 60;
/// Silence of so many heartbeats means that the exchange is gone.
const SILENT_HEARTBEATS: u32 = 4;
const NONCE_BYTES: usize = 32;
/// A stopping worker tells what it still has to tell for so long.
const FAREWELL: Duration = Duration::from_secs(3);
/// Messages between this loop and the connection.
const SENDING_MAX: usize = 32;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the exchange cannot be reached")]
    Connect(#[source] tonic::transport::Error),
    #[error("the exchange refused the stream: {} ({:?})", .0.message(), .0.code())]
    Refused(#[source] Box<tonic::Status>),
    #[error("the exchange closed the stream")]
    Closed,
    #[error("the exchange did not greet as agreed")]
    BadGreeting,
    #[error("who answers as the exchange calls itself {found}, not the did in this worker's configuration")]
    OtherExchange { found: String },
    #[error("the exchange fell silent")]
    Silent,
}

impl From<tonic::Status> for StreamError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(Box::new(status))
    }
}

/// A stream after the greeting.
struct Connected {
    outgoing: mpsc::Sender<v1::FromWorker>,
    incoming: Streaming<v1::ToWorker>,
    heartbeat: Duration,
}

/// Keeps the stream until told to stop.
pub(crate) struct Line {
    endpoint: Endpoint,
    desk: Arc<Desk>,
    outbox: mpsc::Receiver<Say>,
}

impl Line {
    /// Prepares the connection; nothing is dialed yet.
    pub fn new(desk: Arc<Desk>, outbox: mpsc::Receiver<Say>) -> Result<Self, ConfigError> {
        let settings = desk.settings();
        let wrong = |key: &str, problem: &str| ConfigError::Value { key: key.to_owned(), problem: problem.to_owned() };
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&settings.exchange_ca));
        let endpoint = Endpoint::from_shared(settings.config.exchange.clone())
            .map_err(|_| wrong("exchange", "must be an address such as https://exchange.example:7443"))?
            .tls_config(tls)
            .map_err(|_| wrong("exchange_ca", "must be a PEM file with the exchange's certificate authority"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        Ok(Self { endpoint, desk, outbox })
    }

    /// Runs until `shutdown`, or until the desk can no longer remember.
    pub async fn run(mut self, shutdown: &CancellationToken) {
        let broken = self.desk.broken().clone();
        let mut pause = RECONNECT_FIRST;
        loop {
            let connected = tokio::select! {
                () = shutdown.cancelled() => return,
                () = broken.cancelled() => return,
                connected = self.connect() => connected,
            };
            let error = match connected {
                Ok(connected) => {
                    pause = RECONNECT_FIRST;
                    tracing::info!(exchange = self.desk.settings().config.exchange, "connected to the exchange");
                    tokio::select! {
                        () = broken.cancelled() => return,
                        ended = self.converse(connected, shutdown) => match ended {
                            Ok(()) => return,
                            Err(error) => error,
                        },
                    }
                }
                Err(error) => error,
            };
            // Full jitter: many workers lose their exchange at the same moment.
            let wait = pause.mul_f64(0.5 + 0.5 * f64::from(OsRng.next_u32()) / f64::from(u32::MAX));
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                wait_ms = wait.as_millis() as u64,
                "no stream to the exchange; trying again"
            );
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = broken.cancelled() => return,
                () = sleep(wait) => {}
            }
            pause = (pause * 2).min(RECONNECT_MAX);
        }
    }

    async fn connect(&self) -> Result<Connected, StreamError> {
        let channel: Channel = self.endpoint.connect().await.map_err(StreamError::Connect)?;
        let mut client =
            WorkforceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (outgoing, messages) = mpsc::channel(SENDING_MAX);
        let greeting = async {
            let mut incoming = client.connect(ReceiverStream::new(messages)).await?.into_inner();
            let challenge = match next(&mut incoming).await? {
                Hear::Challenge(challenge) if challenge.nonce.len() == NONCE_BYTES => challenge,
                _ => return Err(StreamError::BadGreeting),
            };
            let hello = self.hello(challenge)?;
            outgoing.send(v1::FromWorker { message: Some(Say::Hello(hello)) }).await.map_err(|_| StreamError::Closed)?;
            let Hear::Welcome(welcome) = next(&mut incoming).await? else { return Err(StreamError::BadGreeting) };
            let seconds = welcome.heartbeat_seconds.clamp(1, HEARTBEAT_SECONDS_MAX);
            Ok((incoming, Duration::from_secs(seconds.into())))
        };
        let (incoming, heartbeat) = timeout(GREETING_TIMEOUT, greeting).await.map_err(|_| StreamError::Silent)??;
        Ok(Connected { outgoing, incoming, heartbeat })
    }

    fn hello(&self, challenge: v1::Challenge) -> Result<v1::Hello, StreamError> {
        let settings = self.desk.settings();
        let exchange = settings.config.exchange_did.as_str();
        // The did is signed too, so a stranger cannot pass our answer on to the real exchange as its own worker's.
        if challenge.exchange != exchange {
            return Err(StreamError::OtherExchange { found: challenge.exchange.chars().filter(|c| !c.is_control()).take(100).collect() });
        }
        let worker = settings.keys.signing.did();
        let signature = settings.keys.signing.sign(&hello_to_sign(exchange, worker.as_str(), &challenge.nonce));
        Ok(v1::Hello {
            worker: worker.into(),
            signature: signature.to_vec(),
            grant: settings.grant.to_json(),
            peer_address: self.desk.peer_address(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            checkpoint_size: self.desk.checkpoint_size(),
        })
    }

    /// Speaks and listens until the stream breaks, or until there is nothing left to say after `shutdown`.
    async fn converse(&mut self, connected: Connected, shutdown: &CancellationToken) -> Result<(), StreamError> {
        let Connected { outgoing, mut incoming, heartbeat } = connected;
        for reminder in self.desk.reminders().await {
            send(&outgoing, reminder).await?;
        }
        let (mut beats, mut sequence) = (interval(heartbeat), 0);
        let mut heard = Instant::now();
        let mut leaving: Option<Instant> = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled(), if leaving.is_none() => {
                    self.desk.stop_all();
                    leaving = Some(Instant::now() + FAREWELL);
                }
                () = sleep(Duration::from_millis(20)), if leaving.is_some() => {
                    let quiet = self.desk.is_idle() && self.outbox.is_empty();
                    if quiet || leaving.is_some_and(|deadline| Instant::now() >= deadline) {
                        // Lets the connection write what it was handed.
                        drop(outgoing);
                        let _ = timeout(Duration::from_millis(200), next(&mut incoming)).await;
                        return Ok(());
                    }
                }
                message = self.outbox.recv() => match message {
                    Some(message) => send(&outgoing, message).await?,
                    None => return Ok(()),
                },
                // Room first, and within the same branch: while there is none, what the handlers say must still go out.
                (slot, message) = async { (self.desk.slot().await, next(&mut incoming).await) } => {
                    heard = Instant::now();
                    self.desk.take(slot, message?);
                }
                _ = beats.tick() => {
                    if heard.elapsed() > heartbeat * SILENT_HEARTBEATS {
                        return Err(StreamError::Silent);
                    }
                    sequence += 1;
                    send(&outgoing, Say::Heartbeat(v1::Heartbeat { sequence })).await?;
                }
            }
        }
    }
}

/// The channel for what the desk has to say.
pub(crate) fn outbox() -> (mpsc::Sender<Say>, mpsc::Receiver<Say>) {
    mpsc::channel(OUTBOX_MAX)
}

async fn next(incoming: &mut Streaming<v1::ToWorker>) -> Result<Hear, StreamError> {
    loop {
        let message = incoming.message().await?.ok_or(StreamError::Closed)?;
        // A message of a later version: not for us.
        if let Some(message) = message.message {
            return Ok(message);
        }
    }
}

async fn send(outgoing: &mpsc::Sender<v1::FromWorker>, message: Say) -> Result<(), StreamError> {
    match timeout(SEND_TIMEOUT, outgoing.send(v1::FromWorker { message: Some(message) })).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(StreamError::Closed),
        Err(_) => Err(StreamError::Silent),
    }
}
