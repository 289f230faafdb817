//! What ran: every receipt is about this order, and the holders of each share say the same of its ciphertext.

use super::{
    checks::{CheckError, Checks, refers, rule},
    statements::{End, PARTIES, Statements},
};
use entrepot_chain_statement::{Hash, ids::JobId, statements::UsageReceipt};

pub(super) fn check(all: &Statements, job_id: &JobId, checks: &mut Checks) {
    checks.run("job", || job(all, job_id));
    for (party, receipt) in &all.receipts {
        checks.run(format!("signature:receipt-{party}"), || receipt.signed_by([&receipt.statement.worker]));
        checks.run(format!("receipt-{party}"), || usage(all, *party, &receipt.statement));
    }
    if let End::Released(_) = &all.end {
        checks.run("receipts-agree", || agree(all));
    }
}

fn job(all: &Statements, job_id: &JobId) -> Result<(), CheckError> {
    let end = match &all.end {
        End::Released(release) => &release.statement.job_id,
        End::Refunded(refund) => &refund.statement.job_id,
    };
    let mut named = all.receipts.iter().map(|(_, receipt)| &receipt.statement.job_id).chain([&all.hold.statement.job_id, end]);
    rule(named.all(|named| named == job_id), "the statements are about different jobs")
}

fn usage(all: &Statements, party: u8, receipt: &UsageReceipt) -> Result<(), CheckError> {
    refers("the receipt's order", &receipt.order, &all.order.hash)?;
    refers("the receipt's agreement", &receipt.agreement, &all.agreement.hash)?;
    refers("the receipt's plan", &receipt.plan, &all.order.statement.plan)?;
    rule(receipt.party == party, "the receipt is by another party")?;
    let agreement = &all.agreement.statement;
    let pin = agreement.parties.get(usize::from(party)).ok_or(CheckError::Rule("the agreement has no such party"))?;
    rule(receipt.consumer == agreement.consumer, "the receipt is for another consumer")?;
    rule(receipt.participant == pin.participant, "the receipt is on behalf of another participant")?;
    rule(receipt.worker == pin.worker, "the receipt is by another worker than the agreement's")?;
    rule(receipt.security == agreement.security, "the security is not the agreed one")?;
    rule(receipt.attempt >= 1, "attempts count from 1")?;
    let commitment = all.product.statement.tables.get(usize::from(party)).map(|table| table.commitment);
    rule(receipt.input_commitment == commitment, "the input is not the dataset of the product")?;
    rule(commitment.is_some() || receipt.rows_input == 0, "the compute party brings no rows")?;
    let mut held: Vec<u8> = receipt.shares.iter().map(|share| share.share).collect();
    held.sort_unstable();
    let mut expected = [party, (party + 1) % PARTIES as u8];
    expected.sort_unstable();
    rule(held == expected, "the receipt is not about the two shares of its party")
}

/// Every share is held by two parties: if one of them sealed something else, their digests differ.
fn agree(all: &Statements) -> Result<(), CheckError> {
    let receipts: Vec<&UsageReceipt> = all.receipts.iter().map(|(_, receipt)| &receipt.statement).collect();
    rule(receipts.windows(2).all(|pair| pair[0].attempt == pair[1].attempt), "the receipts are of different attempts")?;
    for share in 0..PARTIES as u8 {
        let digests: Vec<Hash> = receipts
            .iter()
            .flat_map(|receipt| &receipt.shares)
            .filter(|digest| digest.share == share)
            .map(|digest| digest.ciphertext)
            .collect();
        rule(digests.len() == 2, "a share is not held by exactly two parties")?;
        rule(digests[0] == digests[1], "the holders of a share disagree about its ciphertext")?;
    }
    Ok(())
}
