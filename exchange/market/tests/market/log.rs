//! A log in memory, as real as the node's: the ledger decides what is logged, proofs lead to checkpoints that its keys signed. Only the
//! disk is missing. The server's tests use it too.

use async_trait::async_trait;
use entrepot_chain_ledger::{Leaf, LeafTransaction, Lookup, LookupError, Outcome, State, Submission};
use entrepot_chain_log::{
    BlockHeader, Checkpoint, CommitCertificate, Decisions, MerkleTree, NoteKey, NoteSignature, NoteSigner, SignedCheckpoint, Tile,
    TlogProof,
    consortium::{
        DecidedHeader, Genesis, HistoryStart, Member, MemberHistory, MemberKeys, MemberRole, Members, VoteKind, VotingRule, vote_message,
    },
    cosignature_vkey, merkle,
    state_tree::{StateNode, StateNodes},
};
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp};
use entrepot_exchange_market::{
    Notary, NotaryError,
    notary::{LogCheckpoint, NotaryLeaf, NotaryOutcome},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

pub const ORIGIN: &str = "entrepot/test";

/// Decides on blocks.
fn consensus() -> SigningKey {
    SigningKey::from_seed(&[203; 32])
}

/// A channel of one member with this cosigning key.
fn genesis(validator: &SigningKey) -> Genesis {
    let key = |seed| SigningKey::from_seed(&[seed; 32]).did();
    let keys = MemberKeys { consensus: consensus().did(), cosigning: validator.did(), transport: key(204) };
    let member = Member { did: key(205), name: "exchange".to_owned(), role: MemberRole::Member, keys };
    Genesis::new(ORIGIN, VotingRule::Majority, &Members::new(vec![member]).expect("one member")).expect("a genesis")
}

/// What the log holds.
struct Content {
    state: State,
    stored: Stored,
    tree: MerkleTree,
    checkpoints: BTreeMap<u64, SignedCheckpoint>,
    witnesses: BTreeMap<u64, usize>,
    headers: Vec<BlockHeader>,
}

/// What the ledger looks up.
#[derive(Default)]
struct Stored {
    indices: HashMap<Hash, u64>,
    nodes: BTreeMap<Hash, StateNode>,
    entries: BTreeMap<Hash, Vec<u8>>,
}

impl StateNodes for Stored {
    type Error = LookupError;
    fn state_node(&self, name: &Hash) -> Result<Option<StateNode>, LookupError> {
        Ok(self.nodes.get(name).copied())
    }
}

impl Lookup for Stored {
    fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LookupError> {
        Ok(self.indices.get(leaf).copied())
    }

    fn entry(&self, value: &Hash) -> Result<Option<Vec<u8>>, LookupError> {
        Ok(self.entries.get(value).cloned())
    }
}

/// A log that a test can take away.
pub struct MemoryLog {
    content: Mutex<Content>,
    signer: NoteSigner,
    validator: NoteSigner,
    genesis: Genesis,
    submitter: SigningKey,
    down: AtomicBool,
}

impl Default for MemoryLog {
    fn default() -> Self {
        let validator = SigningKey::from_seed(&[202; 32]);
        Self {
            content: Mutex::new(Content {
                state: State::genesis(&genesis(&validator)).expect("a channel begins"),
                stored: Stored::default(),
                tree: MerkleTree::new(),
                checkpoints: BTreeMap::new(),
                witnesses: BTreeMap::new(),
                headers: Vec::new(),
            }),
            signer: NoteSigner::log(ORIGIN, SigningKey::from_seed(&[201; 32])).expect("a name"),
            validator: NoteSigner::cosigner(validator.did().as_str(), validator.clone()).expect("a name"),
            genesis: genesis(&validator),
            submitter: SigningKey::from_seed(&[250; 32]),
            down: AtomicBool::new(false),
        }
    }
}

impl MemoryLog {
    /// From now on, or no longer, it does not answer.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    pub fn key(&self) -> &NoteKey {
        self.signer.public()
    }

    /// How the channel begins.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    fn content(&self) -> Result<MutexGuard<'_, Content>, NotaryError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(NotaryError("the log is down".into()));
        }
        Ok(self.content.lock().expect("unpoisoned"))
    }
}

fn leaf(asked: &NotaryLeaf) -> Leaf {
    Leaf {
        salted: asked.salted,
        facts: asked.facts.clone(),
        binds: asked.signatures.iter().map(|(did, _)| did.clone()).collect(),
        signatures: asked.signatures.iter().cloned().collect(),
    }
}

fn shown(checkpoint: &SignedCheckpoint) -> LogCheckpoint {
    LogCheckpoint { size: checkpoint.checkpoint().size, note: checkpoint.to_string() }
}

