//! Three workers, each with its own folder and keys, over real TLS: from the description of a dataset to the result that only the consumer
//! can open. The test plays exchange and participants; nothing of the worker is replaced.

mod exchange;
mod market;

use entrepot_api_wire::v1::{self, from_worker::Message as FromWorkerMessage, to_worker::Message as ToWorkerMessage};
use entrepot_chain_log::{Checkpoint, MerkleTree, SignedCheckpoint, cosignature_vkey};
use entrepot_chain_statement::{
    Envelope, Hash, SigningKey, Timestamp,
    ids::{DatasetId, JobId},
    sealing::{RESULT_INFO, ResultShare},
    statements::UsageReceipt,
};
use entrepot_mpc_plan::Cell;
use exchange::{Connected, Exchange};
use market::{Deal, MINIMUM_GROUP, Market, ORIGIN, SQL, STATES, now, sign};
use std::collections::{BTreeMap, BTreeSet};

async fn receipts(market: &Market, deal: &Deal, workers: &mut [Connected; 3]) -> Vec<Envelope> {
    let mut receipts = Vec::new();
    for (party, worker) in workers.iter_mut().enumerate() {
        let receipt = Envelope::from_json(&worker.receipt().await).expect("it is an envelope");
        let opened: UsageReceipt = receipt.open_signed_by([&market.participants[party].worker.signing.did()]).expect("the worker signed");
        assert_eq!((opened.job_id, usize::from(opened.party)), (deal.job_id.clone(), party));
        assert_eq!((opened.order, opened.agreement), (deal.order.statement_hash(), deal.agreement.statement_hash()));
        assert_eq!(opened.input_commitment, deal.product.tables.get(party).map(|table| table.commitment));
        receipts.push(receipt);
    }
    receipts
}

/// Hands over against an honest release and opens every share with what two holders gave.
async fn opened(market: &Market, deal: &Deal, attempt: u32, receipts: &[Envelope], workers: &mut [Connected; 3]) -> Vec<u64> {
    let release = market.release(deal, receipts, &market.exchange.key);
    let mut shares: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for (worker, receipt) in workers.iter_mut().zip(receipts) {
        let message = v1::HandOverShares { job_id: deal.job_id.to_string(), release: release.clone() };
        worker.say(ToWorkerMessage::HandOverShares(message)).await;
        let FromWorkerMessage::SharesHandedOver(handed) = worker.answer().await else { panic!("the release is honest") };
        let digests = receipt.open::<UsageReceipt>().expect("a receipt").shares;
        for (share, digest) in handed.shares.into_iter().zip(digests) {
            assert_eq!((share.share, Hash::of(&[&share.ciphertext])), (u32::from(digest.share), digest.ciphertext));
            shares.entry(share.share).or_default().push(share.ciphertext);
        }
    }
    let mut sum: Vec<u64> = Vec::new();
    for (share, ciphertexts) in shares {
        assert_eq!(ciphertexts.len(), 2);
        assert_eq!(ciphertexts[0], ciphertexts[1], "both holders seal a share to the same bytes");
        let which = ResultShare { order: deal.order.statement_hash(), attempt, share: share as u8 };
        let plain = market.sealing.open(RESULT_INFO, &which.aad(), &ciphertexts[0]).expect("it is sealed to the consumer");
        let cells = plain.as_chunks::<8>().0.iter().map(|cell| u64::from_le_bytes(*cell));
        sum.resize(plain.len() / 8, 0);
        sum.iter_mut().zip(cells).for_each(|(sum, cell)| *sum = sum.wrapping_add(cell));
    }
    sum
}

/// Rows and suppressed groups of the query, by the definition of the query.
fn oracle(market: &Market) -> (Vec<(String, u64, f64, f64)>, u64) {
    let (mut rows, mut suppressed) = (Vec::new(), 0);
    for state in STATES {
        let members: Vec<(i64, i64)> = market
            .people
            .iter()
            .filter_map(|person| Some((person.lender.as_ref()?, person.bureau?)))
            .filter(|((of, term, _), _)| of == state && term == "term_36")
            .map(|((_, _, rate), income)| (*rate, income))
            .collect();
        let count = members.len() as u64;
        if count < u64::from(MINIMUM_GROUP) {
            suppressed += 1;
            continue;
        }
        let average = |sum: i64, unit: f64| sum as f64 / unit / count as f64;
        let (rates, incomes) = members.iter().fold((0, 0), |(rates, incomes), (rate, income)| (rates + rate, incomes + income));
        rows.push((state.to_owned(), count, average(rates, 100.0), average(incomes, 1.0)));
    }
    (rows, suppressed)
}

