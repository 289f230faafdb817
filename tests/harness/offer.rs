//! The statements of a trade, as its participants sign them: rights, product, agreement, order.

use crate::{
    member::{DAY_MS, Member, now, random},
    worker::WorkerHome,
};
use entrepot_chain_statement::{
    BasisPoints, Did, Envelope, Hash, Money,
    ids::{AgreementId, DatasetId, OrderId, ProductId},
    statements::{
        Agreement, DataProduct, DatasetDescription, DatasetPolicy, Order, PartyPin, ProductTable, Right, RightsRecord, RightsRegistration,
        Security, SplitShare,
    },
};
use std::collections::BTreeSet;

/// Price of a query.
pub const PRICE_MINOR: i64 = 2_500;
/// Shares of the lender, the bureau and the compute party.
pub const SPLIT: [u16; 3] = [4_500, 4_500, 1_000];
/// Queries an agreement allows.
pub const QUOTA: u32 = 1_000;

/// Test money.
pub fn money(amount_minor: i64) -> Money {
    Money { amount_minor, currency: "XTS".parse().expect("three letters") }
}

/// A dataset that its worker has described.
pub struct Described {
    /// Its id.
    pub dataset_id: DatasetId,
    /// Its name at its provider.
    pub name: &'static str,
    /// What its worker says of it.
    pub description: DatasetDescription,
}

impl Described {
    /// The provider's registration of it.
    pub fn rights(&self, provider: &Member, worker: &WorkerHome) -> RightsRegistration {
        RightsRegistration {
            dataset_id: self.dataset_id.clone(),
            name: self.name.to_owned(),
            holder: provider.did(),
            right: Right::Hold,
            record: RightsRecord::Initial,
            worker: worker.key.signing.did(),
            description: self.description.clone(),
            issued_at: now(),
        }
    }

    /// The table of a product over it.
    pub fn table(&self, schema: &str, provider: &Member, rights: &Envelope, policy: &DatasetPolicy, compute: &Did) -> ProductTable {
        let mut policy = policy.clone();
        policy.compute_parties = BTreeSet::from([compute.clone()]);
        ProductTable {
            table: format!("{schema}.{}", self.name),
            dataset_id: self.dataset_id.clone(),
            provider: provider.did(),
            rights: rights.statement_hash(),
            commitment: self.description.commitment,
            columns: self.description.columns.iter().map(|column| (column.name.clone(), column.column)).collect(),
            policy,
        }
    }
}

/// A product on two tables.
pub fn product(tables: Vec<ProductTable>, compute: &Did, exchange: &Did) -> DataProduct {
    let receivers = tables.iter().map(|table| table.provider.clone()).chain([compute.clone()]);
    let split =
        receivers.zip(SPLIT).map(|(participant, share)| SplitShare { participant, share: BasisPoints::new(share).expect("a share") });
    DataProduct {
        product_id: ProductId::compose(now(), random()),
        title: "Loans with incomes".to_owned(),
        split: split.collect(),
        tables,
        compute_party: compute.clone(),
        exchange: exchange.clone(),
        consumers: BTreeSet::new(),
        price_per_query: money(PRICE_MINOR),
        quota_queries: QUOTA,
        issued_at: now(),
        expires_at: now().plus_ms(30 * DAY_MS),
    }
}

/// The three parties of an agreement.
pub fn pins(workers: [&WorkerHome; 3]) -> Vec<PartyPin> {
    let pin = |worker: &WorkerHome| PartyPin {
        participant: worker.participant.clone(),
        worker: worker.key.signing.did(),
        grant: worker.grant.statement_hash(),
    };
    workers.into_iter().map(pin).collect()
}

/// The consumer's acceptance of a product.
pub fn agreement(product: &DataProduct, product_hash: Hash, consumer: &Member, parties: Vec<PartyPin>) -> Agreement {
    Agreement {
        agreement_id: AgreementId::compose(now(), random()),
        product: product_hash,
        consumer: consumer.did(),
        sealing_key: consumer.key.sealing.public(),
        exchange: product.exchange.clone(),
        parties,
        security: Security::SemiHonest,
        price_per_query: product.price_per_query.clone(),
        split: product.split.clone(),
        quota_queries: product.quota_queries,
        issued_at: now(),
        expires_at: now().plus_ms(DAY_MS),
    }
}

/// An order under an agreement.
pub fn order(agreement: &Envelope, sql: &str, plan: Hash, sequence: u64, price: Money) -> Order {
    Order {
        order_id: OrderId::compose(now(), random()),
        agreement: agreement.statement_hash(),
        sql: sql.to_owned(),
        plan,
        sequence,
        price,
        issued_at: now(),
        expires_at: now().plus_ms(60 * 60 * 1000),
    }
}
