//! A whole honest job in memory: everyone's keys, every statement, a log, cosignatures; and hooks to make one part of it dishonest, signed
//! and logged all the same.

use entrepot_chain_log::{
    BundleEntry, Certificate, Checkpoint, KeyKind, MerkleTree, NoteKey, NoteSigner, ReceiptBundle, SignedCheckpoint, TlogProof, TrustFile,
    TrustedLog, TrustedWitness,
};
use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Hash, Money, SealingSecret, SigningKey, Statement, Timestamp,
    ids::{AgreementId, DatasetId, GrantId, JobId, OrderId, ProductId},
    split::rule_digest,
    statements::*,
};

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);
const HOUR_MS: i64 = 3_600_000;
const ORIGIN: &str = "entrepot/main";
pub const PRICE_MINOR: i64 = 1251;

/// Changes to single statements, made before they are signed and before others refer to them.
#[derive(Default, Clone)]
pub struct Tweaks {
    pub product: Option<fn(&mut DataProduct)>,
    pub rights: Option<fn(&mut RightsRegistration)>,
    pub grant: Option<fn(usize, &mut WorkerGrant)>,
    pub agreement: Option<fn(&mut Agreement)>,
    pub order: Option<fn(&mut Order)>,
    pub hold: Option<fn(&mut Hold)>,
    pub receipt: Option<fn(usize, &mut UsageReceipt)>,
    pub release: Option<fn(&mut Release)>,
    pub refund: Option<fn(&mut Refund)>,
    /// This entry is signed by the regulator instead of by whom it binds.
    pub wrong_signer: Option<&'static str>,
    /// The job ends by a refund.
    pub refunded: bool,
}

/// Everyone's keys. Worlds of different seeds share no key.
pub struct World {
    seed: u8,
}

impl World {
    pub fn new(seed: u8) -> Self {
        Self { seed }
    }

    fn key(&self, role: u8) -> SigningKey {
        let mut bytes = [role; 32];
        bytes[0] = self.seed;
        SigningKey::from_seed(&bytes)
    }

    /// Party by index: two providers and the compute party.
    pub fn participant(&self, party: usize) -> SigningKey {
        self.key(1 + party as u8)
    }

    pub fn worker(&self, party: usize) -> SigningKey {
        self.key(11 + party as u8)
    }

    pub fn consumer(&self) -> SigningKey {
        self.key(4)
    }

    pub fn regulator(&self) -> SigningKey {
        self.key(5)
    }

    pub fn exchange(&self) -> SigningKey {
        self.key(6)
    }

    pub fn log(&self) -> NoteSigner {
        NoteSigner::log(ORIGIN, self.key(7)).unwrap()
    }

    pub fn validator(&self) -> NoteSigner {
        NoteSigner::cosigner("validator.example", self.key(8)).unwrap()
    }

    /// The cosigner of a party's worker.
    pub fn witness(&self, party: usize) -> NoteSigner {
        let key = self.key(21 + party as u8);
        NoteSigner::cosigner(key.did().as_str(), key).unwrap()
    }

    /// Trusts this world: three witnesses of three participants, a quorum of two.
    pub fn trust(&self) -> TrustFile {
        let witness =
            |party| TrustedWitness { vkey: self.witness(party).public().clone(), participant: Some(self.participant(party).did()) };
        let people = [self.participant(0), self.participant(1), self.participant(2), self.consumer(), self.regulator()];
        TrustFile {
            format: Default::default(),
            log: TrustedLog { origin: ORIGIN.into(), key: NoteKey::new(ORIGIN, KeyKind::Log, self.key(7).did()).unwrap() },
            validators: vec![self.validator().public().clone()],
            channel: None,
            witnesses: vec![witness(0), witness(1), witness(2)],
            quorum: 2,
            exchange: self.exchange().did(),
            participants: people.iter().map(SigningKey::did).collect(),
        }
    }

    fn split(&self) -> Vec<SplitShare> {
        let share = |(party, points)| SplitShare { participant: self.participant(party).did(), share: BasisPoints::new(points).unwrap() };
        [(0, 4500), (1, 4500), (2, 1000)].map(share).to_vec()
    }

    /// All statements of a job, signed and in the order in which they are made.
    pub fn statements(&self, tweaks: &Tweaks) -> Vec<(String, Envelope)> {
        let mut job = Job { world: self, tweaks, made: Vec::new() };
        job.make();
        job.made
    }

