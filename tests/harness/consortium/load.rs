//! Submitting without end, to whoever answers.

use super::{
    node::{Client, LOOK_EVERY},
    submitter::{Signed, Submitter},
};
use entrepot_chain_statement::Hash;
use serde_json::Value;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::task::JoinHandle;

/// A transaction whose acceptance was told to its submitter.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    /// Its identity.
    pub hash: Hash,
    /// Its place in the log.
    pub index: Value,
}

/// Submitters, each with one transaction under way at a time.
pub struct Load {
    ends: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<(Submitter, Vec<Acknowledged>)>>,
}

impl Load {
    /// Starts them; each begins at a node of its own and goes on to the next if that does not answer.
    pub fn start(submitters: Vec<Submitter>, clients: &[Client]) -> Self {
        let (ends, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let run = |(at, mut submitter): (usize, Submitter)| {
            let (ends, count, clients) = (ends.clone(), count.clone(), clients.to_vec());
            tokio::spawn(async move {
                let (mut at, mut acknowledged) = (at, Vec::new());
                while !ends.load(Ordering::Relaxed) {
                    let signed = submitter.leaf();
                    let verdict = submit(&clients, &mut at, &signed).await;
                    assert_eq!(verdict["status"], "accepted", "{verdict}");
                    acknowledged.push(Acknowledged { hash: signed.hash, index: verdict["index"].clone() });
                    count.fetch_add(1, Ordering::Relaxed);
                }
                (submitter, acknowledged)
            })
        };
        let tasks = submitters.into_iter().enumerate().map(run).collect();
        Self { ends, count, tasks }
    }

    /// How many were acknowledged so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Lets each finish the transaction that is under way.
    pub async fn stop(self) -> (Vec<Submitter>, Vec<Acknowledged>) {
        self.ends.store(true, Ordering::Relaxed);
        let (mut submitters, mut all) = (Vec::new(), Vec::new());
        for task in self.tasks {
            let (submitter, acknowledged) = task.await.expect("a submitter panicked");
            submitters.push(submitter);
            all.extend(acknowledged);
        }
        (submitters, all)
    }
}

/// The very same bytes to one node after the other, until one of them tells what became of them.
async fn submit(clients: &[Client], at: &mut usize, signed: &Signed) -> Value {
    loop {
        if let Some(verdict) = clients[*at % clients.len()].submit(signed).await {
            return verdict;
        }
        *at += 1;
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
