//! Dividing a price among its receivers, to the last minor unit: the rule that exchange, workers and verifiers share.

use crate::{
    BasisPoints, Hash, Money,
    statements::{SplitAmount, SplitShare},
};
use thiserror::Error;

const RULE_CONTEXT: &[u8] = b"entrepot/split-rule/v1\n";

/// Names an agreement's rule to a ledger that must not know it. The agreement's statement hash is in it, which no ledger sees: equal rules of
/// two agreements do not look alike, and nobody finds a rule by trying all that are likely.
pub fn rule_digest(agreement: &Hash, shares: &[SplitShare]) -> Hash {
    let mut rule = Vec::with_capacity(shares.len() * 34);
    for share in shares {
        rule.extend_from_slice(&share.participant.public_bytes());
        rule.extend_from_slice(&share.share.get().to_be_bytes());
    }
    Hash::of(&[RULE_CONTEXT, &agreement.0, &rule])
}

/// Why an amount cannot be divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SplitError {
    /// The shares are not a whole.
    #[error("the shares of a split must sum to 10,000 basis points")]
    NotWhole,
    /// Debts are not divided.
    #[error("a negative amount cannot be split")]
    Negative,
}

/// Who gets what, in the order of the shares, by largest remainder: everyone gets the whole units of its exact part, and the units left over
/// go one each to the largest fractions; of equal fractions the one that stands first in the rule. The sum is exactly `price`.
pub fn split(price: &Money, shares: &[SplitShare]) -> Result<Vec<SplitAmount>, SplitError> {
    let whole = i128::from(BasisPoints::WHOLE);
    if shares.iter().map(|share| i128::from(share.share.get())).sum::<i128>() != whole {
        return Err(SplitError::NotWhole);
    }
    if price.amount_minor < 0 {
        return Err(SplitError::Negative);
    }
    let exact: Vec<i128> = shares.iter().map(|share| i128::from(price.amount_minor) * i128::from(share.share.get())).collect();
    // Each part is at most the amount, which was an i64.
    let mut amounts: Vec<i64> = exact.iter().map(|part| (part / whole) as i64).collect();
    let left_over = price.amount_minor - amounts.iter().sum::<i64>();
    let mut by_fraction: Vec<usize> = (0..shares.len()).collect();
    by_fraction.sort_by_key(|index| (-(exact[*index] % whole), *index));
    for index in by_fraction.into_iter().take(left_over as usize) {
        amounts[index] += 1;
    }
    let amount = |amount_minor| Money { amount_minor, currency: price.currency.clone() };
    Ok(shares
        .iter()
        .zip(amounts)
        .map(|(share, minor)| SplitAmount { participant: share.participant.clone(), amount: amount(minor) })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;
    use proptest::prelude::*;

    /// The amounts alone.
    fn split_minor(amount_minor: i64, shares: &[SplitShare]) -> Result<Vec<i64>, SplitError> {
        let price = Money { amount_minor, currency: "EUR".parse().expect("three letters") };
        let parts = split(&price, shares)?;
        assert!(parts.iter().zip(shares).all(|(part, share)| part.participant == share.participant));
        assert!(parts.iter().all(|part| part.amount.currency == price.currency));
        Ok(parts.into_iter().map(|part| part.amount.amount_minor).collect())
    }

    fn shares(points: &[u16]) -> Vec<SplitShare> {
        points
            .iter()
            .enumerate()
            .map(|(seed, points)| SplitShare {
                participant: SigningKey::from_seed(&[seed as u8 + 1; 32]).did(),
                share: BasisPoints::new(*points).expect("at most the whole"),
            })
            .collect()
    }

    #[test]
    fn what_is_left_over_goes_to_the_largest_fractions_and_ties_to_the_first() {
        assert_eq!(split_minor(100, &shares(&[3_333, 3_333, 3_334])), Ok(vec![33, 33, 34]));
        // 33.333 each and one unit over: the first of the equal fractions of 3,333 loses to the larger 3,334.
        assert_eq!(split_minor(101, &shares(&[3_333, 3_333, 3_334])), Ok(vec![34, 33, 34]));
        assert_eq!(split_minor(1, &shares(&[5_000, 5_000])), Ok(vec![1, 0]));
        assert_eq!(split_minor(3, &shares(&[2_500, 2_500, 2_500, 2_500])), Ok(vec![1, 1, 1, 0]));
        assert_eq!(split_minor(0, &shares(&[10_000])), Ok(vec![0]));
        assert_eq!(split_minor(i64::MAX, &shares(&[10_000])), Ok(vec![i64::MAX]));
    }

    #[test]
    fn shares_that_are_no_whole_divide_nothing() {
        assert_eq!(split_minor(100, &shares(&[5_000, 4_999])), Err(SplitError::NotWhole));
        assert_eq!(split_minor(100, &shares(&[5_000, 5_001])), Err(SplitError::NotWhole));
        assert_eq!(split_minor(100, &[]), Err(SplitError::NotWhole));
        assert_eq!(split_minor(-1, &shares(&[10_000])), Err(SplitError::Negative));
    }

    fn whole() -> impl Strategy<Value = Vec<u16>> {
        proptest::collection::vec(0u16..=10_000, 0..8).prop_map(|mut cuts| {
            cuts.push(10_000);
            cuts.sort_unstable();
            let mut before = 0;
            cuts.iter()
                .map(|cut| {
                    let part = cut - before;
                    before = *cut;
                    part
                })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn nothing_appears_or_vanishes_and_nobody_is_off_by_a_unit(amount in 0..=i64::MAX, points in whole()) {
            let amounts = split_minor(amount, &shares(&points)).expect("a whole");
            prop_assert_eq!(amounts.iter().map(|a| i128::from(*a)).sum::<i128>(), i128::from(amount));
            for (got, points) in amounts.iter().zip(&points) {
                let exact = i128::from(amount) * i128::from(*points);
                let off = i128::from(*got) * 10_000 - exact;
                prop_assert!(off.abs() < 10_000, "{} for {} of {}", got, points, amount);
                prop_assert!(*points > 0 || *got == 0);
            }
        }
    }
}
