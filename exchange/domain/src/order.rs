//! When an order may be taken.

use crate::{Refusal, RefusalKind, agreement::CLOCK_SKEW_MS};
use entrepot_chain_statement::{
    Hash, Timestamp,
    statements::{Agreement, Order},
};
use thiserror::Error;

/// What the exchange knows about earlier orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgreementUse {
    /// The highest sequence number of the agreement so far; 0 if there was no order.
    pub last_sequence: u64,
    /// The consumer's orders of the product, under whatever agreement, that count against the quota: all but those that were refunded
    /// before any worker was asked.
    pub used: u32,
}

/// Why an order is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OrderRefusal {
    /// The agreement is void.
    #[error("the agreement has expired")]
    AgreementExpired,
    /// A moment makes no sense.
    #[error("the order's {0} is out of range")]
    Time(&'static str),
    /// Not the next number.
    #[error("the order's sequence is {found}, expected {expected}")]
    Sequence {
        /// The next number.
        expected: u64,
        /// The order's.
        found: u64,
    },
    /// The consumer's queries of the product are used up.
    #[error("the product allows each consumer {quota} queries and all of yours are used")]
    QuotaSpent {
        /// What it allows.
        quota: u32,
    },
    /// Not the agreed price.
    #[error("the order's price is not the agreement's")]
    Price,
    /// The query does not plan to what the consumer signed.
    #[error("the order's plan hash is not that of its query")]
    Plan {
        /// What the exchange derives.
        expected: Hash,
    },
}

impl Refusal for OrderRefusal {
    fn code(&self) -> &'static str {
        match self {
            Self::AgreementExpired => "agreement_expired",
            Self::Time(_) => "order_time_invalid",
            Self::Sequence { .. } => "order_sequence_wrong",
            Self::QuotaSpent { .. } => "quota_spent",
            Self::Price => "order_price_wrong",
            Self::Plan { .. } => "order_plan_wrong",
        }
    }

    fn kind(&self) -> RefusalKind {
        match self {
            Self::AgreementExpired | Self::Sequence { .. } | Self::QuotaSpent { .. } => RefusalKind::Conflict,
            Self::Time(_) | Self::Price | Self::Plan { .. } => RefusalKind::Unprocessable,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::AgreementExpired => "sign a new agreement on the product".to_owned(),
            Self::QuotaSpent { .. } => "a new agreement does not renew the quota: ask the providers for a new product".to_owned(),
            Self::Time(_) => "sign again with a correct clock and an expiry in the future, not after the agreement's".to_owned(),
            Self::Sequence { expected, .. } => format!("sign the order again with sequence {expected}"),
            Self::Price => "sign the order again with the agreement's price".to_owned(),
            Self::Plan { expected } => format!("derive the plan from exactly this query and product; the exchange gets {expected}"),
        })
    }
}

