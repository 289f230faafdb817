//! Workers cosign what the log publishes, on their own terms.

use crate::{log::ORIGIN, world::World};
use entrepot_chain_log::{NoteSigner, SignedCheckpoint, TreeHead, Witness, WitnessRefusal, cosignature_vkey, witness::Offer};
use entrepot_chain_statement::{Did, SigningKey};
use entrepot_exchange_market::{
    Notary as _, Workforce as _, anchoring,
    witnesses::{self, Asked, WitnessListener},
    workforce::{ConnectedWorker, WorkerCommand, WorkerEvent, WorkerListener},
};
use entrepot_exchange_store::witness;

/// A worker's side: the real rule of a witness, and what it remembers.
struct Watcher {
    connected: ConnectedWorker,
    rule: Witness,
    head: Option<TreeHead>,
}

impl Watcher {
    fn new(world: &World, party: usize) -> Self {
        let key = SigningKey::from_seed(&[(party as u8 + 1) * 8 + 3; 32]);
        let signer = NoteSigner::cosigner(key.did().as_str(), key).expect("a name");
        let rule = Witness::new(signer, ORIGIN, world.log.key().clone()).expect("kinds fit");
        let connected = world.workers.find(&world.worker(party)).expect("is connected");
        Self { connected, rule, head: None }
    }

    fn answer(&mut self, command: &WorkerCommand) -> WorkerEvent {
        let WorkerCommand::CosignCheckpoint { checkpoint, old_size, consistency } = command else { panic!("{command:?}") };
        let checkpoint = std::str::from_utf8(checkpoint).expect("text");
        match self.rule.consider(self.head, Offer { checkpoint, old_size: *old_size, consistency }, 5) {
            Ok(cosigned) => {
                self.head = Some(cosigned.head);
                WorkerEvent::CheckpointCosigned { size: cosigned.head.size, cosignature: cosigned.signature.to_string() }
            }
            Err(refusal @ WitnessRefusal::OldSize { known }) => {
                WorkerEvent::CheckpointRefused { known_size: known, code: refusal.code().to_owned() }
            }
            Err(refusal) => WorkerEvent::CheckpointRefused { known_size: 0, code: refusal.code().to_owned() },
        }
    }
}

async fn anchor(world: &World) {
    anchoring::anchor_due(&world.market).await.expect("a round");
}

async fn ask(world: &World, asked: &mut Asked) -> Vec<(Did, WorkerCommand)> {
    witnesses::ask(&world.market, asked).await.expect("asks");
    world.workers.take()
}

async fn cosigned_size(world: &World, watcher: &Watcher) -> u64 {
    let mut reader = world.market.store.reader().await.expect("a reader");
    witness::find(&mut reader, &watcher.connected.witness).await.expect("rows").map_or(0, |row| row.size)
}

async fn newest(world: &World) -> SignedCheckpoint {
    world.log.checkpoint().await.expect("answers").expect("is there").note.parse().expect("a checkpoint")
}

#[tokio::test]
async fn every_connected_worker_cosigns_and_is_then_left_alone() {
    let world = World::ready().await;
    let (mut asked, listener) = (Asked::default(), WitnessListener::new(world.market.clone()));
    assert!(ask(&world, &mut asked).await.is_empty(), "an empty log has nothing to cosign");
    anchor(&world).await;
    let mut watchers: Vec<Watcher> = (0..3).map(|party| Watcher::new(&world, party)).collect();
    let commands = ask(&world, &mut asked).await;
    assert_eq!(commands.len(), 3);
    assert!(ask(&world, &mut asked).await.is_empty(), "one question at a time");
    for (worker, command) in &commands {
        let watcher = watchers.iter_mut().find(|watcher| watcher.connected.worker == *worker).expect("one of them");
        let event = watcher.answer(command);
        listener.received(&watcher.connected, &event).await;
    }
    let checkpoint = newest(&world).await;
    for watcher in &watchers {
        assert_eq!(checkpoint.cosigned_at(&cosignature_vkey(&watcher.connected.witness)), Ok(Some(5)));
        assert_eq!(cosigned_size(&world, watcher).await, checkpoint.checkpoint().size);
    }
    assert!(ask(&world, &mut asked).await.is_empty(), "an idle log asks nothing");

    world.agree(&world.agreement()).await;
    anchor(&world).await;
    let commands = ask(&world, &mut asked).await;
    assert_eq!(commands.len(), 3, "it grew: they are asked from where they were");
    let watcher = &mut watchers[0];
    let event = watcher.answer(&commands.iter().find(|(to, _)| *to == watcher.connected.worker).expect("asked").1);
    assert!(matches!(event, WorkerEvent::CheckpointCosigned { .. }), "{event:?}");
}

