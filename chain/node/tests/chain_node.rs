//! The node's facts, on a real RocksDB: what is acknowledged stays, whatever happens to the process and its files.

use entrepot_chain_ledger::{Block, Leaf, LeafTransaction, Outcome, Rejection};
use entrepot_chain_log::{
    MerkleTree, NodeId, NodeStore as _, NoteSigner, SignedCheckpoint, merkle::verify_consistency, merkle::verify_inclusion,
};
use entrepot_chain_node::{
    CosignatureAnswer, Node, NodeConfig, NodeError, NodeKeys, Orderer, OrdererError, SoleMember, Submitter, restore,
};
use entrepot_chain_statement::{Envelope, Hash, Money, SigningKey, Timestamp, ids::JobId, statements::Refund};
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

const ORIGIN: &str = "entrepot/test";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn keys() -> NodeKeys {
    NodeKeys { log: key(101), cosigning: key(102) }
}

fn config(path: &Path) -> NodeConfig {
    NodeConfig { path: path.to_owned(), origin: ORIGIN.to_owned(), clock: Arc::new(|| Timestamp(1_700_000_000_000)) }
}

fn open(path: &Path) -> Node {
    Node::open(config(path), keys(), SoleMember::default()).expect("the node opens")
}

/// The error of opening; a node has no debug form.
fn refusal(outcome: Result<Node, NodeError>) -> NodeError {
    outcome.err().expect("opening is refused")
}

fn leaf(seed: u64) -> Leaf {
    let refund = Refund {
        job_id: JobId::compose(Timestamp(seed as i64), [3; 10]),
        order: Hash([4; 32]),
        hold: Hash([5; 32]),
        amount: Money { amount_minor: 6, currency: "EUR".parse().expect("a currency") },
        reason: "cancelled".to_owned(),
        refunded_at: Timestamp(7),
    };
    let mut salt = [0; 32];
    salt[..8].copy_from_slice(&seed.to_be_bytes());
    Leaf::of(&Envelope::sign(&refund, &key(1), salt).expect("signs")).expect("refunds are logged")
}

fn leaves(seeds: std::ops::Range<u64>) -> Vec<Leaf> {
    seeds.map(leaf).collect()
}

fn submitter(node: &Node) -> Submitter {
    Submitter::new(node.clone(), key(9))
}

fn indices(outcomes: &[Outcome]) -> Vec<u64> {
    outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Accepted { index } => *index,
            Outcome::Rejected(why) => panic!("rejected: {why}"),
        })
        .collect()
}

/// Closes for good: the folder can be opened again when this returns.
async fn shut(node: Node) {
    node.close().await;
    drop(node);
}

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
        assert_eq!(node.index_of(&leaf(seed).leaf).expect("reads"), Some(seed));
        let stored = node.leaf(seed).expect("reads").expect("is there");
        assert_eq!(stored.leaf, leaf(seed).leaf);
        let block = node.block(stored.height).expect("reads").expect("is there");
        assert!(block.transactions.iter().any(|transaction| transaction.leaf.leaf == stored.leaf));
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
    let (height, again) = (node.head().height, LeafTransaction::sign(ORIGIN, leaf(3), 1, &key(3)));
    assert_eq!(node.submit(vec![again]).await.expect("submits").len(), 1);
    assert_eq!(node.head().height, height, "a transaction sent again is answered without a block");
    shut(node).await;
}

#[tokio::test]
async fn a_rejection_says_why_and_holds_up_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let unbound = Leaf { binds: [key(1).did(), key(2).did()].into(), ..leaf(1) };
    let outcomes = submitter(&node).submit(&[leaf(0), unbound.clone(), leaf(2)]).await.expect("submits");
    assert_eq!(outcomes[0], Outcome::Accepted { index: 0 });
    assert_eq!(outcomes[1], Outcome::Rejected(Rejection::Unbound { key: key(2).did() }));
    assert_eq!(outcomes[2], Outcome::Accepted { index: 1 });
    let elsewhere = LeafTransaction::sign("entrepot/other", leaf(5), 4, &key(9));
    assert_eq!(node.submit(vec![elsewhere]).await.expect("submits"), [Outcome::Rejected(Rejection::BadSubmitterSignature)]);
    shut(node).await;
    let node = open(folder.path());
    assert_eq!(node.head().log_size, 2, "the replay rejects it again");
    node.verify_all().expect("and so does the full one");
    shut(node).await;
}

