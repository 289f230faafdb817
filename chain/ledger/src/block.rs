//! Transactions that were ordered together.

use crate::{
    codec::{DecodeError, KnownKeys, Reader},
    transaction::{TRANSACTION_BYTES_MAX, Transaction},
};
use entrepot_chain_log::consortium::{BlockHeader, HEADER_BYTES};
use entrepot_chain_statement::Hash;

const BODY_CONTEXT: &[u8] = b"entrepot/block-transactions/v1\n";
/// Transactions of one block.
pub const BLOCK_TRANSACTIONS_MAX: usize = 4096;
/// Longest encoding of a block.
pub const BLOCK_BYTES_MAX: usize = HEADER_BYTES + 4 + BLOCK_TRANSACTIONS_MAX * (4 + TRANSACTION_BYTES_MAX);

/// A block. One without transactions is allowed: a height that was begun must be able to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What it commits to.
    pub header: BlockHeader,
    /// The transactions, in order; at most [`BLOCK_TRANSACTIONS_MAX`].
    pub transactions: Vec<Transaction>,
}

/// The digest of transactions that a header commits to.
pub fn transactions_digest(transactions: &[Transaction]) -> Hash {
    let hashes: Vec<u8> = transactions.iter().flat_map(|transaction| transaction.hash().0).collect();
    Hash::of(&[BODY_CONTEXT, &hashes])
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
            transactions.push(Transaction::decode(reader.take(length)?, known)?);
        }
        reader.end()?;
        Ok(Self { header, transactions })
    }
}
