//! Before anything ran: who is bound, who signed, and whether product, rights, agreement, grants, order and hold fit together.

use super::{
    checks::{CheckError, Checks, refers, rule},
    statements::{PARTIES, Statements, TABLES, trusted},
};
use crate::trust::TrustFile;
use entrepot_chain_statement::{
    BasisPoints, Did,
    statements::{ProductTable, RightsRegistration, WorkerRole},
};
use std::collections::BTreeSet;

pub(super) fn check(all: &Statements, trust: &TrustFile, checks: &mut Checks) {
    checks.run("participants", || participants(all, trust));
    checks.run("signature:product", || all.product.signed_by(all.participants()));
    checks.run("product", || product(all));
    for (index, rights) in all.rights.iter().enumerate() {
        checks.run(format!("signature:rights-{index}"), || rights.signed_by([&rights.statement.holder]));
        checks.run(format!("rights-{index}"), || match all.product.statement.tables.get(index) {
            Some(table) => {
                refers("the product's rights registration", &table.rights, &rights.hash)?;
                table_as_registered(table, &rights.statement)
            }
            None => Err(CheckError::Rule("the product has no such table")),
        });
    }
    checks.run("signature:agreement", || all.agreement.signed_by([&all.agreement.statement.consumer]));
    checks.run("agreement", || agreement(all));
    for index in 0..PARTIES {
        let granted = &all.grants[index];
        checks.run(format!("signature:grant-{index}"), || granted.signed_by([&granted.statement.participant]));
        checks.run(format!("grant-{index}"), || grant(all, index));
    }
    checks.run("signature:order", || all.order.signed_by([&all.agreement.statement.consumer]));
    checks.run("order", || order(all));
    checks.run("signature:hold", || all.hold.signed_by([&trust.exchange]));
    checks.run("hold", || hold(all));
}

fn participants(all: &Statements, trust: &TrustFile) -> Result<(), CheckError> {
    for did in all.participants() {
        trusted(trust, "a provider or the compute party", did)?;
    }
    trusted(trust, "the consumer", &all.agreement.statement.consumer)?;
    for exchange in [&all.product.statement.exchange, &all.agreement.statement.exchange] {
        if *exchange != trust.exchange {
            return Err(CheckError::Untrusted { what: "the exchange", did: exchange.clone() });
        }
    }
    Ok(())
}

fn product(all: &Statements) -> Result<(), CheckError> {
    let product = &all.product.statement;
    rule(product.tables.len() == TABLES, "a product has two tables")?;
    let distinct: BTreeSet<&Did> = all.participants().into_iter().collect();
    rule(distinct.len() == PARTIES, "the two providers and the compute party are three participants")?;
    let accepted = product.tables.iter().all(|table| table.policy.compute_parties.contains(&product.compute_party));
    rule(accepted, "a provider's policy does not accept the compute party")?;
    rule(product.price_per_query.amount_minor >= 0, "a price is not negative")?;
    let shares: u32 = product.split.iter().map(|share| u32::from(share.share.get())).sum();
    rule(shares == u32::from(BasisPoints::WHOLE), "the split does not sum to the whole")?;
    let receivers: BTreeSet<&Did> = product.split.iter().map(|share| &share.participant).collect();
    rule(receivers.len() == product.split.len(), "the split names a receiver twice")?;
    rule(product.issued_at < product.expires_at, "the product expires before it begins")
}

fn table_as_registered(table: &ProductTable, rights: &RightsRegistration) -> Result<(), CheckError> {
    rule(rights.holder == table.provider, "the right is held by another than the table's provider")?;
    rule(rights.dataset_id == table.dataset_id, "the right is to another dataset")?;
    refers("the product's commitment", &table.commitment, &rights.description.commitment)?;
    let registered = rights.description.columns.iter().map(|column| (&column.name, &column.column));
    rule(registered.eq(table.columns.iter().map(|(name, kind)| (name, kind))), "the table's columns are not those registered")
}

fn agreement(all: &Statements) -> Result<(), CheckError> {
    let (product, agreement) = (&all.product.statement, &all.agreement.statement);
    refers("the agreement's product", &agreement.product, &all.product.hash)?;
    let admitted = product.consumers.is_empty() || product.consumers.contains(&agreement.consumer);
    rule(admitted, "the product is not for this consumer")?;
    rule(agreement.price_per_query == product.price_per_query, "the agreement's price is not the product's")?;
    rule(agreement.split == product.split, "the agreement's split is not the product's")?;
    rule(agreement.quota_queries == product.quota_queries, "the agreement's quota is not the product's")?;
    rule(agreement.issued_at < agreement.expires_at, "the agreement expires before it begins")?;
    rule(agreement.expires_at <= product.expires_at, "the agreement outlives the product")?;
    let parties = agreement.parties.iter().map(|party| &party.participant);
    rule(parties.eq(all.participants()), "the agreement's parties are not the product's providers and compute party")?;
    let workers: BTreeSet<&Did> = agreement.parties.iter().map(|party| &party.worker).collect();
    rule(workers.len() == PARTIES, "the agreement's workers are not three")
}

fn grant(all: &Statements, index: usize) -> Result<(), CheckError> {
    let granted = &all.grants[index];
    let pin = all.agreement.statement.parties.get(index).ok_or(CheckError::Rule("the agreement has no such party"))?;
    let grant = &granted.statement;
    refers("the agreement's grant", &pin.grant, &granted.hash)?;
    rule(grant.participant == pin.participant, "the grant is by another participant")?;
    rule(grant.worker == pin.worker, "the grant is to another worker")?;
    let role = if index < TABLES { WorkerRole::Data } else { WorkerRole::Compute };
    rule(grant.role == role, "the grant is for another role")?;
    let held_at = all.hold.statement.held_at;
    rule(grant.not_before <= held_at && held_at < grant.expires_at, "the grant did not hold when the order was placed")?;
    let ran = all.receipts.iter().find(|(party, _)| usize::from(*party) == index);
    let covered = ran
        .is_none_or(|(_, receipt)| grant.not_before <= receipt.statement.finished_at && receipt.statement.finished_at < grant.expires_at);
    rule(covered, "the grant did not hold when the worker finished")
}

fn order(all: &Statements) -> Result<(), CheckError> {
    let (agreement, order) = (&all.agreement.statement, &all.order.statement);
    refers("the order's agreement", &order.agreement, &all.agreement.hash)?;
    rule(order.price == agreement.price_per_query, "the order's price is not the agreed one")?;
    rule(order.sequence >= 1, "an order's sequence starts at 1")?;
    rule(order.issued_at < order.expires_at, "the order expires before it begins")?;
    rule(order.issued_at < agreement.expires_at, "the order was signed after the agreement ended")
}

fn hold(all: &Statements) -> Result<(), CheckError> {
    let (order, hold) = (&all.order.statement, &all.hold.statement);
    refers("the hold's order", &hold.order, &all.order.hash)?;
    refers("the hold's agreement", &hold.agreement, &all.agreement.hash)?;
    rule(hold.consumer == all.agreement.statement.consumer, "the hold is of another consumer's money")?;
    rule(hold.amount == order.price, "what is held is not the order's price")?;
    rule(hold.held_at < order.expires_at, "the order had expired when its price was held")?;
    let ends = all.agreement.statement.expires_at.min(all.product.statement.expires_at);
    rule(hold.held_at < ends, "agreement or product had expired when the price was held")
}
