//! Where the money went: a release that pays the agreed split for these receipts, or a refund of the hold.

use super::{
    Outcome,
    checks::{CheckError, Checks, refers, rule},
    statements::{End, Statements},
};
use crate::trust::TrustFile;
use entrepot_chain_statement::{
    split,
    statements::{Refund, Release},
};

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
    let due = split::split(&release.amount, &all.product.statement.split)
        .map_err(|_| CheckError::Rule("the product's split cannot be applied"))?;
    rule(release.split == due, "the split is not the product's split of the amount")?;
    let agreed = split::rule_digest(&all.agreement.hash, &all.agreement.statement.split);
    refers("the release's split rule", &release.split_rule, &agreed)
}