#[tokio::test]
async fn proofs_lead_from_each_leaf_to_signed_checkpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    let mut sizes = Vec::new();
    for round in 0..6 {
        submitter(&node).submit(&leaves(round * 3..round * 3 + 3)).await.expect("submits");
        sizes.push(node.head().log_size);
    }
    for size in &sizes {
        let checkpoint = node.checkpoint_at(*size).expect("reads").expect("each block has one");
        checkpoint.verify_log(ORIGIN, node.log_vkey()).expect("the log signed");
        assert_eq!(checkpoint.cosigned_at(node.validator_vkey()), Ok(Some(1_700_000_000)));
        assert!(node.validator_vkey().to_string().contains("did:key:"));
        for index in 0..*size {
            let proof = node.proof(index, Some(*size)).expect("reads").expect("is there");
            proof.verify_entry(&leaf(index).leaf.0).expect("leads to the root");
            assert!(proof.verify_entry(&leaf(index + 1).leaf.0).is_err());
            let path = node.inclusion(index, *size).expect("reads").expect("is there");
            let root = checkpoint.checkpoint().root;
            verify_inclusion(&entrepot_chain_log::leaf_hash(&leaf(index).leaf.0), index, *size, &path, &root).expect("holds");
        }
        assert!(node.proof(*size, Some(*size)).expect("reads").is_none());
    }
    for from in &sizes {
        for to in sizes.iter().filter(|to| *to >= from) {
            let root = |size| node.checkpoint_at(size).expect("reads").expect("is there").checkpoint().root;
            let path = node.consistency(*from, *to).expect("reads").expect("is there");
            verify_consistency((*from, &root(*from)), (*to, &root(*to)), &path).expect("the log only grew");
        }
    }
    assert!(node.checkpoint_at(4).expect("reads").is_none(), "no block ended there");
    assert!(node.consistency(3, 19).expect("reads").is_none() && node.consistency(3, 2).expect("reads").is_none());
    shut(node).await;
}

fn cosign(checkpoint: &SignedCheckpoint, witness: &SigningKey) -> String {
    let signer = NoteSigner::cosigner(witness.did().as_str(), witness.clone()).expect("a name");
    checkpoint.cosign(&signer, 1_700_000_001).to_string()
}

#[tokio::test]
async fn cosignatures_are_checked_kept_and_shown_in_proofs() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    submitter(&node).submit(&leaves(0..2)).await.expect("submits");
    let checkpoint = node.checkpoint().expect("reads").expect("is there");
    let (one, two) = (key(51), key(52));
    let line = cosign(&checkpoint, &one);
    assert_eq!(node.add_cosignature(2, &one.did(), &line).await.expect("writes"), CosignatureAnswer::Kept);
    assert_eq!(node.add_cosignature(2, &one.did(), &line).await.expect("writes"), CosignatureAnswer::Kept, "again is no harm");
    assert_eq!(node.add_cosignature(2, &two.did(), &line).await.expect("reads"), CosignatureAnswer::Wrong);
    assert_eq!(node.add_cosignature(2, &two.did(), "— x\ny").await.expect("reads"), CosignatureAnswer::Wrong);
    assert_eq!(node.add_cosignature(1, &one.did(), &line).await.expect("reads"), CosignatureAnswer::NoSuchCheckpoint);
    submitter(&node).submit(&leaves(2..3)).await.expect("submits");
    let newer = node.checkpoint().expect("reads").expect("is there");
    assert_eq!(node.add_cosignature(3, &one.did(), &line).await.expect("reads"), CosignatureAnswer::Wrong, "of another checkpoint");
    shut(node).await;

    let node = open(folder.path());
    let proof = node.proof(0, None).expect("reads").expect("is there");
    assert_eq!(proof.checkpoint.checkpoint().size, 2, "the witnessed one is worth more than the newest");
    let key = entrepot_chain_log::cosignature_vkey(&one.did());
    assert_eq!(proof.checkpoint.cosigned_at(&key), Ok(Some(1_700_000_001)));
    let fresh = node.proof(2, None).expect("reads").expect("is there");
    assert_eq!(fresh.checkpoint.checkpoint().size, 3, "which does not cover the newest leaf");
    for witness in [&one, &two] {
        assert_eq!(node.add_cosignature(3, &witness.did(), &cosign(&newer, witness)).await.expect("writes"), CosignatureAnswer::Kept);
    }
    let proof = node.proof(0, None).expect("reads").expect("is there");
    assert_eq!((proof.checkpoint.checkpoint().size, proof.checkpoint.note().signatures().len()), (3, 4));
    shut(node).await;
}

#[tokio::test]
async fn a_folder_of_another_log_or_other_keys_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    shut(open(folder.path())).await;
    let other = NodeConfig { origin: "entrepot/other".to_owned(), ..config(folder.path()) };
    assert!(matches!(refusal(Node::open(other, keys(), SoleMember::default())), NodeError::Origin { .. }));
    let other = NodeKeys { log: key(99), ..keys() };
    assert!(matches!(refusal(Node::open(config(folder.path()), other, SoleMember::default())), NodeError::Key { role: "log key", .. }));
    let other = NodeKeys { cosigning: key(99), ..keys() };
    let refused = refusal(Node::open(config(folder.path()), other, SoleMember::default()));
    assert!(matches!(refused, NodeError::Key { role: "validator key", .. }));
    let node = open(folder.path());
    assert!(matches!(refusal(Node::open(config(folder.path()), keys(), SoleMember::default())), NodeError::Database { .. }), "locked");
    shut(node).await;
    let bad = NodeConfig { origin: "two words".to_owned(), ..config(folder.path()) };
    assert!(matches!(refusal(Node::open(bad, keys(), SoleMember::default())), NodeError::Name(_)));
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
        let refused = refusal(Node::open(config(&here), keys(), SoleMember::default()));
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

