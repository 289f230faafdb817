//! Checkpoints of a log that shows different people different histories.

use super::rig::{ORIGIN, Rig};
use entrepot_api_wire::v1::{CosignCheckpoint, from_worker, to_worker};
use entrepot_chain_log::{Checkpoint, MerkleTree, NoteSigner, SignedCheckpoint, cosignature_vkey};
use entrepot_chain_statement::SigningKey;
use rand_core::OsRng;

fn history(entries: &[&str]) -> MerkleTree {
    entries.iter().collect()
}

fn checkpoint(tree: &MerkleTree, log: &NoteSigner) -> SignedCheckpoint {
    Checkpoint { origin: ORIGIN.into(), size: tree.size(), root: tree.root() }.sign(log).expect("it signs")
}

fn message(tree: &MerkleTree, log: &NoteSigner, old_size: u64) -> CosignCheckpoint {
    let proof = tree.consistency_proof(old_size, tree.size()).unwrap_or_default();
    CosignCheckpoint {
        checkpoint: checkpoint(tree, log).to_string().into_bytes(),
        old_size,
        consistency: proof.iter().map(|hash| hash.0.to_vec()).collect(),
    }
}

/// A worker's cosignature, or why it gives none.
async fn ask(rig: &Rig, party: usize, ask: CosignCheckpoint) -> Result<String, (u64, String)> {
    rig.exchange.send(&rig.dids[party], to_worker::Message::CosignCheckpoint(ask)).await;
    let answer = rig.exchange.next(&rig.dids[party], |message| match message {
        from_worker::Message::CheckpointCosigned(cosigned) => Some(Ok(cosigned.cosignature.clone())),
        from_worker::Message::CheckpointRefused(refused) => Some(Err((refused.known_size, refused.code.clone()))),
        _ => None,
    });
    answer.await
}

#[tokio::test]
async fn a_witness_signs_no_second_history() {
    let mut rig = Rig::start().await;
    let log = rig.log.clone();
    let genuine = history(&["a", "b", "c"]);
    for party in 0..3 {
        let line = ask(&rig, party, message(&genuine, &log, 0)).await.expect("the first it sees");
        let mut cosigned = checkpoint(&genuine, &log);
        let witness = cosignature_vkey(&rig.workers[party].key.witness.did());
        cosigned.add_cosignature(&witness, line.parse().expect("a note's signature")).expect("a genuine cosignature");
    }
    let refuses = async |rig: &Rig, party: usize, offered: CosignCheckpoint, code: &str| {
        assert_eq!(ask(rig, party, offered).await, Err((3, code.to_owned())), "party {party}");
    };
    for party in 0..3 {
        // Once as it runs, and once more after a crash.
        for _ in 0..2 {
            refuses(&rig, party, message(&history(&["a", "x", "c"]), &log, 0), "fork").await;
            refuses(&rig, party, message(&history(&["a", "x", "c"]), &log, 3), "fork").await;
            refuses(&rig, party, message(&history(&["a", "b"]), &log, 0), "rollback").await;
            refuses(&rig, party, message(&history(&["a", "x", "c", "d"]), &log, 3), "inconsistent").await;
            refuses(&rig, party, message(&history(&["a", "b", "c", "d"]), &log, 0), "known_size").await;
            let stranger = NoteSigner::log(ORIGIN, SigningKey::generate(&mut OsRng)).expect("a name");
            refuses(&rig, party, message(&history(&["a", "b", "c", "d"]), &stranger, 3), "wrong_checkpoint").await;
            rig.restart(party).await;
        }
        assert_eq!(rig.exchange.greeting(&rig.dids[party]).await.hello.checkpoint_size, 3);
        ask(&rig, party, message(&history(&["a", "b", "c", "d"]), &log, 3)).await.expect("it only grew");
    }
}
