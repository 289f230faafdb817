//! What must hold of an exchange's books, whatever was killed.

use crate::{market::Market, process};
use serde_json::Value;

/// `entrepot admin verify-books` on the exchange's data folder; its report.
pub fn verify(market: &Market) -> Value {
    let text = process::succeed(&["--json", "admin", "verify-books", "--data-dir", &market.exchange.data_dir.display().to_string()]);
    serde_json::from_str(&text).expect("JSON")
}

/// The consumer's balance in minor units.
pub async fn balance(market: &Market) -> i64 {
    let account = market.consumer.get("/v1/account").await.ok();
    let balances = account["balances"].as_array().expect("balances");
    balances.iter().map(|balance| balance["balance_minor"].as_str().expect("an amount").parse::<i64>().expect("a number")).sum()
}