    /// The statements, logged, under a checkpoint that these cosigned; the names in `pending` without a proof.
    pub fn bundle(&self, tweaks: &Tweaks, cosigners: &[NoteSigner], pending: &[&str]) -> ReceiptBundle {
        let statements = self.statements(tweaks);
        let tree = log_of(&statements);
        let checkpoint = self.checkpoint(&tree, cosigners);
        let entry = |(at, (name, envelope)): (usize, &(String, Envelope))| BundleEntry {
            name: name.clone(),
            envelope: envelope.clone(),
            proof: (!pending.contains(&name.as_str())).then(|| prove(&tree, at, &checkpoint)),
        };
        ReceiptBundle::new(job_id(), statements.iter().enumerate().map(entry).collect())
    }

    /// The certificate of the first provider's dataset.
    pub fn certificate(&self, tweaks: &Tweaks, cosigners: &[NoteSigner]) -> Certificate {
        let statements = self.statements(tweaks);
        let at = statements.iter().position(|(name, _)| name == "rights-0").unwrap();
        let tree = log_of(&statements);
        let proof = prove(&tree, at, &self.checkpoint(&tree, cosigners));
        Certificate::new(statements[at].1.clone(), Some(proof))
    }

    pub fn checkpoint(&self, tree: &MerkleTree, cosigners: &[NoteSigner]) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() };
        let mut signed = checkpoint.sign(&self.log()).unwrap();
        for cosigner in cosigners {
            signed.add_cosignature(cosigner.public(), signed.cosign(cosigner, 1_700_000_000)).unwrap();
        }
        signed
    }

    /// The validator and the witnesses of parties 0 and 1.
    pub fn cosigners(&self) -> Vec<NoteSigner> {
        vec![self.validator(), self.witness(0), self.witness(1)]
    }
}

pub fn job_id() -> JobId {
    JobId::compose(NOW, [7; 10])
}

/// A log with the statements' leaves, and one of another job before them.
pub fn log_of(statements: &[(String, Envelope)]) -> MerkleTree {
    let mut tree: MerkleTree = [[0xaa; 32]].into_iter().collect();
    for (_, envelope) in statements {
        tree.push(&envelope.leaf().0);
    }
    tree
}

/// The proof of the statement at this place among those of [`log_of`].
pub fn prove(tree: &MerkleTree, at: usize, checkpoint: &SignedCheckpoint) -> String {
    let index = at as u64 + 1;
    let path = tree.inclusion_proof(index, tree.size()).unwrap();
    TlogProof { extra: None, index, path, checkpoint: checkpoint.clone() }.to_string()
}

/// One job being made.
struct Job<'a> {
    world: &'a World,
    tweaks: &'a Tweaks,
    made: Vec<(String, Envelope)>,
}

