//! Who decides which block comes next. One member decides alone; a consortium's consensus engine goes behind the same trait.
//!
//! The orderer asks, the ledger answers: [`Orderer::next`] yields one [`Task`] after the other, and a task is done before the next is
//! asked for. Blocks are bytes and a hash to the orderer; transactions are bytes.

use async_trait::async_trait;
use entrepot_chain_log::{
    codec::{DecodeError, Reader},
    consortium::{BlockHeader, CommitCertificate, Members, VoteKind, vote_message},
};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::oneshot;

/// The orderer cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct OrdererError(pub String);

/// An old block cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the archive of blocks cannot be read")]
pub struct ArchiveError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// What an orderer wants of the ledger. A reply whose receiver is gone is no error.
#[derive(Debug)]
pub enum Task {
    /// We propose: make a block of what waits for this height. Without anything to order it is an empty block. No reply comes for a height
    /// that is not the next.
    Draft {
        /// The height after the last decided one.
        height: u64,
        /// Where the encoded block goes.
        reply: oneshot::Sender<Vec<u8>>,
    },
    /// Another proposes: may this block follow the last decided one?
    Check {
        /// Its encoding.
        block: Vec<u8>,
        /// Its hash if it may.
        reply: oneshot::Sender<Option<Hash>>,
    },
    /// A block is decided: make it durable, answer those who wait, then reply.
    Commit {
        /// Its encoding.
        block: Vec<u8>,
        /// Who decided.
        certificate: CommitCertificate,
        /// Where the ledger stands after it.
        reply: oneshot::Sender<Committed>,
    },
    /// Transactions that were submitted to another member.
    Submitted {
        /// Their encodings.
        transactions: Vec<Vec<u8>>,
    },
    /// Another member's cosignature of our checkpoint.
    Cosignature {
        /// Entries of the log at that checkpoint.
        size: u64,
        /// The cosigning key.
        key: Did,
        /// The signature line.
        line: String,
    },
    /// Proof that a member misbehaved, to be kept.
    Evidence {
        /// At which height.
        height: u64,
        /// What the orderer makes of it.
        bytes: Vec<u8>,
    },
}

/// Where the ledger stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Height of the last durable block; 0 before the first.
    pub height: u64,
    /// Its hash; the genesis digest before the first.
    pub block: Hash,
    /// Who decides on the next one.
    pub members: Members,
}

/// Orders blocks. Used by one task.
#[async_trait]
pub trait Orderer: Send + 'static {
    /// Before all else: where the ledger stands, and where old blocks are read.
    fn begin(&mut self, head: Committed, archive: Arc<dyn Archive>) -> Result<(), OrdererError>;

    /// Something waits to be ordered. A [`Task::Commit`] ends the offers that were made before it: what still waits after it is offered
    /// again before its reply. `fresh` are those encoded transactions that were submitted here and that other members have not heard of.
    fn offer(&mut self, fresh: Vec<Vec<u8>>);

    /// Our own cosignature of a checkpoint, for the other members.
    fn cosigned(&mut self, size: u64, line: String);

    /// What to do next; waits while there is nothing. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Task, OrdererError>;

    /// Whether `offer` wants the fresh transactions; else they are not encoded.
    fn gossips(&self) -> bool {
        true
    }
}

/// Durable blocks. Reads block.
pub trait Archive: Send + Sync {
    /// The encoded block of a height and its certificate; none before the first that is kept and after the last.
    fn certified(&self, height: u64) -> Result<Option<(Vec<u8>, CommitCertificate)>, ArchiveError>;
    /// The lowest height whose block is kept.
    fn first_height(&self) -> u64;
}

/// A channel of one member, which decides alone: what it drafts is decided.
pub struct SoleMember {
    key: SigningKey,
    genesis: Hash,
    height: u64,
    offered: bool,
    waits: Waits,
}

/// For which reply.
enum Waits {
    No,
    Draft(oneshot::Receiver<Vec<u8>>),
    Commit(oneshot::Receiver<Committed>),
}

impl SoleMember {
    /// Decides with this consensus key in the channel with this genesis digest.
    pub fn new(key: SigningKey, genesis: Hash) -> Self {
        Self { key, genesis, height: 0, offered: false, waits: Waits::No }
    }

    /// This key must be the one that decides on the next block.
    fn stand(&mut self, head: &Committed) -> Result<(), OrdererError> {
        self.height = head.height;
        match head.members.as_slice() {
            [only] if only.keys.consensus == self.key.did() => Ok(()),
            [only] => Err(OrdererError(format!(
                "the channel's member {} decides with the consensus key {}, not {}: start with that key",
                only.did,
                only.keys.consensus,
                self.key.did()
            ))),
            members => Err(OrdererError(format!(
                "the channel has {} members from block {} on: run its nodes as a consortium",
                members.len(),
                head.height + 1
            ))),
        }
    }

    fn certificate(&self, block: Hash) -> CommitCertificate {
        let message = vote_message(&self.genesis, VoteKind::Precommit, self.height + 1, 0, Some(&block));
        let signatures = BTreeMap::from([(self.key.did(), self.key.sign(&message))]);
        CommitCertificate { height: self.height + 1, round: 0, block, signatures }
    }
}

#[async_trait]
impl Orderer for SoleMember {
    fn begin(&mut self, head: Committed, _archive: Arc<dyn Archive>) -> Result<(), OrdererError> {
        self.stand(&head)
    }

    fn offer(&mut self, _fresh: Vec<Vec<u8>>) {
        self.offered = true;
    }

    fn cosigned(&mut self, _size: u64, _line: String) {}

    fn gossips(&self) -> bool {
        false
    }

    async fn next(&mut self) -> Result<Task, OrdererError> {
        loop {
            match &mut self.waits {
                Waits::No if self.offered => {
                    self.offered = false;
                    let (reply, draft) = oneshot::channel();
                    self.waits = Waits::Draft(draft);
                    return Ok(Task::Draft { height: self.height + 1, reply });
                }
                Waits::No => std::future::pending().await,
                Waits::Draft(draft) => {
                    let block = draft.await.map_err(|_| OrdererError("the ledger made no block".to_owned()))?;
                    self.waits = Waits::No;
                    let Some(hash) = hash_unless_empty(&block).map_err(|error| OrdererError(format!("the ledger's block: {error}")))?
                    else {
                        continue;
                    };
                    let (reply, committed) = oneshot::channel();
                    self.waits = Waits::Commit(committed);
                    self.offered = false;
                    return Ok(Task::Commit { block, certificate: self.certificate(hash), reply });
                }
                Waits::Commit(committed) => {
                    let committed = committed.await.map_err(|_| OrdererError("the ledger made no block durable".to_owned()))?;
                    self.waits = Waits::No;
                    self.stand(&committed)?;
                }
            }
        }
    }
}

/// The hash of a block; none if it holds no transactions: alone there is no height that somebody started and that must end.
fn hash_unless_empty(block: &[u8]) -> Result<Option<Hash>, DecodeError> {
    let mut reader = Reader::new(block);
    let header = BlockHeader::read(&mut reader)?;
    Ok(if reader.u32()? == 0 { None } else { Some(header.hash()) })
}
