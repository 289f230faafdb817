//! Every read and write of RocksDB. Writes are synced before they return; one batch holds everything that a block changes.

mod blocks;
mod index;
mod log;
mod recent;
mod record;
mod state;

pub(crate) use record::BlockRecord;

use crate::NodeError;
use entrepot_chain_ledger::State;
use entrepot_chain_log::consortium::{CommitCertificate, Members};
use entrepot_chain_statement::Hash;
use recent::RecentNodes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBRecoveryMode, DEFAULT_COLUMN_FAMILY_NAME, ErrorKind, Options, WriteBatch,
    WriteBufferManager, WriteOptions,
};
use std::{
    path::Path,
    sync::{LazyLock, Mutex},
};

const META: &str = "meta";
/// Height to the encoded header and the number of transactions. Stays when a block is pruned.
const HEADERS: &str = "headers";
/// Height to the encoded block.
const BLOCKS: &str = "blocks";
/// Hash of a block to its height.
const BLOCK_INDEX: &str = "block_index";
/// Height to the certificate of its block.
const CERTIFICATES: &str = "certificates";
/// Height of a block to the members that decide on the next, wherever they change.
const MEMBERS: &str = "members";
/// Hash of a transaction to its place and what became of it.
const TRANSACTIONS: &str = "transactions";
/// Key of whoever submitted or is bound, and height, to places in that block.
const SUBJECTS: &str = "subjects";
/// Number to the height and proof that a member misbehaved.
const EVIDENCE: &str = "evidence";
const LEAVES: &str = "leaves";
const LEAF_INDEX: &str = "leaf_index";
const NODES: &str = "nodes";
/// Hash of a node of the state's tree to its encoding.
const STATE_NODES: &str = "state_nodes";
/// Value of an entry of state to its encoding.
const STATE_ENTRIES: &str = "state_entries";
/// Submitter to the last sequence number.
const SEQUENCES: &str = "sequences";
const CHECKPOINTS: &str = "checkpoints";
const COSIGNATURES: &str = "cosignatures";
const COLUMNS: [&str; 17] = [
    META,
    HEADERS,
    BLOCKS,
    BLOCK_INDEX,
    CERTIFICATES,
    MEMBERS,
    TRANSACTIONS,
    SUBJECTS,
    EVIDENCE,
    LEAVES,
    LEAF_INDEX,
    NODES,
    STATE_NODES,
    STATE_ENTRIES,
    SEQUENCES,
    CHECKPOINTS,
    COSIGNATURES,
];

const FORMAT_KEY: &[u8] = b"format";
const FORMAT: &[u8] = b"entrepot.chain.v3";
const ORIGIN_KEY: &[u8] = b"origin";
const GENESIS_KEY: &[u8] = b"genesis";
const LOG_KEY: &[u8] = b"log_vkey";
const VALIDATOR_KEY: &[u8] = b"validator_vkey";
const STATE_KEY: &[u8] = b"state";
/// The state from which the kept blocks lead on, once older ones were pruned.
const BASE_KEY: &[u8] = b"base_state";
/// The submitters and their numbers in it.
const BASE_SEQUENCES_KEY: &[u8] = b"base_sequences";

/// Memory for blocks of all columns of all channels together.
const CACHE_BYTES: usize = 64 << 20;
/// Memory for what all channels wrote and did not yet put into sorted files; then whoever writes does that first.
const WRITTEN_BYTES_MAX: usize = 256 << 20;
/// Of one column. The write-ahead log's place on the disk is taken in pieces a little larger than this.
const COLUMN_WRITTEN_BYTES_MAX: usize = 8 << 20;
/// Memory is taken in such pieces for each column: a channel with few writes shall cost little.
const ARENA_BYTES: usize = 64 << 10;
/// The write-ahead log is kept below this by flushing.
const WAL_BYTES_MAX: u64 = 64 << 20;
/// Sorted files of a channel that are open at once.
const FILES_MAX: i32 = 64;

/// What the channels of a process share, so that many idle ones cost little more than one.
static SHARED: LazyLock<(Cache, WriteBufferManager)> =
    LazyLock::new(|| (Cache::new_lru_cache(CACHE_BYTES), WriteBufferManager::new_write_buffer_manager(WRITTEN_BYTES_MAX, false)));

/// Whose memory of what was read is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// That of all channels of the process.
    Shared,
    /// Its own. RocksDB knows the blocks of a copy by the names that they have in the original: what is to be checked must come from the disk.
    Apart,
}

/// When a write has to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Before it returns.
    Synced,
    /// With the next synced write. A crash of the machine may lose it, one of the process does not.
    Later,
}

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
    /// The digest of the genesis.
    pub genesis: Hash,
    pub log_vkey: String,
    pub validator_vkey: String,
}

