//! An honest order passes; every way to bend one is refused, each with its own code.

use super::*;
use crate::state::OrderRecord;
use entrepot_chain_statement::{
    BasisPoints, SealingSecret, SigningKey,
    ids::{AgreementId, GrantId, OrderId, ProductId},
    statements::{Bounds, ColumnRule, ColumnUse, PartyPin, Security, SplitShare},
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const HOUR: i64 = 3_600_000;
const SQL: &str = "SELECT l.addr_state, COUNT(*), AVG(l.int_rate) FROM lender.loans l JOIN bureau.credit b ON l.customer = b.customer \
                   WHERE l.term = 'term_36' GROUP BY l.addr_state";

/// One key for each role.
const LENDER: u8 = 1;
const BUREAU: u8 = 2;
const COMPUTE: u8 = 3;
const CONSUMER: u8 = 4;
const EXCHANGE: u8 = 5;
const WORKERS: [u8; 3] = [11, 12, 13];
const STRANGER: u8 = 99;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn did(seed: u8) -> Did {
    key(seed).did()
}

fn signed<S: Statement>(statement: &S, signers: &[u8]) -> Envelope {
    let (first, others) = signers.split_first().expect("somebody signs");
    let mut envelope = Envelope::sign(statement, &key(*first), [7; 32]).expect("it can be signed");
    others.iter().for_each(|signer| envelope.countersign(&key(*signer)).expect("it can be signed"));
    envelope
}

fn price() -> Money {
    Money { amount_minor: 500, currency: "EUR".parse().expect("three letters") }
}

fn rule(uses: &[ColumnUse]) -> ColumnRule {
    ColumnRule { uses: uses.iter().copied().collect(), domain: None, bounds: None }
}

fn policy(rules: Vec<(&str, ColumnRule)>) -> DatasetPolicy {
    DatasetPolicy {
        columns: rules.into_iter().map(|(name, rule)| (name.to_owned(), rule)).collect(),
        minimum_group: 10,
        rows_max: 20_000,
        compute_parties: BTreeSet::from([did(COMPUTE)]),
    }
}

fn lender_policy() -> DatasetPolicy {
    let states = Some(vec!["CA".to_owned(), "TX".to_owned()]);
    policy(vec![
        ("customer", rule(&[ColumnUse::Join])),
        ("term", rule(&[ColumnUse::Filter])),
        ("addr_state", ColumnRule { domain: states, ..rule(&[ColumnUse::Group]) }),
        ("int_rate", ColumnRule { bounds: Some(Bounds { minimum: 0, maximum: 10_000 }), ..rule(&[ColumnUse::Aggregate]) }),
    ])
}

fn table(name: &str, provider: u8, columns: &[(&str, ColumnKind)], policy: DatasetPolicy) -> ProductTable {
    ProductTable {
        table: name.to_owned(),
        dataset_id: DatasetId::compose(NOW, [provider; 10]),
        provider: did(provider),
        rights: Hash([provider; 32]),
        commitment: Hash([provider + 100; 32]),
        columns: columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        policy,
    }
}

fn product() -> DataProduct {
    let text = ColumnKind::Text;
    let loans = [("customer", text), ("term", text), ("addr_state", text), ("int_rate", ColumnKind::Decimal { scale: 2 })];
    let credit = [("customer", text), ("annual_inc", ColumnKind::Integer)];
    let share = |seed, points| SplitShare { participant: did(seed), share: BasisPoints::new(points).expect("at most the whole") };
    DataProduct {
        product_id: ProductId::compose(NOW, [1; 10]),
        title: "Rates by state".into(),
        tables: vec![
            table("lender.loans", LENDER, &loans, lender_policy()),
            table("bureau.credit", BUREAU, &credit, policy(vec![("customer", rule(&[ColumnUse::Join]))])),
        ],
        compute_party: did(COMPUTE),
        exchange: did(EXCHANGE),
        consumers: BTreeSet::new(),
        price_per_query: price(),
        split: vec![share(LENDER, 5_000), share(BUREAU, 4_000), share(COMPUTE, 1_000)],
        quota_queries: 2,
        issued_at: NOW,
        expires_at: NOW.plus_ms(10 * HOUR),
    }
}

/// Everything of an order, before it is signed: a test bends one thing and signs the rest honestly around it.
struct Case {
    product: DataProduct,
    product_signers: Vec<u8>,
    grants: [WorkerGrant; 3],
    grant_signers: [u8; 3],
    agreement: Agreement,
    agreement_signer: u8,
    /// Whether the agreement is made to fit product and grants again after they were bent.
    refit_agreement: bool,
    order: Order,
    order_signer: u8,
    refit_order: bool,
    hold: Hold,
    hold_signer: u8,
    refit_hold: bool,
    job_id: JobId,
    attempt: u32,
    party: u8,
    deadline: Timestamp,
    trust: BTreeSet<Did>,
    datasets: BTreeMap<DatasetId, OwnDataset>,
    worker: Did,
    participant: Did,
    exchange: Did,
    memory: Memory,
    now: Timestamp,
}

fn grant(participant: u8, worker: u8, role: WorkerRole) -> WorkerGrant {
    WorkerGrant {
        grant_id: GrantId::compose(NOW, [worker; 10]),
        participant: did(participant),
        worker: did(worker),
        witness: did(worker + 50),
        role,
        not_before: NOW.plus_ms(-HOUR),
        expires_at: NOW.plus_ms(HOUR),
    }
}

fn case() -> Case {
    let product = product();
    let job_id = JobId::compose(NOW, [1; 10]);
    let plan = entrepot_mpc_plan::plan(SQL, &product).expect("the product allows it").hash();
    let own = |table: &ProductTable| OwnDataset {
        commitment: table.commitment,
        columns: table.columns.clone(),
        policy: Some(table.policy.clone()),
    };
    Case {
        datasets: BTreeMap::from([(product.tables[0].dataset_id.clone(), own(&product.tables[0]))]),
        product_signers: vec![LENDER, BUREAU, COMPUTE],
        grants: [
            grant(LENDER, WORKERS[0], WorkerRole::Data),
            grant(BUREAU, WORKERS[1], WorkerRole::Data),
            grant(COMPUTE, WORKERS[2], WorkerRole::Compute),
        ],
        grant_signers: [LENDER, BUREAU, COMPUTE],
        agreement: Agreement {
            agreement_id: AgreementId::compose(NOW, [1; 10]),
            product: Hash([0; 32]),
            consumer: did(CONSUMER),
            sealing_key: SealingSecret::from_bytes(&[6; 32]).public(),
            exchange: did(EXCHANGE),
            parties: Vec::new(),
            security: Security::SemiHonest,
            price_per_query: price(),
            split: product.split.clone(),
            quota_queries: product.quota_queries,
            issued_at: NOW,
            expires_at: NOW.plus_ms(5 * HOUR),
        },
        agreement_signer: CONSUMER,
        refit_agreement: true,
        order: Order {
            order_id: OrderId::compose(NOW, [1; 10]),
            agreement: Hash([0; 32]),
            sql: SQL.into(),
            plan,
            sequence: 1,
            price: price(),
            issued_at: NOW,
            expires_at: NOW.plus_ms(HOUR),
        },
        order_signer: CONSUMER,
        refit_order: true,
        hold: Hold {
            job_id: job_id.clone(),
            order: Hash([0; 32]),
            agreement: Hash([0; 32]),
            consumer: did(CONSUMER),
            amount: price(),
            held_at: NOW,
        },
        hold_signer: EXCHANGE,
        refit_hold: true,
        job_id,
        attempt: 1,
        party: 0,
        deadline: NOW.plus_ms(60_000),
        trust: [LENDER, BUREAU, COMPUTE, CONSUMER].into_iter().map(did).collect(),
        worker: did(WORKERS[0]),
        participant: did(LENDER),
        exchange: did(EXCHANGE),
        memory: Memory::new(),
        now: NOW,
        product,
    }
}

impl Case {
    fn offer(&mut self) -> Offer {
        let product = signed(&self.product, &self.product_signers);
        let [a, b, c] = &self.grants;
        let [x, y, z] = self.grant_signers;
        let grants = [signed(a, &[x]), signed(b, &[y]), signed(c, &[z])];
        if self.refit_agreement {
            self.agreement.product = product.statement_hash();
            let pins = self.grants.iter().zip(&grants).map(|(grant, envelope)| PartyPin {
                participant: grant.participant.clone(),
                worker: grant.worker.clone(),
                grant: envelope.statement_hash(),
            });
            self.agreement.parties = pins.collect();
        }
        let agreement = signed(&self.agreement, &[self.agreement_signer]);
        if self.refit_order {
            self.order.agreement = agreement.statement_hash();
        }
        let order = signed(&self.order, &[self.order_signer]);
        if self.refit_hold {
            self.hold.order = order.statement_hash();
            self.hold.agreement = agreement.statement_hash();
        }
        let hold = signed(&self.hold, &[self.hold_signer]);
        Offer {
            job_id: self.job_id.clone(),
            attempt: self.attempt,
            party: self.party,
            product,
            agreement,
            order,
            hold,
            grants,
            peer_addresses: ["a:1", "b:1", "c:1"].map(str::to_owned),
            deadline: self.deadline,
        }
    }

    fn check(&mut self) -> Result<Admitted, Refusal> {
        let offer = self.offer();
        self.check_offer(&offer)
    }

    fn check_offer(&self, offer: &Offer) -> Result<Admitted, Refusal> {
        let Self { exchange, participant, worker, trust, datasets, .. } = self;
        check(offer, Own { exchange, participant, worker, trust, datasets }, &self.memory, self.now)
    }

    /// What this worker remembers after it accepted this very order, in the given state.
    fn remember(&mut self, attempt: u32, state: OrderState) {
        let offer = self.offer();
        let (order, job_id) = (offer.order.statement_hash(), offer.job_id.clone());
        let orders = vec![OrderRecord { order, sequence: self.order.sequence, job_id, attempt, state }];
        let hash = offer.agreement.statement_hash();
        let record = AgreementRecord { highest_sequence: self.order.sequence, orders, ..AgreementRecord::new(hash, &self.agreement) };
        self.memory = Memory::from([(hash, record)]);
    }

    fn own_record(&mut self) -> &mut AgreementRecord {
        let hash = self.offer().agreement.statement_hash();
        self.memory.entry(hash).or_insert(AgreementRecord::new(hash, &self.agreement))
    }

    /// A query of another agreement in the memory.
    fn remember_elsewhere(&mut self, id: u8, product: Hash, consumer: u8) {
        let job_id = JobId::compose(NOW, [id; 10]);
        let order = OrderRecord { order: Hash([id; 32]), sequence: 1, job_id, attempt: 1, state: OrderState::Released };
        let record =
            AgreementRecord { agreement: Hash([id; 32]), product, consumer: did(consumer), highest_sequence: 1, orders: vec![order] };
        self.memory.insert(record.agreement, record);
    }

    /// Another order of the same agreement in the memory.
    fn remember_other(&mut self, sequence: u64, state: OrderState) {
        let record = self.own_record();
        record.highest_sequence = record.highest_sequence.max(sequence);
        let job_id = JobId::compose(NOW, [sequence as u8 + 50; 10]);
        record.orders.push(OrderRecord { order: Hash([sequence as u8; 32]), sequence, job_id, attempt: 1, state });
    }
}

/// The code with which a bent case is refused.
fn code(bend: impl FnOnce(&mut Case)) -> &'static str {
    let mut case = case();
    bend(&mut case);
    match case.check() {
        Ok(_) => "accepted",
        Err(refusal) => refusal.code(),
    }
}

