//! What is acknowledged stays, whatever happens to the process and its files.

use super::channel::*;
use entrepot_chain_ledger::{LeafTransaction, Transaction};
use entrepot_chain_log::consortium::Genesis;
use entrepot_chain_node::{Node, NodeConfig, NodeError, NodeKeys, Submitter, restore};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

#[tokio::test]
async fn a_restart_replays_and_agrees() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chain");
    let node = open(&path);
    assert_eq!(indices(&submitter(&node).submit(&leaves(0..5)).await.expect("submits")), [0, 1, 2, 3, 4]);
    assert_eq!(indices(&submitter(&node).submit(&leaves(5..7)).await.expect("submits")), [5, 6]);
    let head = node.head();
    let checkpoint = node.checkpoint().expect("reads").map(|checkpoint| checkpoint.to_string());
    shut(node).await;

    let node = open(&path);
    assert_eq!(node.head(), head);
    assert_eq!((head.height, head.log_size), (2, 7));
    assert_eq!(node.checkpoint().expect("reads").map(|checkpoint| checkpoint.to_string()), checkpoint);
    node.verify_all().expect("every signature holds");
    let again = submitter(&node).submit(&leaves(3..9)).await.expect("submits");
    assert_eq!(indices(&again), [3, 4, 5, 6, 7, 8], "what was logged gets its index again");
    for seed in 0..9 {
        assert_eq!(node.index_of(&leaf(seed).leaf()).expect("reads"), Some(seed));
        let stored = node.leaf(seed).expect("reads").expect("is there");
        assert_eq!(stored.leaf, leaf(seed).leaf());
        let block = node.block(stored.height).expect("reads").expect("is there");
        assert!(block.transactions.iter().any(|transaction| matches!(transaction, Transaction::Leaf(t) if t.leaf.leaf() == stored.leaf)));
    }
    assert_eq!(node.leaf(9).expect("reads"), None);
    shut(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_share_blocks_and_an_idle_chain_writes_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let tasks: Vec<_> = (0..40u8)
        .map(|who| {
            let submitter = Submitter::new(node.clone(), key(who));
            tokio::spawn(async move { submitter.submit(&[leaf(u64::from(who))]).await })
        })
        .collect();
    let mut places = Vec::new();
    for task in tasks {
        places.extend(indices(&task.await.expect("runs").expect("submits")));
    }
    places.sort_unstable();
    assert_eq!(places, (0..40).collect::<Vec<_>>());
    let head = node.head();
    assert!(head.height < 40, "{} blocks for 40 submissions", head.height);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(indices(&submitter(&node).submit(&leaves(0..40)).await.expect("submits")).len(), 40);
    // Only the number that the new submitter used up is worth a block.
    assert!(node.head().height <= head.height + 1);
    let (height, again) = (node.head().height, LeafTransaction::sign(&genesis().digest(), leaf(3), 1, &key(3)));
    assert_eq!(node.submit(vec![again]).await.expect("submits").len(), 1);
    assert_eq!(node.head().height, height, "a transaction sent again is answered without a block");
    shut(node).await;
}

#[tokio::test]
async fn a_folder_of_another_log_or_other_keys_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    shut(open(folder.path())).await;
    let other = NodeConfig { genesis: genesis_of("entrepot/other", 1), ..config(folder.path()) };
    assert!(matches!(refusal(Node::open(other, keys(), sole())), NodeError::Origin { .. }));
    let other = NodeConfig { genesis: genesis_of(ORIGIN, 2), ..config(folder.path()) };
    assert!(matches!(refusal(Node::open(other, keys(), sole())), NodeError::OtherGenesis { .. }));
    let other = NodeKeys { log: key(99), ..keys() };
    assert!(matches!(refusal(Node::open(config(folder.path()), other, sole())), NodeError::Key { role: "log key", .. }));
    let other = NodeKeys { cosigning: key(99), ..keys() };
    let refused = refusal(Node::open(config(folder.path()), other, sole()));
    assert!(matches!(refused, NodeError::Key { role: "validator key", .. }));
    let node = open(folder.path());
    assert!(matches!(refusal(Node::open(config(folder.path()), keys(), sole())), NodeError::InUse(_)), "locked");
    shut(node).await;
    let bad = NodeConfig { genesis: Genesis { origin: "two words".to_owned(), ..genesis() }, ..config(folder.path()) };
    assert!(matches!(refusal(Node::open(bad, keys(), sole())), NodeError::Name(_)));
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found.sort();
    found
}

/// A copy as a crash would leave it: whatever is on disk while the node runs.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copies");
    }
}

#[tokio::test]
async fn one_member_decides_alone_with_its_own_key_in_its_own_channel() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = keys_of(1).sole_member(&genesis());
    let refused = refusal(Node::open(config(folder.path()), keys(), other));
    assert!(matches!(&refused, NodeError::Orderer(why) if why.to_string().contains("start with that key")), "{refused}");
    let four = NodeConfig { genesis: genesis_of(ORIGIN, MEMBERS), ..config(&folder.path().join("four")) };
    let alone = keys().sole_member(&four.genesis);
    let refused = refusal(Node::open(four, keys(), alone));
    assert!(matches!(&refused, NodeError::Orderer(why) if why.to_string().contains("4 members")), "{refused}");
    shut(open(folder.path())).await;
}