pub(crate) struct ChainStore {
    db: DB,
    nodes: Mutex<RecentNodes>,
}

impl ChainStore {
    pub fn open(path: &Path, reads: Reads) -> Result<Self, NodeError> {
        let options = database_options();
        let cache = match reads {
            Reads::Shared => SHARED.0.clone(),
            Reads::Apart => Cache::new_lru_cache(CACHE_BYTES),
        };
        // RocksDB has the default column in any case, and sizes the write-ahead log by it.
        let columns = || COLUMNS.into_iter().chain([DEFAULT_COLUMN_FAMILY_NAME]);
        let descriptors = || columns().map(|name| ColumnFamilyDescriptor::new(name, column_options(&cache)));
        let open = || {
            DB::open_cf_descriptors(&options, path, descriptors()).map_err(|error| match error.kind() {
                // RocksDB has no kind of its own for it.
                ErrorKind::IOError if error.as_ref().contains("lock") => NodeError::InUse(path.to_owned()),
                _ => NodeError::Database { doing: "opening", source: error },
            })
        };
        if !path.join("CURRENT").exists() {
            // Columns that are made hold the folder open once each, for as long as the database is.
            drop(open()?);
        }
        Ok(Self { db: open()?, nodes: Mutex::default() })
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

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), NodeError> {
        let mut options = WriteOptions::default();
        // Without it RocksDB loses acknowledged writes when the power goes.
        options.set_sync(durability == Durability::Synced);
        self.db.write_opt(batch, &options).map_err(NodeError::database("writing"))
    }

    /// Whose folder it is; none if it is new.
    pub fn identity(&self) -> Result<Option<Identity>, NodeError> {
        match self.get(META, FORMAT_KEY)? {
            None => return Ok(None),
            Some(format) if format == FORMAT => {}
            Some(format) => return Err(NodeError::Format { found: String::from_utf8_lossy(&format).into_owned() }),
        }
        let bytes = |key: &[u8]| self.get(META, key)?.ok_or_else(|| NodeError::damaged("an entry of its identity is missing"));
        let text = |key: &[u8]| String::from_utf8(bytes(key)?).map_err(|_| NodeError::damaged("an entry of its identity is not text"));
        let genesis = bytes(GENESIS_KEY)?.try_into().map_err(|_| NodeError::damaged("the digest of its genesis"))?;
        let (log_vkey, validator_vkey) = (text(LOG_KEY)?, text(VALIDATOR_KEY)?);
        Ok(Some(Identity { origin: text(ORIGIN_KEY)?, genesis: Hash(genesis), log_vkey, validator_vkey }))
    }

    /// Takes a new folder into possession, with the state before the first block.
    pub fn found(&self, identity: &Identity, genesis: &State) -> Result<(), NodeError> {
        let meta = self.column(META)?;
        let mut batch = WriteBatch::default();
        batch.put_cf(meta, ORIGIN_KEY, &identity.origin);
        batch.put_cf(meta, GENESIS_KEY, identity.genesis.0);
        batch.put_cf(meta, LOG_KEY, &identity.log_vkey);
        batch.put_cf(meta, VALIDATOR_KEY, &identity.validator_vkey);
        batch.put_cf(meta, STATE_KEY, genesis.encode());
        batch.put_cf(self.column(MEMBERS)?, 0_u64.to_be_bytes(), genesis.members().encode());
        batch.put_cf(meta, FORMAT_KEY, FORMAT);
        self.write(batch, Durability::Synced)
    }

    /// Makes a block durable, with everything it changes and the checkpoint after it. `before` are the members that decided on it.
    pub fn commit(
        &self,
        record: &BlockRecord,
        certificate: &CommitCertificate,
        before: &Members,
        checkpoint: Option<&str>,
    ) -> Result<(), NodeError> {
        let mut batch = WriteBatch::default();
        self.put_block(&mut batch, record, certificate)?;
        self.put_members(&mut batch, record, before)?;
        self.put_index(&mut batch, record)?;
        self.put_log(&mut batch, record.block.header.height, &record.applied, checkpoint)?;
        self.put_state(&mut batch, &record.applied)?;
        entrepot_failpoint::reach("chain.before_commit");
        self.write(batch, Durability::Synced)?;
        self.remember(&record.applied.state_nodes.added);
        entrepot_failpoint::reach("chain.after_commit");
        Ok(())
    }
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    options.set_write_buffer_manager(&SHARED.1);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_open_files(FILES_MAX);
    // An idle channel writes nothing, its database's diary included.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // A crash can tear the last record, which nobody was told of. Damage before it is an error and never skipped.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options
}

fn column_options(cache: &Cache) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // Most lookups of a leaf are for one that is not there.
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(COLUMN_WRITTEN_BYTES_MAX);
    options.set_arena_block_size(ARENA_BYTES);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options
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