impl Job<'_> {
    fn sign<S: Statement>(&mut self, name: &str, statement: &S, signers: &[SigningKey]) -> Hash {
        let regulator = [self.world.regulator()];
        let signers = if self.tweaks.wrong_signer == Some(name) { &regulator[..] } else { signers };
        let salt = Hash::of(&[b"salt", name.as_bytes()]).0;
        let mut envelope = Envelope::sign(statement, &signers[0], salt).unwrap();
        for signer in &signers[1..] {
            envelope.countersign(signer).unwrap();
        }
        self.made.push((name.to_owned(), envelope));
        self.made.last().unwrap().1.statement_hash()
    }

    fn make(&mut self) {
        let rights = [self.rights(0), self.rights(1)];
        let (product_terms, product) = self.product(rights);
        let grants = [self.grant(0), self.grant(1), self.grant(2)];
        let (agreement_terms, agreement) = self.agreement(&product_terms, product, grants);
        let (order_terms, order) = self.order(&agreement_terms, agreement);
        let hold = self.hold(&order_terms, order, agreement);
        if self.tweaks.refunded {
            self.refund(&order_terms, order, hold);
            return;
        }
        let receipts = [0, 1, 2].map(|party| self.receipt(party, &product_terms, &order_terms, agreement, order));
        let split_rule = rule_digest(&agreement, &agreement_terms.split);
        self.release(&order_terms, split_rule, order, hold, receipts);
    }

    fn rights(&mut self, party: usize) -> Hash {
        let column = |name: &str, column, bounds: Option<(&str, &str)>| ColumnDescription {
            name: name.into(),
            column,
            profile: ColumnProfile { distinct: 50, low: bounds.map(|(low, _)| low.into()), high: bounds.map(|(_, high)| high.into()) },
        };
        let mut rights = RightsRegistration {
            dataset_id: dataset_id(party),
            name: ["loans", "scores"][party].into(),
            holder: self.world.participant(party).did(),
            right: Right::Hold,
            record: RightsRecord::Initial,
            worker: self.world.worker(party).did(),
            description: DatasetDescription {
                rows: 10_000,
                columns: vec![
                    column("member_id", ColumnKind::Text, None),
                    column("int_rate", ColumnKind::Decimal { scale: 2 }, Some(("6", "20"))),
                ],
                commitment: commitment(party),
            },
            issued_at: NOW,
        };
        self.tweaks.rights.inspect(|tweak| tweak(&mut rights));
        self.sign(&format!("rights-{party}"), &rights, &[self.world.participant(party)])
    }

    fn product(&mut self, rights: [Hash; 2]) -> (DataProduct, Hash) {
        let world = self.world;
        let rule = |uses: &[ColumnUse], bounds| ColumnRule { uses: uses.iter().copied().collect(), domain: None, bounds };
        let policy = DatasetPolicy {
            columns: [
                ("member_id".to_owned(), rule(&[ColumnUse::Join], None)),
                ("int_rate".to_owned(), rule(&[ColumnUse::Aggregate], Some(Bounds { minimum: 0, maximum: 5000 }))),
            ]
            .into(),
            minimum_group: 10,
            rows_max: 100_000,
            compute_parties: [world.participant(2).did()].into(),
        };
        let table = |party: usize, name: &str| ProductTable {
            table: name.into(),
            dataset_id: dataset_id(party),
            provider: world.participant(party).did(),
            rights: rights[party],
            commitment: commitment(party),
            columns: vec![("member_id".into(), ColumnKind::Text), ("int_rate".into(), ColumnKind::Decimal { scale: 2 })],
            policy: policy.clone(),
        };
        let mut product = DataProduct {
            product_id: ProductId::compose(NOW, [3; 10]),
            title: "Average rate of common members".into(),
            tables: vec![table(0, "lender.loans"), table(1, "bureau.scores")],
            compute_party: world.participant(2).did(),
            exchange: world.exchange().did(),
            consumers: [world.consumer().did()].into(),
            price_per_query: eur(PRICE_MINOR),
            split: world.split(),
            quota_queries: 100,
            issued_at: NOW,
            expires_at: NOW.plus_ms(24 * HOUR_MS),
        };
        self.tweaks.product.inspect(|tweak| tweak(&mut product));
        let hash = self.sign("product", &product, &[world.participant(0), world.participant(1), world.participant(2)]);
        (product, hash)
    }

    fn grant(&mut self, party: usize) -> Hash {
        let mut grant = WorkerGrant {
            grant_id: GrantId::compose(NOW, [party as u8; 10]),
            participant: self.world.participant(party).did(),
            worker: self.world.worker(party).did(),
            witness: self.world.witness(party).public().key().clone(),
            role: if party < 2 { WorkerRole::Data } else { WorkerRole::Compute },
            not_before: NOW,
            expires_at: NOW.plus_ms(24 * HOUR_MS),
        };
        self.tweaks.grant.inspect(|tweak| tweak(party, &mut grant));
        self.sign(&format!("grant-{party}"), &grant, &[self.world.participant(party)])
    }

    fn agreement(&mut self, product: &DataProduct, product_hash: Hash, grants: [Hash; 3]) -> (Agreement, Hash) {
        let world = self.world;
        let pin = |party: usize| PartyPin {
            participant: world.participant(party).did(),
            worker: world.worker(party).did(),
            grant: grants[party],
        };
        let mut agreement = Agreement {
            agreement_id: AgreementId::compose(NOW, [4; 10]),
            product: product_hash,
            consumer: world.consumer().did(),
            sealing_key: SealingSecret::from_bytes(&[1; 32]).public(),
            exchange: world.exchange().did(),
            parties: (0..3).map(pin).collect(),
            security: Security::SemiHonest,
            price_per_query: product.price_per_query.clone(),
            split: product.split.clone(),
            quota_queries: product.quota_queries,
            issued_at: NOW.plus_ms(1),
            expires_at: NOW.plus_ms(12 * HOUR_MS),
        };
        self.tweaks.agreement.inspect(|tweak| tweak(&mut agreement));
        let hash = self.sign("agreement", &agreement, &[world.consumer()]);
        (agreement, hash)
    }

    fn order(&mut self, agreement: &Agreement, agreement_hash: Hash) -> (Order, Hash) {
        let mut order = Order {
            order_id: OrderId::compose(NOW, [5; 10]),
            agreement: agreement_hash,
            sql: "SELECT AVG(l.int_rate) FROM lender.loans l JOIN bureau.scores s ON l.member_id = s.member_id".into(),
            plan: Hash([0xf1; 32]),
            sequence: 1,
            price: agreement.price_per_query.clone(),
            issued_at: NOW.plus_ms(2),
            expires_at: NOW.plus_ms(HOUR_MS),
        };
        self.tweaks.order.inspect(|tweak| tweak(&mut order));
        let hash = self.sign("order", &order, &[self.world.consumer()]);
        (order, hash)
    }

    fn hold(&mut self, order: &Order, order_hash: Hash, agreement: Hash) -> Hash {
        let (consumer, amount) = (self.world.consumer().did(), order.price.clone());
        let mut hold = Hold { job_id: job_id(), order: order_hash, agreement, consumer, amount, held_at: NOW.plus_ms(3) };
        self.tweaks.hold.inspect(|tweak| tweak(&mut hold));
        self.sign("hold", &hold, &[self.world.exchange()])
    }

    fn receipt(&mut self, party: usize, product: &DataProduct, order: &Order, agreement: Hash, order_hash: Hash) -> Hash {
        let mut shares = [party as u8, (party as u8 + 1) % 3];
        shares.sort_unstable();
        let mut receipt = UsageReceipt {
            job_id: job_id(),
            attempt: 1,
            agreement,
            order: order_hash,
            consumer: self.world.consumer().did(),
            plan: order.plan,
            party: party as u8,
            participant: self.world.participant(party).did(),
            worker: self.world.worker(party).did(),
            security: Security::SemiHonest,
            input_commitment: product.tables.get(party).map(|table| table.commitment),
            rows_input: if party < 2 { 10_000 } else { 0 },
            shares: shares.map(|share| SealedShareDigest { share, ciphertext: Hash([0xc0 + share; 32]) }).to_vec(),
            transcript: Hash([0xd0 + party as u8; 32]),
            finished_at: NOW.plus_ms(4),
        };
        self.tweaks.receipt.inspect(|tweak| tweak(party, &mut receipt));
        self.sign(&format!("receipt-{party}"), &receipt, &[self.world.worker(party)])
    }

    fn release(&mut self, order: &Order, split_rule: Hash, order_hash: Hash, hold: Hash, receipts: [Hash; 3]) {
        // 45 %, 45 % and 10 % of 12.51: 5.6295, 5.6295 and 1.251; the two odd cents go to the larger remainders.
        let part = |(party, amount)| SplitAmount { participant: self.world.participant(party).did(), amount: eur(amount) };
        let mut release = Release {
            job_id: job_id(),
            order: order_hash,
            hold,
            receipts: receipts.to_vec(),
            amount: order.price.clone(),
            split: [(0, 563), (1, 563), (2, 125)].map(part).to_vec(),
            split_rule,
            released_at: NOW.plus_ms(5),
        };
        self.tweaks.release.inspect(|tweak| tweak(&mut release));
        self.sign("release", &release, &[self.world.exchange()]);
    }

    fn refund(&mut self, order: &Order, order_hash: Hash, hold: Hash) {
        let reason = "worker_refused".into();
        let mut refund =
            Refund { job_id: job_id(), order: order_hash, hold, amount: order.price.clone(), reason, refunded_at: NOW.plus_ms(5) };
        self.tweaks.refund.inspect(|tweak| tweak(&mut refund));
        self.sign("refund", &refund, &[self.world.exchange()]);
    }
}

pub fn eur(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "EUR".parse().unwrap() }
}

fn dataset_id(party: usize) -> DatasetId {
    DatasetId::compose(NOW, [0x20 + party as u8; 10])
}

fn commitment(party: usize) -> Hash {
    Hash([0x50 + party as u8; 32])
}

/// Somebody nobody knows.
pub fn stranger() -> Did {
    SigningKey::from_seed(&[0xee; 32]).did()
}
