//! A node that cannot do its work ends with a sentence that says what to do; it never goes on halfway.

use super::ALL;
use entrepot_tests::consortium::{AGREEMENT_MAX, CHANNEL, Consortium, Node, text, wait};
use std::{fs, path::Path, process::Command, time::Instant};

/// Bytes of the consensus log's header, and of the header of each record.
const HEADER: usize = 28;
/// A record's begins with a mark of eight bytes, then comes the length of what follows it.
const RECORD: usize = 16;
const MARK: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_port_or_folder_is_taken_says_so() {
    let mut consortium = Consortium::start().await;
    consortium.log(0).await;
    let peers = consortium.peers(0);
    // Every port is the running node's, then one after the other is another.
    for sentence in ["rest_listen", "listen for other members", "in use by another process"] {
        let mut second = consortium.seats[0].clone();
        second.folder = consortium.home().join("second");
        fs::create_dir_all(&second.folder).expect("a folder");
        if sentence != "rest_listen" {
            second.rest = entrepot_tests::exchange::free_address();
        }
        if sentence == "in use by another process" {
            second.listen = entrepot_tests::exchange::free_address();
            second.folder = consortium.seats[0].folder.join("again");
            fs::create_dir_all(&second.folder).expect("a folder");
            std::os::unix::fs::symlink(consortium.seats[0].data(), second.data()).expect("a link");
        }
        Node::start(&second, &consortium.genesis, &peers).ends_with(sentence).await;
    }
    consortium.log(0).await;
    consortium.agree(&ALL, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_consensus_log_is_damaged_or_gone_signs_nothing_until_it_rejoins() {
    let mut consortium = Consortium::start().await;
    consortium.log(0).await;
    consortium.agree(&ALL, 1).await;
    for (turn, what) in ["damaged", "is gone"].into_iter().enumerate() {
        let at = turn + 1;
        let wal = consortium.seats[at].channel(CHANNEL).join("consensus").join("wal");
        consortium.nodes[at].process.kill();
        if what == "damaged" {
            damage(&wal)
        } else {
            fs::remove_file(&wal).expect("removed")
        }
        consortium.nodes[at].restart(None);
        consortium.nodes[at].ends_with(what).await;
        consortium.nodes[at].restart(None);
        consortium.nodes[at].ends_with("--rejoin").await;
        consortium.log(0).await;
        rejoin(&mut consortium, at).await;
    }
}

/// Starts it with `--rejoin`; it follows, then its votes are needed.
async fn rejoin(consortium: &mut Consortium, at: usize) {
    consortium.nodes[at].rejoin();
    let health = wait("it does not answer", async || consortium.nodes[at].get("/v1/chain/health").await).await;
    assert_eq!(health["following"], true);
    assert!(consortium.nodes[at].get("/readyz").await.is_none(), "it says that it is ready");
    // It votes again once blocks were decided without it.
    let deadline = Instant::now() + AGREEMENT_MAX;
    while consortium.seats[at].follows() {
        assert!(Instant::now() < deadline, "it does not come to vote again:\n{}", consortium.nodes[at].process.log());
        consortium.log(0).await;
    }
    let height = consortium.agree(&ALL, 1).await;
    consortium.nodes[3].process.kill();
    consortium.log(0).await;
    consortium.nodes[3].restart(None);
    consortium.nodes[at].restart(None);
    consortium.nodes[at].ready().await;
    consortium.agree(&ALL, height + 1).await;
}

/// Changes a byte of the first of several records.
fn damage(wal: &Path) {
    let mut bytes = fs::read(wal).expect("the log");
    let length = u32::from_be_bytes(bytes[HEADER + MARK..HEADER + MARK + 4].try_into().expect("four bytes")) as usize;
    assert!(bytes.len() > HEADER + RECORD + length + RECORD, "the log has one record at most");
    bytes[HEADER + RECORD + length / 2] ^= 1;
    fs::write(wal, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_chain_is_an_older_copy_signs_nothing_until_it_rejoins() {
    let mut consortium = Consortium::start().await;
    consortium.log(0).await;
    consortium.agree(&ALL, 1).await;
    let (chain, copy) = (consortium.seats[2].channel(CHANNEL).join("chain"), consortium.home().join("older"));
    assert_eq!(consortium.nodes[2].process.terminate().code(), Some(0));
    copy_folder(&chain, &copy);
    consortium.nodes[2].restart(None);
    consortium.nodes[2].ready().await;
    for at in [0, 1, 2, 3, 0] {
        consortium.log(at).await;
    }
    let height = consortium.agree(&ALL, 1).await;
    consortium.nodes[2].process.kill();
    fs::remove_dir_all(&chain).expect("removed");
    copy_folder(&copy, &chain);
    consortium.nodes[2].restart(None);
    consortium.nodes[2].ends_with("an older copy was put in place; start with --rejoin").await;
    rejoin(&mut consortium, 2).await;
    consortium.agree(&ALL, height).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_channel_or_of_other_keys_is_refused() {
    let mut consortium = Consortium::start().await;
    consortium.log(0).await;
    let other = consortium.home().join("other-genesis.json");
    entrepot_tests::consortium::found(&other, CHANNEL, &consortium.seats[..3]);
    let peers = consortium.peers(1);
    consortium.nodes[1].process.kill();
    consortium.nodes[1].configure(&other, &peers);
    consortium.nodes[1].restart(None);
    consortium.nodes[1].ends_with("give the genesis that it was founded with").await;
    consortium.nodes[1].configure(&consortium.genesis, &peers);
    consortium.nodes[1].restart(None);
    consortium.nodes[1].ready().await;
    consortium.agree(&ALL, 1).await;
}

fn copy_folder(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-r", &text(from), &text(to)]).status().expect("cp");
    assert!(status.success());
}