/// Checks an order against its agreement; `plan` is the hash of what its query plans to.
pub fn check_order(order: &Order, agreement: &Agreement, plan: Hash, so_far: AgreementUse, now: Timestamp) -> Result<(), OrderRefusal> {
    if agreement.expires_at <= now {
        return Err(OrderRefusal::AgreementExpired);
    }
    if order.issued_at > now.plus_ms(CLOCK_SKEW_MS) || order.issued_at >= order.expires_at {
        return Err(OrderRefusal::Time("issued_at"));
    }
    if order.expires_at <= now || order.expires_at > agreement.expires_at {
        return Err(OrderRefusal::Time("expires_at"));
    }
    if order.price != agreement.price_per_query {
        return Err(OrderRefusal::Price);
    }
    if order.plan != plan {
        return Err(OrderRefusal::Plan { expected: plan });
    }
    let expected = so_far.last_sequence.saturating_add(1);
    if order.sequence != expected {
        return Err(OrderRefusal::Sequence { expected, found: order.sequence });
    }
    if so_far.used >= agreement.quota_queries {
        return Err(OrderRefusal::QuotaSpent { quota: agreement.quota_queries });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::{Money, SealingKey, SigningKey, ids, statements::Security};

    const NOW: Timestamp = Timestamp(1_000_000);
    const PLAN: Hash = Hash([7; 32]);
    const UNUSED: AgreementUse = AgreementUse { last_sequence: 0, used: 0 };

    fn money(amount_minor: i64) -> Money {
        Money { amount_minor, currency: "EUR".parse().expect("a currency") }
    }

    fn agreement() -> Agreement {
        Agreement {
            agreement_id: ids::AgreementId::compose(NOW, [1; 10]),
            product: Hash([1; 32]),
            consumer: SigningKey::from_seed(&[1; 32]).did(),
            sealing_key: SealingKey::from_bytes([9; 32]).expect("a usable key"),
            exchange: SigningKey::from_seed(&[2; 32]).did(),
            parties: Vec::new(),
            security: Security::SemiHonest,
            price_per_query: money(500),
            split: Vec::new(),
            quota_queries: 2,
            issued_at: NOW,
            expires_at: NOW.plus_ms(10_000),
        }
    }

    fn order() -> Order {
        Order {
            order_id: ids::OrderId::compose(NOW, [1; 10]),
            agreement: Hash([2; 32]),
            sql: "SELECT 1".to_owned(),
            plan: PLAN,
            sequence: 1,
            price: money(500),
            issued_at: NOW,
            expires_at: NOW.plus_ms(5_000),
        }
    }

    fn check(change: impl FnOnce(&mut Order)) -> Result<(), OrderRefusal> {
        let mut order = order();
        change(&mut order);
        check_order(&order, &agreement(), PLAN, UNUSED, NOW)
    }

    #[test]
    fn an_order_on_the_agreed_terms_is_taken() {
        assert_eq!(check(|_| ()), Ok(()));
    }

    #[test]
    fn each_departure_from_the_terms_has_its_name() {
        assert_eq!(check(|o| o.price = money(499)), Err(OrderRefusal::Price));
        assert_eq!(check(|o| o.plan = Hash([8; 32])), Err(OrderRefusal::Plan { expected: PLAN }));
        assert_eq!(check(|o| o.sequence = 2), Err(OrderRefusal::Sequence { expected: 1, found: 2 }));
        assert_eq!(check(|o| o.sequence = 0), Err(OrderRefusal::Sequence { expected: 1, found: 0 }));
        assert_eq!(check(|o| o.expires_at = NOW), Err(OrderRefusal::Time("issued_at")));
        assert_eq!(check(|o| o.expires_at = NOW.plus_ms(10_001)), Err(OrderRefusal::Time("expires_at")));
        assert_eq!(check(|o| o.issued_at = NOW.plus_ms(CLOCK_SKEW_MS + 1)), Err(OrderRefusal::Time("issued_at")));
    }

    #[test]
    fn the_quota_and_the_agreements_expiry_end_it() {
        let spent = AgreementUse { last_sequence: 5, used: 2 };
        let mut next = order();
        next.sequence = 6;
        assert_eq!(check_order(&next, &agreement(), PLAN, spent, NOW), Err(OrderRefusal::QuotaSpent { quota: 2 }));
        let left = AgreementUse { last_sequence: 5, used: 1 };
        assert_eq!(check_order(&next, &agreement(), PLAN, left, NOW), Ok(()));
        assert_eq!(check_order(&order(), &agreement(), PLAN, UNUSED, NOW.plus_ms(10_000)), Err(OrderRefusal::AgreementExpired));
    }

    #[test]
    fn a_sequence_at_the_end_of_numbers_does_not_wrap() {
        let full = AgreementUse { last_sequence: u64::MAX, used: 0 };
        assert!(matches!(check_order(&order(), &agreement(), PLAN, full, NOW), Err(OrderRefusal::Sequence { .. })));
    }
}
