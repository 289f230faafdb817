//! What the state keeps of agreements, orders and holds, and its encoding.

use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    transaction::read_bool,
};
use entrepot_chain_statement::{Did, Hash, facts::PARTIES};

const VERSION: u8 = 1;

/// An agreement. Its name is its consumer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Who orders.
    pub consumer: Did,
    /// Who holds the money.
    pub exchange: Did,
    /// Who computes, by party index.
    pub workers: [Did; PARTIES],
    /// How many orders may be paid out.
    pub uses_max: u32,
    /// How many were.
    pub uses: u32,
    /// The last order's number; 0 before the first.
    pub orders: u64,
    /// Digest of the rule by which each is paid out.
    pub split: Hash,
    /// Its leaf.
    pub leaf: Hash,
}

/// What a party signed last about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which try.
    pub attempt: u32,
    /// Its leaf.
    pub leaf: Hash,
}

/// An order. Its name is its consumer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Public name of the agreement, of the same consumer.
    pub agreement: Hash,
    /// By party index.
    pub receipts: [Option<Receipt>; PARTIES],
    /// Public name of the hold, of the agreement's exchange.
    pub hold: Option<Hash>,
    /// Its leaf.
    pub leaf: Hash,
}

/// How a hold stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldStatus {
    /// Neither paid out nor given back.
    Open,
    /// Paid out.
    Released {
        /// Leaf of the release.
        leaf: Hash,
        /// Of the block that logged it.
        height: u64,
    },
    /// Given back.
    Refunded {
        /// Leaf of the refund.
        leaf: Hash,
        /// Of the block that logged it.
        height: u64,
    },
}

/// A hold. Its name is its exchange's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose order it is.
    pub consumer: Did,
    /// Public name of the order.
    pub order: Hash,
    /// Its leaf.
    pub leaf: Hash,
    /// How it stands.
    pub status: HoldStatus,
}

impl Agreement {
    /// The encoding, as the state's tree holds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        let parties = [&self.consumer, &self.exchange].into_iter().chain(&self.workers);
        parties.for_each(|did| out.extend_from_slice(&did.public_bytes()));
        out.extend_from_slice(&self.uses_max.to_be_bytes());
        out.extend_from_slice(&self.uses.to_be_bytes());
        out.extend_from_slice(&self.orders.to_be_bytes());
        out.extend_from_slice(&self.split.0);
        out.extend_from_slice(&self.leaf.0);
        out
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(bytes, &mut KnownKeys::default())
    }

    pub(super) fn read(bytes: &[u8], known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let (consumer, exchange) = (reader.did(known)?, reader.did(known)?);
        let workers = [reader.did(known)?, reader.did(known)?, reader.did(known)?];
        let (uses_max, uses, orders) = (reader.u32()?, reader.u32()?, reader.u64()?);
        let (split, leaf) = (reader.hash()?, reader.hash()?);
        reader.end()?;
        Ok(Self { consumer, exchange, workers, uses_max, uses, orders, split, leaf })
    }
}

impl Order {
    /// The encoding, as the state's tree holds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.agreement.0);
        for receipt in &self.receipts {
            out.push(u8::from(receipt.is_some()));
            if let Some(receipt) = receipt {
                out.extend_from_slice(&receipt.attempt.to_be_bytes());
                out.extend_from_slice(&receipt.leaf.0);
            }
        }
        out.push(u8::from(self.hold.is_some()));
        self.hold.iter().for_each(|hold| out.extend_from_slice(&hold.0));
        out.extend_from_slice(&self.leaf.0);
        out
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let agreement = reader.hash()?;
        let mut receipts = [None; PARTIES];
        for receipt in &mut receipts {
            if read_bool(&mut reader)? {
                *receipt = Some(Receipt { attempt: reader.u32()?, leaf: reader.hash()? });
            }
        }
        let hold = if read_bool(&mut reader)? { Some(reader.hash()?) } else { None };
        let leaf = reader.hash()?;
        reader.end()?;
        Ok(Self { agreement, receipts, hold, leaf })
    }
}

impl Hold {
    /// The encoding, as the state's tree holds it.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.consumer.public_bytes());
        out.extend_from_slice(&self.order.0);
        out.extend_from_slice(&self.leaf.0);
        let (code, end) = match &self.status {
            HoldStatus::Open => (1, None),
            HoldStatus::Released { leaf, height } => (2, Some((leaf, height))),
            HoldStatus::Refunded { leaf, height } => (3, Some((leaf, height))),
        };
        out.push(code);
        if let Some((leaf, height)) = end {
            out.extend_from_slice(&leaf.0);
            out.extend_from_slice(&height.to_be_bytes());
        }
        out
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::read(bytes, &mut KnownKeys::default())
    }

    pub(super) fn read(bytes: &[u8], known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let (consumer, order, leaf) = (reader.did(known)?, reader.hash()?, reader.hash()?);
        let status = match reader.u8()? {
            1 => HoldStatus::Open,
            2 => HoldStatus::Released { leaf: reader.hash()?, height: reader.u64()? },
            3 => HoldStatus::Refunded { leaf: reader.hash()?, height: reader.u64()? },
            _ => return Err(DecodeError::Value("status of a hold")),
        };
        reader.end()?;
        Ok(Self { consumer, order, leaf, status })
    }
}
