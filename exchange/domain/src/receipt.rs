//! What a usage receipt must say, and when three of them agree.
//!
//! A result is three additive shares. Party `i` holds shares `i` and `i + 1 mod 3`, so share `s` is held by parties `s` and
//! `s − 1 mod 3`, who seal it with common randomness and must therefore name the same ciphertext.

use crate::job::JobTerms;
use entrepot_chain_statement::{
    Hash,
    statements::{SealedShareDigest, UsageReceipt},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Parties of a computation, and shares of its result.
pub const PARTIES: usize = 3;

/// What is kept of a receipt that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckedReceipt {
    /// Statement hash of the receipt.
    pub receipt: Hash,
    /// Digests of the ciphertexts of shares `party` and `party + 1 mod 3`, in this order.
    pub shares: [Hash; 2],
}

/// What is wrong with a receipt that its worker signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReceiptFault {
    /// It is about something else.
    #[error("the receipt's {0} is not this job's")]
    Foreign(&'static str),
    /// It names other shares than the two its party holds.
    #[error("the receipt does not name exactly the two shares its party holds")]
    Shares,
    /// A compute party claims rows, or a data party more than its policy allows.
    #[error("the receipt's row count is impossible")]
    Rows,
}

impl ReceiptFault {
    /// Stable code.
    pub fn code(self) -> &'static str {
        "receipt_wrong"
    }
}

/// The two shares that `party` holds.
pub fn shares_of(party: u8) -> [u8; 2] {
    [party % 3, (party + 1) % 3]
}

/// The two parties that hold `share`.
pub fn holders_of(share: u8) -> [u8; 2] {
    [share % 3, (share + 2) % 3]
}

/// Checks everything a receipt says that the exchange knows better. `hash` is its statement hash.
pub fn check_receipt(
    terms: &JobTerms,
    attempt: u32,
    party: u8,
    receipt: &UsageReceipt,
    hash: Hash,
) -> Result<CheckedReceipt, ReceiptFault> {
    let pin = terms.parties.get(usize::from(party)).ok_or(ReceiptFault::Foreign("party"))?;
    let same = [
        ("job", receipt.job_id == terms.job_id),
        ("attempt", receipt.attempt == attempt),
        ("agreement", receipt.agreement == terms.agreement),
        ("order", receipt.order == terms.order),
        ("consumer", receipt.consumer == terms.consumer),
        ("plan", receipt.plan == terms.plan),
        ("party", receipt.party == party),
        ("participant", receipt.participant == pin.participant),
        ("worker", receipt.worker == pin.worker),
        ("security", receipt.security == terms.security),
        ("input commitment", receipt.input_commitment == pin.commitment),
    ];
    if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
        return Err(ReceiptFault::Foreign(what));
    }
    // The receipt rounds its rows to two significant digits, so they may exceed the policy's bound by five percent.
    let rows_max = u64::from(pin.rows_max) + u64::from(pin.rows_max) / 20;
    if receipt.rows_input > rows_max {
        return Err(ReceiptFault::Rows);
    }
    Ok(CheckedReceipt { receipt: hash, shares: digests_by_holding(party, &receipt.shares)? })
}

fn digests_by_holding(party: u8, named: &[SealedShareDigest]) -> Result<[Hash; 2], ReceiptFault> {
    let [first, second] = shares_of(party);
    let digest = |share: u8| named.iter().find(|digest| digest.share == share).map(|digest| digest.ciphertext);
    match (named.len(), digest(first), digest(second)) {
        (2, Some(first), Some(second)) => Ok([first, second]),
        _ => Err(ReceiptFault::Shares),
    }
}

/// The digest of each share if both of its holders name the same one; otherwise the number of the first share they differ on.
pub fn agree(receipts: &[CheckedReceipt; PARTIES]) -> Result<[Hash; PARTIES], u8> {
    let mut digests = [Hash([0; 32]); PARTIES];
    for (share, digest) in (0u8..).zip(digests.iter_mut()) {
        let [own, other] = holders_of(share);
        let named = receipts[usize::from(own)].shares[0];
        if receipts[usize::from(other)].shares[1] != named {
            return Err(share);
        }
        *digest = named;
    }
    Ok(digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(first: u8, second: u8) -> CheckedReceipt {
        CheckedReceipt { receipt: Hash([0xee; 32]), shares: [Hash([first; 32]), Hash([second; 32])] }
    }

    #[test]
    fn holdings_are_the_same_seen_from_either_side() {
        for party in 0..3u8 {
            for share in 0..3u8 {
                assert_eq!(shares_of(party).contains(&share), holders_of(share).contains(&party), "party {party} share {share}");
            }
        }
    }

    #[test]
    fn three_honest_receipts_agree_on_every_share() {
        assert_eq!(agree(&[checked(0, 1), checked(1, 2), checked(2, 0)]), Ok([Hash([0; 32]), Hash([1; 32]), Hash([2; 32])]));
    }

    #[test]
    fn any_single_other_digest_is_found_and_its_share_named() {
        for party in 0..3usize {
            for place in 0..2usize {
                let mut receipts = [checked(0, 1), checked(1, 2), checked(2, 0)];
                receipts[party].shares[place] = Hash([9; 32]);
                assert_eq!(agree(&receipts), Err(((party + place) % 3) as u8), "party {party} place {place}");
            }
        }
    }
}
