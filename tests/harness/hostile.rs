//! An exchange of the test's own: speaks the control plane's protocol to real workers, and says whatever the test wants.

use crate::{
    member::{Member, now, random},
    offer::Described,
    process::PATIENCE,
    recorder::make_certificate,
    worker::PinnedExchange,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entrepot_api_wire::v1::{
    Challenge, DescribeDataset, FromWorker, HandOverShares, Heartbeat, HeartbeatEcho, Hello, ToWorker, Welcome, WorkOrder, from_worker,
    to_worker,
    workforce_server::{Workforce, WorkforceServer},
};
use entrepot_chain_statement::{
    Did, Envelope, Statement,
    canonical::to_canonical_json,
    ids::{DatasetId, JobId},
    split::{rule_digest, split},
    statements::{Agreement, Hold, Release, Role},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream, wrappers::TcpListenerStream};
use tonic::{
    Request, Response, Status, Streaming,
    transport::{Identity, Server, ServerTlsConfig},
};

type Sender = mpsc::Sender<Result<ToWorker, Status>>;

/// As whom the exchange appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guise {
    /// As the one in the workers' configurations.
    Configured,
    /// At its address, with its certificate, but under another did.
    OtherIdentity,
    /// At its address, under its did, but with another certificate.
    OtherCertificate,
}

/// A worker's hello and the challenge it answers.
#[derive(Clone)]
pub struct Greeting {
    /// What it said.
    pub hello: Hello,
    /// What it was asked to sign.
    pub nonce: [u8; 32],
}

#[derive(Default)]
struct Connections {
    /// TCP connections ever.
    dialled: usize,
    /// Streams ever: TLS was agreed on and the challenge sent.
    challenged: usize,
    greetings: BTreeMap<String, Greeting>,
    senders: BTreeMap<String, Sender>,
    inboxes: BTreeMap<String, VecDeque<from_worker::Message>>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Connections>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Connections> {
        self.0.lock().expect("no panic while locked")
    }
}

/// The hostile exchange. It has a key, and so can sign whatever an exchange signs.
pub struct HostileExchange {
    /// Its keys; it signs as an exchange would.
    pub identity: Member,
    /// What the workers' configurations say of it.
    pub pinned: PinnedExchange,
    connections: Shared,
}

