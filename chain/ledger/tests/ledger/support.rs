//! A node that keeps what the ledger hands it, keys, and statements.

use entrepot_chain_ledger::{
    Applied, Block, Leaf, LeafTransaction, Lookup, LookupError, MembersAction, MembersChange, Outcome, Signatures, State, Submission,
    Transaction,
    consortium::{Genesis, Member, MemberKeys, MemberRole, Members, VotingRule},
    state_tree::{StateNode, StateNodes, value},
};
use entrepot_chain_log::{
    MerkleTree,
    consortium::{MemberKeyring, Possession},
};
use entrepot_chain_statement::{Did, Facts, Hash, SigningKey, Timestamp, envelope::leaf_message, facts};
use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

pub const ORIGIN: &str = "entrepot/test";

/// Keeps what a node would.
#[derive(Clone, Default)]
pub struct Stored {
    leaves: HashMap<Hash, u64>,
    entries: BTreeMap<Hash, Vec<u8>>,
    nodes: BTreeMap<Hash, StateNode>,
}

impl StateNodes for Stored {
    type Error = LookupError;
    fn state_node(&self, name: &Hash) -> Result<Option<StateNode>, LookupError> {
        Ok(self.nodes.get(name).copied())
    }
}

impl Lookup for Stored {
    fn index_of(&self, leaf: &Hash) -> Result<Option<u64>, LookupError> {
        Ok(self.leaves.get(leaf).copied())
    }

    fn entry(&self, value: &Hash) -> Result<Option<Vec<u8>>, LookupError> {
        Ok(self.entries.get(value).cloned())
    }
}

/// A node: its state, what it stored, and the tree that its nodes make.
#[derive(Clone)]
pub struct Node {
    pub state: State,
    pub stored: Stored,
    pub tree: MerkleTree,
}

impl Stored {
    /// The encoding of the entry with this value.
    pub fn encoding(&self, value: &Hash) -> Option<Vec<u8>> {
        self.entries.get(value).cloned()
    }
}

impl Node {
    pub fn new() -> Self {
        Self::founded(&genesis())
    }

    pub fn founded(genesis: &Genesis) -> Self {
        Self { state: State::genesis(genesis).expect("a genesis"), stored: Stored::default(), tree: MerkleTree::new() }
    }

    /// Keeps what a block did.
    pub fn keep(&mut self, applied: Applied) {
        for (index, leaf) in (self.state.log_size()..).zip(&applied.leaves) {
            self.stored.leaves.insert(*leaf, index);
            self.tree.push(&leaf.0);
        }
        self.stored.nodes.extend(applied.state_nodes.added);
        self.stored.entries.extend(applied.entries);
        self.state = applied.state;
    }

    /// What the state's root says of an entry.
    pub fn committed(&self, key: &Hash) -> Option<Hash> {
        value(&self.state.state_root(), key, &self.stored).expect("reads")
    }

    /// Drafts a block, keeps it, and answers.
    pub fn submit<T: Into<Transaction>>(&mut self, at: i64, transactions: Vec<T>) -> (Option<Block>, Vec<Outcome>) {
        let transactions = transactions.into_iter().map(Into::into).collect();
        let submissions = Submission::check(&self.state.genesis_digest(), transactions);
        let draft = self.state.draft(&self.stored, Timestamp(at), submissions).expect("lookups work");
        if let Some(block) = &draft.block {
            let applied = self.state.apply(&self.stored, block, Signatures::Check).expect("what is drafted can be applied");
            assert_eq!((&applied.state, &applied.entries), (&draft.applied.state, &draft.applied.entries), "a follower agrees");
        }
        let outcomes = draft.applied.verdicts.iter().map(|verdict| verdict.outcome.clone()).collect();
        self.keep(draft.applied);
        (draft.block, outcomes)
    }

    pub fn one(&mut self, transaction: impl Into<Transaction>) -> Outcome {
        self.submit(1, vec![transaction.into()]).1.remove(0)
    }

    /// A block without transactions.
    pub fn pass(&mut self) -> Block {
        let draft = self.state.draft_empty(&self.stored, Timestamp(1)).expect("lookups work");
        self.keep(draft.applied);
        draft.block.expect("a block")
    }
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The key of an organisation.
pub fn organisation(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[[seed; 31].as_slice(), &[1]].concat().try_into().expect("32 bytes"))
}

/// The keys of a member's node; `turn` tells later ones from the first.
pub fn keys(seed: u8, turn: u8) -> MemberKeys {
    let did = |purpose: u8| SigningKey::from_seed(&seed_of(seed, turn, purpose)).did();
    MemberKeys { consensus: did(2), cosigning: did(3), transport: did(4) }
}

/// What shows that the keys which an action of this organisation brings are whose it says.
pub fn possession(by: &Did, action: &MembersAction) -> Option<Possession> {
    let (organisation, keys) = match action {
        MembersAction::Propose(MembersChange::Join(joins) | MembersChange::Replace { joins, .. }) => (&joins.did, &joins.keys),
        MembersAction::RotateKeys(keys) => (by, keys),
        _ => return None,
    };
    let [consensus, cosigning, transport] = [&keys.consensus, &keys.cosigning, &keys.transport].map(owned);
    Some(MemberKeyring { consensus: &consensus, cosigning: &cosigning, transport: &transport }.possession(organisation))
}

/// The secret half of a key that [`keys`] made.
fn owned(did: &Did) -> SigningKey {
    static ALL: OnceLock<HashMap<Did, [u8; 32]>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let seeds =
            (0..=u8::MAX).flat_map(|seed| (0..4_u8).flat_map(move |turn| (2..5_u8).map(move |purpose| seed_of(seed, turn, purpose))));
        seeds.map(|seed| (SigningKey::from_seed(&seed).did(), seed)).collect()
    });
    SigningKey::from_seed(&all[did])
}

fn seed_of(seed: u8, turn: u8, purpose: u8) -> [u8; 32] {
    let mut bytes = [seed; 32];
    (bytes[30], bytes[31]) = (turn, purpose);
    bytes
}

pub fn member(seed: u8, role: MemberRole) -> Member {
    Member { did: organisation(seed).did(), name: format!("member {seed}"), role, keys: keys(seed, 0) }
}

pub fn consortium(rule: VotingRule, members: Vec<Member>) -> Genesis {
    Genesis::new(ORIGIN, rule, &Members::new(members).expect("members")).expect("a genesis")
}

pub fn genesis() -> Genesis {
    Genesis::sole(ORIGIN, member(100, MemberRole::Member)).expect("a genesis")
}

/// What an envelope of these signers would be logged as.
pub fn signed_leaf(seed: u64, facts: Facts, signers: &[&SigningKey]) -> Leaf {
    let salted = Hash::of(&[&seed.to_be_bytes()]);
    let message = leaf_message(&facts::leaf(&salted, &facts));
    let signatures: BTreeMap<_, _> = signers.iter().map(|signer| (signer.did(), signer.sign(&message))).collect();
    Leaf { salted, facts, binds: signatures.keys().cloned().collect(), signatures }
}

/// A leaf without rules.
pub fn leaf(seed: u64) -> Leaf {
    signed_leaf(seed, Facts::DataProduct, &[&key(1), &key(2)])
}

pub fn logged(leaf: Leaf, sequence: u64, key: &SigningKey) -> LeafTransaction {
    LeafTransaction::sign(&genesis().digest(), leaf, sequence, key)
}

pub fn transaction(seed: u64, sequence: u64) -> LeafTransaction {
    logged(leaf(seed), sequence, &key(9))
}
