//! Members on loopback: the real links, the real log on disk, and a ledger that keeps its blocks in memory.

#[path = "../membership/mod.rs"]
mod membership;
mod node;
mod played;

use entrepot_chain_consensus::{Consortium, ConsortiumConfig, ConsortiumError, Past, stand_alone, timeouts};
use node::{Cluster, GENESIS, Ledger, transport};
use std::{fs, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_submitted_to_one_is_decided_by_all() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    for at in 0..4 {
        cluster.submit(at, u64::try_from(at).expect("small"));
    }
    cluster.decided(&[0, 1, 2, 3], &[0, 1, 2, 3], SOON).await;
    cluster.agree();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_channel_makes_no_block_and_writes_nothing() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    cluster.submit(1, 7);
    cluster.decided(&[0, 1, 2, 3], &[7], SOON).await;
    sleep(Duration::from_millis(500)).await;
    let before = (cluster.heights(), cluster.logs());
    sleep(Duration::from_secs(3)).await;
    assert_eq!((cluster.heights(), cluster.logs()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_one_of_four_may_be_gone_and_catches_up() {
    for gone in 0..4 {
        let mut cluster = Cluster::new(4).await;
        cluster.start_all();
        cluster.submit(0, 1);
        cluster.decided(&[0, 1, 2, 3], &[1], SOON).await;
        cluster.settled().await;
        cluster.stop(gone);
        let there: Vec<usize> = (0..4).filter(|at| *at != gone).collect();
        for value in 2..8 {
            cluster.submit(there[value as usize % 3], value);
            cluster.decided(&there, &[value], SOON).await;
        }
        cluster.start(gone);
        cluster.decided(&[gone], &[2, 3, 4, 5, 6, 7], SOON).await;
        cluster.submit(gone, 9);
        cluster.decided(&[0, 1, 2, 3], &[9], SOON).await;
        cluster.agree();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_four_wait_and_go_on_when_a_third_is_back() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    cluster.submit(0, 1);
    cluster.decided(&[0, 1, 2, 3], &[1], SOON).await;
    cluster.settled().await;
    cluster.stop(2);
    cluster.stop(3);
    cluster.submit(0, 2);
    sleep(Duration::from_secs(3)).await;
    assert!(!cluster.has(0, 2) && !cluster.has(1, 2), "two of four decided");
    cluster.start(2);
    cluster.decided(&[0, 1, 2], &[2], SOON).await;
    cluster.start(3);
    cluster.decided(&[3], &[2], SOON).await;
    cluster.agree();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_killed_again_and_again_stay_of_one_mind() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    cluster.settled().await;
    for value in 0..40_u64 {
        let victim = (value * 7 % 4) as usize;
        cluster.submit(((value + 1) % 4) as usize, value);
        sleep(Duration::from_millis(value * 13 % 50)).await;
        cluster.stop(victim);
        sleep(Duration::from_millis(value * 17 % 40)).await;
        cluster.start(victim);
    }
    let all: Vec<u64> = (0..40).collect();
    cluster.resubmit_until_decided(&all, Duration::from_secs(60)).await;
    cluster.agree();
    assert!(cluster.evidence().is_empty(), "an honest member contradicted itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_alone_decides_without_links() {
    let mut cluster = Cluster::new(1).await;
    cluster.start_all();
    for value in 0..20 {
        cluster.submit(0, value);
        cluster.decided(&[0], &[value], SOON).await;
    }
    cluster.stop(0);
    cluster.start(0);
    cluster.submit(0, 20);
    cluster.decided(&[0], &[20], SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_gets_no_byte_after_the_handshake() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    cluster.submit(0, 1);
    cluster.decided(&[0, 1, 2, 3], &[1], SOON).await;
    cluster.settled().await;
    let stranger = membership::key(99, 4);
    let identity = entrepot_link::Identity::of(&stranger, "entrepot-chain/1").expect("a key");
    let connector = tokio_rustls::TlsConnector::from(identity.client(&transport(&cluster.members, 0)).expect("a key"));
    let stream = TcpStream::connect(cluster.address(0)).await.expect("the port is open");
    // TLS 1.3: the client is done before the server has looked at its certificate; the alert comes with the first read.
    if let Ok(mut stream) = connector.connect(entrepot_link::server_name(), stream).await {
        let want = entrepot_chain_consensus::Message::Want(1).encode();
        let frame = [&(32 + want.len() as u32).to_be_bytes()[..], &GENESIS.0, &want].concat();
        let _refused = stream.write_all(&frame).await;
        let mut heard = Vec::new();
        let read = timeout(SOON, stream.read_to_end(&mut heard)).await.expect("it is closed");
        assert!(read.is_err() && heard.is_empty(), "{read:?} {heard:?}");
    }
    // Without TLS there is nothing to hear either, and the silent are sent away.
    let mut silent = TcpStream::connect(cluster.address(0)).await.expect("the port is open");
    let mut heard = Vec::new();
    let _closed = timeout(SOON, silent.read_to_end(&mut heard)).await.expect("it is closed");
    assert!(heard.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_one_channel_hears_nothing_of_another() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    cluster.submit(0, 1);
    cluster.decided(&[0, 1, 2, 3], &[1], SOON).await;
    cluster.settled().await;
    // Member 3 also sits in a channel with somebody whom this channel does not admit: the link is open, the channel is not.
    let guest = membership::key(77, 4);
    let (_other, _heard) = cluster.open_channel(0, entrepot_chain_statement::Hash([5; 32]), [(guest.did(), guest.did())].into());
    let identity = entrepot_link::Identity::of(&guest, "entrepot-chain/1").expect("a key");
    let connector = tokio_rustls::TlsConnector::from(identity.client(&transport(&cluster.members, 0)).expect("a key"));
    let stream = TcpStream::connect(cluster.address(0)).await.expect("the port is open");
    let mut stream = connector.connect(entrepot_link::server_name(), stream).await.expect("a guest of the other channel");
    let want = entrepot_chain_consensus::Message::Want(1).encode();
    let frame = [&(32 + want.len() as u32).to_be_bytes()[..], &GENESIS.0, &want].concat();
    stream.write_all(&frame).await.expect("the link is open");
    // That somebody is there is all it hears: empty frames.
    let mut heard = Vec::new();
    let _open = timeout(Duration::from_secs(3), stream.read_to_end(&mut heard)).await;
    assert!(heard.iter().all(|byte| *byte == 0), "it was answered");
}

fn config(folder: &std::path::Path, past: Past) -> ConsortiumConfig {
    let timeouts = timeouts(Duration::from_millis(300), Duration::from_millis(150));
    ConsortiumConfig { genesis: GENESIS, key: membership::members(4).1[0].clone(), folder: folder.to_owned(), timeouts, past }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_know_what_it_signed_does_not_start() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    for value in 1..4 {
        cluster.submit(0, value);
        cluster.decided(&[0, 1, 2, 3], &[value], SOON).await;
    }
    cluster.stop(0);
    let folder = cluster.folder(0);
    let head = cluster.ledger(0).committed();
    // Its thread may need a moment.
    while entrepot_chain_consensus::Wal::open(&folder.join("wal")).is_err() {
        sleep(Duration::from_millis(5)).await;
    }
    let start = |ledger: Arc<Ledger>, head, channel: (_, _)| {
        Consortium::start(config(&folder, Past::Logged), head, ledger, channel.0, channel.1).map(drop)
    };
    // An older copy of the chain.
    let mut older = head.clone();
    older.height -= 2;
    let channel = cluster.channel(0);
    let refused = start(cluster.ledger(0), older, channel);
    assert!(matches!(refused, Err(ConsortiumError::OldChain { .. })), "{refused:?}");
    // In use by another process.
    let (held, _) = entrepot_chain_consensus::Wal::open(&folder.join("wal")).expect("it is free");
    let channel = cluster.channel(0);
    assert!(matches!(start(cluster.ledger(0), head.clone(), channel), Err(ConsortiumError::Wal(_))));
    drop(held);
    // Gone.
    fs::remove_file(folder.join("wal")).expect("it is there");
    let channel = cluster.channel(0);
    assert!(matches!(start(cluster.ledger(0), head, channel), Err(ConsortiumError::LogGone { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_log_rejoins_without_signing_anything_twice() {
    let mut cluster = Cluster::new(4).await;
    cluster.start_all();
    cluster.submit(0, 1);
    cluster.decided(&[0, 1, 2, 3], &[1], SOON).await;
    cluster.settled().await;
    cluster.stop(2);
    fs::remove_file(cluster.folder(2).join("wal")).expect("it is there");
    cluster.rejoin(2);
    sleep(Duration::from_millis(500)).await;
    assert!(cluster.folder(2).join("rejoining").exists(), "it votes already");
    // A restart changes nothing about it.
    cluster.stop(2);
    cluster.start(2);
    for value in 2..5 {
        cluster.submit(0, value);
        cluster.decided(&[0, 1, 2, 3], &[value], SOON).await;
    }
    sleep(Duration::from_millis(500)).await;
    assert!(!cluster.folder(2).join("rejoining").exists(), "it never votes again");
    // With another one gone it is needed.
    cluster.stop(3);
    cluster.submit(0, 6);
    cluster.decided(&[0, 1, 2], &[6], SOON).await;
    assert!(cluster.evidence().is_empty());
    cluster.agree();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_founder_that_is_late_votes_at_once_if_it_is_told_that_its_keys_are_new() {
    let mut cluster = Cluster::new(4).await;
    [0, 1, 2].into_iter().for_each(|at| cluster.found(at));
    for value in 1..4 {
        cluster.submit(0, value);
        cluster.decided(&[0, 1, 2], &[value], SOON).await;
    }
    cluster.found(3);
    assert!(!cluster.folder(3).join("rejoining").exists());
    // Now it is needed, though it has not followed for a single height.
    cluster.stop(2);
    cluster.submit(0, 4);
    cluster.decided(&[0, 1, 3], &[4], SOON).await;
    cluster.agree();
    // Whoever was started before is not new.
    cluster.stop(3);
    let head = cluster.ledger(3).committed();
    let channel = cluster.channel(3);
    let refused = Consortium::start(config(&cluster.folder(3), Past::Nothing), head, cluster.ledger(3), channel.0, channel.1).map(drop);
    assert!(matches!(refused, Err(ConsortiumError::NotFounding { .. })), "{refused:?}");
}

#[test]
fn whoever_decided_alone_keeps_a_log_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("consensus");
    stand_alone(&folder, 0).expect("it is new");
    stand_alone(&folder, 7).expect("its chain is all that it signed");
    let (mut wal, records) = entrepot_chain_consensus::Wal::open(&folder.join("wal")).expect("it is there");
    assert_eq!((wal.height(), records.len()), (0, 0));
    // As one of several it began a height that is not decided here.
    wal.begin(9).expect("a disk");
    drop(wal);
    assert!(matches!(stand_alone(&folder, 8), Err(ConsortiumError::NotAlone { signed: 9, height: 8 })));
    stand_alone(&folder, 9).expect("it is decided");
}