fn assert_is_the_oracles(market: &Market, deal: &Deal, cells: &[u64]) {
    let plan = entrepot_mpc_plan::plan(SQL, &deal.product).expect("the product allows it");
    let table = entrepot_mpc_plan::decode(&plan, cells).expect("it is this plan's result");
    let (expected, suppressed) = oracle(market);
    assert!(suppressed > 0 && !expected.is_empty(), "the data must show both");
    assert_eq!(table.withheld_groups, suppressed);
    assert_eq!(table.rows.len(), expected.len());
    for (row, (state, count, rate, income)) in table.rows.iter().zip(expected) {
        let close = |cell: &Cell, expected: f64| matches!(cell, Cell::Float(found) if ((found - expected) / expected).abs() < 1e-9);
        assert!(matches!(&row[0], Cell::Text(found) if *found == state), "{row:?}");
        assert!(matches!(&row[1], Cell::Integer(found) if *found as u64 == count), "{row:?}, not {count}");
        assert!(close(&row[2], rate) && close(&row[3], income), "{row:?}, not {rate}, {income}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_order_is_computed_receipted_released_and_opened_by_the_consumer_alone() {
    let mut market = Market::open().await;
    let mut workers = market.start_all().await;
    let product = market.product(&mut workers).await;
    let deal = market.order(&product, 1);
    market.dispatch(&deal, 1, &workers).await;
    let receipts = receipts(&market, &deal, &mut workers).await;

    // The same order again: the same receipt, no second computation.
    workers[0].say(market.work_order(&deal, 1, 0, &workers)).await;
    assert_eq!(workers[0].receipt().await, receipts[0].to_json());

    // Nothing leaves against a release that the exchange did not sign, or that names other receipts.
    let hand_over = |release| ToWorkerMessage::HandOverShares(v1::HandOverShares { job_id: deal.job_id.to_string(), release });
    workers[0].say(hand_over(market.release(&deal, &receipts, &SigningKey::from_seed(&[77; 32])))).await;
    assert_eq!(workers[0].refusal().await, "release_not_signed");
    let swapped = [receipts[1].clone(), receipts[0].clone(), receipts[2].clone()];
    workers[0].say(hand_over(market.release(&deal, &swapped, &market.exchange.key))).await;
    assert_eq!(workers[0].refusal().await, "release_for_other_receipt");

    let cells = opened(&market, &deal, 1, &receipts, &mut workers).await;
    assert_is_the_oracles(&market, &deal, &cells);
    // Fetched again, with the same bytes.
    assert_eq!(opened(&market, &deal, 1, &receipts, &mut workers).await, cells);

    // Paid for: no further attempt, and not as another job either.
    workers[0].say(market.work_order(&deal, 2, 0, &workers)).await;
    assert_eq!(workers[0].refusal().await, "already_released");
    let Deal { product, product_envelope, agreement, order, .. } = market.order(&product, 1);
    let replay = market.deal(product, product_envelope, agreement, order, JobId::compose(now(), [9; 10]));
    workers[0].say(market.work_order(&replay, 1, 0, &workers)).await;
    assert_eq!(workers[0].refusal().await, "order_replayed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_was_stopped_remembers_what_it_signed() {
    let mut market = Market::open().await;
    let mut running = Vec::new();
    for party in 0..3 {
        running.push(market.start(party));
    }
    let mut arrived = Vec::new();
    for _ in 0..3 {
        arrived.push(market.exchange.arrival().await);
    }
    let order: Vec<_> = market.participants.iter().map(|participant| participant.worker.signing.did()).collect();
    arrived.sort_by_key(|connected| order.iter().position(|worker| *worker == connected.worker));
    let mut workers: [Connected; 3] = arrived.try_into().unwrap_or_else(|_| unreachable!("three came"));
    let product = market.product(&mut workers).await;
    let deal = market.order(&product, 1);
    market.dispatch(&deal, 1, &workers).await;
    let receipts = receipts(&market, &deal, &mut workers).await;

    let (shutdown, task) = running.remove(1);
    shutdown.cancel();
    task.await.expect("it does not panic").expect("it stops in order");
    market.start(1);
    workers[1] = market.exchange.arrival().await;
    // It tells again what the exchange may have missed, and answers a repeated order as before.
    assert_eq!(workers[1].receipt().await, receipts[1].to_json());
    workers[1].say(market.work_order(&deal, 1, 1, &workers)).await;
    assert_eq!(workers[1].receipt().await, receipts[1].to_json());
    assert_eq!(market.describe(1, &mut workers[1]).await.1.commitment, deal.product.tables[1].commitment);
    let cells = opened(&market, &deal, 1, &receipts, &mut workers).await;
    assert_is_the_oracles(&market, &deal, &cells);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_aborted_attempt_fails_and_the_next_one_gives_the_result() {
    let mut market = Market::open().await;
    let mut workers = market.start_all().await;
    let product = market.product(&mut workers).await;
    let deal = market.order(&product, 1);
    // Two of three wait for the third, which is never asked.
    for party in [0, 2] {
        workers[party].say(market.work_order(&deal, 1, party, &workers)).await;
        workers[party].hear(|message| matches!(message, FromWorkerMessage::WorkAccepted(_))).await;
    }
    for party in [0, 2] {
        let abort = v1::AbortWork { job_id: deal.job_id.to_string(), attempt: 1, code: "cancelled".into() };
        workers[party].say(ToWorkerMessage::AbortWork(abort)).await;
        assert_eq!(workers[party].failure().await, "aborted");
    }
    workers[0].say(market.work_order(&deal, 1, 0, &workers)).await;
    assert_eq!(workers[0].failure().await, "attempt_lost");
    market.dispatch(&deal, 2, &workers).await;
    let receipts = receipts(&market, &deal, &mut workers).await;
    let cells = opened(&market, &deal, 2, &receipts, &mut workers).await;
    assert_is_the_oracles(&market, &deal, &cells);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_later_attempt_replaces_the_one_that_still_runs() {
    let mut market = Market::open().await;
    let mut workers = market.start_all().await;
    let product = market.product(&mut workers).await;
    let deal = market.order(&product, 1);
    workers[0].say(market.work_order(&deal, 1, 0, &workers)).await;
    workers[0].hear(|message| matches!(message, FromWorkerMessage::WorkAccepted(_))).await;
    market.dispatch(&deal, 2, &workers).await;
    assert_eq!(workers[0].failure().await, "aborted");
    let receipts = receipts(&market, &deal, &mut workers).await;
    let cells = opened(&market, &deal, 2, &receipts, &mut workers).await;
    assert_is_the_oracles(&market, &deal, &cells);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn as_many_datasets_as_an_exchange_asks_for_at_once_are_described() {
    let mut market = Market::open().await;
    let mut workers = market.start_all().await;
    let ids: BTreeSet<_> = (0..64u8).map(|id| DatasetId::compose(Timestamp(2), [id; 10]).to_string()).collect();
    for dataset_id in ids.clone() {
        workers[0].say(ToWorkerMessage::DescribeDataset(v1::DescribeDataset { dataset_id, name: "loans".into() })).await;
    }
    let mut described = BTreeSet::new();
    while described.len() < ids.len() {
        match workers[0].answer().await {
            FromWorkerMessage::DatasetDescribed(answer) => described.insert(answer.dataset_id),
            other => panic!("{other:?}"),
        };
    }
    assert_eq!(described, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changed_data_a_changed_policy_and_an_unknown_dataset_are_refused_for_good() {
    let mut market = Market::open().await;
    let mut workers = market.start_all().await;
    let product = market.product(&mut workers).await;
    let home = market.folder.path().join("worker-0");

    // The provider tightens its own file; nobody else knows.
    let policy_file = home.join("policy.json");
    let honest_policy = std::fs::read(&policy_file).expect("it is there");
    let mut stricter = market::policies()[0].clone();
    stricter.columns.remove("int_rate");
    std::fs::write(&policy_file, serde_json::to_vec(&stricter).expect("JSON")).expect("it is ours");
    let deal = market.order(&product, 1);
    workers[0].say(market.work_order(&deal, 1, 0, &workers)).await;
    assert_eq!(workers[0].refusal().await, "policy_forbids");
    std::fs::remove_file(&policy_file).expect("it is ours");
    workers[0].say(market.work_order(&deal, 1, 0, &workers)).await;
    assert_eq!(workers[0].refusal().await, "policy_missing");
    std::fs::write(&policy_file, honest_policy).expect("it is ours");

    // One cell of one row is another.
    let data_file = home.join("data.csv");
    let honest = std::fs::read_to_string(&data_file).expect("it is there");
    std::fs::write(&data_file, honest.replacen("term_36", "term_60", 1)).expect("it is ours");
    workers[0].say(market.work_order(&deal, 1, 0, &workers)).await;
    let waiting: Vec<usize> = vec![1, 2];
    for party in &waiting {
        workers[*party].say(market.work_order(&deal, 1, *party, &workers)).await;
    }
    assert_eq!(workers[0].refusal().await, "dataset_changed");
    // The exchange stops the others; they may have noticed already.
    for party in waiting {
        let abort = v1::AbortWork { job_id: deal.job_id.to_string(), attempt: 1, code: "worker_refused".into() };
        workers[party].say(ToWorkerMessage::AbortWork(abort)).await;
        assert!(["aborted", "peer_lost"].contains(&workers[party].failure().await.as_str()));
    }

    let unknown = v1::DescribeDataset { dataset_id: deal.product.tables[0].dataset_id.to_string(), name: "nothing".into() };
    workers[1].say(ToWorkerMessage::DescribeDataset(unknown)).await;
    let FromWorkerMessage::DatasetRefused(refused) = workers[1].answer().await else { panic!("there is no such dataset") };
    assert_eq!(refused.code, "unknown_dataset");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_cosigns_what_grew_and_refuses_what_did_not() {
    let mut market = Market::open().await;
    market.start(2);
    let mut worker = market.exchange.arrival().await;
    let offer = |entries: &[&str], old_size| {
        let tree: MerkleTree = entries.iter().collect();
        let checkpoint = Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() };
        let consistency = tree.consistency_proof(old_size, tree.size()).unwrap_or_default();
        let note = checkpoint.sign(&market.log).expect("it signs").to_string();
        let consistency = consistency.iter().map(|hash| hash.0.to_vec()).collect();
        ToWorkerMessage::CosignCheckpoint(v1::CosignCheckpoint { checkpoint: note.into_bytes(), old_size, consistency })
    };
    worker.say(offer(&["a", "b"], 0)).await;
    let FromWorkerMessage::CheckpointCosigned(cosigned) = worker.answer().await else { panic!("it is the first") };
    let ToWorkerMessage::CosignCheckpoint(message) = offer(&["a", "b"], 0) else { unreachable!() };
    let checkpoint: SignedCheckpoint = std::str::from_utf8(&message.checkpoint).expect("text").parse().expect("a checkpoint");
    let witness = cosignature_vkey(&market.participants[2].worker.witness.did());
    let line = cosigned.cosignature.parse().expect("a signature line");
    assert!(witness.verify(&checkpoint.checkpoint().to_string(), &line).is_some());
    worker.say(offer(&["a", "x", "c"], 2)).await;
    let FromWorkerMessage::CheckpointRefused(refused) = worker.answer().await else { panic!("the log was rewritten") };
    assert_eq!((refused.known_size, refused.code.as_str()), (2, "inconsistent"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_says_hello_to_no_exchange_but_its_own() {
    // The right certificate, another did.
    let stranger = SigningKey::from_seed(&[55; 32]);
    let mut market = Market::open_with(Exchange::start_as(stranger.did(), SigningKey::from_seed(&[5; 32])).await);
    market.start(2);
    assert!(market.exchange.nobody_comes().await);

    // The right did, another certificate.
    let mut market = Market::open().await;
    let other = Exchange::start(SigningKey::from_seed(&[5; 32])).await;
    std::fs::write(&market.participants[2].config.exchange_ca, other.certificate).expect("it is ours");
    market.start(2);
    assert!(market.exchange.nobody_comes().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_order_signed_by_the_exchange_in_the_consumers_place_is_refused_by_all() {
    let mut market = Market::open().await;
    let mut workers = market.start_all().await;
    let product = market.product(&mut workers).await;
    let Deal { product, product_envelope, agreement, order, job_id, .. } = market.order(&product, 1);
    let order: entrepot_chain_statement::statements::Order = order.open().expect("an order");
    let invented = sign(&order, &[&market.exchange.key]);
    let deal = market.deal(product, product_envelope, agreement, invented, job_id);
    market.dispatch(&deal, 1, &workers).await;
    for worker in &mut workers {
        assert_eq!(worker.refusal().await, "order_not_signed");
    }
}