#[tokio::test]
async fn a_torn_tail_is_recovered_and_nothing_before_it_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = folder.path().join("live");
    let node = open(&live);
    for round in 0..4 {
        submitter(&node).submit(&leaves(round..round + 1)).await.expect("submits");
    }
    let torn = folder.path().join("torn");
    copy(&live, &torn);
    shut(node).await;
    let wal = files(&torn, "log").pop().expect("a write-ahead log");
    let length = fs::metadata(&wal).expect("is there").len();
    for cut in [1, 7, 100] {
        let here = folder.path().join(format!("torn-{cut}"));
        copy(&torn, &here);
        let file = fs::OpenOptions::new().write(true).open(here.join(wal.file_name().expect("a name"))).expect("opens");
        file.set_len(length - cut).expect("tears");
        let node = open(&here);
        assert_eq!(node.head().log_size, 3, "the torn block is gone, the others stay");
        let again = submitter(&node).submit(&leaves(0..4)).await.expect("submits");
        assert_eq!(indices(&again), [0, 1, 2, 3]);
        node.verify_all().expect("is whole");
        shut(node).await;
    }
}

#[tokio::test]
async fn damage_before_the_tail_is_an_error_and_never_a_gap() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = folder.path().join("live");
    let node = open(&live);
    for round in 0..4 {
        submitter(&node).submit(&leaves(round..round + 1)).await.expect("submits");
    }
    let whole = folder.path().join("whole");
    copy(&live, &whole);
    shut(node).await;
    let wal = files(&whole, "log").pop().expect("a write-ahead log");
    let bytes = fs::read(&wal).expect("reads");
    for at in [bytes.len() / 4, bytes.len() / 2] {
        let here = folder.path().join(format!("damaged-{at}"));
        copy(&whole, &here);
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        fs::write(here.join(wal.file_name().expect("a name")), damaged).expect("writes");
        let refused = refusal(Node::open(config(&here), keys(), sole()));
        assert!(matches!(refused, NodeError::Database { .. } | NodeError::Damaged { .. }), "{refused}");
    }
}

#[tokio::test]
async fn a_backup_is_taken_while_it_runs_and_restored_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(&folder.path().join("live"));
    submitter(&node).submit(&leaves(0..5)).await.expect("submits");
    let backup = folder.path().join("backup");
    node.backup(&backup).expect("backs up");
    assert!(matches!(node.backup(&backup), Err(NodeError::Exists(_))));
    let at_backup = node.head();
    submitter(&node).submit(&leaves(5..9)).await.expect("goes on");
    shut(node).await;

    let target = folder.path().join("restored");
    restore(&backup, config(&target), &keys()).await.expect("restores");
    assert!(matches!(restore(&backup, config(&target), &keys()).await, Err(NodeError::Exists(_))));
    let node = open(&target);
    assert_eq!(node.head(), at_backup);
    let again = submitter(&node).submit(&leaves(0..9)).await.expect("what the backup lacks is submitted again");
    assert_eq!(indices(&again), (0..9).collect::<Vec<_>>());
    shut(node).await;

    let table = files(&backup, "sst").pop().expect("a table");
    let mut bytes = fs::read(&table).expect("reads");
    bytes[40] ^= 1;
    // The copy may be linked to the live folder's file: it is replaced, not changed.
    fs::remove_file(&table).expect("removes");
    fs::write(&table, bytes).expect("writes");
    let target = folder.path().join("damaged");
    assert!(restore(&backup, config(&target), &keys()).await.is_err());
}

/// Not a test by itself: what a child process does until it is killed.
#[tokio::test]
async fn child_submits_five_leaves_one_by_one() {
    let Ok(path) = std::env::var("CHAIN_NODE_TEST_FOLDER") else { return };
    let node = open(Path::new(&path));
    for seed in 0..5 {
        submitter(&node).submit(&[leaf(seed)]).await.expect("submits");
        fs::write(Path::new(&path).with_extension(format!("acknowledged-{seed}")), b"").expect("notes");
    }
}

#[tokio::test]
async fn a_killed_process_loses_nothing_that_it_acknowledged() {
    use std::os::unix::process::ExitStatusExt;
    let folder = tempfile::tempdir().expect("a folder");
    for (point, durable_more) in [("chain.before_commit", 0), ("chain.after_commit", 1)] {
        for reach in 1..=4u64 {
            let path = folder.path().join(format!("{}-{reach}", point.replace('.', "-")));
            let child = std::process::Command::new(std::env::current_exe().expect("a path"))
                .args(["--exact", "durability::child_submits_five_leaves_one_by_one"])
                .env("CHAIN_NODE_TEST_FOLDER", &path)
                .env("ENTREPOT_FAILPOINT", format!("{point}@{reach}"))
                .output()
                .expect("starts");
            assert_eq!(child.status.signal(), Some(9), "{}", String::from_utf8_lossy(&child.stdout));
            let acknowledged = (0..5).filter(|seed| path.with_extension(format!("acknowledged-{seed}")).exists()).count() as u64;
            assert_eq!(acknowledged, reach - 1);
            let node = open(&path);
            assert_eq!(node.head().log_size, acknowledged + durable_more, "{point}@{reach}");
            assert_eq!(indices(&submitter(&node).submit(&leaves(0..5)).await.expect("submits")), [0, 1, 2, 3, 4]);
            node.verify_all().expect("is whole");
            shut(node).await;
        }
    }
}

#[tokio::test]
async fn closing_answers_what_was_submitted_and_refuses_what_comes_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let early = tokio::spawn({
        let submitter = submitter(&node);
        async move { submitter.submit(&leaves(0..3)).await }
    });
    tokio::task::yield_now().await;
    node.close().await;
    assert_eq!(indices(&early.await.expect("runs").expect("was answered")), [0, 1, 2]);
    assert!(matches!(submitter(&node).submit(&leaves(3..4)).await, Err(NodeError::Stopped { .. })));
    let crowd: Vec<_> = (1..=4097).map(|n| LeafTransaction::sign(&genesis().digest(), leaf(0), n, &key(9))).collect();
    assert!(matches!(node.submit(crowd).await, Err(NodeError::TooMany { .. })));
}
