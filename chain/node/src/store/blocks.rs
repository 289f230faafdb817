//! Blocks, their headers and certificates, the members, evidence; and the removal of old blocks.

use super::{BLOCK_INDEX, BLOCKS, BlockRecord, CERTIFICATES, ChainStore, Durability, EVIDENCE, HEADERS, MEMBERS};
use crate::{Evidence, NodeError};
use entrepot_chain_ledger::{KnownKeys, State};
use entrepot_chain_log::{
    codec::Reader,
    consortium::{BlockHeader, CommitCertificate, Members},
};
use entrepot_chain_statement::Hash;
use rocksdb::{Direction, IteratorMode, WriteBatch};

/// A key and its value.
type Item = (Box<[u8]>, Box<[u8]>);

impl ChainStore {
    pub(super) fn put_block(&self, batch: &mut WriteBatch, record: &BlockRecord, certificate: &CommitCertificate) -> Result<(), NodeError> {
        let height = record.block.header.height.to_be_bytes();
        let count = u32::try_from(record.transactions.len()).unwrap_or(u32::MAX);
        let mut header = record.block.header.encode();
        header.extend_from_slice(&count.to_be_bytes());
        batch.put_cf(self.column(HEADERS)?, height, header);
        batch.put_cf(self.column(BLOCKS)?, height, &record.bytes);
        batch.put_cf(self.column(BLOCK_INDEX)?, record.hash.0, height);
        batch.put_cf(self.column(CERTIFICATES)?, height, certificate.encode());
        Ok(())
    }

    /// The members that decide on the next block, if they are others than decided on this one.
    pub(super) fn put_members(&self, batch: &mut WriteBatch, record: &BlockRecord, before: &Members) -> Result<(), NodeError> {
        let next = record.applied.state.members();
        if next != before {
            batch.put_cf(self.column(MEMBERS)?, record.block.header.height.to_be_bytes(), next.encode());
        }
        Ok(())
    }

    pub fn block(&self, height: u64) -> Result<Option<Vec<u8>>, NodeError> {
        self.get(BLOCKS, &height.to_be_bytes())
    }

