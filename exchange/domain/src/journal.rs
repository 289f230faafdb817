//! Double entry: every movement of money is one entry whose postings sum to zero.
//!
//! An account belongs to a participant or to the exchange and has one currency. A positive posting adds to what the account's owner may
//! claim. Only the operator's issuance account may be negative: it is the test credit that was given out.

use entrepot_chain_statement::{
    Currency, Did, Money,
    split::{SplitError, split},
    statements::{SplitAmount, SplitShare},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

/// Largest amount of one posting, in minor units: sums of nine thousand of them still fit 64 bits, and JSON readers do not round it.
pub const AMOUNT_MAX_MINOR: i64 = 1_000_000_000_000_000;

/// What an account is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// What a participant may spend.
    Available,
    /// What is held for orders that are neither paid out nor given back.
    Escrow,
    /// Counterpart of the credit the operator gave out.
    Issuance,
}

impl AccountKind {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Escrow => "escrow",
            Self::Issuance => "issuance",
        }
    }
}

/// An account. The exchange owns escrow and issuance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// What it is for.
    pub kind: AccountKind,
    /// Whose it is.
    pub owner: Did,
    /// Its only currency.
    pub currency: Currency,
}

/// Why money moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The operator gives test credit.
    Credit,
    /// The price of an order is set aside.
    Hold,
    /// The held price is paid out.
    Release,
    /// The held price goes back.
    Refund,
}

impl EntryKind {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Refund => "refund",
        }
    }
}

/// One line of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// Minor units; never zero; positive adds to the owner's claim.
    pub amount_minor: i64,
}

/// A balanced entry. It cannot be made in any other way than by the movements there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    kind: EntryKind,
    postings: Vec<Posting>,
}

/// Why there is no such entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Nothing would move, or too much.
    #[error("an amount must be from 1 to {AMOUNT_MAX_MINOR} minor units")]
    Amount,
    /// The price cannot be divided.
    #[error("the price cannot be split")]
    Split(#[from] SplitError),
}

impl Entry {
    /// The operator gives test credit to a participant.
    pub fn credit(exchange: &Did, to: &Did, amount: &Money) -> Result<Self, EntryError> {
        Self::transfer(EntryKind::Credit, (AccountKind::Issuance, exchange), (AccountKind::Available, to), amount)
    }

    /// The price of an order is set aside.
    pub fn hold(exchange: &Did, consumer: &Did, price: &Money) -> Result<Self, EntryError> {
        Self::transfer(EntryKind::Hold, (AccountKind::Available, consumer), (AccountKind::Escrow, exchange), price)
    }

    /// The held price goes back to the consumer.
    pub fn refund(exchange: &Did, consumer: &Did, price: &Money) -> Result<Self, EntryError> {
        Self::transfer(EntryKind::Refund, (AccountKind::Escrow, exchange), (AccountKind::Available, consumer), price)
    }

    /// The held price is paid out by the agreement's rule. Also returns who got what, in the rule's order.
    pub fn release(exchange: &Did, price: &Money, rule: &[SplitShare]) -> Result<(Self, Vec<SplitAmount>), EntryError> {
        check_amount(price)?;
        let parts = split(price, rule)?;
        let account = |kind, owner: &Did| Account { kind, owner: owner.clone(), currency: price.currency.clone() };
        let mut postings = vec![Posting { account: account(AccountKind::Escrow, exchange), amount_minor: -price.amount_minor }];
        let paid = parts.iter().filter(|part| part.amount.amount_minor > 0);
        postings.extend(
            paid.map(|part| Posting {
                account: account(AccountKind::Available, &part.participant),
                amount_minor: part.amount.amount_minor,
            }),
        );
        Ok((Self { kind: EntryKind::Release, postings }, parts))
    }

    fn transfer(kind: EntryKind, from: (AccountKind, &Did), to: (AccountKind, &Did), amount: &Money) -> Result<Self, EntryError> {
        check_amount(amount)?;
        let posting = |(kind, owner): (AccountKind, &Did), amount_minor| Posting {
            account: Account { kind, owner: owner.clone(), currency: amount.currency.clone() },
            amount_minor,
        };
        Ok(Self { kind, postings: vec![posting(from, -amount.amount_minor), posting(to, amount.amount_minor)] })
    }

    /// Why money moves.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// The lines.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// The entry's only currency.
    pub fn currency(&self) -> &Currency {
        // Every constructor makes at least two lines of one currency.
        &self.postings[0].account.currency
    }

    /// What the entry sums to, by currency; zero everywhere.
    pub fn sums(&self) -> BTreeMap<&Currency, i128> {
        self.postings.iter().fold(BTreeMap::new(), |mut sums, posting| {
            *sums.entry(&posting.account.currency).or_default() += i128::from(posting.amount_minor);
            sums
        })
    }
}

fn check_amount(amount: &Money) -> Result<(), EntryError> {
    if (1..=AMOUNT_MAX_MINOR).contains(&amount.amount_minor) { Ok(()) } else { Err(EntryError::Amount) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_chain_statement::{BasisPoints, SigningKey};
    use proptest::prelude::*;

    fn did(seed: u8) -> Did {
        SigningKey::from_seed(&[seed; 32]).did()
    }

    fn money(amount_minor: i64) -> Money {
        Money { amount_minor, currency: "EUR".parse().expect("a currency") }
    }

    fn rule() -> Vec<SplitShare> {
        [(2, 6_000), (3, 3_999), (4, 1)]
            .map(|(seed, points)| SplitShare { participant: did(seed), share: BasisPoints::new(points).expect("at most the whole") })
            .to_vec()
    }

    #[test]
    fn nothing_and_too_much_are_no_amounts() {
        for wrong in [0, -1, i64::MIN, AMOUNT_MAX_MINOR + 1, i64::MAX] {
            assert_eq!(Entry::credit(&did(1), &did(2), &money(wrong)), Err(EntryError::Amount));
            assert_eq!(Entry::hold(&did(1), &did(2), &money(wrong)), Err(EntryError::Amount));
            assert_eq!(Entry::refund(&did(1), &did(2), &money(wrong)), Err(EntryError::Amount));
            assert_eq!(Entry::release(&did(1), &money(wrong), &rule()), Err(EntryError::Amount));
        }
    }

    #[test]
    fn whoever_gets_nothing_has_no_posting_but_is_named() {
        let (entry, got) = Entry::release(&did(1), &money(10), &rule()).expect("an entry");
        assert_eq!(got.iter().map(|g| g.amount.amount_minor).collect::<Vec<_>>(), [6, 4, 0]);
        assert_eq!(entry.postings().len(), 3);
    }

    proptest! {
        #[test]
        fn every_entry_sums_to_zero(amount in 1..=AMOUNT_MAX_MINOR) {
            let entries = [
                Entry::credit(&did(1), &did(2), &money(amount)),
                Entry::hold(&did(1), &did(2), &money(amount)),
                Entry::refund(&did(1), &did(2), &money(amount)),
                Entry::release(&did(1), &money(amount), &rule()).map(|(entry, _)| entry),
            ];
            for entry in entries {
                let entry = entry.expect("an entry");
                prop_assert!(entry.sums().values().all(|sum| *sum == 0));
                prop_assert!(entry.postings().iter().all(|posting| posting.amount_minor != 0));
            }
        }
    }
}
