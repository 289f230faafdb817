//! What a block commits to.

use crate::codec::{DecodeError, Reader};
use entrepot_chain_statement::{Hash, Timestamp};

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"entrepot/block/v1\n";
/// Length of a header's encoding.
pub const HEADER_BYTES: usize = 1 + 8 + 32 + 8 + 32 + 8 + 32 + 32 + 32;

/// What a block commits to. Its hash is what members vote on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// 1, 2, 3 …
    pub height: u64,
    /// Hash of the block before; of the first, the digest of the genesis.
    pub previous: Hash,
    /// When it was proposed; never before the block before.
    pub time: Timestamp,
    /// Digest of the transactions, in order.
    pub transactions: Hash,
    /// Entries of the log after this block.
    pub log_size: u64,
    /// RFC 6962 root of the log after this block.
    pub log_root: Hash,
    /// Root of the state's tree after this block.
    pub state_root: Hash,
    /// Digest of the members that decide on the next block.
    pub next_members: Hash,
}

impl BlockHeader {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.height.to_be_bytes());
        out.extend_from_slice(&self.previous.0);
        out.extend_from_slice(&self.time.0.to_be_bytes());
        out.extend_from_slice(&self.transactions.0);
        out.extend_from_slice(&self.log_size.to_be_bytes());
        out.extend_from_slice(&self.log_root.0);
        out.extend_from_slice(&self.state_root.0);
        out.extend_from_slice(&self.next_members.0);
        out
    }

    /// Reads the encoding from the front.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION)?;
        Ok(Self {
            height: reader.u64()?,
            previous: reader.hash()?,
            time: Timestamp(reader.i64()?),
            transactions: reader.hash()?,
            log_size: reader.u64()?,
            log_root: reader.hash()?,
            state_root: reader.hash()?,
            next_members: reader.hash()?,
        })
    }

    /// The identity of the block.
    pub fn hash(&self) -> Hash {
        Hash::of(&[CONTEXT, &self.encode()])
    }
}