#[async_trait]
impl Notary for MemoryLog {
    async fn submit(&self, leaves: &[NotaryLeaf]) -> Result<Vec<NotaryOutcome>, NotaryError> {
        let mut content = self.content()?;
        let first = content.state.next_sequence(&self.submitter.did());
        let genesis = content.state.genesis_digest();
        let sign = |(sequence, asked)| LeafTransaction::sign(&genesis, leaf(asked), sequence, &self.submitter).into();
        let transactions = (first..).zip(leaves).map(sign).collect();
        let submissions = Submission::check(&genesis, transactions);
        let draft = content.state.draft(&content.stored, Timestamp(1), submissions).expect("lookups work");
        let mut index = content.state.log_size();
        for leaf in &draft.applied.leaves {
            content.stored.indices.insert(*leaf, index);
            content.tree.push(&leaf.0);
            index += 1;
        }
        content.stored.nodes.extend(draft.applied.state_nodes.added);
        content.stored.entries.extend(draft.applied.entries);
        content.state = draft.applied.state;
        content.headers.extend(draft.block.map(|block| block.header));
        if !draft.applied.leaves.is_empty() {
            let unsigned = Checkpoint { origin: ORIGIN.to_owned(), size: index, root: content.state.log_root() };
            let mut checkpoint = unsigned.sign(&self.signer).expect("signs");
            let line = checkpoint.cosign(&self.validator, 1);
            checkpoint.add_cosignature(self.validator.public(), line).expect("its own");
            content.checkpoints.insert(index, checkpoint);
        }
        let told = draft.applied.verdicts.into_iter().map(|verdict| match verdict.outcome {
            Outcome::Accepted { index } => NotaryOutcome::Logged { index },
            Outcome::Members(_) | Outcome::Right { .. } => unreachable!("only leaves are submitted"),
            Outcome::Rejected(why) => NotaryOutcome::Rejected { reason: format!("{}: {why}", why.code()) },
        });
        Ok(told.collect())
    }

    async fn proof(&self, leaf: &Hash) -> Result<Option<String>, NotaryError> {
        let found = {
            let content = self.content()?;
            content.stored.indices.get(leaf).copied().map(|index| {
                let covering = content.witnesses.range(index + 1..);
                (index, covering.max_by_key(|(size, count)| (**count, **size)).map(|(size, _)| *size))
            })
        };
        match found {
            Some((index, size)) => self.proof_at(index, size).await,
            None => Ok(None),
        }
    }

    async fn proof_at(&self, index: u64, size: Option<u64>) -> Result<Option<String>, NotaryError> {
        let content = self.content()?;
        let size = size.unwrap_or(content.state.log_size());
        let Some(checkpoint) = content.checkpoints.get(&size).filter(|_| index < size).cloned() else { return Ok(None) };
        let path = merkle::inclusion_proof(&content.tree, index, size).expect("nodes are there");
        Ok(Some(TlogProof { extra: None, index, path, checkpoint }.to_string()))
    }

    async fn checkpoint(&self) -> Result<Option<LogCheckpoint>, NotaryError> {
        Ok(self.content()?.checkpoints.last_key_value().map(|(_, checkpoint)| shown(checkpoint)))
    }

    async fn checkpoint_at(&self, size: u64) -> Result<Option<LogCheckpoint>, NotaryError> {
        Ok(self.content()?.checkpoints.get(&size).map(shown))
    }

    async fn consistency(&self, from: u64, to: u64) -> Result<Option<Vec<Hash>>, NotaryError> {
        let content = self.content()?;
        if from > to || to > content.state.log_size() {
            return Ok(None);
        }
        Ok(Some(merkle::consistency_proof(&content.tree, from, to).expect("nodes are there")))
    }

    async fn tile(&self, tile: &Tile) -> Result<Option<Vec<u8>>, NotaryError> {
        let content = self.content()?;
        let entry = |index| Ok(content.stored.indices.iter().find(|(_, at)| **at == index).map(|(leaf, _)| *leaf));
        Ok(tile.read(content.state.log_size(), &content.tree, entry).expect("nodes are there"))
    }

    async fn decisions(&self, sizes: &BTreeSet<u64>) -> Result<Option<Decisions>, NotaryError> {
        let content = self.content()?;
        let decided = |size: &u64| {
            let at = content.headers.iter().position(|header| header.log_size == *size)?;
            let header = content.headers[at].clone();
            let (height, block) = (header.height, header.hash());
            let message = vote_message(&self.genesis.digest(), VoteKind::Precommit, height, 0, Some(&block));
            let signatures = [(consensus().did(), consensus().sign(&message))].into();
            let certificate = CommitCertificate { height, round: 0, block, signatures };
            Some(DecidedHeader { parent: at.checked_sub(1).map(|before| content.headers[before].clone()), header, certificate })
        };
        let history = MemberHistory { start: HistoryStart::Genesis(self.genesis.clone()), steps: Vec::new() };
        Ok(sizes.iter().map(decided).collect::<Option<_>>().map(|headers| Decisions { history, headers }))
    }

    async fn add_cosignature(&self, size: u64, line: &str) -> Result<bool, NotaryError> {
        let mut content = self.content()?;
        let Ok(signature) = line.parse::<NoteSignature>() else { return Ok(false) };
        let Ok(witness) = signature.name().parse::<Did>() else { return Ok(false) };
        let Some(checkpoint) = content.checkpoints.get_mut(&size) else { return Ok(false) };
        let kept = checkpoint.add_cosignature(&cosignature_vkey(&witness), signature).is_ok();
        let count = checkpoint.note().signatures().len();
        content.witnesses.insert(size, count);
        Ok(kept)
    }
}
