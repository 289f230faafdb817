//! Every read and write of RocksDB. Writes are synced before they return; one batch holds everything that a block changes.

use crate::NodeError;
use entrepot_chain_ledger::{Applied, Block, LeafLookup, LookupError, State};
use entrepot_chain_log::{Frontier, NodeId, NodeStore, merkle::MerkleError};
use entrepot_chain_statement::Hash;
use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, IteratorMode, Options, WriteBatch, WriteOptions};
use std::path::Path;

const META: &str = "meta";
const BLOCKS: &str = "blocks";
const LEAVES: &str = "leaves";
const LEAF_INDEX: &str = "leaf_index";
const NODES: &str = "nodes";
const CHECKPOINTS: &str = "checkpoints";
const COSIGNATURES: &str = "cosignatures";
const COLUMNS: [&str; 7] = [META, BLOCKS, LEAVES, LEAF_INDEX, NODES, CHECKPOINTS, COSIGNATURES];

const FORMAT_KEY: &[u8] = b"format";
const FORMAT: &[u8] = b"entrepot.chain.v1";
const ORIGIN_KEY: &[u8] = b"origin";
const LOG_KEY: &[u8] = b"log_vkey";
const VALIDATOR_KEY: &[u8] = b"validator_vkey";
const STATE_KEY: &[u8] = b"state";

/// Memory for blocks of all columns together.
const CACHE_BYTES: usize = 32 << 20;
/// The write-ahead log is kept below this by flushing.
const WAL_BYTES_MAX: u64 = 64 << 20;

/// A leaf and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredLeaf {
    /// The entry.
    pub leaf: Hash,
    /// Height of the block that appended it.
    pub height: u64,
}

/// What a log's folder belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub origin: String,
    pub log_vkey: String,
    pub validator_vkey: String,
}

pub(crate) struct ChainStore {
    db: DB,
}

