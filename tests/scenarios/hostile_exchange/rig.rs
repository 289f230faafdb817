//! Three real worker processes that dialled a hostile exchange, and the participants whose statements it carries.

use entrepot_api_wire::v1::{AbortWork, SealedShare, from_worker, to_worker};
use entrepot_chain_log::NoteSigner;
use entrepot_chain_statement::{
    Did, Envelope, Hash, SigningKey,
    ids::JobId,
    sealing::{RESULT_INFO, ResultShare},
    statements::{Agreement, DataProduct, Order, UsageReceipt},
};
use entrepot_mpc_plan::{Plan, ResultTable};
use entrepot_tests::{
    hostile::{Guise, HostileExchange, Trade, hand_over},
    market::{Cast, prepare_policy, sample_files},
    member::{Member, now, random},
    offer,
    process::Process,
    sample,
    worker::{DatasetFiles, WorkerHome},
};
use rand_core::OsRng;
use std::{cell::Cell, collections::BTreeMap, path::Path};
use tempfile::TempDir;

/// Name of the log that the workers follow.
pub(crate) const ORIGIN: &str = "entrepot/main";

/// What is traded.
pub(crate) struct Goods {
    /// The lender's and the bureau's dataset.
    pub files: [DatasetFiles; 2],
    /// The query.
    pub sql: &'static str,
    /// How many queries the agreement allows.
    pub quota: u32,
}

impl Goods {
    /// Some 200 rows.
    pub fn sample() -> Self {
        Self { files: sample_files(), sql: sample::SQL, quota: offer::QUOTA }
    }
}

/// What a worker made of a work order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It computed; its receipt.
    Finished(Box<Envelope>),
    /// It will not, for this reason.
    Refused(String),
    /// It tried, and this went wrong.
    Failed(String),
}

/// The rig.
pub(crate) struct Rig {
    pub exchange: HostileExchange,
    pub cast: Cast,
    pub workers: [WorkerHome; 3],
    pub processes: Vec<Process>,
    pub dids: [Did; 3],
    pub log: NoteSigner,
    /// The agreement and its first order, genuine and not yet sent.
    pub trade: Trade,
    sql: &'static str,
    sequence: Cell<u64>,
    _home: TempDir,
}

impl Rig {
    /// With the sample's data.
    pub async fn start() -> Self {
        Self::start_with(Goods::sample()).await
    }

