//! That a block was decided, shown to somebody who knows only the members.
//!
//! A certificate alone does not show it. Say four members decided until height 9, seven from height 10 on, three of them of the four. At
//! height 12 those three, all honest, may precommit a block in a round that fails, and another block may be decided. Their three signatures
//! would pass for a certificate to somebody who has not heard of the change. So the header before comes along. Honest members vote only for
//! what follows the block they have seen decided; if at least one of those who signed is honest, then the header whose hash the signed one
//! names was decided, and the members it names are the ones that decide on this block. With at most a third of them faulty, more than two
//! thirds always include an honest one.

use super::{BlockHeader, CommitCertificate, CommitCertificateError, Members};
use crate::codec::{DecodeError, KnownKeys, Reader};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use entrepot_chain_statement::Hash;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// A header, the one before it, and the signatures that decided on it; nothing in it is checked yet. In JSON the base64 of the encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DecidedHeader {
    /// The header before; none before the first.
    pub parent: Option<BlockHeader>,
    /// What was decided.
    pub header: BlockHeader,
    /// By whom.
    pub certificate: CommitCertificate,
}

/// Why a block is not shown to be decided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecidedError {
    /// The header before is missing, of another height, or another than this one follows; or the first block follows another genesis.
    #[error("the block {height} does not follow the block, or the genesis, that is given as the one before")]
    Parent {
        /// Of the block.
        height: u64,
    },
    /// Others decide on this block.
    #[error("others decide on the block {height} than the members known until there: a change of the members is missing before it")]
    Members {
        /// Of the block.
        height: u64,
    },
    /// The signatures are for another block.
    #[error("the certificate is for another block than {height}")]
    Block {
        /// Of the block.
        height: u64,
    },
    /// The signatures do not decide.
    #[error("the block {height} is not decided")]
    Certificate {
        /// Of the block.
        height: u64,
        /// Why not.
        #[source]
        source: CommitCertificateError,
    },
}

impl DecidedHeader {
    /// Checks that these members decided on it, and that it was for them to decide, in the channel with this genesis.
    pub fn verify(&self, genesis: &Hash, members: &Members) -> Result<(), DecidedError> {
        let height = self.header.height;
        match &self.parent {
            None if height == 1 && self.header.previous == *genesis => {}
            Some(parent) if height > 1 && parent.height == height - 1 && parent.hash() == self.header.previous => {
                if parent.next_members != members.digest() {
                    return Err(DecidedError::Members { height });
                }
            }
            _ => return Err(DecidedError::Parent { height }),
        }
        if self.certificate.height != height || self.certificate.block != self.header.hash() {
            return Err(DecidedError::Block { height });
        }
        self.certificate.verify(genesis, members).map_err(|source| DecidedError::Certificate { height, source })
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.write(&mut out);
        out
    }

    /// Appends the encoding without its version.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.parent.is_some()));
        if let Some(parent) = &self.parent {
            out.extend_from_slice(&parent.encode());
        }
        out.extend_from_slice(&self.header.encode());
        out.extend_from_slice(&self.certificate.encode());
    }

    /// Reads what [`DecidedHeader::write`] wrote.
    pub(super) fn read(reader: &mut Reader<'_>, known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let parent = match reader.u8()? {
            0 => None,
            1 => Some(BlockHeader::read(reader)?),
            _ => return Err(DecodeError::Value("decided header")),
        };
        Ok(Self { parent, header: BlockHeader::read(reader)?, certificate: CommitCertificate::read(reader, known)? })
    }

    /// Decodes exactly one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let decided = Self::read(&mut reader, &mut KnownKeys::default())?;
        reader.end()?;
        Ok(decided)
    }
}

impl TryFrom<String> for DecidedHeader {
    type Error = DecodeError;
    fn try_from(text: String) -> Result<Self, DecodeError> {
        Self::decode(&BASE64_STANDARD.decode(text).map_err(|_| DecodeError::Value("base64 text"))?)
    }
}

impl From<DecidedHeader> for String {
    fn from(decided: DecidedHeader) -> Self {
        BASE64_STANDARD.encode(decided.encode())
    }
}