/// Decides on blocks of another member first, whatever is proposed.
struct Others(VecDeque<Block>, VecDeque<Block>);

#[async_trait::async_trait]
impl Orderer for Others {
    async fn propose(&mut self, block: Block) -> Result<(), OrdererError> {
        self.1.push_back(self.0.pop_front().unwrap_or(block));
        Ok(())
    }

    async fn decided(&mut self) -> Result<Block, OrdererError> {
        match self.1.pop_front() {
            Some(block) => Ok(block),
            None => std::future::pending().await,
        }
    }
}

#[tokio::test]
async fn a_block_of_another_member_goes_first_and_ours_is_proposed_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = open(&folder.path().join("other"));
    Submitter::new(other.clone(), key(33)).submit(&leaves(50..53)).await.expect("submits");
    let theirs = other.block(1).expect("reads").expect("is there");
    let orderer = Others(VecDeque::from([theirs.clone()]), VecDeque::new());
    let node = Node::open(config(&folder.path().join("ours")), keys(), orderer).expect("opens");
    let outcomes = submitter(&node).submit(&leaves(0..2)).await.expect("submits");
    assert_eq!(indices(&outcomes), [3, 4]);
    assert_eq!(node.block(1).expect("reads"), Some(theirs));
    node.verify_all().expect("is whole");
    shut(node).await;
    shut(other).await;
}

#[tokio::test]
async fn a_decided_block_that_does_not_follow_stops_the_node_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = open(&folder.path().join("other"));
    submitter(&other).submit(&leaves(0..1)).await.expect("submits");
    let mut forged = other.block(1).expect("reads").expect("is there");
    forged.header.log_root = Hash([7; 32]);
    let orderer = Others(VecDeque::from([forged]), VecDeque::new());
    let node = Node::open(config(&folder.path().join("ours")), keys(), orderer).expect("opens");
    for _ in 0..2 {
        let refused = submitter(&node).submit(&leaves(3..4)).await;
        assert!(matches!(&refused, Err(NodeError::Stopped { why }) if why.contains("another log")), "{refused:?}");
    }
    assert!(node.failure().is_some());
    assert_eq!(node.head().height, 0, "nothing of it was stored");
    shut(other).await;
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
                .args(["--exact", "child_submits_five_leaves_one_by_one"])
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
    let crowd = (1..=4097).map(|n| LeafTransaction::sign(ORIGIN, leaf(0), n, &key(9))).collect();
    assert!(matches!(node.submit(crowd).await, Err(NodeError::TooMany { .. })));
}

#[tokio::test]
async fn tiles_hold_the_whole_tree() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = open(folder.path());
    submitter(&node).submit(&leaves(0..600)).await.expect("submits");
    let tile = |path: &str| node.tile(&path.parse().expect("a tile")).expect("reads");
    let (first, rest) = (tile("entries/000").expect("full"), tile("entries/002.p/88").expect("the rest"));
    assert_eq!((first.len(), rest.len()), (256 * 34, 88 * 34));
    assert_eq!((&first[..2], &first[2..34]), (&[0, 32][..], &leaf(0).leaf.0[..]));
    assert_eq!(rest[87 * 34 + 2..], leaf(599).leaf.0);

    // The root again, from hashes alone: two full tiles give a hash each, which the row above repeats.
    let level = |hashes: Vec<u8>| hashes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect::<Vec<_>>();
    let mut tree = MerkleTree::new();
    for path in ["0/000", "0/001", "0/002.p/88"] {
        for hash in level(tile(path).expect("is there")) {
            tree.push_leaf_hash(hash);
        }
    }
    assert_eq!(tree.root(), node.head().log_root);
    let above = level(tile("1/000.p/2").expect("two full tiles below"));
    assert_eq!(above, [0, 1].map(|index| tree.node(NodeId { level: 8, index }).expect("infallible").expect("is full")));
    for beyond in ["0/002", "0/002.p/89", "1/000", "1/000.p/3", "entries/003.p/1", "2/000.p/1"] {
        assert_eq!(tile(beyond), None, "{beyond}");
    }
    assert_eq!(tile("0/002.p/5").map(|bytes| bytes.len()), Some(5 * 32), "for whoever holds an older checkpoint");
    shut(node).await;
}