#[test]
fn an_honest_order_is_accepted_by_each_of_its_three_workers() {
    let admitted = case().check().expect("it is honest");
    assert_eq!((admitted.party, admitted.rows_max), (0, Some(20_000)));
    assert_eq!(admitted.split, split(&product().price_per_query, &product().split).expect("a whole"));
    assert_eq!(admitted.dataset_id, Some(product().tables[0].dataset_id.clone()));
    assert_eq!(admitted.deadline, NOW.plus_ms(60_000));
    for (party, participant) in [(1, BUREAU), (2, COMPUTE)] {
        let mut case = case();
        let table = product().tables.get(party as usize).cloned();
        case.datasets = table
            .map(|t| (t.dataset_id, OwnDataset { commitment: t.commitment, columns: t.columns, policy: Some(t.policy) }))
            .into_iter()
            .collect();
        (case.party, case.worker, case.participant) = (party, did(WORKERS[party as usize]), did(participant));
        let admitted = case.check().expect("it is honest");
        assert_eq!(admitted.dataset_id.is_some(), party == 1);
    }
}

#[test]
fn a_product_that_somebody_has_not_signed_or_that_names_strangers_is_refused() {
    for missing in [LENDER, BUREAU, COMPUTE] {
        assert_eq!(code(|c| c.product_signers.retain(|signer| *signer != missing)), "product_not_signed");
        assert_eq!(code(|c| _ = c.trust.remove(&did(missing))), "participant_not_trusted");
    }
    assert_eq!(code(|c| c.product_signers = vec![STRANGER]), "product_not_signed");
    assert_eq!(code(|c| c.product.exchange = did(STRANGER)), "product_for_other_exchange");
    assert_eq!(code(|c| c.product.tables.truncate(1)), "product_invalid");
    assert_eq!(code(|c| _ = c.product.split.pop()), "product_invalid");
    assert_eq!(code(|c| c.product.price_per_query.amount_minor = -1), "product_invalid");
    assert_eq!(code(|c| c.product.expires_at = NOW), "product_expired");
    assert_eq!(code(|c| c.product.compute_party = did(LENDER)), "parties_not_distinct");
    assert_eq!(code(|c| c.product.tables[1].provider = did(LENDER)), "parties_not_distinct");
}