    /// With any data.
    pub async fn start_with(goods: Goods) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let log = NoteSigner::log(ORIGIN, SigningKey::generate(&mut OsRng)).expect("a name");
        let exchange = HostileExchange::start(home.path(), &log.public().to_string(), Guise::Configured).await;
        let cast = Cast::new();
        let workers = prepare(home.path(), &cast, &exchange, &goods);
        let processes = workers.iter().map(|worker| worker.start(None)).collect();
        let dids = [0, 1, 2].map(|party| workers[party].key.signing.did());
        let grants = [0, 1, 2].map(|party| workers[party].grant.clone());
        let product = publish(&exchange, &cast, &workers, &goods).await;
        let mut peer_addresses = [const { String::new() }; 3];
        for (party, did) in dids.iter().enumerate() {
            peer_addresses[party] = exchange.greeting(did).await.hello.peer_address;
        }
        let statement: DataProduct = product.open().expect("our own product");
        let agreement = cast.consumer.sign(&offer::agreement(&statement, product.statement_hash(), &cast.consumer, pins(&workers)));
        let order = cast.consumer.sign(&order_for(&agreement, &statement, goods.sql, 1));
        let job_id = new_job();
        let hold = exchange.identity.sign(&exchange.hold(&job_id, &agreement, &order));
        let trade = Trade { job_id, attempt: 1, product, agreement, order, hold, grants, peer_addresses, time_ms: 60_000 };
        Self { exchange, cast, workers, processes, dids, log, trade, sql: goods.sql, sequence: Cell::new(1), _home: home }
    }

    /// The product on sale.
    pub fn product(&self) -> DataProduct {
        self.trade.product.open().expect("our own product")
    }

    /// The plan of the rig's query.
    pub fn plan(&self) -> Plan {
        entrepot_mpc_plan::plan(self.sql, &self.product()).expect("an allowed query")
    }

    /// The next genuine order of the rig's agreement, as a job of its own.
    pub fn next_trade(&self) -> Trade {
        self.sequence.set(self.sequence.get() + 1);
        self.order(&self.trade, &self.cast.consumer, |order| order.sequence = self.sequence.get())
    }

    /// A trade with a product that all three have signed, an agreement and a first order, each changed on the way by whoever signs it.
    pub fn deal(&self, product: impl FnOnce(&mut DataProduct), agreement: impl FnOnce(&mut Agreement)) -> Trade {
        let mut statement = self.product();
        product(&mut statement);
        let product = signed_by_all(&self.cast, &statement);
        self.agree(&Trade { product, ..self.trade.clone() }, &self.cast.consumer, agreement)
    }

    /// The same with an agreement on the trade's product that `signer` signs, and a first order under it.
    pub fn agree(&self, trade: &Trade, signer: &Member, change: impl FnOnce(&mut Agreement)) -> Trade {
        let product: DataProduct = trade.product.open().expect("our own product");
        let mut agreement = offer::agreement(&product, trade.product.statement_hash(), &self.cast.consumer, pins(&self.workers));
        change(&mut agreement);
        self.order(&Trade { agreement: signer.sign(&agreement), ..trade.clone() }, signer, |_| ())
    }

    /// The same with an order under the trade's agreement that `signer` signs, held, as a new job.
    pub fn order(&self, trade: &Trade, signer: &Member, change: impl FnOnce(&mut Order)) -> Trade {
        let mut order = order_for(&trade.agreement, &trade.product.open().expect("our own product"), self.sql, 1);
        change(&mut order);
        self.held(Trade { order: signer.sign(&order), job_id: new_job(), ..trade.clone() })
    }

    /// With the exchange's hold for whatever is in it now.
    pub fn held(&self, trade: Trade) -> Trade {
        let hold = self.exchange.identity.sign(&self.exchange.hold(&trade.job_id, &trade.agreement, &trade.order));
        Trade { hold, ..trade }
    }

    /// Sends a trade to one worker; the code of its refusal, or none if it takes it, which is then stopped.
    pub async fn refusal(&self, party: usize, trade: &Trade) -> Option<String> {
        self.send(party, trade).await;
        let (job_id, attempt) = (trade.job_id.to_string(), trade.attempt);
        let answer = self.exchange.next(&self.dids[party], |message| match message {
            from_worker::Message::WorkRefused(refused) if refused.job_id == job_id => Some(Some(refused.code.clone())),
            from_worker::Message::WorkAccepted(accepted) if accepted.job_id == job_id => Some(None),
            _ => None,
        });
        let refusal = answer.await;
        if refusal.is_none() {
            let abort = to_worker::Message::AbortWork(AbortWork { job_id, attempt, code: "test".to_owned() });
            self.exchange.send(&self.dids[party], abort).await;
        }
        refusal
    }

    /// Asserts that every worker refuses the trade, and why.
    pub async fn all_refuse(&self, trade: &Trade, code: &str, attack: &str) {
        for party in 0..3 {
            assert_eq!(self.refusal(party, trade).await.as_deref(), Some(code), "{attack}: party {party}");
        }
    }

    /// Sends a work order.
    pub async fn send(&self, party: usize, trade: &Trade) {
        self.exchange.send(&self.dids[party], to_worker::Message::WorkOrder(trade.work_order(party))).await;
    }

    /// How a work order that was sent ends.
    pub async fn outcome(&self, party: usize, trade: &Trade) -> Outcome {
        let (job_id, attempt) = (trade.job_id.as_str(), trade.attempt);
        let ended = self.exchange.next(&self.dids[party], |message| match message {
            from_worker::Message::WorkFinished(m) if (m.job_id.as_str(), m.attempt) == (job_id, attempt) => {
                Some(Outcome::Finished(Box::new(Envelope::from_json(&m.receipt).expect("an envelope"))))
            }
            from_worker::Message::WorkRefused(m) if m.job_id == job_id => Some(Outcome::Refused(m.code.clone())),
            from_worker::Message::WorkFailed(m) if (m.job_id.as_str(), m.attempt) == (job_id, attempt) => {
                Some(Outcome::Failed(m.code.clone()))
            }
            _ => None,
        });
        ended.await
    }

    /// Sends a trade to all three; how it ends at each.
    pub async fn outcomes(&self, trade: &Trade) -> Vec<Outcome> {
        for party in 0..3 {
            self.send(party, trade).await;
        }
        let mut outcomes = Vec::new();
        for party in 0..3 {
            outcomes.push(self.outcome(party, trade).await);
        }
        outcomes
    }

    /// Runs a trade that nothing is wrong with; the receipts.
    pub async fn run(&self, trade: &Trade) -> Vec<Envelope> {
        let receipt = |outcome| match outcome {
            Outcome::Finished(receipt) => *receipt,
            other => panic!("{other:?}"),
        };
        self.outcomes(trade).await.into_iter().map(receipt).collect()
    }

    /// The release of a trade that an honest exchange would sign.
    pub fn release(&self, trade: &Trade, receipts: &[Envelope]) -> Envelope {
        self.exchange.identity.sign(&trade.release(receipts))
    }

    /// Asks a worker for its shares; them, or why it keeps them.
    pub async fn shares(&self, party: usize, trade: &Trade, release: &Envelope) -> Result<Vec<SealedShare>, String> {
        self.exchange.send(&self.dids[party], hand_over(&trade.job_id, release)).await;
        let job_id = trade.job_id.as_str();
        let answer = self.exchange.next(&self.dids[party], |message| match message {
            from_worker::Message::SharesHandedOver(m) if m.job_id == job_id => Some(Ok(m.shares.clone())),
            from_worker::Message::WorkRefused(m) if m.job_id == job_id => Some(Err(m.code.clone())),
            _ => None,
        });
        answer.await
    }

    /// Opens what two parties handed over: the shares' bytes must be those of the receipts, and those of both holders alike.
    pub fn open(&self, trade: &Trade, receipts: &[Envelope], handed: &[SealedShare]) -> ResultTable {
        let mut sealed: BTreeMap<u8, &[u8]> = BTreeMap::new();
        for share in handed {
            let number = u8::try_from(share.share).expect("a share's number");
            let first = sealed.entry(number).or_insert(&share.ciphertext);
            assert_eq!(*first, share.ciphertext, "two holders of share {number}");
        }
        assert_eq!(sealed.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
        let mut cells = Vec::new();
        for (&share, &ciphertext) in &sealed {
            assert!(digests(receipts).iter().any(|digest| *digest == (share, Hash::of(&[ciphertext]))), "share {share} has no receipt");
            let which = ResultShare { order: trade.order.statement_hash(), attempt: trade.attempt, share };
            let plain = self.cast.consumer.key.sealing.open(RESULT_INFO, &which.aad(), ciphertext).expect("sealed to the consumer");
            cells.resize(plain.len() / 8, 0_u64);
            for (cell, bytes) in cells.iter_mut().zip(plain.chunks_exact(8)) {
                *cell = cell.wrapping_add(u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
            }
        }
        entrepot_mpc_plan::decode(&self.plan(), &cells).expect("cells of the plan")
    }

    /// Kills a worker as a power cut would and starts it again. It listens elsewhere from then on: the address goes into the rig's trade.
    pub async fn restart(&mut self, party: usize) {
        self.processes[party].kill();
        self.exchange.forget(&self.dids[party]);
        self.processes[party].restart(None);
        self.trade.peer_addresses[party] = self.exchange.greeting(&self.dids[party]).await.hello.peer_address;
    }
}

/// A new job's id.
pub(crate) fn new_job() -> JobId {
    JobId::compose(now(), random())
}

/// Every share's number and digest that receipts name.
pub(crate) fn digests(receipts: &[Envelope]) -> Vec<(u8, Hash)> {
    let receipts = receipts.iter().map(|receipt| receipt.open::<UsageReceipt>().expect("a receipt"));
    receipts.flat_map(|receipt| receipt.shares).map(|digest| (digest.share, digest.ciphertext)).collect()
}

/// A statement of the product that all three owners have signed.
pub(crate) fn signed_by_all(cast: &Cast, product: &DataProduct) -> Envelope {
    let mut signed = cast.lender.sign(product);
    for member in [&cast.bureau, &cast.compute] {
        signed.countersign(&member.key.signing).expect("countersigning");
    }
    signed
}

fn pins(workers: &[WorkerHome; 3]) -> Vec<entrepot_chain_statement::statements::PartyPin> {
    offer::pins([&workers[0], &workers[1], &workers[2]])
}

fn order_for(agreement: &Envelope, product: &DataProduct, sql: &str, sequence: u64) -> Order {
    let plan = entrepot_mpc_plan::plan(sql, product).expect("an allowed query").hash();
    offer::order(agreement, sql, plan, sequence, product.price_per_query.clone())
}

fn prepare(home: &Path, cast: &Cast, exchange: &HostileExchange, goods: &Goods) -> [WorkerHome; 3] {
    let trust = cast.trusted();
    let prepare = |name: &str, member: &Member, file: Option<&DatasetFiles>| {
        let file =
            file.map(|file| DatasetFiles { policy: prepare_policy(cast, file.policy.clone()), csv: file.csv.clone(), name: file.name });
        WorkerHome::prepare(home, name, member, &exchange.pinned, &trust, file.as_ref())
    };
    [
        prepare("worker-lender", &cast.lender, Some(&goods.files[0])),
        prepare("worker-bureau", &cast.bureau, Some(&goods.files[1])),
        prepare("worker-compute", &cast.compute, None),
    ]
}

async fn publish(exchange: &HostileExchange, cast: &Cast, workers: &[WorkerHome; 3], goods: &Goods) -> Envelope {
    let mut tables = Vec::new();
    for (party, (schema, file)) in ["lender", "bureau"].into_iter().zip(&goods.files).enumerate() {
        let described = exchange.describe(&workers[party].key.signing.did(), file.name).await;
        let provider = cast.working()[party];
        let rights = provider.sign(&described.rights(provider, &workers[party]));
        tables.push(described.table(schema, provider, &rights, &file.policy, &cast.compute.did()));
    }
    let mut product = offer::product(tables, &cast.compute.did(), &exchange.identity.did());
    product.quota_queries = goods.quota;
    signed_by_all(cast, &product)
}
