//! A regulator's view: from anything to everything it rests on, and everything that rests on it.

use crate::world::World;
use entrepot_chain_log::TlogProof;
use entrepot_chain_statement::{Statement as _, ids::JobId};
use entrepot_exchange_domain::Refusal;
use entrepot_exchange_market::{
    anchoring,
    audit::{self, AuditTrace, NodeDetail, Trace},
};
use entrepot_exchange_store::{PageRequest, journal, statements};
use std::collections::{BTreeMap, BTreeSet};

/// A world with one finished job and a second order of the same agreement, all of it logged.
async fn finished() -> (World, JobId, JobId) {
    let world = World::ready().await;
    let (agreement, placed) = world.placed().await;
    world.round().await;
    let attempt = world.job(&placed.job_id).await.state.attempt();
    for party in 0..3 {
        world.hear(party, entrepot_exchange_market::workforce::WorkerEvent::WorkAccepted { job_id: placed.job_id.clone(), attempt }).await;
    }
    world.finish(&placed.job_id).await;
    assert_eq!(world.state(&placed.job_id).await, "released");
    let second = world.try_place(&world.order(&agreement, 2)).await.expect("placed");
    anchoring::anchor_due(&world.market).await.expect("a round");
    (world, placed.job_id, second.job_id)
}

async fn trace(world: &World, id: &str) -> Trace {
    audit::trace(&world.market, id).await.unwrap_or_else(|error| panic!("{id}: {error}"))
}

fn ids(trace: &Trace) -> BTreeSet<&str> {
    trace.nodes.iter().map(|node| node.id.as_str()).collect()
}

/// How many statements of each kind.
fn statement_kinds(trace: &Trace) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for node in &trace.nodes {
        if let NodeDetail::Statement { kind, .. } = &node.detail {
            *counts.entry(kind.as_str()).or_default() += 1;
        }
    }
    counts
}

fn has_edge(trace: &Trace, from: &str, relation: &str, to: &str) -> bool {
    trace.edges.iter().any(|edge| (edge.from.as_str(), edge.relation.as_str(), edge.to.as_str()) == (from, relation, to))
}

#[tokio::test]
async fn from_a_job_the_trace_goes_up_to_the_datasets_and_down_to_the_money() {
    let (world, job, second) = finished().await;
    let found = trace(&world, job.as_str()).await;
    assert_eq!(found.start, job.as_str());
    let expected = BTreeMap::from([
        ("agreement", 1),
        ("data-product", 1),
        ("hold", 1),
        ("order", 1),
        ("release", 1),
        ("rights-registration", 2),
        ("usage-receipt", 3),
        ("worker-grant", 3),
    ]);
    assert_eq!(statement_kinds(&found), expected);
    assert!(!ids(&found).contains(second.as_str()), "another job of the agreement is none of this one's business");
    let hash = world.job(&job).await.terms.order;
    let mut reader = world.market.store.reader().await.expect("a reader");
    let order = statements::find(&mut reader, &hash).await.expect("rows").expect("an order").subject.id;
    assert!(has_edge(&found, job.as_str(), "runs", &order));
    for table in &world.product.tables {
        assert!(has_edge(&found, world.product.product_id.as_str(), "offers", table.dataset_id.as_str()));
        assert!(has_edge(&found, table.dataset_id.as_str(), "held_by", table.provider.as_str()));
    }
    let entries: BTreeSet<_> = found.journal.iter().map(|entry| entry.kind.name()).collect();
    assert_eq!(entries, BTreeSet::from(["hold", "release"]));
    for entry in &found.journal {
        assert!(has_edge(&found, entry.entry_id.as_str(), "settles", job.as_str()));
    }
    let release = found.journal.iter().find(|entry| entry.kind.name() == "release").expect("a release");
    drop(reader);
    for person in &world.bound {
        assert!(has_edge(&found, release.entry_id.as_str(), "pays", person.did().as_str()));
    }
    for edge in &found.edges {
        assert!(ids(&found).contains(edge.from.as_str()) && ids(&found).contains(edge.to.as_str()), "{edge:?}");
    }
    assert!(!found.truncated);
}

#[tokio::test]
async fn from_a_dataset_or_a_participant_the_trace_goes_down_to_every_job() {
    let (world, job, second) = finished().await;
    let dataset = world.product.tables[0].dataset_id.as_str();
    let compute = world.bound[2].did();
    for start in [dataset, world.product.product_id.as_str(), world.consumer.did().as_str(), compute.as_str()] {
        let found = trace(&world, start).await;
        for id in [job.as_str(), second.as_str(), world.product.product_id.as_str()] {
            let is_above = start == world.consumer.did().as_str() && id == world.product.product_id.as_str();
            assert!(is_above || ids(&found).contains(id), "{start} does not lead to {id}");
        }
        assert!(found.journal.iter().any(|entry| entry.kind.name() == "release"), "{start}");
    }
    let up = trace(&world, job.as_str()).await;
    let grant = up.nodes.iter().find(|node| node.id.starts_with("grant_")).expect("a grant");
    assert!(ids(&trace(&world, &grant.id).await).contains(job.as_str()));
}

#[tokio::test]
async fn leaves_hashes_indices_and_entries_lead_to_the_same_job() {
    let (world, job, _) = finished().await;
    let found = trace(&world, job.as_str()).await;
    let hold = found.statements.iter().find(|row| row.kind.as_str() == "hold").expect("a hold");
    let statements::LogState::Logged { index } = hold.state else { panic!("not logged") };
    let entry = found.journal[0].entry_id.to_string();
    for start in [hold.statement_hash.to_string(), hold.leaf.to_string(), index.to_string(), entry] {
        let again = trace(&world, &start).await;
        assert_eq!(ids(&again), ids(&found), "{start}");
        assert_eq!(again.edges, found.edges);
    }
}