impl HostileExchange {
    /// Listens on loopback; its certificate goes to `home`. `log_key` is the log whose checkpoints the workers are to cosign.
    pub async fn start(home: &Path, log_key: &str, guise: Guise) -> Self {
        crate::install_crypto();
        let identity = Member::new("Hostile exchange", Role::Operator);
        let (ca, other) = (home.join("hostile.pem"), home.join("other.pem"));
        let pinned_key = make_certificate(&ca).1;
        let (shown, key) = match guise {
            Guise::Configured | Guise::OtherIdentity => (&ca, pinned_key),
            Guise::OtherCertificate => (&other, make_certificate(&other).1),
        };
        let tls = Identity::from_pem(std::fs::read(shown).expect("PEM"), pem("PRIVATE KEY", key.secret_der()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let connections = Shared::default();
        let exchange = if guise == Guise::OtherIdentity { Member::new("Another", Role::Operator).did() } else { identity.did() };
        let service = WorkforceServer::new(Service { exchange: exchange.to_string(), connections: connections.clone() });
        let dialled = connections.clone();
        let incoming = TcpListenerStream::new(listener).map(move |stream| {
            dialled.lock().dialled += 1;
            stream
        });
        let server = Server::builder().tls_config(ServerTlsConfig::new().identity(tls)).expect("TLS").add_service(service);
        tokio::spawn(async move { server.serve_with_incoming(incoming).await });
        let pinned = PinnedExchange { url, ca, did: identity.did(), log_key: log_key.to_owned() };
        Self { identity, pinned, connections }
    }

    /// Waits until the worker has said hello; what it said.
    pub async fn greeting(&self, worker: &Did) -> Greeting {
        self.poll(worker, |connections| connections.greetings.get(worker.as_str()).cloned()).await
    }

    /// Waits until so many connections were begun; how many of them came as far as the challenge, and how many were greeted.
    pub async fn after_dials(&self, worker: &Did, dials: usize) -> (usize, usize) {
        self.poll(worker, |connections| (connections.dialled >= dials).then_some((connections.challenged, connections.greetings.len())))
            .await
    }

    /// Forgets a worker that is about to be restarted, so that [`Self::greeting`] waits for its return.
    pub fn forget(&self, worker: &Did) {
        let mut connections = self.connections.lock();
        connections.greetings.remove(worker.as_str());
        connections.senders.remove(worker.as_str());
        connections.inboxes.remove(worker.as_str());
    }

    /// Sends a message to a worker.
    pub async fn send(&self, worker: &Did, message: to_worker::Message) {
        let sender = self.poll(worker, |connections| connections.senders.get(worker.as_str()).cloned()).await;
        sender.send(Ok(ToWorker { message: Some(message) })).await.expect("the worker listens");
    }

    /// The next message of a worker that `want` makes something of. Those before it are dropped.
    pub async fn next<T>(&self, worker: &Did, want: impl Fn(&from_worker::Message) -> Option<T>) -> T {
        self.poll(worker, |connections| {
            let inbox = connections.inboxes.get_mut(worker.as_str())?;
            while let Some(message) = inbox.pop_front() {
                if let Some(found) = want(&message) {
                    return Some(found);
                }
            }
            None
        })
        .await
    }

    async fn poll<T>(&self, worker: &Did, mut ask: impl FnMut(&mut Connections) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = ask(&mut self.connections.lock()) {
                return found;
            }
            assert!(Instant::now() < deadline, "nothing came from {worker}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks a worker to describe a dataset.
    pub async fn describe(&self, worker: &Did, name: &'static str) -> Described {
        let dataset_id = DatasetId::compose(now(), random());
        let ask = DescribeDataset { dataset_id: dataset_id.to_string(), name: name.to_owned() };
        self.send(worker, to_worker::Message::DescribeDataset(ask)).await;
        let description = self
            .next(worker, |message| match message {
                from_worker::Message::DatasetDescribed(described) => Some(described.description.clone()),
                from_worker::Message::DatasetRefused(refused) => panic!("{}: {}", refused.code, refused.detail),
                _ => None,
            })
            .await;
        Described { dataset_id, name, description: serde_json::from_slice(&description).expect("a description") }
    }

    /// The hold for an order. An honest exchange holds what the agreement says.
    pub fn hold(&self, job_id: &JobId, agreement: &Envelope, order: &Envelope) -> Hold {
        let agreed: Agreement = agreement.open().expect("an agreement");
        Hold {
            job_id: job_id.clone(),
            order: order.statement_hash(),
            agreement: agreement.statement_hash(),
            consumer: agreed.consumer,
            amount: agreed.price_per_query,
            held_at: now(),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

struct Service {
    exchange: String,
    connections: Shared,
}

#[tonic::async_trait]
impl Workforce for Service {
    type ConnectStream = ReceiverStream<Result<ToWorker, Status>>;

    async fn connect(&self, request: Request<Streaming<FromWorker>>) -> Result<Response<Self::ConnectStream>, Status> {
        let (sender, receiver) = mpsc::channel(64);
        let nonce = random::<32>();
        let challenge = Challenge { nonce: nonce.to_vec(), exchange: self.exchange.clone() };
        sender.send(Ok(ToWorker { message: Some(to_worker::Message::Challenge(challenge)) })).await.expect("the receiver is below");
        self.connections.lock().challenged += 1;
        tokio::spawn(serve(request.into_inner(), sender, nonce, self.connections.clone()));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

async fn serve(mut incoming: Streaming<FromWorker>, sender: Sender, nonce: [u8; 32], connections: Shared) {
    let mut worker = String::new();
    while let Some(Ok(FromWorker { message: Some(message) })) = incoming.next().await {
        let answer = match message {
            from_worker::Message::Hello(hello) => {
                worker = hello.worker.clone();
                let mut connections = connections.lock();
                connections.senders.insert(worker.clone(), sender.clone());
                connections.greetings.insert(worker.clone(), Greeting { hello, nonce });
                Some(to_worker::Message::Welcome(Welcome { heartbeat_seconds: 5 }))
            }
            from_worker::Message::Heartbeat(Heartbeat { sequence }) => Some(to_worker::Message::HeartbeatEcho(HeartbeatEcho { sequence })),
            other => {
                connections.lock().inboxes.entry(worker.clone()).or_default().push_back(other);
                None
            }
        };
        if let Some(message) = answer
            && sender.send(Ok(ToWorker { message: Some(message) })).await.is_err()
        {
            return;
        }
    }
}

/// All the statements of one job, genuine to begin with. Tests spoil them.
#[derive(Clone)]
pub struct Trade {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Signed by lender, bureau and compute party.
    pub product: Envelope,
    /// Signed by the consumer.
    pub agreement: Envelope,
    /// Signed by the consumer.
    pub order: Envelope,
    /// Signed by the exchange.
    pub hold: Envelope,
    /// By party.
    pub grants: [Envelope; 3],
    /// By party.
    pub peer_addresses: [String; 3],
    /// How long the computation may take.
    pub time_ms: i64,
}

impl Trade {
    /// What party `party` is sent.
    pub fn work_order(&self, party: usize) -> WorkOrder {
        WorkOrder {
            job_id: self.job_id.to_string(),
            attempt: self.attempt,
            party: party as u32,
            product: self.product.to_json(),
            agreement: self.agreement.to_json(),
            order: self.order.to_json(),
            hold: self.hold.to_json(),
            grants: self.grants.iter().map(Envelope::to_json).collect(),
            peer_addresses: self.peer_addresses.to_vec(),
            deadline_ms: now().plus_ms(self.time_ms).0,
        }
    }

    /// What an honest exchange says when it pays for these receipts.
    pub fn release(&self, receipts: &[Envelope]) -> Release {
        let agreement: Agreement = self.agreement.open().expect("an agreement");
        let price = &agreement.price_per_query;
        Release {
            job_id: self.job_id.clone(),
            order: self.order.statement_hash(),
            hold: self.hold.statement_hash(),
            receipts: receipts.iter().map(Envelope::statement_hash).collect(),
            amount: price.clone(),
            split: split(price, &agreement.split).expect("a whole"),
            split_rule: rule_digest(&self.agreement.statement_hash(), &agreement.split),
            released_at: now(),
        }
    }
}

/// The request for shares.
pub fn hand_over(job_id: &JobId, release: &Envelope) -> to_worker::Message {
    to_worker::Message::HandOverShares(HandOverShares { job_id: job_id.to_string(), release: release.to_json() })
}

/// The envelope with its statement changed and its signatures left as they were.
pub fn altered<S: Statement>(envelope: &Envelope, change: impl FnOnce(&mut S)) -> Envelope {
    let mut statement: S = envelope.open().expect("our own statement");
    change(&mut statement);
    let payload = to_canonical_json(&statement).expect("a statement is JSON");
    rewritten(envelope, "payload", json!(BASE64_STANDARD.encode(payload)))
}

/// The envelope without its signatures.
pub fn unsigned(envelope: &Envelope) -> Envelope {
    rewritten(envelope, "signatures", json!([]))
}

fn rewritten(envelope: &Envelope, field: &str, value: serde_json::Value) -> Envelope {
    let mut document = serde_json::to_value(envelope).expect("an envelope is JSON");
    document[field] = value;
    serde_json::from_value(document).expect("still the form of an envelope")
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::statements::ParticipantEnrolment;

    #[test]
    fn what_is_altered_is_still_an_envelope_but_signed_by_nobody() {
        let member = Member::new("Somebody", Role::Consumer);
        let genuine = member.sign(&member.enrolment());
        let altered = altered::<ParticipantEnrolment>(&genuine, |enrolment| enrolment.name = "Somebody else".to_owned());
        assert_eq!(altered.open::<ParticipantEnrolment>().expect("canonical").name, "Somebody else");
        assert_eq!(altered.signatures(), genuine.signatures());
        assert!(altered.verify_signed_by(&member.did()).is_err());
        assert!(unsigned(&genuine).signatures().is_empty());
    }
}
