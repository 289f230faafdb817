//! A job's receipts and an exchange's log, as `tlog_tiles` and `signed_note` see them.

use crate::theirs::{entry, open, proven};
use entrepot_chain_log::NoteSigner;
use entrepot_chain_statement::SigningKey;
use entrepot_tests::{
    market::{Market, wait_for},
    sample,
};
use rand_core::OsRng;
use serde_json::Value;
use tlog_tiles::{Error, Hash, Tile, TileHashReader, TileReader, check_tree, record_hash, stored_hash_index, tree_hash};

/// Buys a computation; its receipts, once the quorum of witnesses cosigned.
async fn buy(market: &Market, trust: &Value) -> Value {
    let plan = market.quote(sample::SQL).await.plan;
    let mut contract = market.agree().await;
    let order = market.next_order(&mut contract, sample::SQL, plan);
    let job_id = market.place(&order).await;
    assert_eq!(market.finished(&job_id).await["state"], "delivered");
    wait_for(async || {
        let bundle = market.consumer.get(&format!("/v1/jobs/{job_id}/receipt")).await.ok();
        (market.verify(&bundle, trust).state() == "witnessed").then_some(bundle)
    })
    .await
}

async fn text(market: &Market, path: &str) -> String {
    let answer = market.consumer.get(path).await;
    answer.ok().as_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_and_the_log_that_holds_them_are_genuine_for_others_too() {
    let market = Market::start().await;
    let trust = market.trust();
    let older = text(&market, "/v1/log/checkpoint").await;
    let bundle = buy(&market, &trust).await;
    every_entry_is_proven_and_no_changed_one_is(&trust, &bundle);
    the_log_only_grew(&market, &trust, &older).await;
    the_tiles_lead_to_the_root(&market, &trust).await;
}

fn every_entry_is_proven_and_no_changed_one_is(trust: &Value, bundle: &Value) {
    let entries = bundle["entries"].as_array().expect("entries");
    assert!(entries.len() > 10, "{} entries", entries.len());
    for statement in entries {
        let (leaf, proof) = (entry(&statement["envelope"]), statement["proof"].as_str().expect("a proof"));
        assert!(proven(trust, &leaf, proof).expect("it is genuine") >= 2, "witnessed by a quorum of two");
        let lines: Vec<&str> = proof.lines().collect();
        // The index, every hash, size, root and every signature of the log and the witnesses.
        for at in 1..lines.len() {
            let Some(changed) = changed(lines[at], trust) else { continue };
            let mut spoilt = lines.clone();
            spoilt[at] = &changed;
            assert!(proven(trust, &leaf, &format!("{}\n", spoilt.join("\n"))).is_err(), "{}", lines[at]);
        }
        let mut other = statement["envelope"].clone();
        other["salt"] = entries[0]["envelope"]["payload"].clone();
        assert!(proven(trust, &entry(&other), proof).is_err());
    }
}

/// The line with one digit changed; none where others may write what they like.
fn changed(line: &str, trust: &Value) -> Option<String> {
    let strangers = line.strip_prefix("— ").is_some_and(|rest| {
        let name = rest.split(' ').next().unwrap_or_default();
        let known = trust["witnesses"].as_array().expect("witnesses").iter().map(|witness| &witness["vkey"]).chain([&trust["log"]["key"]]);
        !known.into_iter().any(|vkey| vkey.as_str().is_some_and(|vkey| vkey.starts_with(name)))
    });
    // Within the signature, not the key's id: a line of an unknown key is nobody's.
    let at = line.len().checked_sub(if line.starts_with('—') { 12 } else { line.len() / 2 + 1 })?;
    if strangers || line.is_empty() || !line.is_char_boundary(at) {
        return None;
    }
    let other = if &line[at..=at] == "1" { "2" } else { "1" };
    Some(format!("{}{other}{}", &line[..at], &line[at + 1..]))
}

async fn the_log_only_grew(market: &Market, trust: &Value, older: &str) {
    let newer = text(market, "/v1/log/checkpoint").await;
    let ((old, _), (new, _)) = (open(trust, older).expect("genuine"), open(trust, &newer).expect("genuine"));
    assert!(old.size() < new.size(), "nothing is to be proved");
    let path = format!("/v1/log/consistency?from={}&to={}", old.size(), new.size());
    let proof: Vec<Hash> = market.consumer.get(&path).await.ok()["proof"].as_array().expect("a proof").iter().map(from_hex).collect();
    check_tree(&proof, new.size(), *new.hash(), old.size(), *old.hash()).expect("it only grew");
    assert!(check_tree(&proof, old.size(), *old.hash(), new.size(), *new.hash()).is_err(), "a stale size is no growth");
    let mut fork = *old.hash();
    fork.0[0] ^= 1;
    assert!(check_tree(&proof, new.size(), *new.hash(), old.size(), fork).is_err(), "another history of the same size");
    let mut stranger = trust.clone();
    let other = NoteSigner::log(old.origin(), SigningKey::generate(&mut OsRng)).expect("a name");
    stranger["log"]["key"] = other.public().to_string().into();
    assert!(open(&stranger, &newer).is_err(), "another log's key");
}

fn from_hex(hash: &Value) -> Hash {
    Hash(hex::decode(hash.as_str().expect("text")).expect("hex").try_into().expect("32 bytes"))
}

/// Reads tiles over HTTP; `tlog_tiles` checks each against the tree.
struct Tiles {
    url: String,
    /// Changes a digit of what was read.
    liar: bool,
}

impl Tiles {
    fn get(&self, path: &str) -> Vec<u8> {
        let reading = async {
            let answer = reqwest::get(format!("{}/v1/log/{path}", self.url)).await.expect("answers");
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            answer.bytes().await.expect("a whole answer").to_vec()
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(reading))
    }
}

impl TileReader for Tiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let read = |tile: &Tile| {
            // They name the height in their paths; C2SP has one height.
            let mut bytes = self.get(&tile.path().replace("tile/8/", "tile/"));
            bytes[40] ^= u8::from(self.liar);
            bytes
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

async fn the_tiles_lead_to_the_root(market: &Market, trust: &Value) {
    let (head, _) = open(trust, &text(market, "/v1/log/checkpoint").await).expect("genuine");
    let read = |liar| Tiles { url: market.exchange.info.rest.clone(), liar };
    let tiles = read(false);
    let reader = TileHashReader::new(head.size(), *head.hash(), &tiles);
    assert_eq!(tree_hash(head.size(), &reader).expect("authentic tiles"), *head.hash());
    let entries = tiles.get(&format!("tile/entries/000.p/{}", head.size()));
    assert_eq!(entries.len() as u64, head.size() * 34, "a length and a hash each");
    for (index, entry) in (0..head.size()).zip(entries.chunks(34)) {
        let known = tlog_tiles::HashReader::read_hashes(&reader, &[stored_hash_index(0, index)]).expect("in the tree");
        assert_eq!(record_hash(&entry[2..]), known[0], "entry {index}");
    }
    let lying = read(true);
    assert!(tree_hash(head.size(), &TileHashReader::new(head.size(), *head.hash(), &lying)).is_err(), "a changed tile is found");
}