#[test]
fn an_agreement_that_is_not_the_consumers_acceptance_of_this_product_is_refused() {
    assert_eq!(code(|c| c.agreement_signer = STRANGER), "agreement_not_signed");
    assert_eq!(code(|c| c.agreement_signer = EXCHANGE), "agreement_not_signed");
    assert_eq!(code(|c| _ = c.trust.remove(&did(CONSUMER))), "consumer_not_trusted");
    assert_eq!(code(|c| c.product.consumers = BTreeSet::from([did(STRANGER)])), "consumer_not_invited");
    assert_eq!(code(|c| c.product.consumers = BTreeSet::from([did(CONSUMER)])), "accepted");
    assert_eq!(code(|c| c.agreement.exchange = did(STRANGER)), "agreement_for_other_exchange");
    assert_eq!(code(|c| c.agreement.price_per_query.amount_minor = 1), "agreement_terms_differ");
    assert_eq!(code(|c| c.agreement.split.swap(0, 1)), "agreement_terms_differ");
    assert_eq!(code(|c| c.agreement.quota_queries = 1_000), "agreement_terms_differ");
    assert_eq!(code(|c| c.agreement.expires_at = NOW.plus_ms(11 * HOUR)), "agreement_terms_differ");
    assert_eq!(code(|c| c.agreement.expires_at = NOW), "agreement_expired");
    let bent = code(|c| {
        c.offer();
        c.refit_agreement = false;
        c.agreement.product = Hash([0; 32]);
    });
    assert_eq!(bent, "agreement_for_other_product");
}

