//! A chain in memory with real members, headers and certificates. Its ledger is a toy: a transaction logs a leaf for whoever signed it.

use async_trait::async_trait;
use entrepot_api_server::chain::*;
use entrepot_chain_log::{
    BlockHeader, CommitCertificate, Genesis, Member, Members, MerkleTree,
    consortium::{MemberKeys, MemberRole, VoteKind, VotingRule, vote_message},
    merkle,
};
use entrepot_chain_statement::{Did, Hash, SigningKey, Timestamp};
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

pub const ORIGIN: &str = "entrepot/test-chain";
pub const BLOCK_MS: i64 = 1000;

/// Time of a block.
pub fn time(height: u64) -> Timestamp {
    Timestamp(height as i64 * BLOCK_MS)
}

fn key(organisation: u8, purpose: u8) -> SigningKey {
    let mut seed = [organisation; 32];
    seed[0] = purpose;
    SigningKey::from_seed(&seed)
}

fn member(organisation: u8) -> Member {
    let did = |purpose| key(organisation, purpose).did();
    Member {
        did: did(0),
        name: format!("Member {organisation}"),
        role: MemberRole::Member,
        keys: MemberKeys { consensus: did(1), cosigning: did(2), transport: did(3) },
    }
}

fn set(organisations: &[u8]) -> Members {
    Members::new(organisations.iter().map(|o| member(*o)).collect()).expect("members")
}

/// Bytes of a transaction.
pub fn transaction(submitter: &SigningKey, sequence: u64, leaf: Hash) -> Vec<u8> {
    let told = [&submitter.did().public_bytes()[..], &sequence.to_be_bytes(), &leaf.0].concat();
    [&told[..], &submitter.sign(&told)].concat()
}

struct Content {
    headers: Vec<BlockHeader>,
    certificates: Vec<CommitCertificate>,
    blocks: Vec<Vec<TransactionRecord>>,
    states: Vec<BTreeMap<Hash, Vec<u8>>>,
    waiting: Vec<TransactionRecord>,
    evidence: Vec<EvidenceRecord>,
    /// Organisations, by the first height that they decide on.
    sets: BTreeMap<u64, Vec<u8>>,
    log: MerkleTree,
    log_size: u64,
}

pub struct MemoryChain {
    content: Mutex<Content>,
    genesis: Genesis,
    heights: watch::Sender<u64>,
    down: AtomicBool,
    halted: AtomicBool,
    following: AtomicBool,
    first_height: AtomicU64,
}

pub fn state_key(name: &Did) -> Hash {
    Hash::of(&[b"submitter", &name.public_bytes()])
}

/// The toy's commitment: the hash of everything, in order. A proof of presence or absence is everything.
pub fn state_root(entries: &[u8]) -> Hash {
    Hash::of(&[entries])
}

fn state_bytes(state: &BTreeMap<Hash, Vec<u8>>) -> Vec<u8> {
    state.iter().flat_map(|(key, value)| [&key.0[..], &Hash::of(&[value]).0].concat()).collect()
}

impl Default for MemoryChain {
    fn default() -> Self {
        let first = vec![1, 2, 3, 4];
        Self {
            genesis: Genesis::new(ORIGIN, VotingRule::TwoThirds, &set(&first)).expect("a genesis"),
            content: Mutex::new(Content {
                headers: Vec::new(),
                certificates: Vec::new(),
                blocks: Vec::new(),
                states: Vec::new(),
                waiting: Vec::new(),
                evidence: Vec::new(),
                sets: BTreeMap::from([(1, first)]),
                log: MerkleTree::new(),
                log_size: 0,
            }),
            heights: watch::Sender::new(0),
            down: AtomicBool::new(false),
            halted: AtomicBool::new(false),
            following: AtomicBool::new(false),
            first_height: AtomicU64::new(1),
        }
    }
}

impl Content {
    fn set(&self, height: u64) -> &[u8] {
        self.sets.range(..=height).next_back().map_or(&[], |(_, set)| set)
    }