#[tokio::test]
async fn a_worker_that_knows_another_size_gets_a_proof_from_there() {
    let world = World::ready().await;
    let (mut asked, listener) = (Asked::default(), WitnessListener::new(world.market.clone()));
    anchor(&world).await;
    let mut watcher = Watcher::new(&world, 0);
    let first = ask(&world, &mut asked).await;
    // It cosigned; the answer got lost.
    let question = &first.iter().find(|(to, _)| *to == watcher.connected.worker).expect("asked").1;
    watcher.answer(question);
    world.agree(&world.agreement()).await;
    anchor(&world).await;
    world.clock.forward(10_000);
    let again = ask(&world, &mut asked).await;
    let question = &again.iter().find(|(to, _)| *to == watcher.connected.worker).expect("asked").1;
    let refusal = watcher.answer(question);
    assert!(matches!(refusal, WorkerEvent::CheckpointRefused { known_size: 6, .. }), "{refusal:?}");
    listener.received(&watcher.connected, &refusal).await;
    let proved = world.workers.take();
    assert_eq!(proved.len(), 1);
    listener.received(&watcher.connected, &refusal).await;
    assert!(world.workers.take().is_empty(), "whoever refuses all the time is not served all the time");
    let event = watcher.answer(&proved[0].1);
    listener.received(&watcher.connected, &event).await;
    assert_eq!(cosigned_size(&world, &watcher).await, 7);
}

#[tokio::test]
async fn a_worker_speaks_for_its_own_key_alone() {
    let world = World::ready().await;
    let (mut asked, listener) = (Asked::default(), WitnessListener::new(world.market.clone()));
    anchor(&world).await;
    let (mut one, two) = (Watcher::new(&world, 0), Watcher::new(&world, 1));
    let commands = ask(&world, &mut asked).await;
    let genuine = one.answer(&commands[0].1);
    let WorkerEvent::CheckpointCosigned { size, cosignature } = &genuine else { panic!("{genuine:?}") };
    listener.received(&two.connected, &genuine).await;
    assert_eq!(cosigned_size(&world, &two).await, 0, "another's line");
    let spoiled = cosignature.replace(one.connected.witness.as_str(), two.connected.witness.as_str());
    listener.received(&two.connected, &WorkerEvent::CheckpointCosigned { size: *size, cosignature: spoiled }).await;
    assert_eq!(cosigned_size(&world, &two).await, 0, "its name over another's signature");
    for cosignature in ["", "— ", "— x y", &"x".repeat(100_000)] {
        listener.received(&two.connected, &WorkerEvent::CheckpointCosigned { size: *size, cosignature: cosignature.to_owned() }).await;
    }
    let elsewhere = WorkerEvent::CheckpointCosigned { size: size + 1, cosignature: cosignature.clone() };
    listener.received(&one.connected, &elsewhere).await;
    assert_eq!(cosigned_size(&world, &one).await, 0, "of a checkpoint that is not there");
    assert_eq!(newest(&world).await.note().signatures().len(), 2, "log and validator");
    listener.received(&one.connected, &genuine).await;
    assert_eq!(cosigned_size(&world, &one).await, *size);
}

#[tokio::test]
async fn a_worker_that_claims_to_know_a_longer_log_gets_no_proof_of_it() {
    let world = World::ready().await;
    let listener = WitnessListener::new(world.market.clone());
    anchor(&world).await;
    let watcher = Watcher::new(&world, 0);
    let refusal = WorkerEvent::CheckpointRefused { known_size: u64::MAX, code: "known_size".to_owned() };
    listener.received(&watcher.connected, &refusal).await;
    let refusal = WorkerEvent::CheckpointRefused { known_size: 1, code: "fork".to_owned() };
    world.clock.forward(5_000);
    listener.received(&watcher.connected, &refusal).await;
    assert!(world.workers.take().is_empty());
}