#[test]
fn a_policy_swapped_inside_the_product_loses_the_agreement() {
    let mut case = case();
    let honest = case.offer();
    case.product.tables[0].policy.minimum_group = 2;
    let swapped = Offer { product: signed(&case.product, &[LENDER, BUREAU, COMPUTE]), ..honest };
    assert_eq!(case.check_offer(&swapped).map(|_| ()), Err(Refusal::AgreementForOtherProduct));
}

#[test]
fn a_sealing_key_swapped_by_the_exchange_breaks_the_consumers_signature() {
    let mut case = case();
    let honest = case.offer();
    case.agreement.sealing_key = SealingSecret::from_bytes(&[66; 32]).public();
    let swapped = Offer { agreement: signed(&case.agreement, &[EXCHANGE]), ..honest };
    assert_eq!(case.check_offer(&swapped).map(|_| ()), Err(Refusal::AgreementNotSigned));
}

#[test]
fn parties_other_than_the_products_or_without_their_grants_are_refused() {
    let pins = |bend: fn(&mut Vec<PartyPin>)| {
        code(|c| {
            c.offer();
            c.refit_agreement = false;
            bend(&mut c.agreement.parties);
        })
    };
    assert_eq!(pins(|pins| pins.swap(0, 1)), "parties_differ");
    assert_eq!(pins(|pins| pins[2].participant = did(STRANGER)), "parties_differ");
    assert_eq!(pins(|pins| pins[2].worker = pins[1].worker.clone()), "parties_not_distinct");
    assert_eq!(pins(|pins| pins[1].worker = did(STRANGER)), "grant_differs");
    assert_eq!(pins(|pins| pins[1].grant = Hash([0; 32])), "grant_differs");
    for party in 0..3 {
        assert_eq!(code(|c| c.grant_signers[party] = EXCHANGE), "grant_not_signed");
        assert_eq!(code(|c| c.grants[party].expires_at = NOW), "grant_not_in_time");
        assert_eq!(code(|c| c.grants[party].not_before = NOW.plus_ms(1)), "grant_not_in_time");
        let other = if party == 2 { WorkerRole::Data } else { WorkerRole::Compute };
        assert_eq!(code(|c| c.grants[party].role = other), "grant_role_wrong");
    }
    assert_eq!(code(|c| c.worker = did(STRANGER)), "not_this_worker");
    assert_eq!(code(|c| c.participant = did(BUREAU)), "not_this_worker");
    assert_eq!(code(|c| c.party = 1), "not_this_worker");
    assert_eq!(code(|c| c.product.tables[1].policy.compute_parties.clear()), "compute_party_not_accepted");
}