    fn verdict(&self, record: &TransactionRecord) -> Verdict {
        let (told, signature) = record.encoded.split_at(72);
        if !record.submitter.verify(told, signature) {
            return Verdict::Rejected { code: "bad_submitter_signature".into(), reason: "the submitter did not sign this".into() };
        }
        Verdict::Accepted { index: Some(self.log_size) }
    }

    fn found(&self, hash: &Hash) -> Option<TransactionRecord> {
        self.blocks.iter().flatten().chain(&self.waiting).find(|record| record.hash == *hash).cloned()
    }
}

impl MemoryChain {
    fn content(&self) -> Result<MutexGuard<'_, Content>, ChainError> {
        if self.down.load(Ordering::Relaxed) {
            return Err(ChainError::Unavailable(Box::new(io::Error::other("the disk is gone"))));
        }
        Ok(self.content.lock().expect("unpoisoned"))
    }

    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// From now on nothing is decided unless a test says so.
    pub fn set_following(&self, following: bool) {
        self.following.store(following, Ordering::Relaxed);
    }

    pub fn set_halted(&self, halted: bool) {
        self.halted.store(halted, Ordering::Relaxed);
    }

    pub fn prune(&self, first_height: u64) {
        self.first_height.store(first_height, Ordering::Relaxed);
    }

    /// The block decided next carries the vote: these decide two heights later.
    pub fn replace_members(&self, organisations: &[u8]) {
        let mut content = self.content().expect("up");
        let height = content.headers.len() as u64 + 3;
        content.sets.insert(height, organisations.to_vec());
    }

    pub fn add_evidence(&self, height: u64, evidence: &[u8]) {
        let mut content = self.content().expect("up");
        let number = content.evidence.len() as u64 + 1;
        content.evidence.push(EvidenceRecord { number, height, evidence: evidence.to_vec() });
    }

    /// A block whose height is told and which cannot be read.
    pub fn decide_and_break(&self) {
        self.set_down(true);
        self.heights.send_modify(|height| *height += 1);
    }

    /// Decides on a block of everything that waits.
    pub fn decide(&self) {
        let mut content = self.content().expect("up");
        let height = content.headers.len() as u64 + 1;
        let mut state = content.states.last().cloned().unwrap_or_default();
        let mut records = std::mem::take(&mut content.waiting);
        for (place, record) in records.iter_mut().enumerate() {
            let verdict = content.verdict(record);
            if let (Verdict::Accepted { .. }, Some(leaf)) = (&verdict, record.leaf) {
                content.log.push(&leaf.0);
                content.log_size += 1;
                state.insert(state_key(&record.submitter), record.sequence.to_be_bytes().to_vec());
            }
            let at = TransactionPosition { height, place: place as u32 };
            record.status = TransactionStatus::Decided { at, time: time(height), verdict };
        }
        let hashes: Vec<u8> = records.iter().flat_map(|record| record.hash.0).collect();
        let header = BlockHeader {
            height,
            previous: content.headers.last().map_or(self.genesis.digest(), BlockHeader::hash),
            time: time(height),
            transactions: Hash::of(&[&hashes]),
            log_size: content.log_size,
            log_root: merkle::root(&content.log, content.log_size).expect("nodes are there"),
            state_root: state_root(&state_bytes(&state)),
            next_members: set(content.set(height + 1)).digest(),
        };
        let block = header.hash();
        let message = vote_message(&self.genesis.digest(), VoteKind::Precommit, height, 0, Some(&block));
        let signers = content.set(height).iter().map(|organisation| key(*organisation, 1));
        let signatures = signers.map(|key| (key.did(), key.sign(&message))).collect();
        content.headers.push(header);
        content.certificates.push(CommitCertificate { height, round: 0, block, signatures });
        content.blocks.push(records);
        content.states.push(state);
        drop(content);
        self.heights.send_replace(height);
    }
}

