//! The records in the files.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::{
    Did, Envelope, Hash, Money, Timestamp,
    ids::{DatasetId, JobId},
    statements::{Agreement, ColumnKind, DatasetDescription, SplitAmount},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::{Zeroize as _, Zeroizing};

/// What is known of an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreementRecord {
    /// Statement hash of the agreement.
    pub agreement: Hash,
    /// Statement hash of the product it is about.
    pub product: Hash,
    /// Who buys.
    pub consumer: Did,
    /// Highest sequence number that was ever accepted.
    pub highest_sequence: u64,
    /// The orders that were accepted.
    pub orders: Vec<OrderRecord>,
}

impl AgreementRecord {
    /// Of an agreement under which nothing was accepted yet.
    pub fn new(hash: Hash, agreement: &Agreement) -> Self {
        Self { agreement: hash, product: agreement.product, consumer: agreement.consumer.clone(), highest_sequence: 0, orders: Vec::new() }
    }

    /// The order's record.
    pub fn order(&self, order: &Hash) -> Option<&OrderRecord> {
        self.orders.iter().find(|found| found.order == *order)
    }

    /// Queries that count against the quota: all that run or gave a result. One that ended before its receipt opened nothing.
    pub fn queries_used(&self) -> usize {
        self.orders.iter().filter(|order| order.state != OrderState::Failed).count()
    }
}

/// An accepted order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRecord {
    /// Statement hash of the order.
    pub order: Hash,
    /// Its number within the agreement.
    pub sequence: u64,
    /// The job it became.
    pub job_id: JobId,
    /// The last attempt that was accepted.
    pub attempt: u32,
    /// What became of that attempt.
    pub state: OrderState,
}

/// What became of an order's last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderState {
    /// It runs.
    Accepted,
    /// It ended without a receipt.
    Failed,
    /// The receipt is signed, the shares are sealed.
    Finished,
    /// The exchange released the payment; the shares may be handed over.
    Released,
}

/// What a finished attempt left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishedAttempt {
    /// The job.
    pub job_id: JobId,
    /// The attempt.
    pub attempt: u32,
    /// Our place in it.
    pub party: u8,
    /// Statement hash of the agreement.
    pub agreement: Hash,
    /// Statement hash of the order.
    pub order: Hash,
    /// Statement hash of the hold.
    pub hold: Hash,
    /// The price.
    pub price: Money,
    /// Who must be paid what of it before the shares are handed over.
    pub split: Vec<SplitAmount>,
    /// Digest of the rule that says so.
    pub split_rule: Hash,
    /// The signed receipt.
    pub receipt: Envelope,
    /// The sealed shares; empty once their time is over.
    pub shares: Vec<StoredShare>,
    /// When the computation ended.
    pub finished_at: Timestamp,
}

/// A sealed share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredShare {
    /// Which of the three.
    pub share: u8,
    /// What only the consumer can open.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub ciphertext: Vec<u8>,
}

/// A described dataset.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRecord {
    /// The dataset.
    pub dataset_id: DatasetId,
    /// Its name in the configuration.
    pub name: String,
    /// Its columns, in file order.
    pub columns: Vec<(String, ColumnKind)>,
    /// What the salts of its rows are derived from: secret.
    #[serde(serialize_with = "seed_to_base64", deserialize_with = "seed_from_base64")]
    pub seed: Zeroizing<[u8; 32]>,
    /// What was told to the exchange.
    pub description: DatasetDescription,
}

impl std::fmt::Debug for DatasetRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatasetRecord({}, {})", self.dataset_id, self.name)
    }
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(deserializer)?).map_err(|_| D::Error::custom("expected base64"))
}

fn seed_to_base64<S: Serializer>(seed: &Zeroizing<[u8; 32]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&Zeroizing::new(BASE64_STANDARD.encode(seed.as_slice())))
}

fn seed_from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<[u8; 32]>, D::Error> {
    let mut text = String::deserialize(deserializer)?;
    let bytes = BASE64_STANDARD.decode(&text).map(Zeroizing::new);
    text.zeroize();
    let mut seed = Zeroizing::new([0; 32]);
    match bytes {
        Ok(bytes) if bytes.len() == 32 => seed.copy_from_slice(&bytes),
        _ => return Err(D::Error::custom("expected the base64 of 32 bytes")),
    }
    Ok(seed)
}