impl ChainStore {
    pub fn open(path: &Path) -> Result<Self, NodeError> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_paranoid_checks(true);
        options.set_max_total_wal_size(WAL_BYTES_MAX);
        options.set_max_open_files(256);
        // A crash can tear the last record, which nobody was told of. Damage before it is an error and never skipped.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let descriptors = COLUMNS.map(|name| ColumnFamilyDescriptor::new(name, column_options(&cache)));
        let db = DB::open_cf_descriptors(&options, path, descriptors).map_err(NodeError::database("opening"))?;
        Ok(Self { db })
    }

    pub fn db(&self) -> &DB {
        &self.db
    }

    fn column(&self, name: &'static str) -> Result<&rocksdb::ColumnFamily, NodeError> {
        self.db.cf_handle(name).ok_or_else(|| NodeError::damaged(format!("the column {name} is missing")))
    }

    fn get(&self, column: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, NodeError> {
        self.db.get_cf(self.column(column)?, key).map_err(NodeError::database("reading"))
    }

    fn write(&self, batch: WriteBatch) -> Result<(), NodeError> {
        let mut options = WriteOptions::default();
        // Without it RocksDB loses acknowledged writes when the power goes.
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(NodeError::database("writing"))
    }

    /// Whose folder it is; none if it is new.
    pub fn identity(&self) -> Result<Option<Identity>, NodeError> {
        match self.get(META, FORMAT_KEY)? {
            None => return Ok(None),
            Some(format) if format == FORMAT => {}
            Some(format) => return Err(NodeError::damaged(format!("unknown format {}", String::from_utf8_lossy(&format)))),
        }
        let text = |key: &[u8]| -> Result<String, NodeError> {
            let bytes = self.get(META, key)?.ok_or_else(|| NodeError::damaged("an entry of its identity is missing"))?;
            String::from_utf8(bytes).map_err(|_| NodeError::damaged("an entry of its identity is not text"))
        };
        Ok(Some(Identity { origin: text(ORIGIN_KEY)?, log_vkey: text(LOG_KEY)?, validator_vkey: text(VALIDATOR_KEY)? }))
    }

    /// Takes a new folder into possession, with the state of an empty log.
    pub fn found(&self, identity: &Identity, genesis: &State) -> Result<(), NodeError> {
        let meta = self.column(META)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, ORIGIN_KEY, &identity.origin);
        batch.put_cf(meta, LOG_KEY, &identity.log_vkey);
        batch.put_cf(meta, VALIDATOR_KEY, &identity.validator_vkey);
        batch.put_cf(meta, STATE_KEY, genesis.encode());
        batch.put_cf(meta, FORMAT_KEY, FORMAT);
        self.write(batch)
    }

    /// The state after the last stored block.
    pub fn state(&self) -> Result<State, NodeError> {
        let bytes = self.get(META, STATE_KEY)?.ok_or_else(|| NodeError::damaged("its state is missing"))?;
        State::decode(&bytes, |size| Frontier::load(self, size)).map_err(|error| NodeError::damaged(described(&error)))
    }

    /// Makes a block durable, with everything it changes and the checkpoint after it.
    pub fn commit(&self, block: &Block, applied: &Applied, checkpoint: Option<&str>) -> Result<(), NodeError> {
        let height = block.header.height.to_be_bytes();
        let (leaves, leaf_index, nodes) = (self.column(LEAVES)?, self.column(LEAF_INDEX)?, self.column(NODES)?);
        let mut batch = WriteBatch::default();
        batch.put_cf(self.column(BLOCKS)?, height, block.encode());
        let first = applied.state.log_size() - applied.leaves.len() as u64;
        for (index, leaf) in (first..).zip(&applied.leaves) {
            batch.put_cf(leaves, index.to_be_bytes(), [&leaf.0[..], &height].concat());
            batch.put_cf(leaf_index, leaf.0, index.to_be_bytes());
        }
        for (id, hash) in &applied.nodes {
            batch.put_cf(nodes, node_key(*id), hash.0);
        }
        if let Some(note) = checkpoint {
            batch.put_cf(self.column(CHECKPOINTS)?, applied.state.log_size().to_be_bytes(), note);
        }
        batch.put_cf(self.column(META)?, STATE_KEY, applied.state.encode());
        entrepot_failpoint::reach("chain.before_commit");
        self.write(batch)?;
        entrepot_failpoint::reach("chain.after_commit");
        Ok(())
    }

    pub fn leaf(&self, index: u64) -> Result<Option<StoredLeaf>, NodeError> {
        let Some(bytes) = self.get(LEAVES, &index.to_be_bytes())? else { return Ok(None) };
        let (leaf, height) = bytes.split_first_chunk::<32>().ok_or_else(|| NodeError::damaged(format!("leaf {index}")))?;
        let height = height.try_into().map_err(|_| NodeError::damaged(format!("leaf {index}")))?;
        Ok(Some(StoredLeaf { leaf: Hash(*leaf), height: u64::from_be_bytes(height) }))
    }

    pub fn index(&self, leaf: &Hash) -> Result<Option<u64>, NodeError> {
        let Some(bytes) = self.get(LEAF_INDEX, &leaf.0)? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| NodeError::damaged(format!("index of leaf {leaf}")))?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    pub fn block(&self, height: u64) -> Result<Option<Vec<u8>>, NodeError> {
        self.get(BLOCKS, &height.to_be_bytes())
    }

    /// Every stored block, by height.
    pub fn blocks(&self) -> Result<impl Iterator<Item = Result<(u64, Vec<u8>), NodeError>> + '_, NodeError> {
        let blocks = self.db.iterator_cf(self.column(BLOCKS)?, IteratorMode::Start);
        Ok(blocks.map(|item| {
            let (key, value) = item.map_err(NodeError::database("reading blocks"))?;
            let height = key[..].try_into().map_err(|_| NodeError::damaged("the key of a block"))?;
            Ok((u64::from_be_bytes(height), value.into_vec()))
        }))
    }

    /// How many leaves are stored: one more than the largest index.
    pub fn leaf_count(&self) -> Result<u64, NodeError> {
        match self.db.iterator_cf(self.column(LEAVES)?, IteratorMode::End).next() {
            None => Ok(0),
            Some(item) => {
                let (key, _) = item.map_err(NodeError::database("reading leaves"))?;
                let index = key[..].try_into().map_err(|_| NodeError::damaged("the key of a leaf"))?;
                Ok(u64::from_be_bytes(index).saturating_add(1))
            }
        }
    }

    /// The note of a checkpoint as this node signed it.
    pub fn checkpoint(&self, size: u64) -> Result<Option<String>, NodeError> {
        let Some(bytes) = self.get(CHECKPOINTS, &size.to_be_bytes())? else { return Ok(None) };
        String::from_utf8(bytes).map(Some).map_err(|_| NodeError::damaged(format!("checkpoint {size}")))
    }

    /// Keeps one signature line of a checkpoint, in place of the same key's earlier one.
    pub fn add_cosignature(&self, size: u64, cosigner: &str, line: &str) -> Result<(), NodeError> {
        let mut batch = WriteBatch::default();
        batch.put_cf(self.column(COSIGNATURES)?, [&size.to_be_bytes()[..], cosigner.as_bytes()].concat(), line);
        self.write(batch)
    }

    /// The signature lines that witnesses added to a checkpoint, by the names of their keys.
    pub fn cosignatures(&self, size: u64) -> Result<Vec<String>, NodeError> {
        let prefix = size.to_be_bytes();
        let mut lines = Vec::new();
        for item in self.db.iterator_cf(self.column(COSIGNATURES)?, IteratorMode::From(&prefix, rocksdb::Direction::Forward)) {
            let (key, line) = item.map_err(NodeError::database("reading cosignatures"))?;
            if !key.starts_with(&prefix) {
                break;
            }
            lines.push(String::from_utf8(line.into_vec()).map_err(|_| NodeError::damaged(format!("a cosignature of {size}")))?);
        }
        Ok(lines)
    }

    /// The sizes of the newest checkpoints with cosignatures, newest first, and how many each has; at most `limit` sizes.
    pub fn witnessed(&self, limit: usize) -> Result<Vec<(u64, u32)>, NodeError> {
        let mut found: Vec<(u64, u32)> = Vec::new();
        for item in self.db.iterator_cf(self.column(COSIGNATURES)?, IteratorMode::End) {
            let (key, _) = item.map_err(NodeError::database("reading cosignatures"))?;
            let size = key.first_chunk().map(|size| u64::from_be_bytes(*size)).ok_or_else(|| NodeError::damaged("a cosignature's key"))?;
            let sizes = found.len();
            match found.last_mut() {
                Some((last, count)) if *last == size => *count += 1,
                _ if sizes >= limit => break,
                _ => found.push((size, 1)),
            }
        }
        Ok(found)
    }
}

fn column_options(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // Most lookups of a leaf are for one that is not there.
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
}

fn node_key(id: NodeId) -> [u8; 9] {
    let mut key = [0; 9];
    key[0] = id.level;
    key[1..].copy_from_slice(&id.index.to_be_bytes());
    key
}

impl NodeStore for ChainStore {
    type Error = NodeError;
    fn node(&self, id: NodeId) -> Result<Option<Hash>, NodeError> {
        let Some(bytes) = self.get(NODES, &node_key(id))? else { return Ok(None) };
        let bytes = bytes.try_into().map_err(|_| NodeError::damaged(format!("node {} of level {}", id.index, id.level)))?;
        Ok(Some(Hash(bytes)))
    }
}

impl LeafLookup for ChainStore {
    fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LookupError> {
        self.index(leaf).map_err(|error| LookupError(Box::new(error)))
    }
}

impl From<MerkleError<NodeError>> for NodeError {
    fn from(error: MerkleError<NodeError>) -> Self {
        match error {
            MerkleError::Store(error) => error,
            other => Self::damaged(other.to_string()),
        }
    }
}

/// An error and its causes, in one line.
pub(crate) fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
