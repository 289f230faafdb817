//! Four members with a node each: whatever happens to one of them, the others go on; no two of them ever differ.

mod channels;
mod faults;
mod growing;
mod kills;
mod membership;
mod refusals;
mod rights;
mod storage;

use entrepot_chain_log::cosignature_vkey;
use entrepot_tests::{
    consortium::{Consortium, wait},
    process::{self, Process},
};
use rand_core::OsRng;
use std::{collections::BTreeMap, fs, path::Path, time::SystemTime};

const ALL: [usize; 4] = [0, 1, 2, 3];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_submitted_to_any_member_is_the_same_at_all_and_cosigned_by_all() {
    let mut consortium = Consortium::start().await;
    let mut submitted = Vec::new();
    for at in ALL {
        submitted.push(consortium.log(at).await);
    }
    let height = consortium.agree(&ALL, 1).await;
    for signed in &submitted {
        for node in &consortium.nodes {
            let found = node.get(&entrepot_tests::consortium::path_of(&signed.hash)).await.expect("it is there");
            assert_eq!((&found["verdict"]["status"], &found["transaction"]), (&"accepted".into(), &signed.encoded.clone().into()));
        }
    }
    let quorum = 3;
    for height in 1..=height {
        assert!(consortium.nodes[0].signers(height).await.len() >= quorum);
    }
    cosigned_by_all(&consortium).await;
    idle(&consortium).await;
    witnessed(&mut consortium).await;
}

/// The newest checkpoint of each node carries the cosignatures of all.
async fn cosigned_by_all(consortium: &Consortium) {
    let size = consortium.nodes[0].checkpoint().await.expect("a checkpoint").checkpoint().size;
    let since = std::time::Instant::now();
    for node in &consortium.nodes {
        wait("a checkpoint lacks cosignatures", async || {
            let checkpoint = node.checkpoint().await?;
            assert_eq!(checkpoint.checkpoint().size, size);
            let cosigned = |seat: &entrepot_tests::consortium::Seat| {
                checkpoint.cosigned_at(&cosignature_vkey(&seat.member.keys.cosigning)).is_ok_and(|at| at.is_some())
            };
            consortium.seats.iter().all(cosigned).then_some(())
        })
        .await;
    }
    assert!(since.elapsed() < std::time::Duration::from_secs(2), "after {:?}", since.elapsed());
}

/// Without submissions there are no heights, and nothing is written.
async fn idle(consortium: &Consortium) {
    let files = || consortium.seats.iter().map(|seat| files_below(&seat.data())).collect::<Vec<_>>();
    let mut before = files();
    // The last block's cosignatures may still be on their way to somebody's disk.
    wait("the nodes write without end", async || {
        tokio::time::sleep(entrepot_tests::consortium::QUIET / 6).await;
        let now = files();
        std::mem::replace(&mut before, now.clone()).eq(&now).then_some(())
    })
    .await;
    consortium.quiet(&ALL).await;
    assert_eq!(files(), before, "an idle channel writes");
}

/// Length and time of change of every file.
fn files_below(folder: &Path) -> BTreeMap<String, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        // A database may remove a file in between.
        let Ok(about) = fs::metadata(&path) else { continue };
        if about.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path.display().to_string(), (about.len(), about.modified().expect("a time")));
        }
    }
    found
}

/// A witness follows a member's log as it does an exchange's.
async fn witnessed(consortium: &mut Consortium) {
    let home = consortium.home().to_owned();
    let text = |name: &str| home.join(name).display().to_string();
    entrepot_tests::member::write_key(&home.join("witness.key.json"), &entrepot_chain_statement::key::KeyFile::generate(&mut OsRng));
    let published = fs::read(consortium.seats[2].data().join("node.json")).expect("node.json");
    let published: serde_json::Value = serde_json::from_slice(&published).expect("node.json");
    let (url, log_key) = (published["rest"].as_str().expect("rest"), published["channels"][0]["log_key"].as_str().expect("log_key"));
    let (key, state) = (text("witness.key.json"), text("witness"));
    let arguments = ["witness", "--key", &key, "--state-dir", &state, "--interval-ms", "100", "--url", url, "--log-key", log_key];
    let mut witness = Process::start("witness", &arguments, &home.join("witness.log"), None);
    for _ in 0..2 {
        consortium.log(2).await;
        let size = consortium.nodes[2].checkpoint().await.expect("a checkpoint").checkpoint().size;
        wait("the witness does not remember the checkpoint", async || {
            let folder = fs::read_dir(home.join("witness")).ok()?.flatten().map(|entry| entry.path().join("checkpoint"));
            let kept = folder.into_iter().find_map(|path| fs::read_to_string(path).ok())?;
            let kept: entrepot_chain_log::SignedCheckpoint = kept.parse().ok()?;
            (kept.checkpoint().size == size).then_some(())
        })
        .await;
    }
    assert_eq!(witness.terminate().code(), Some(0), "{}", witness.log());
    let evidence = process::run(&["chain", "health", "--url", url]);
    assert!(evidence.status.success());
}