fn at<T: Clone>(list: &[T], height: u64) -> Option<T> {
    list.get(usize::try_from(height.checked_sub(1)?).ok()?).cloned()
}

#[async_trait]
impl ChainReader for MemoryChain {
    async fn genesis(&self) -> Result<Genesis, ChainError> {
        self.content().map(|_| self.genesis.clone())
    }
    async fn head(&self) -> Result<Head, ChainError> {
        let height = self.content()?.headers.len() as u64;
        let last = if height == 0 { None } else { self.block(BlockName::Height(height)).await? };
        let first_height = self.first_height.load(Ordering::Relaxed);
        Ok(Head { origin: ORIGIN.into(), genesis: self.genesis.digest(), last, first_height })
    }
    fn heights(&self) -> watch::Receiver<u64> {
        self.heights.subscribe()
    }
    async fn block(&self, name: BlockName) -> Result<Option<BlockRecord>, ChainError> {
        let content = self.content()?;
        let header = match name {
            BlockName::Height(height) => at(&content.headers, height),
            BlockName::Hash(hash) => content.headers.iter().find(|header| header.hash() == hash).cloned(),
        };
        let first_height = self.first_height.load(Ordering::Relaxed);
        if header.as_ref().is_some_and(|header| header.height < first_height) {
            return Err(ChainError::Pruned { first_height });
        }
        Ok(header.map(|header| BlockRecord { transactions: content.blocks[header.height as usize - 1].len() as u32, header }))
    }
    async fn blocks(&self, before: Option<u64>, limit: u32) -> Result<Part<BlockRecord, u64>, ChainError> {
        let head = self.content()?.headers.len() as u64;
        let heights = (1..before.unwrap_or(u64::MAX).min(head + 1)).rev().take(limit as usize + 1);
        let mut found = Vec::new();
        for height in heights {
            found.extend(self.block(BlockName::Height(height)).await?);
        }
        Ok(Part::cut(found, limit, |block| block.header.height))
    }
    async fn first_block_since(&self, time: Timestamp) -> Result<Option<u64>, ChainError> {
        Ok(self.content()?.headers.iter().find(|header| header.time >= time).map(|header| header.height))
    }
    async fn certificate(&self, height: u64) -> Result<Option<CommitCertificate>, ChainError> {
        Ok(at(&self.content()?.certificates, height))
    }
    async fn transactions_of(&self, height: u64, from: u32, limit: u32) -> Result<Part<TransactionRecord, u32>, ChainError> {
        let records = at(&self.content()?.blocks, height).unwrap_or_default();
        let items: Vec<_> = records.iter().skip(from as usize).take(limit as usize).cloned().collect();
        let next = from.saturating_add(items.len() as u32);
        Ok(Part { next: (next < records.len() as u32).then_some(next), items })
    }
    async fn transaction(&self, hash: &Hash) -> Result<Option<TransactionRecord>, ChainError> {
        Ok(self.content()?.found(hash))
    }
    async fn transactions(
        &self,
        search: &TransactionSearch,
        before: Option<TransactionPosition>,
        limit: u32,
    ) -> Result<Part<TransactionRecord, TransactionPosition>, ChainError> {
        let position = |record: &TransactionRecord| match &record.status {
            TransactionStatus::Decided { at, .. } => *at,
            other => panic!("{other:?} in a block"),
        };
        let content = self.content()?;
        let found = content.blocks.iter().flatten().rev().filter(|record| {
            let at = position(record);
            at.height >= search.from_height
                && before.is_none_or(|before| at < before)
                && search.leaf.is_none_or(|leaf| record.leaf == Some(leaf))
                && search.subject.as_ref().is_none_or(|subject| record.submitter == *subject)
        });
        Ok(Part::cut(found.take(limit as usize + 1).cloned().collect(), limit, position))
    }
    async fn members(&self, height: Option<u64>) -> Result<Option<MembersAt>, ChainError> {
        let content = self.content()?;
        let head = content.headers.len() as u64;
        let height = height.unwrap_or(head + 1);
        Ok((1..=head + 2).contains(&height).then(|| MembersAt { height, members: set(content.set(height)) }))
    }
    async fn members_history(&self, after: Option<u64>, limit: u32) -> Result<Part<MembersEpoch, u64>, ChainError> {
        let content = self.content()?;
        let known = content.sets.range(after.unwrap_or(0) + 1..=content.headers.len() as u64 + 1);
        let epoch = |(from_height, organisations): (&u64, &Vec<u8>)| MembersEpoch {
            from_height: *from_height,
            members: set(organisations),
            proof: at(&content.headers, from_height - 1).zip(at(&content.certificates, from_height - 1)),
        };
        Ok(Part::cut(known.take(limit as usize + 1).map(epoch).collect(), limit, |epoch| epoch.from_height))
    }
    async fn state(&self, key: &Hash, height: Option<u64>) -> Result<Option<StateEntry>, ChainError> {
        let content = self.content()?;
        let height = height.unwrap_or(content.headers.len() as u64);
        let Some(((state, header), certificate)) =
            at(&content.states, height).zip(at(&content.headers, height)).zip(at(&content.certificates, height))
        else {
            return Ok(None);
        };
        Ok(Some(StateEntry { value: state.get(key).cloned(), proof: state_bytes(&state), header, certificate }))
    }
    async fn evidence(&self, before: Option<u64>, limit: u32) -> Result<Part<EvidenceRecord, u64>, ChainError> {
        let content = self.content()?;
        let found = content.evidence.iter().rev().filter(|record| before.is_none_or(|before| record.number < before));
        Ok(Part::cut(found.take(limit as usize + 1).cloned().collect(), limit, |record| record.number))
    }
    async fn health(&self) -> Result<Health, ChainError> {
        let height = self.content()?.headers.len() as u64;
        let peer = |organisation, connection| PeerHealth {
            member: member(organisation).did,
            name: member(organisation).name,
            connection,
            height: (connection == Connection::Open).then_some(height),
        };
        let failure = self.halted.load(Ordering::Relaxed).then(|| "a write failed".to_owned());
        let peers = vec![peer(2, Connection::Open), peer(3, Connection::Open), peer(4, Connection::None)];
        Ok(Health { height, member: Some(member(1).did), following: self.following.load(Ordering::Relaxed), failure, peers })
    }
    async fn submit(&self, encoded: Vec<u8>, wait: Duration) -> Result<Submitted, SubmitError> {
        let malformed = |why: &str| SubmitError::Malformed { why: why.to_owned() };
        let bytes: &[u8; 136] = encoded.as_slice().try_into().map_err(|_| malformed("the bytes end too early, or are left over"))?;
        let submitter = Did::from_public_bytes(bytes[..32].try_into().expect("32")).map_err(|_| malformed("not an Ed25519 key"))?;
        let hash = Hash::of(&[&encoded]);
        let (sequence, leaf) = (u64::from_be_bytes(bytes[32..40].try_into().expect("8")), Hash(bytes[40..72].try_into().expect("32")));
        {
            let mut content = self.content().map_err(|error| SubmitError::Unavailable(Box::new(error)))?;
            if content.found(&hash).is_none() {
                content.waiting.push(TransactionRecord {
                    hash,
                    kind: TransactionKind::Leaf,
                    action: "usage-receipt".into(),
                    submitter: submitter.clone(),
                    sequence,
                    leaf: Some(leaf),
                    binds: vec![submitter],
                    encoded,
                    status: TransactionStatus::Pending,
                });
            }
        }
        if self.halted.load(Ordering::Relaxed) {
            tokio::time::sleep(wait.min(Duration::from_millis(300))).await;
        } else {
            self.decide();
        }
        let status = self.content().expect("up").found(&hash).expect("it was taken").status;
        Ok(Submitted { hash, status })
    }
}
