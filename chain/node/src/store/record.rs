//! A block with everything that it changes.

use entrepot_chain_ledger::{Applied, Block};
use entrepot_chain_statement::Hash;

/// A block that was drafted or checked, and needs not be applied again.
pub(crate) struct BlockRecord {
    pub block: Block,
    /// Its hash.
    pub hash: Hash,
    /// Its encoding.
    pub bytes: Vec<u8>,
    /// The hashes of its transactions.
    pub transactions: Vec<Hash>,
    /// What it does, with a verdict for each of its transactions.
    pub applied: Applied,
}

impl BlockRecord {
    /// Of a block whose encoding and transactions' hashes are known.
    pub fn new(block: Block, bytes: Vec<u8>, transactions: Vec<Hash>, applied: Applied) -> Self {
        let hash = block.hash();
        Self { block, hash, bytes, transactions, applied }
    }
}
