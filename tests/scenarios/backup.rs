//! A copy of a serving exchange, and the exchange's return from it.

use entrepot_chain_statement::Hash;
use entrepot_tests::{
    consumer::Contract,
    exchange::{ExchangeInfo, free_address},
    market::{CREDIT_MINOR, Market},
    member::write_key,
    offer::PRICE_MINOR,
    process::{self, Process},
    sample,
    session::Session,
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

#[tokio::test]
async fn an_exchange_comes_back_from_a_copy_made_while_it_served() {
    let mut market = Market::start().await;
    let mut contract = market.agree().await;
    let plan = market.quote(sample::SQL).await.plan;
    let before = buy(&market, &mut contract, plan).await;
    let backup = back_up(&market);
    assert_eq!(fs::metadata(&backup).expect("a folder").permissions().mode() & 0o777, 0o700);
    let after = buy(&market, &mut contract, plan).await;

    let copy = market.folder().join("copy");
    let told = process::succeed(&["admin", "restore", "--backup", &text(&backup), "--data-dir", &text(&copy)]);
    for what in ["the books are right", "`channel`", "sequence_passed", "new trust files"] {
        assert!(told.contains(what), "{what} is not in {told}");
    }
    assert_eq!(fs::metadata(&copy).expect("a folder").permissions().mode() & 0o777, 0o700);
    process::succeed(&["admin", "verify-books", "--data-dir", &text(&copy)]);
    // On another machine, under another name: the certificate is for `serve` to refuse.
    let (config, elsewhere) = (market.folder().join("elsewhere.toml"), market.folder().join("elsewhere"));
    fs::write(&config, "grpc_names = ['elsewhere.example']\n").expect("written");
    process::succeed(&["admin", "restore", "--backup", &text(&backup), "--data-dir", &text(&elsewhere), "--config", &text(&config)]);
    a_bad_restore_leaves_nothing(&market, &backup, &copy);

    assert_eq!(market.exchange.process.terminate().code(), Some(0), "{}", market.exchange.process.log());
    let (mut served, info) = serve(&market, &copy, &[]).await;
    let consumer = Session::sign_in(&info.rest, info.did.as_str(), &market.cast.consumer).await;
    assert_eq!(consumer.get(&format!("/v1/jobs/{before}")).await.ok()["state"], "delivered");
    consumer.get(&format!("/v1/jobs/{after}")).await.refused(404, "not_found");
    let account = consumer.get("/v1/account").await.ok();
    assert_eq!(account["balances"][0]["balance_minor"], (CREDIT_MINOR - PRICE_MINOR).to_string(), "{account}");
    assert_eq!(info.origin, market.exchange.info.origin);
    assert_eq!(served.terminate().code(), Some(0));
    a_new_log_is_the_way_out(&market, &copy, &info).await;
}

async fn buy(market: &Market, contract: &mut Contract, plan: Hash) -> String {
    let order = market.next_order(contract, sample::SQL, plan);
    let job_id = market.place(&order).await;
    let job = market.finished(&job_id).await;
    assert_eq!(job["state"], "delivered", "{job}");
    job_id
}

/// `entrepot admin backup`; the copy's folder.
fn back_up(market: &Market) -> PathBuf {
    let key = market.folder().join("operator.key.json");
    write_key(&key, &market.exchange.operator.key);
    let info = &market.exchange.info;
    let arguments = ["--json", "admin", "backup", "--url", &info.rest, "--exchange", info.did.as_str(), "--key", &text(&key)];
    let made: Value = serde_json::from_str(&process::succeed(&arguments)).expect("JSON");
    made["path"].as_str().expect("a path").into()
}

fn a_bad_restore_leaves_nothing(market: &Market, backup: &Path, taken: &Path) {
    let restore = |data_dir: &Path| {
        let output = process::run(&["admin", "restore", "--backup", &text(backup), "--data-dir", &text(data_dir)]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = restore(taken);
    assert!(code == Some(3) && told.contains("exists"), "{told}");

    let interrupted = market.folder().join("interrupted");
    fs::create_dir(market.folder().join("interrupted.partial")).expect("a folder");
    let (code, told) = restore(&interrupted);
    assert!(code == Some(3) && told.contains("interrupted.partial"), "{told}");

    // One byte of a chain's file is another.
    let file = largest_file(&backup.join("channels/main/chain"));
    let mut bytes = fs::read(&file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).expect("writable");
    let damaged = market.folder().join("damaged");
    let (code, told) = restore(&damaged);
    assert!(code == Some(1) && !told.is_empty(), "{code:?} {told}");
    assert!(!damaged.exists() && !market.folder().join("damaged.partial").exists());
}

fn largest_file(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    // RocksDB's own log is for people.
    let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "log" || kind == "sst"));
    files.max_by_key(|path| fs::metadata(path).expect("a file").len()).expect("a file")
}

/// What `restore` tells an operator to do when the copy is older than what others hold.
async fn a_new_log_is_the_way_out(market: &Market, copy: &Path, former: &ExchangeInfo) {
    let config = market.folder().join("exchange.toml");
    fs::write(&config, "channel = 'second'\n").expect("written");
    let (mut served, info) = serve(market, copy, &["--config", &text(&config)]).await;
    assert_eq!((info.did, info.origin.as_str()), (former.did.clone(), "entrepot/second"));
    assert_ne!(info.log_key, former.log_key);
    let consumer = Session::sign_in(&info.rest, former.did.as_str(), &market.cast.consumer).await;
    consumer.get("/v1/orders").await.ok();
    assert_eq!(served.terminate().code(), Some(0));
}

async fn serve(market: &Market, data_dir: &Path, more: &[&str]) -> (Process, ExchangeInfo) {
    let (data_dir_text, rest, grpc) = (text(data_dir), free_address(), free_address());
    let arguments = [&["serve", "--data-dir", &data_dir_text, "--rest-listen", &rest, "--grpc-listen", &grpc], more].concat();
    let published = data_dir.join("exchange.json");
    // An earlier one is removed by the start itself, but perhaps not before we look.
    let _ = fs::remove_file(&published);
    let mut process = Process::start("the copy", &arguments, &market.folder().join("copy.log"), None);
    process.wait_for_file(&published).await;
    let info = serde_json::from_slice(&fs::read(&published).expect("exchange.json")).expect("exchange.json");
    (process, info)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
