//! Quote, agreement and order.

use super::SplitShare;
use crate::{
    Did, Hash, Money, SealingKey, Timestamp,
    ids::{AgreementId, OrderId, ProductId, QuoteId},
};
use serde::{Deserialize, Serialize};

/// What a computation withstands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Parties that follow the protocol and are curious about what they see; one of three.
    SemiHonest,
}

/// One worker of a computation, pinned. The party index is its place in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyPin {
    /// On whose behalf.
    pub participant: Did,
    /// The worker's key.
    pub worker: Did,
    /// Statement hash of the participant's grant to that worker.
    pub grant: Hash,
}

/// The exchange's answer to a query: what it would cost and what each party would learn. Signed by the exchange.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// The quote.
    pub quote_id: QuoteId,
    /// The product.
    pub product_id: ProductId,
    /// Statement hash of the product.
    pub product: Hash,
    /// Who asked.
    pub consumer: Did,
    /// The query, as asked.
    pub sql: String,
    /// Hash of the plan that every worker will derive from query and product.
    pub plan: Hash,
    /// The workers: tables' providers in the product's order, then the compute party.
    pub parties: Vec<PartyPin>,
    /// What the computation withstands.
    pub security: Security,
    /// What each party learns, in words.
    pub leakage: Vec<String>,
    /// The price.
    pub price: Money,
    /// Signed at.
    pub issued_at: Timestamp,
    /// Valid until.
    pub expires_at: Timestamp,
}
statement!(Quote, "quote");

/// The contract: a consumer accepts a product. Signed by the consumer; the product's signatures are the other side's consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    /// Id chosen by the consumer.
    pub agreement_id: AgreementId,
    /// Statement hash of the product.
    pub product: Hash,
    /// Who buys; the key that signs.
    pub consumer: Did,
    /// Where results are sealed to.
    pub sealing_key: SealingKey,
    /// The exchange that holds the escrow.
    pub exchange: Did,
    /// The workers: tables' providers in the product's order, then the compute party.
    pub parties: Vec<PartyPin>,
    /// What the computation must withstand.
    pub security: Security,
    /// As in the product.
    pub price_per_query: Money,
    /// As in the product.
    pub split: Vec<SplitShare>,
    /// As in the product.
    pub quota_queries: u32,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// At most the product's.
    pub expires_at: Timestamp,
}
statement!(Agreement, "agreement");

/// One use of an agreement. Signed by the consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Id chosen by the consumer.
    pub order_id: OrderId,
    /// Statement hash of the agreement.
    pub agreement: Hash,
    /// The query.
    pub sql: String,
    /// Hash of the plan that the consumer derived from query and product.
    pub plan: Hash,
    /// 1, 2, 3 … within the agreement: a worker never runs an order whose number it has passed.
    #[serde(with = "crate::wide")]
    pub sequence: u64,
    /// The price, as agreed.
    pub price: Money,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// No worker starts it from then on.
    pub expires_at: Timestamp,
}
statement!(Order, "order");