    /// Every stored block, by height.
    pub fn blocks(&self) -> Result<impl Iterator<Item = Result<(u64, Vec<u8>), NodeError>> + '_, NodeError> {
        let blocks = self.db.iterator_cf(self.column(BLOCKS)?, IteratorMode::Start);
        Ok(blocks.map(|item| {
            let (key, value) = item.map_err(NodeError::database("reading blocks"))?;
            Ok((height_of(&key)?, value.into_vec()))
        }))
    }

    /// The header of a block and how many transactions it has.
    pub fn header(&self, height: u64) -> Result<Option<(BlockHeader, u32)>, NodeError> {
        let Some(bytes) = self.get(HEADERS, &height.to_be_bytes())? else { return Ok(None) };
        let damaged = |_| NodeError::damaged(format!("the header of block {height}"));
        let mut reader = Reader::new(&bytes);
        let header = BlockHeader::read(&mut reader).map_err(damaged)?;
        let count = reader.u32().map_err(damaged)?;
        reader.end().map_err(damaged)?;
        Ok(Some((header, count)))
    }

    /// The height of the block with this hash.
    pub fn block_height(&self, hash: &Hash) -> Result<Option<u64>, NodeError> {
        self.get(BLOCK_INDEX, &hash.0)?.map(|height| height_of(&height)).transpose()
    }

    pub fn certificate(&self, height: u64) -> Result<Option<CommitCertificate>, NodeError> {
        let Some(bytes) = self.get(CERTIFICATES, &height.to_be_bytes())? else { return Ok(None) };
        CommitCertificate::decode(&bytes).map(Some).map_err(|_| NodeError::damaged(format!("the certificate of block {height}")))
    }

    /// The members that decide on the block of this height, if it is at most one above the last.
    pub fn members_at(&self, height: u64) -> Result<Option<Members>, NodeError> {
        let Some(before) = height.checked_sub(1) else { return Ok(None) };
        let key = before.to_be_bytes();
        let last = self.db.iterator_cf(self.column(MEMBERS)?, IteratorMode::From(&key, Direction::Reverse)).next();
        let Some(item) = last else { return Ok(None) };
        let (key, value) = item.map_err(NodeError::database("reading members"))?;
        decode_members(height_of(&key)?, &value).map(Some)
    }

    /// The heights above `after` whose block changed the members of the next one, and those members.
    pub fn members_changes(&self, after: u64, limit: usize) -> Result<Vec<(u64, Members)>, NodeError> {
        let Some(first) = after.checked_add(1) else { return Ok(Vec::new()) };
        let key = first.to_be_bytes();
        let changes = self.db.iterator_cf(self.column(MEMBERS)?, IteratorMode::From(&key, Direction::Forward));
        let read = |item: Result<Item, rocksdb::Error>| {
            let (key, value) = item.map_err(NodeError::database("reading members"))?;
            let height = height_of(&key)?;
            Ok((height, decode_members(height, &value)?))
        };
        changes.take(limit).map(read).collect()
    }

    /// Keeps evidence, the same once; false if there are `limit` pieces already.
    pub fn add_evidence(&self, height: u64, bytes: &[u8], limit: usize) -> Result<bool, NodeError> {
        let column = self.column(EVIDENCE)?;
        // Numbers have no gaps.
        let last = self.db.iterator_cf(column, IteratorMode::End).next().transpose().map_err(NodeError::database("reading evidence"))?;
        let last = last.map_or(Ok(0), |(key, _)| height_of(&key))?;
        if last >= limit as u64 {
            return Ok(false);
        }
        let value = [&height.to_be_bytes()[..], bytes].concat();
        let is_same = |item: Result<Item, rocksdb::Error>| item.is_ok_and(|(_, known)| *known == *value);
        if self.db.iterator_cf(column, IteratorMode::Start).any(is_same) {
            return Ok(true);
        }
        let number = last + 1;
        let mut batch = WriteBatch::default();
        batch.put_cf(column, number.to_be_bytes(), value);
        self.write(batch, Durability::Synced)?;
        Ok(true)
    }

    /// All evidence, as it was found.
    pub fn evidence(&self) -> Result<Vec<Evidence>, NodeError> {
        let read = |item: Result<Item, rocksdb::Error>| {
            let (key, value) = item.map_err(NodeError::database("reading evidence"))?;
            let (height, bytes) = value.split_first_chunk().ok_or_else(|| NodeError::damaged("a piece of evidence"))?;
            Ok(Evidence { number: height_of(&key)?, height: u64::from_be_bytes(*height), bytes: bytes.to_vec() })
        };
        self.db.iterator_cf(self.column(EVIDENCE)?, IteratorMode::Start).map(read).collect()
    }

    /// Removes the blocks up to the one that led to `base`, from which a replay begins from now on, and those of their certificates that
    /// no change of the members needs.
    pub fn prune(&self, from: u64, base: &State) -> Result<(), NodeError> {
        let end = base.height() + 1;
        let mut batch = WriteBatch::default();
        self.put_base(&mut batch, base)?;
        batch.delete_range_cf(self.column(BLOCKS)?, from.to_be_bytes(), end.to_be_bytes());
        let changes = self.members_changes(from.saturating_sub(1), usize::MAX)?;
        let mut next = from;
        let kept = changes.into_iter().map(|(height, _)| height).filter(|height| *height < end);
        for kept in kept.chain([end]) {
            batch.delete_range_cf(self.column(CERTIFICATES)?, next.to_be_bytes(), kept.to_be_bytes());
            next = kept + 1;
        }
        self.write(batch, Durability::Synced)
    }
}

fn height_of(key: &[u8]) -> Result<u64, NodeError> {
    let bytes = key.try_into().map_err(|_| NodeError::damaged("a height is not one"))?;
    Ok(u64::from_be_bytes(bytes))
}

fn decode_members(height: u64, bytes: &[u8]) -> Result<Members, NodeError> {
    let mut reader = Reader::new(bytes);
    let members = Members::read(&mut reader, &mut KnownKeys::default());
    members.map_err(|_| NodeError::damaged(format!("the members after block {height}")))
}
