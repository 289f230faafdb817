//! Transactions that were ordered together.

use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    transaction::{LeafTransaction, TRANSACTION_BYTES_MAX},
};
use entrepot_chain_statement::{Hash, Timestamp};

const VERSION: u8 = 1;
const HEADER_CONTEXT: &[u8] = b"entrepot/block/v1\n";
const BODY_CONTEXT: &[u8] = b"entrepot/block-transactions/v1\n";
const GENESIS_CONTEXT: &[u8] = b"entrepot/genesis/v1\n";
/// Transactions of one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 4096;
/// Longest encoding of a block.
pub const BLOCK_BYTES_MAX: usize = HEADER_BYTES + 4 + BLOCK_TRANSACTIONS_MAX * (4 + TRANSACTION_BYTES_MAX);
const HEADER_BYTES: usize = 1 + 8 + 32 + 8 + 32 + 8 + 32;

/// What a block commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// 1, 2, 3 …
    pub height: u64,
    /// Hash of the block before; of the first, [`genesis_hash`].
    pub previous: Hash,
    /// When it was proposed; never before the block before.
    pub time: Timestamp,
    /// Digest of the transactions, in order.
    pub transactions: Hash,
    /// Entries of the log after this block.
    pub log_size: u64,
    /// RFC 6962 root of the log after this block.
    pub log_root: Hash,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it commits to.
    pub header: BlockHeader,
    /// The transactions, in order.
    pub transactions: Vec<LeafTransaction>,
}

/// What the first block of a log's chain follows.
pub fn genesis_hash(origin: &str) -> Hash {
    Hash::of(&[GENESIS_CONTEXT, origin.as_bytes()])
}

/// The digest of transactions that a header commits to.
pub fn transactions_digest(transactions: &[LeafTransaction]) -> Hash {
    let hashes: Vec<u8> = transactions.iter().flat_map(|transaction| transaction.hash().0).collect();
    Hash::of(&[BODY_CONTEXT, &hashes])
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
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION)?;
        Ok(Self {
            height: reader.u64()?,
            previous: reader.hash()?,
            time: Timestamp(reader.i64()?),
            transactions: reader.hash()?,
            log_size: reader.u64()?,
            log_root: reader.hash()?,
        })
    }

    /// The identity of the block.
    pub fn hash(&self) -> Hash {
        Hash::of(&[HEADER_CONTEXT, &self.encode()])
    }
}

impl Block {
    /// The identity of the block.
    pub fn hash(&self) -> Hash {
        self.header.hash()
    }

    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.header.encode();
        // A longer block is refused by whoever applies it; its count need only not look valid.
        out.extend_from_slice(&u32::try_from(self.transactions.len()).unwrap_or(u32::MAX).to_be_bytes());
        for transaction in &self.transactions {
            let bytes = transaction.encode();
            out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(&bytes);
        }
        out
    }

    /// Decodes exactly one block. Checks its form, neither signatures nor what it commits to.
    pub fn decode(bytes: &[u8], known: &mut KnownKeys) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = BlockHeader::read(&mut reader)?;
        let count = reader.u32()? as usize;
        if count > BLOCK_TRANSACTIONS_MAX {
            return Err(DecodeError::TooMany("transactions"));
        }
        let mut transactions = Vec::with_capacity(count.min(bytes.len() / 64));
        for _ in 0..count {
            let length = reader.u32()? as usize;
            if length > TRANSACTION_BYTES_MAX {
                return Err(DecodeError::TooMany("bytes of a transaction"));
            }
            transactions.push(LeafTransaction::decode(reader.take(length)?, known)?);
        }
        reader.end()?;
        Ok(Self { header, transactions })
    }
}
