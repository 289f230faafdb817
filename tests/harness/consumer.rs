//! What a consumer does, without the SDK: quote, agree, order, wait, open the shares, add them up.

use crate::{
    market::Market,
    offer,
    sample::{Group, REGIONS},
    session::{Answer, Session},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use entrepot_chain_statement::{
    Envelope, Hash,
    sealing::{RESULT_INFO, ResultShare},
    statements::Quote,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How long a job may take, with two attempts that ran into their time limits.
const JOB_PATIENCE: Duration = Duration::from_secs(150);

/// An agreement and how many orders it has seen.
pub struct Contract {
    /// The signed agreement.
    pub agreement: Envelope,
    next_sequence: u64,
}

/// A result, opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Groups that were not withheld, by the group column's value.
    pub groups: BTreeMap<&'static str, Group>,
    /// How many were.
    pub withheld: u64,
    /// The three shares' bytes, as they were before sealing.
    pub shares: Vec<Vec<u8>>,
}

impl Market {
    /// A signed quote for a query.
    pub async fn quote(&self, sql: &str) -> Quote {
        let body = json!({"product_id": self.offered().product_id, "sql": sql});
        let answer = self.consumer.post("/v1/quotes", &body).await.ok();
        let envelope: Envelope = serde_json::from_value(answer["envelope"].clone()).expect("an envelope");
        envelope.open_signed_by([&self.exchange.info.did]).expect("signed by the exchange")
    }

    /// Agrees to the product.
    pub async fn agree(&self) -> Contract {
        let statement = offer::agreement(&self.offered(), self.product.statement_hash(), &self.cast.consumer, offer::pins(self.homes()));
        let agreement = self.cast.consumer.sign(&statement);
        self.consumer.post("/v1/agreements", &json!({"envelope": agreement})).await.ok();
        Contract { agreement, next_sequence: 1 }
    }

    /// The next order of a contract, signed.
    pub fn next_order(&self, contract: &mut Contract, sql: &str, plan: Hash) -> Envelope {
        let order = offer::order(&contract.agreement, sql, plan, contract.next_sequence, offer::money(offer::PRICE_MINOR));
        contract.next_sequence += 1;
        self.cast.consumer.sign(&order)
    }

    /// Places an order and returns its job's id.
    pub async fn place(&self, order: &Envelope) -> String {
        let answer = self.consumer.post("/v1/orders", &json!({"envelope": order})).await.ok();
        answer["job_id"].as_str().expect("a job id").to_owned()
    }

    /// Places an order, again and again under one key; none if the exchange does not answer. Its job's id.
    pub async fn try_place(&self, order: &Envelope) -> Option<String> {
        let key = order.statement_hash().to_string();
        let request = self.consumer.request(reqwest::Method::POST, "/v1/orders").header("idempotency-key", key);
        let response = request.json(&json!({"envelope": order})).send().await.ok()?;
        let (status, body): (_, Value) = (response.status(), response.json().await.ok()?);
        // Conflict: the first request with this key is still on its way.
        assert!(status.is_success() || status.as_u16() == 409 || status.is_server_error(), "{status}: {body}");
        body["job_id"].as_str().map(str::to_owned)
    }

    /// Waits until a job is `delivered` or `refunded`; the job.
    pub async fn finished(&self, job_id: &str) -> Value {
        let deadline = Instant::now() + JOB_PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            // The exchange may be dead or starting: then ask again.
            if let Some(answer) = self.consumer.try_get(&format!("/v1/jobs/{job_id}")).await {
                last = answer.ok();
                if matches!(last["state"].as_str(), Some("delivered" | "refunded")) {
                    return last;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the job does not end: {last}");
    }

    /// Fetches the sealed shares of a delivered job and opens them.
    pub async fn open_result(&self, job_id: &str) -> Opened {
        let document = self.consumer.get(&format!("/v1/jobs/{job_id}/result")).await.ok();
        open(&document, &self.cast.consumer.key.sealing)
    }
}

impl Session {
    /// GET, or none if nobody answers.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        let response = self.request(reqwest::Method::GET, path).send().await.ok()?;
        let status = response.status();
        let body = serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or_default();
        Some(Answer { status, body })
    }
}

fn open(document: &Value, secret: &entrepot_chain_statement::SealingSecret) -> Opened {
    let order: Hash = serde_json::from_value(document["order_hash"].clone()).expect("a hash");
    let attempt = document["attempt"].as_u64().and_then(|n| u32::try_from(n).ok()).expect("an attempt");
    let mut shares: Vec<(u8, Vec<u8>)> = document["shares"]
        .as_array()
        .expect("shares")
        .iter()
        .map(|entry| {
            let share = entry["share"].as_u64().and_then(|n| u8::try_from(n).ok()).expect("a share's number");
            let sealed = BASE64_STANDARD.decode(entry["ciphertext"].as_str().expect("a ciphertext")).expect("base64");
            let aad = ResultShare { order, attempt, share }.aad();
            (share, secret.open(RESULT_INFO, &aad, &sealed).expect("sealed to us").to_vec())
        })
        .collect();
    shares.sort();
    assert_eq!(shares.iter().map(|(share, _)| *share).collect::<Vec<_>>(), [0, 1, 2]);
    let shares: Vec<Vec<u8>> = shares.into_iter().map(|(_, bytes)| bytes).collect();
    let (groups, withheld) = read_cells(&add(&shares));
    Opened { groups, withheld, shares }
}

/// Additive shares of 64-bit integers, little endian.
fn add(shares: &[Vec<u8>]) -> Vec<u64> {
    let numbers =
        |bytes: &[u8]| -> Vec<u64> { bytes.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().expect("eight bytes"))).collect() };
    shares.iter().map(|share| numbers(share)).reduce(|a, b| a.iter().zip(&b).map(|(x, y)| x.wrapping_add(*y)).collect()).unwrap_or_default()
}

/// Cells of [`crate::sample::SQL`]: counts, sums of rates, sums of incomes, number of withheld groups.
fn read_cells(cells: &[u64]) -> (BTreeMap<&'static str, Group>, u64) {
    let regions = REGIONS.len();
    assert_eq!(cells.len(), 3 * regions + 1);
    let group = |at: usize| Group { count: cells[at], rate_sum: cells[regions + at] as i64, income_sum: cells[2 * regions + at] as i64 };
    let groups = REGIONS.into_iter().enumerate().map(|(at, region)| (region, group(at)));
    let withheld: Vec<Group> = groups.clone().map(|(_, group)| group).filter(|group| group.count == 0).collect();
    assert!(withheld.iter().all(|group| *group == Group::default()), "a withheld group has cells: {withheld:?}");
    (groups.filter(|(_, group)| group.count > 0).collect(), cells[3 * regions])
}