#[test]
fn an_order_that_the_consumer_did_not_sign_for_this_agreement_is_refused() {
    assert_eq!(code(|c| c.order_signer = EXCHANGE), "order_not_signed");
    assert_eq!(code(|c| c.order.price.amount_minor = 499), "order_price_differs");
    assert_eq!(code(|c| c.order.expires_at = NOW), "order_expired");
    assert_eq!(code(|c| c.refit_order = false), "order_for_other_agreement");
    assert_eq!(code(|c| c.deadline = NOW), "deadline_passed");
}

#[test]
fn a_hold_for_anything_else_is_refused() {
    assert_eq!(code(|c| c.hold_signer = CONSUMER), "hold_not_signed");
    assert_eq!(code(|c| c.hold.amount.amount_minor = 499), "hold_amount_differs");
    assert_eq!(code(|c| c.hold.consumer = did(STRANGER)), "hold_for_other_order");
    assert_eq!(code(|c| c.refit_hold = false), "hold_for_other_order");
    assert_eq!(code(|c| c.job_id = JobId::compose(NOW, [2; 10])), "hold_for_other_order");
}

#[test]
fn a_query_that_is_not_the_signed_plan_or_breaks_a_policy_is_refused() {
    assert_eq!(code(|c| c.order.sql = SQL.replace("term_36", "term_60")), "plan_differs");
    assert_eq!(code(|c| c.order.plan = Hash([0; 32])), "plan_differs");
    assert_eq!(code(|c| c.order.sql = SQL.replace("AVG(l.int_rate)", "AVG(b.annual_inc)")), "plan_forbidden");
    assert_eq!(code(|c| c.order.sql = "DROP TABLE loans".into()), "plan_forbidden");
}

/// Bends this worker's own policy file, while everything that was signed stays honest.
fn code_under_policy(bend: impl FnOnce(&mut DatasetPolicy)) -> &'static str {
    code(|c| {
        let dataset = c.datasets.values_mut().next().expect("there is one");
        bend(dataset.policy.as_mut().expect("there is one"));
    })
}

