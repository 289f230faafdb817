//! What can go wrong with a node.

use crate::orderer::OrdererError;
use entrepot_chain_ledger::ApplyError;
use entrepot_chain_log::consortium::GenesisError;
use entrepot_chain_statement::Hash;
use std::{path::PathBuf, sync::Arc};

/// ENOSPC, EDQUOT, EFBIG and RocksDB's own limit.
const FULL: [&str; 4] = ["No space left on device", "Disk quota exceeded", "File too large", "Space limit reached"];

/// Why a node did not open, or does not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NodeError {
    /// There is no room for what is to be durable.
    #[error("the disk is full, or a file may not grow, while {doing}: make room, then start again; nothing that was acknowledged is lost")]
    Full {
        /// What was being done.
        doing: &'static str,
        /// What RocksDB says.
        #[source]
        source: rocksdb::Error,
    },
    /// RocksDB failed: the disk is broken, or another process has the folder open.
    #[error("the chain's database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: rocksdb::Error,
    },
    /// Another process has the folder open.
    #[error("the chain's folder {0} is in use by another process: stop that one first")]
    InUse(PathBuf),
    /// The folder has another format.
    #[error("the folder has the format {found}, which this version does not read: found a new channel, or use the version that wrote it")]
    Format {
        /// The format that is there.
        found: String,
    },
    /// The channel cannot begin so.
    #[error("the genesis is wrong")]
    Genesis(#[source] Arc<GenesisError>),
    /// The folder belongs to another channel.
    #[error("the folder holds the channel with the genesis {found}, not {expected}; give the genesis that it was founded with")]
    OtherGenesis {
        /// The digest of the genesis that was given.
        expected: Hash,
        /// The digest of the one that is there.
        found: Hash,
    },
    /// The folder belongs to another log.
    #[error("the folder holds the log {found}, not {expected}")]
    Origin {
        /// The log that was to be opened.
        expected: String,
        /// The log that is there.
        found: String,
    },
    /// The folder belongs to other keys.
    #[error("the folder holds a log of the {role} {found}, not {expected}; give the key that it was made with")]
    Key {
        /// Log or validator.
        role: &'static str,
        /// The vkey that was given.
        expected: String,
        /// The vkey that is there.
        found: String,
    },
    /// A name that notes cannot have.
    #[error("{0} is no name of a log")]
    Name(String),
    /// What is stored contradicts itself. Nothing was repaired: restore the latest backup, or keep the folder for whoever looks into it.
    #[error("the chain's database is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// A stored or decided block does not follow the chain.
    #[error("block {height} does not follow the chain")]
    Block {
        /// Its height.
        height: u64,
        /// Why.
        #[source]
        source: Arc<ApplyError>,
    },
    /// The orderer decided on something that is no block, or its certificate does not show that the members decided on it.
    #[error("what was decided at height {height} is no block that its certificate shows to be the members' decision")]
    Decision {
        /// The height.
        height: u64,
    },
    /// The orderer failed.
    #[error("the orderer failed")]
    Orderer(#[from] OrdererError),
    /// The node stopped after an earlier failure, or was closed. What was submitted may have been logged: submit it again after a restart.
    #[error("the node has stopped: {why}")]
    Stopped {
        /// The earlier failure, in words.
        why: String,
    },
    /// More transactions in one submission than a block holds.
    #[error("a submission holds at most {limit} transactions")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Others use the same key at the same time. What was submitted is undecided: submit it again.
    #[error("somebody else submits under the same key: after numbering anew {times} times something is still out of turn")]
    Renumbered {
        /// So often.
        times: usize,
    },
    /// A folder that must not exist yet does.
    #[error("{0} exists already")]
    Exists(PathBuf),
    /// A file could not be copied.
    #[error("copying {path}")]
    Copy {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
}

impl NodeError {
    pub(crate) fn database(doing: &'static str) -> impl FnOnce(rocksdb::Error) -> Self {
        // Of an input or output error RocksDB tells the kind in words alone, those of the operating system.
        move |source: rocksdb::Error| match source.as_ref() {
            text if FULL.iter().any(|words| text.contains(words)) => Self::Full { doing, source },
            _ => Self::Database { doing, source },
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}
