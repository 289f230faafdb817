//! Where the money went: a release that pays the agreed split for these receipts, or a refund of the hold.

use super::{
    Outcome,
    checks::{CheckError, Checks, refers, rule},
    statements::{End, Statements},
};
use crate::trust::TrustFile;
use entrepot_chain_statement::{
    BasisPoints, Did, Money,
    statements::{Refund, Release, SplitShare},
};
use std::collections::BTreeMap;

pub(super) fn check(all: &Statements, trust: &TrustFile, checks: &mut Checks) {
    match &all.end {
        End::Released(paid) => {
            checks.run("signature:release", || paid.signed_by([&trust.exchange]));
            checks.run("release", || release(all, &paid.statement));
            checks.run("split", || split(all, &paid.statement));
        }
        End::Refunded(back) => {
            checks.run("signature:refund", || back.signed_by([&trust.exchange]));
            checks.run("refund", || refund(all, &back.statement));
        }
    }
}

/// What the report says of it.
pub(super) fn outcome(all: &Statements) -> Outcome {
    match &all.end {
        End::Released(release) => Outcome::Released { amount: release.statement.amount.clone(), split: release.statement.split.clone() },
        End::Refunded(refund) => Outcome::Refunded {
            amount: refund.statement.amount.clone(),
            consumer: all.agreement.statement.consumer.clone(),
            reason: refund.statement.reason.clone(),
        },
    }
}

fn release(all: &Statements, release: &Release) -> Result<(), CheckError> {
    refers("the release's order", &release.order, &all.order.hash)?;
    refers("the release's hold", &release.hold, &all.hold.hash)?;
    let receipts: Vec<_> = all.receipts.iter().map(|(_, receipt)| receipt.hash).collect();
    rule(release.receipts == receipts, "the release is for other receipts than these, or in another order")?;
    rule(release.amount == all.hold.statement.amount, "what is released is not what was held")?;
    rule(release.released_at >= all.hold.statement.held_at, "the release is before the hold")
}

fn refund(all: &Statements, refund: &Refund) -> Result<(), CheckError> {
    refers("the refund's order", &refund.order, &all.order.hash)?;
    refers("the refund's hold", &refund.hold, &all.hold.hash)?;
    rule(refund.amount == all.hold.statement.amount, "what is refunded is not what was held")?;
    rule(refund.refunded_at >= all.hold.statement.held_at, "the refund is before the hold")
}

fn split(all: &Statements, release: &Release) -> Result<(), CheckError> {
    let currency = &release.amount.currency;
    rule(release.split.iter().all(|part| part.amount.currency == *currency), "the split is in another currency")?;
    let mut paid = BTreeMap::new();
    for part in release.split.iter().filter(|part| part.amount.amount_minor != 0) {
        let first = paid.insert(&part.participant, part.amount.amount_minor).is_none();
        rule(first, "the split pays a receiver twice")?;
    }
    let due = due(&release.amount, &all.product.statement.split).ok_or(CheckError::Rule("the product's split cannot be applied"))?;
    rule(paid == due, "the split is not the product's split of the amount")
}

/// What each receiver is due, zeros left out: whole parts, then one unit each to the largest remainders, of equal ones to the first named.
fn due<'a>(amount: &Money, shares: &'a [SplitShare]) -> Option<BTreeMap<&'a Did, i64>> {
    let (total, whole) = (i128::from(amount.amount_minor), i128::from(BasisPoints::WHOLE));
    if total < 0 {
        return None;
    }
    let exact: Vec<i128> = shares.iter().map(|share| total * i128::from(share.share.get())).collect();
    let mut parts: Vec<i128> = exact.iter().map(|part| part / whole).collect();
    let left = usize::try_from(total - parts.iter().sum::<i128>()).ok().filter(|left| *left <= parts.len())?;
    let mut order: Vec<usize> = (0..shares.len()).collect();
    // The sort is stable: of equal remainders the first named stays first.
    order.sort_by_key(|at| std::cmp::Reverse(exact[*at] % whole));
    for at in &order[..left] {
        parts[*at] += 1;
    }
    let parts = parts.into_iter().map(|part| i64::try_from(part).ok()).collect::<Option<Vec<_>>>()?;
    Some(shares.iter().map(|share| &share.participant).zip(parts).filter(|(_, part)| *part != 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::SigningKey;

    fn due_of(amount: i64, points: &[u16]) -> Vec<i64> {
        let share = |(n, points): (u8, &u16)| SplitShare {
            participant: SigningKey::from_seed(&[n; 32]).did(),
            share: BasisPoints::new(*points).unwrap(),
        };
        let shares: Vec<_> = (1..).zip(points).map(share).collect();
        let money = Money { amount_minor: amount, currency: "EUR".parse().unwrap() };
        let due = due(&money, &shares).unwrap();
        shares.iter().map(|share| due.get(&share.participant).copied().unwrap_or(0)).collect()
    }

    #[test]
    fn remainders_go_to_the_largest_then_to_the_first() {
        assert_eq!(due_of(100, &[4500, 4500, 1000]), [45, 45, 10]);
        assert_eq!(due_of(101, &[4500, 4500, 1000]), [46, 45, 10], "45.45, 45.45, 10.1");
        assert_eq!(due_of(1, &[3333, 3333, 3334]), [0, 0, 1]);
        assert_eq!(due_of(2, &[3333, 3333, 3334]), [1, 0, 1]);
        assert_eq!(due_of(i64::MAX, &[3333, 3333, 3334]).iter().sum::<i64>(), i64::MAX);
        assert_eq!(due_of(0, &[5000, 5000]), [0, 0]);
    }
}
