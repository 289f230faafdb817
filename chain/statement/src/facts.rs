//! What a ledger may know of a statement: a few public facts, by which its contracts judge the statement's leaf.
//!
//! Facts are a pure function of payload type and payload, so that whoever holds a statement derives them, and nobody passes them around.
//! The leaf commits to them ([`leaf`]): a leaf in the log was judged by these facts and by no others.
//!
//! Leaks: who agreed with which exchange on which workers, how often they may use it and do, when, in how many attempts, and whether each
//! use was paid or given back; nothing of data, query, price or product. Statements are named by digests of their hashes
//! ([`public_name`]), which are not salted: whoever has a whole statement, or guesses one down to the 80 random bits of its id, recognises
//! its name. Once statement and id are erased nobody does.

use crate::{
    Did, EnvelopeError, Hash, LeafKind, Statement,
    canonical::from_canonical_json,
    envelope::pre_authentication_encoding,
    split::rule_digest,
    statements::{self, Right},
};

/// Version of the encoding.
pub const VERSION: u8 = 1;
const LEAF_CONTEXT: &[u8] = b"entrepot/leaf/v2\n";
const NAME_CONTEXT: &[u8] = b"entrepot/public-name/v1\n";
/// Stands for the kind of a statement that is not logged.
const UNLOGGED: u8 = 0;
/// Parties to a computation.
pub const PARTIES: usize = 3;
/// Longest encoding of facts: an agreement's.
pub const FACTS_BYTES_MAX: usize = 2 + 32 * (4 + PARTIES) + 4;

/// What the ledger may know of a statement, by its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Facts {
    /// Of a statement that is not logged: nothing.
    Unlogged,
    /// No contract judges it.
    WorkerGrant,
    /// A right begins.
    RightsRegistration {
        /// Which.
        right: Right,
        /// Who has it.
        holder: Did,
    },
    /// No contract judges it.
    DataProduct,
    /// A consumer may order.
    Agreement {
        /// Its public name.
        name: Hash,
        /// Who orders.
        consumer: Did,
        /// Who holds the money.
        exchange: Did,
        /// Who computes, by party index.
        workers: [Did; PARTIES],
        /// How many orders may be paid out.
        uses_max: u32,
        /// Digest of the rule by which each is.
        split: Hash,
    },
    /// A use is ordered.
    Order {
        /// Its public name.
        name: Hash,
        /// Public name of the agreement.
        agreement: Hash,
        /// Its number within the agreement.
        sequence: u64,
    },
    /// Its price is set aside.
    Hold {
        /// Its public name.
        name: Hash,
        /// Public name of the order.
        order: Hash,
        /// Whose order it is: names of orders are the consumer's own.
        consumer: Did,
    },
    /// A party computed.
    UsageReceipt {
        /// Public name of the order.
        order: Hash,
        /// Whose order it is.
        consumer: Did,
        /// Which try.
        attempt: u32,
        /// Party index.
        party: u8,
    },
    /// What was set aside is paid out.
    Release {
        /// Public name of the hold.
        hold: Hash,
        /// Digest of the rule by which it is.
        split: Hash,
    },
    /// What was set aside is given back.
    Refund {
        /// Public name of the hold.
        hold: Hash,
    },
}

/// The name under which a ledger knows a statement, by its statement hash.
pub fn public_name(statement: &Hash) -> Hash {
    Hash::of(&[NAME_CONTEXT, &statement.0])
}

/// The entry of the log for a statement: what the salted hash hides, and what the ledger was told.
pub fn leaf(salted: &Hash, facts: &Facts) -> Hash {
    Hash::of(&[LEAF_CONTEXT, &salted.0, &facts.encode()])
}

