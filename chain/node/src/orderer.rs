//! Who decides which block comes next. One member decides alone; several do by consensus, behind the same trait.
//!
//! The orderer asks, the ledger answers: [`Orderer::next`] yields one [`Task`] after the other, and a task is done before the next is
//! asked for. Blocks are bytes and a hash to the orderer; transactions are bytes.

use crate::store::described;
use async_trait::async_trait;
use entrepot_chain_consensus::{
    Archive, Committed, Consortium, ConsortiumConfig, ConsortiumError, Drafted, Mesh, Task, host::header_hash, stand_alone,
};
use entrepot_chain_log::consortium::{CommitCertificate, VoteKind, vote_message};
use entrepot_chain_statement::{Did, Hash, SigningKey};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tokio::sync::{oneshot, watch};

/// The orderer cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct OrdererError(pub String);

impl From<ConsortiumError> for OrdererError {
    fn from(error: ConsortiumError) -> Self {
        Self(described(&error))
    }
}

/// Orders blocks. Used by one task.
#[async_trait]
pub trait Orderer: Send + 'static {
    /// Before all else: where the ledger stands, and where old blocks are read.
    fn begin(&mut self, head: Committed, archive: Arc<dyn Archive>) -> Result<(), OrdererError>;

    /// Something waits to be ordered. A [`Task::Commit`] ends the offers that were made before it; its reply says whether something still
    /// waits.
    fn offer(&mut self);

    /// Encoded transactions that were submitted here, for the other members. Not all of them can be ordered yet.
    fn tell(&mut self, transactions: Vec<Vec<u8>>);

    /// Our own cosignature of a checkpoint, for the other members.
    fn cosigned(&mut self, size: u64, line: String);

    /// What to do next; waits while there is nothing. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Task, OrdererError>;

    /// Whether there are others to `tell`, whose transactions may be on their way here.
    fn gossips(&self) -> bool {
        true
    }

    /// Whether this member only follows for the moment, because it cannot know what it signed. Asked once it has begun.
    fn follows(&self) -> watch::Receiver<bool> {
        watch::channel(false).1
    }
}

/// A channel of one member, which decides alone: what it drafts is decided. Once others have joined it decides nothing more.
pub struct SoleMember {
    key: SigningKey,
    genesis: Hash,
    log: Option<PathBuf>,
    height: u64,
    offered: bool,
    waits: Waits,
}

/// For which reply.
enum Waits {
    No,
    Draft(oneshot::Receiver<Drafted>),
    Commit(oneshot::Receiver<Committed>),
}

impl SoleMember {
    /// Decides with this consensus key in the channel with this genesis digest.
    pub fn new(key: SigningKey, genesis: Hash) -> Self {
        Self { key, genesis, log: None, height: 0, offered: false, waits: Waits::No }
    }

    /// Keeps the folder of a consensus log from now on, with which a [`Seat`] can go on once others have joined.
    pub fn with_log(self, folder: PathBuf) -> Self {
        Self { log: Some(folder), ..self }
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
                "the channel has {} members from block {} on, and none of them decides alone: restart with [consortium], naming this \
                 channel's genesis file and where the others are",
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
        self.stand(&head)?;
        self.log.as_ref().map_or(Ok(()), |folder| stand_alone(folder, head.height)).map_err(OrdererError::from)
    }

    fn offer(&mut self) {
        self.offered = true;
    }

    fn tell(&mut self, _transactions: Vec<Vec<u8>>) {}

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
                    let drafted = draft.await.map_err(|_| OrdererError("the ledger made no block".to_owned()))?;
                    self.waits = Waits::No;
                    // Alone there is no height that somebody started and that must end.
                    if drafted.empty {
                        continue;
                    }
                    let block = drafted.block;
                    let hash = header_hash(&block).ok_or_else(|| OrdererError("the ledger's block has no header".to_owned()))?;
                    let (reply, committed) = oneshot::channel();
                    self.waits = Waits::Commit(committed);
                    return Ok(Task::Commit { block, certificate: self.certificate(hash), reply });
                }
                Waits::Commit(committed) => {
                    let committed = committed.await.map_err(|_| OrdererError("the ledger made no block durable".to_owned()))?;
                    self.waits = Waits::No;
                    self.offered = committed.waiting;
                    self.stand(&committed)?;
                }
            }
        }
    }
}

/// Orders nothing: for whoever opens a folder only to read it.
pub struct Reader;

#[async_trait]
impl Orderer for Reader {
    fn begin(&mut self, _head: Committed, _archive: Arc<dyn Archive>) -> Result<(), OrdererError> {
        Ok(())
    }

    fn offer(&mut self) {}

    fn tell(&mut self, _transactions: Vec<Vec<u8>>) {}

    fn cosigned(&mut self, _size: u64, _line: String) {}

    fn gossips(&self) -> bool {
        false
    }

    async fn next(&mut self) -> Result<Task, OrdererError> {
        std::future::pending().await
    }
}

/// A seat in a channel of several members: what they decide by consensus is ordered.
pub struct Seat {
    mesh: Arc<Mesh>,
    cosigning: Did,
    taken: Taken,
}

enum Taken {
    NotYet(Option<Box<ConsortiumConfig>>),
    Yes(Consortium),
}

impl Seat {
    /// A seat that is taken when the node opens. `cosigning` is the public half of the node's cosigning key.
    pub fn new(config: ConsortiumConfig, mesh: Arc<Mesh>, cosigning: Did) -> Self {
        Self { mesh, cosigning, taken: Taken::NotYet(Some(Box::new(config))) }
    }
}

#[async_trait]
impl Orderer for Seat {
    fn begin(&mut self, head: Committed, archive: Arc<dyn Archive>) -> Result<(), OrdererError> {
        let Taken::NotYet(config) = &mut self.taken else { return Err(OrdererError("the seat is taken".to_owned())) };
        let config = config.take().ok_or_else(|| OrdererError("the seat could not be taken before".to_owned()))?;
        let (channel, heard) = self.mesh.open(config.genesis, BTreeMap::new());
        self.taken = Taken::Yes(Consortium::start(*config, head, archive, channel, heard)?);
        Ok(())
    }

    fn offer(&mut self) {
        if let Taken::Yes(consortium) = &self.taken {
            consortium.offer();
        }
    }

    fn tell(&mut self, transactions: Vec<Vec<u8>>) {
        if let Taken::Yes(consortium) = &self.taken {
            consortium.tell(transactions);
        }
    }

    fn cosigned(&mut self, size: u64, line: String) {
        if let Taken::Yes(consortium) = &self.taken {
            consortium.cosigned(size, self.cosigning.clone(), line);
        }
    }

    fn follows(&self) -> watch::Receiver<bool> {
        match &self.taken {
            Taken::Yes(consortium) => consortium.follows(),
            Taken::NotYet(_) => watch::channel(false).1,
        }
    }

    async fn next(&mut self) -> Result<Task, OrdererError> {
        match &mut self.taken {
            Taken::Yes(consortium) => Ok(consortium.next().await?),
            Taken::NotYet(_) => Err(OrdererError("the seat is not taken yet".to_owned())),
        }
    }
}
