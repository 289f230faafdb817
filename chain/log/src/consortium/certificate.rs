//! The signatures under a decision.

use super::Members;
use crate::codec::{DecodeError, KnownKeys, Reader};
use entrepot_chain_statement::{Did, Hash};
use std::collections::BTreeMap;

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"entrepot/consensus/v1\n";

/// The two steps of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoteKind {
    /// For a proposal that is right.
    Prevote,
    /// For one that more than two thirds prevoted.
    Precommit,
}

/// What a member signs when it votes for a block, or for none, in a round of a height of the channel with this genesis.
pub fn vote_message(genesis: &Hash, kind: VoteKind, height: u64, round: u32, block: Option<&Hash>) -> Vec<u8> {
    let mut message = [CONTEXT, &genesis.0].concat();
    message.push(match kind {
        VoteKind::Prevote => 1,
        VoteKind::Precommit => 2,
    });
    message.extend_from_slice(&height.to_be_bytes());
    message.extend_from_slice(&round.to_be_bytes());
    match block {
        None => message.push(0),
        Some(block) => {
            message.push(1);
            message.extend_from_slice(&block.0);
        }
    }
    message
}

/// What the proposer of a round signs. `valid_round` is the earlier round in which more than two thirds prevoted the same block.
pub fn proposal_message(genesis: &Hash, height: u64, round: u32, valid_round: Option<u32>, block: &Hash) -> Vec<u8> {
    let mut message = [CONTEXT, &genesis.0, &[3]].concat();
    message.extend_from_slice(&height.to_be_bytes());
    message.extend_from_slice(&round.to_be_bytes());
    message.extend_from_slice(&valid_round.map_or(-1, i64::from).to_be_bytes());
    message.extend_from_slice(&block.0);
    message
}

/// Proof that a block was decided: precommits for it of one round, by more than two thirds of the members of its height.
/// Two members may hold different certificates of one block, so nothing that members must agree on depends on one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitCertificate {
    /// Of the block.
    pub height: u64,
    /// In which it was decided.
    pub round: u32,
    /// The hash of the block's header.
    pub block: Hash,
    /// The precommits, by consensus key.
    pub signatures: BTreeMap<Did, [u8; 64]>,
}

/// Why a certificate shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitCertificateError {
    /// Somebody signed who is no member at that height.
    #[error("{0} signed and is no member at this height")]
    Stranger(Did),
    /// A signature is wrong.
    #[error("the signature of {0} is wrong")]
    Signature(Did),
    /// Too few signed.
    #[error("{signed} of {members} members signed; {quorum} have to")]
    Quorum {
        /// How many did.
        signed: usize,
        /// How many there are.
        members: usize,
        /// How many have to.
        quorum: usize,
    },
}

impl CommitCertificate {
    /// Checks it against the members of its height in the channel with this genesis.
    pub fn verify(&self, genesis: &Hash, members: &Members) -> Result<(), CommitCertificateError> {
        let (signed, quorum) = (self.signatures.len(), members.quorum());
        if signed < quorum {
            return Err(CommitCertificateError::Quorum { signed, members: members.count(), quorum });
        }
        let message = vote_message(genesis, VoteKind::Precommit, self.height, self.round, Some(&self.block));
        for (key, signature) in &self.signatures {
            if members.by_consensus_key(key).is_none() {
                return Err(CommitCertificateError::Stranger(key.clone()));
            }
            if !key.verify(&message, signature) {
                return Err(CommitCertificateError::Signature(key.clone()));
            }
        }
        Ok(())
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&self.round.to_be_bytes());
        out.extend_from_slice(&self.block.0);
        out.push(u8::try_from(self.signatures.len()).unwrap_or(u8::MAX));
        for (key, signature) in &self.signatures {
            out.extend_from_slice(&key.public_bytes());
            out.extend_from_slice(signature);
        }
        out
    }

    /// Reads the encoding from the front.
    pub fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        reader.version(VERSION)?;
        let (height, round, block) = (reader.u64()?, reader.u32()?, reader.hash()?);
        let count = usize::from(reader.u8()?);
        if count > super::MEMBERS_MAX {
            return Err(DecodeError::TooMany("signatures of a certificate"));
        }
        let mut signatures = BTreeMap::new();
        for _ in 0..count {
            let key = reader.did(known)?;
            if signatures.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::Order("signatures of a certificate"));
            }
            signatures.insert(key, reader.array()?);
        }
        Ok(Self { height, round, block, signatures })
    }

    /// Decodes exactly one certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let certificate = Self::read(&mut reader, &mut KnownKeys::default())?;
        reader.end()?;
        Ok(certificate)
    }
}