#[tokio::test]
async fn what_names_nothing_is_refused_by_name() {
    let (world, _, _) = finished().await;
    let stranger = entrepot_chain_statement::SigningKey::from_seed(&[77; 32]).did();
    let unknown = JobId::compose(world.market.now(), [9; 10]);
    let nothing = ["f".repeat(64), "9999".to_owned(), unknown.to_string(), stranger.to_string(), format!("entry_{}", "0".repeat(26))];
    for id in &nothing {
        assert_eq!(audit::trace(&world.market, id).await.expect_err("nothing").code(), "not_found", "{id}");
    }
    for id in ["", "job_", "job_zzz", "did:key:zzz", "entry_x", "-1", "1.5", "ffff", "' OR 1=1 --", &"9".repeat(40), &"é".repeat(500)] {
        assert_eq!(audit::trace(&world.market, id).await.expect_err("no id").code(), "invalid_id", "{id}");
    }
}

#[tokio::test]
async fn a_bundle_is_signed_by_the_exchange_and_its_statements_prove_themselves() {
    let (world, job, _) = finished().await;
    let bundle = audit::bundle(&world.market, job.as_str()).await.expect("a bundle");
    assert_eq!(bundle.format, "entrepot.audit-bundle.v1");
    let said: AuditTrace = bundle.trace.open_signed_by([&world.market.exchange_did()]).expect("signed by the exchange");
    assert_eq!(said.start, job.as_str());
    assert_eq!(bundle.trace.payload_type(), AuditTrace::PAYLOAD_TYPE);
    let named: BTreeSet<&str> = said.nodes.iter().filter(|node| node.kind == "statement").map(|node| node.id.as_str()).collect();
    let carried: BTreeSet<String> = bundle.entries.iter().map(|entry| entry.envelope.statement_hash().to_string()).collect();
    assert_eq!(named, carried.iter().map(String::as_str).collect());
    for entry in &bundle.entries {
        for signer in entry.envelope.signers() {
            entry.envelope.verify_signed_by(signer).expect("signed");
        }
        let proof: TlogProof = entry.proof.as_ref().expect("all of these kinds are logged").parse().expect("a proof");
        proof.verify_entry(&entry.envelope.leaf().0).expect("in the log");
    }
    let sum: i64 = said.journal.iter().map(|line| line.amount.amount_minor).sum();
    assert_eq!(sum, 0);
    let mut reader = world.market.store.reader().await.expect("a reader");
    let lines: usize = journal::of_job(&mut reader, &job).await.expect("rows").iter().map(|entry| entry.lines.len()).sum();
    assert_eq!(said.journal.len(), lines);
    assert!(said.checkpoint.is_some_and(|note| note.starts_with(crate::log::ORIGIN)));
    let json = serde_json::to_vec(&bundle).expect("JSON");
    assert_eq!(serde_json::from_slice::<audit::AuditBundle>(&json).expect("reads back"), bundle);
}

#[tokio::test]
async fn events_come_in_the_order_of_the_log_page_by_page() {
    let (world, _, _) = finished().await;
    let index = |row: &statements::StatementRow| match row.state {
        statements::LogState::Logged { index } => index,
        _ => panic!("not logged"),
    };
    let (mut request, mut found) = (PageRequest { limit: 4, after: None }, Vec::new());
    loop {
        let page = audit::events(&world.market, 0, &request).await.expect("a page");
        assert!(page.items.len() <= 4);
        found.extend(page.items.iter().map(index));
        match page.next {
            Some(next) => request.after = Some(next),
            None => break,
        }
    }
    let all = found.len() as u64;
    assert_eq!(found, (0..all).collect::<Vec<_>>());
    let since = audit::events(&world.market, 6, &PageRequest::default()).await.expect("a page");
    assert_eq!(since.items.iter().map(index).collect::<Vec<_>>(), (6..all).collect::<Vec<_>>());
    assert!(audit::events(&world.market, u64::MAX, &PageRequest::default()).await.expect("a page").items.is_empty());
    let hostile = PageRequest { limit: 4, after: Some("x".to_owned()) };
    assert_eq!(audit::events(&world.market, 0, &hostile).await.expect_err("no cursor").code(), "invalid_id");
}

#[tokio::test]
async fn two_checkpoints_are_shown_to_be_of_one_log() {
    let world = World::ready().await;
    anchoring::anchor_due(&world.market).await.expect("a round");
    world.agree(&world.agreement()).await;
    anchoring::anchor_due(&world.market).await.expect("a round");
    let found = audit::consistency(&world.market, 6, 7).await.expect("a proof");
    let head = |note: &str| {
        let checkpoint: entrepot_chain_log::SignedCheckpoint = note.parse().expect("a checkpoint");
        (checkpoint.checkpoint().size, checkpoint.checkpoint().root)
    };
    let (first, second) = (head(&found.from.note), head(&found.to.note));
    entrepot_chain_log::merkle::verify_consistency((first.0, &first.1), (second.0, &second.1), &found.proof).expect("it only grew");
    for (from, to, code) in [(7, 6, "invalid_range"), (5, 7, "no_checkpoint"), (6, 8, "no_checkpoint")] {
        assert_eq!(audit::consistency(&world.market, from, to).await.expect_err("refused").code(), code);
    }
}