impl Facts {
    /// Derives the facts of a statement; refuses a statement of a kind with rules that is none of its type.
    pub fn of(payload_type: &str, payload: &[u8]) -> Result<Self, EnvelopeError> {
        let own_hash = || Hash::of(&[&pre_authentication_encoding(payload_type, payload)]);
        Ok(match LeafKind::of(payload_type) {
            None => Self::Unlogged,
            Some(LeafKind::WorkerGrant) => Self::WorkerGrant,
            Some(LeafKind::DataProduct) => Self::DataProduct,
            Some(LeafKind::RightsRegistration) => {
                let said: statements::RightsRegistration = open(payload)?;
                Self::RightsRegistration { right: said.right, holder: said.holder }
            }
            Some(LeafKind::Agreement) => Self::of_agreement(open(payload)?, own_hash())?,
            Some(LeafKind::Order) => {
                let said: statements::Order = open(payload)?;
                Self::Order { name: public_name(&own_hash()), agreement: public_name(&said.agreement), sequence: said.sequence }
            }
            Some(LeafKind::Hold) => {
                let said: statements::Hold = open(payload)?;
                Self::Hold { name: public_name(&own_hash()), order: public_name(&said.order), consumer: said.consumer }
            }
            Some(LeafKind::UsageReceipt) => {
                let said: statements::UsageReceipt = open(payload)?;
                let order = public_name(&said.order);
                Self::UsageReceipt { order, consumer: said.consumer, attempt: said.attempt, party: said.party }
            }
            Some(LeafKind::Release) => {
                let said: statements::Release = open(payload)?;
                Self::Release { hold: public_name(&said.hold), split: said.split_rule }
            }
            Some(LeafKind::Refund) => {
                let said: statements::Refund = open(payload)?;
                Self::Refund { hold: public_name(&said.hold) }
            }
        })
    }

    fn of_agreement(said: statements::Agreement, hash: Hash) -> Result<Self, EnvelopeError> {
        let workers: Vec<Did> = said.parties.into_iter().map(|pin| pin.worker).collect();
        let workers = workers.try_into().map_err(|_| EnvelopeError::Form("an agreement pins three workers"))?;
        let (name, split) = (public_name(&hash), rule_digest(&hash, &said.split));
        Ok(Self::Agreement { name, consumer: said.consumer, exchange: said.exchange, workers, uses_max: said.quota_queries, split })
    }

    /// The kind of statement; none if it is not logged.
    pub fn kind(&self) -> Option<LeafKind> {
        Some(match self {
            Self::Unlogged => return None,
            Self::WorkerGrant => LeafKind::WorkerGrant,
            Self::RightsRegistration { .. } => LeafKind::RightsRegistration,
            Self::DataProduct => LeafKind::DataProduct,
            Self::Agreement { .. } => LeafKind::Agreement,
            Self::Order { .. } => LeafKind::Order,
            Self::Hold { .. } => LeafKind::Hold,
            Self::UsageReceipt { .. } => LeafKind::UsageReceipt,
            Self::Release { .. } => LeafKind::Release,
            Self::Refund { .. } => LeafKind::Refund,
        })
    }

    /// The encoding: version, code of the kind, then the kind's fields in the order above; big-endian integers, raw keys and digests.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FACTS_BYTES_MAX);
        out.extend_from_slice(&[VERSION, self.kind().map_or(UNLOGGED, LeafKind::code)]);
        match self {
            Self::Unlogged | Self::WorkerGrant | Self::DataProduct => {}
            Self::RightsRegistration { right, holder } => {
                out.push(right.code());
                out.extend_from_slice(&holder.public_bytes());
            }
            Self::Agreement { name, consumer, exchange, workers, uses_max, split } => {
                out.extend_from_slice(&name.0);
                [consumer, exchange].into_iter().chain(workers).for_each(|did| out.extend_from_slice(&did.public_bytes()));
                out.extend_from_slice(&uses_max.to_be_bytes());
                out.extend_from_slice(&split.0);
            }
            Self::Order { name, agreement, sequence } => {
                [name, agreement].into_iter().for_each(|hash| out.extend_from_slice(&hash.0));
                out.extend_from_slice(&sequence.to_be_bytes());
            }
            Self::Hold { name, order, consumer } => {
                [name, order].into_iter().for_each(|hash| out.extend_from_slice(&hash.0));
                out.extend_from_slice(&consumer.public_bytes());
            }
            Self::UsageReceipt { order, consumer, attempt, party } => {
                out.extend_from_slice(&order.0);
                out.extend_from_slice(&consumer.public_bytes());
                out.extend_from_slice(&attempt.to_be_bytes());
                out.push(*party);
            }
            Self::Release { hold, split } => [hold, split].into_iter().for_each(|hash| out.extend_from_slice(&hash.0)),
            Self::Refund { hold } => out.extend_from_slice(&hold.0),
        }
        out
    }
}

fn open<S: Statement>(payload: &[u8]) -> Result<S, EnvelopeError> {
    from_canonical_json(payload).map_err(EnvelopeError::Payload)
}