#[test]
fn the_workers_own_policy_file_decides_even_if_everyone_signed_the_order() {
    assert_eq!(code_under_policy(|p| _ = p.columns.remove("int_rate")), "policy_forbids");
    assert_eq!(code_under_policy(|p| p.columns.get_mut("term").expect("it is there").uses.clear()), "policy_forbids");
    assert_eq!(code_under_policy(|p| p.minimum_group = 11), "policy_stricter");
    assert_eq!(code_under_policy(|p| p.rows_max = 10_000), "policy_stricter");
    assert_eq!(code_under_policy(|p| p.compute_parties.clear()), "compute_party_not_accepted");
    assert_eq!(code_under_policy(|p| _ = p.columns.insert("class".into(), rule(&[ColumnUse::Filter]))), "accepted");
    assert_eq!(code(|c| c.datasets.values_mut().for_each(|dataset| dataset.policy = None)), "policy_missing");
    assert_eq!(code(|c| c.datasets.clear()), "dataset_unknown");
    assert_eq!(code(|c| c.datasets.values_mut().for_each(|d| d.commitment = Hash([0; 32]))), "dataset_differs");
    assert_eq!(code(|c| c.datasets.values_mut().for_each(|d| d.columns.swap(0, 1))), "dataset_differs");
}

#[test]
fn the_named_rule_of_the_workers_own_policy_is_told() {
    let mut case = case();
    case.datasets.values_mut().for_each(|dataset| {
        dataset.policy.as_mut().expect("there is one").columns.get_mut("term").expect("it is there").uses.clear();
    });
    match case.check() {
        Err(Refusal::PolicyForbids { rule, .. }) => assert_eq!(rule, "column_use_filter"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_order_runs_once_and_never_after_a_later_one() {
    assert_eq!(code(|c| c.order.sequence = 0), "sequence_passed");
    assert_eq!(code(|c| c.remember_other(1, OrderState::Failed)), "sequence_passed");
    assert_eq!(code(|c| c.remember_other(7, OrderState::Failed)), "sequence_passed");
    let after = code(|c| {
        c.remember_other(7, OrderState::Failed);
        c.order.sequence = 8;
    });
    assert_eq!(after, "accepted");
    let replayed = code(|c| {
        c.remember(1, OrderState::Failed);
        c.job_id = JobId::compose(NOW, [9; 10]);
        c.hold.job_id = c.job_id.clone();
    });
    assert_eq!(replayed, "order_replayed");
}

#[test]
fn a_further_attempt_of_a_known_order_runs_until_it_was_paid_for() {
    let again = |attempt, state| {
        code(|c| {
            c.remember(1, state);
            c.attempt = attempt;
        })
    };
    assert_eq!(again(2, OrderState::Failed), "accepted");
    assert_eq!(again(3, OrderState::Finished), "accepted");
    assert_eq!(again(1, OrderState::Failed), "attempt_repeated");
    assert_eq!(again(2, OrderState::Released), "already_released");
    let older = code(|c| {
        c.remember(3, OrderState::Failed);
        c.attempt = 2;
    });
    assert_eq!(older, "attempt_repeated");
    // Other orders may have come meanwhile.
    let overtaken = code(|c| {
        c.remember(1, OrderState::Failed);
        c.remember_other(5, OrderState::Failed);
        c.attempt = 2;
    });
    assert_eq!(overtaken, "accepted");
}

#[test]
fn the_quota_counts_what_ran_and_not_what_failed() {
    let third = |first, second| {
        code(|c| {
            c.order.sequence = 3;
            c.remember_other(1, first);
            c.remember_other(2, second);
        })
    };
    assert_eq!(third(OrderState::Released, OrderState::Finished), "quota_spent");
    assert_eq!(third(OrderState::Accepted, OrderState::Released), "quota_spent");
    assert_eq!(third(OrderState::Released, OrderState::Failed), "accepted");
    // The last one allowed may be tried again.
    let retried = code(|c| {
        c.order.sequence = 2;
        c.remember(1, OrderState::Finished);
        c.remember_other(1, OrderState::Released);
        c.attempt = 2;
    });
    assert_eq!(retried, "accepted");
    let none = code(|c| {
        c.product.quota_queries = 0;
        c.agreement.quota_queries = 0;
    });
    assert_eq!(none, "quota_spent");
    let many = code(|c| {
        c.order.sequence = 100_000;
        let job_id = JobId::compose(NOW, [3; 10]);
        let failed = OrderRecord { order: Hash([0; 32]), sequence: 1, job_id, attempt: 1, state: OrderState::Failed };
        c.own_record().orders = vec![failed; ORDERS_MAX];
    });
    assert_eq!(many, "too_many_orders");
}

#[test]
fn a_new_agreement_does_not_renew_the_quota() {
    let after = |product: Option<Hash>, consumer| {
        code(|c| {
            let product = product.unwrap_or(c.offer().agreement.open::<Agreement>().expect("our own").product);
            c.remember_elsewhere(1, product, consumer);
            c.remember_elsewhere(2, product, consumer);
        })
    };
    assert_eq!(after(None, CONSUMER), "quota_spent");
    assert_eq!(after(None, STRANGER), "accepted");
    assert_eq!(after(Some(Hash([0; 32])), CONSUMER), "accepted");
    // One under each agreement is the whole quota, too; and its own earlier attempt is not counted twice.
    let mixed = |attempt| {
        code(|c| {
            let product = c.offer().agreement.open::<Agreement>().expect("our own").product;
            c.remember(1, OrderState::Finished);
            c.remember_elsewhere(1, product, CONSUMER);
            (c.attempt, c.order.sequence) = (attempt, if attempt == 1 { 2 } else { 1 });
        })
    };
    assert_eq!((mixed(1), mixed(2)), ("quota_spent", "accepted"));
}

#[test]
fn a_message_that_cannot_be_read_is_refused_before_anything_is_believed() {
    let mut case = case();
    let offer = case.offer();
    let message = v1::WorkOrder {
        job_id: offer.job_id.to_string(),
        attempt: 1,
        party: 0,
        product: offer.product.to_json(),
        agreement: offer.agreement.to_json(),
        order: offer.order.to_json(),
        hold: offer.hold.to_json(),
        grants: offer.grants.iter().map(Envelope::to_json).collect(),
        peer_addresses: offer.peer_addresses.to_vec(),
        deadline_ms: offer.deadline.0,
    };
    let read = Offer::read(&message).expect("it is whole");
    assert!(case.check_offer(&read).is_ok());
    let code = |bend: fn(&mut v1::WorkOrder)| {
        let mut message = message.clone();
        bend(&mut message);
        Offer::read(&message).map(|_| "read").unwrap_or_else(|refusal| refusal.code())
    };
    assert_eq!(code(|m| m.job_id = "../../etc/passwd".into()), "work_order_malformed");
    assert_eq!(code(|m| m.order.truncate(20)), "work_order_malformed");
    assert_eq!(code(|m| _ = m.grants.pop()), "work_order_malformed");
    assert_eq!(code(|m| m.peer_addresses.clear()), "work_order_malformed");
    assert_eq!(code(|m| m.peer_addresses[1] = "x".repeat(1_000)), "work_order_malformed");
    assert_eq!(code(|m| m.attempt = 0), "attempt_out_of_range");
    assert_eq!(code(|m| m.attempt = 4), "attempt_out_of_range");
    assert_eq!(code(|m| m.party = 3), "party_out_of_range");
    let swapped = Offer { order: offer.agreement.clone(), ..offer };
    assert_eq!(case.check_offer(&swapped).map(|_| ()), Err(Refusal::Malformed { part: "order" }));
}

#[test]
fn every_code_is_used_once() {
    let codes: BTreeSet<_> = Refusal::CODES.iter().collect();
    assert_eq!(codes.len(), Refusal::CODES.len());
}

#[test]
fn a_run_is_given_up_after_an_hour_whatever_the_exchange_says() {
    let mut case = case();
    case.deadline = Timestamp(i64::MAX);
    assert_eq!(case.check().expect("it is honest").deadline, NOW.plus_ms(RUN_MS_MAX));
}
