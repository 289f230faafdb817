//! The types that Malachite's core works on: heights, block hashes, members by their consensus keys.

use crate::signing::{Ed25519, PublicKey};
use entrepot_chain_log::Members;
use entrepot_chain_statement::Hash;
use malachite_types as m;
use malachite_types::{NilOrVal, Round, VoteType};
use std::{fmt, sync::Arc};

/// The protocol instance of one channel. Has no state: who decides comes with each height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain;

/// Height of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u64);

/// A member, by the 32 bytes of its consensus key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub [u8; 32]);

/// What is decided: the hash of a block's header. The bytes of the block travel beside the proposal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId(pub Hash);

/// A member's vote in a step of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Prevote or precommit.
    pub kind: VoteType,
    /// Of the block.
    pub height: Height,
    /// Of the height.
    pub round: Round,
    /// For which block, or none.
    pub block: NilOrVal<Hash>,
    /// Who votes.
    pub member: Address,
}

/// A proposer's proposal in a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Of the block.
    pub height: Height,
    /// Of the height.
    pub round: Round,
    /// The block.
    pub block: BlockId,
    /// The earlier round in which more than two thirds prevoted the same block; nil if there was none.
    pub valid_round: Round,
    /// Who proposes.
    pub member: Address,
}

/// A member that decides. Each has one vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    address: Address,
    key: PublicKey,
}

/// Those who decide on one height, in the order of [`Members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validators(Arc<[Validator]>);

impl Validators {
    /// Those of these members.
    pub fn of(members: &Members) -> Self {
        let validator = |key: &entrepot_chain_statement::Did| Validator { address: Address(key.public_bytes()), key: PublicKey::of(key) };
        Self(members.as_slice().iter().map(|member| validator(&member.keys.consensus)).collect())
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl m::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);
    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }
    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }
    fn as_u64(&self) -> u64 {
        self.0
    }
}

impl m::Address for Address {}

impl m::Value for BlockId {
    type Id = Hash;
    fn id(&self) -> Hash {
        self.0
    }
}

/// Blocks travel whole, beside the proposal; the core never sees a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPart;

impl m::ProposalPart<Chain> for NoPart {
    fn is_first(&self) -> bool {
        true
    }
    fn is_last(&self) -> bool {
        true
    }
}

impl m::Vote<Chain> for Vote {
    fn height(&self) -> Height {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &NilOrVal<Hash> {
        &self.block
    }
    fn take_value(self) -> NilOrVal<Hash> {
        self.block
    }
    fn vote_type(&self) -> VoteType {
        self.kind
    }
    fn validator_address(&self) -> &Address {
        &self.member
    }
    fn extension(&self) -> Option<&m::SignedExtension<Chain>> {
        None
    }
    fn take_extension(&mut self) -> Option<m::SignedExtension<Chain>> {
        None
    }
    fn extend(self, _: m::SignedExtension<Chain>) -> Self {
        self
    }
}

impl m::Proposal<Chain> for Proposal {
    fn height(&self) -> Height {
        self.height
    }
    fn round(&self) -> Round {
        self.round
    }
    fn value(&self) -> &BlockId {
        &self.block
    }
    fn take_value(self) -> BlockId {
        self.block
    }
    fn pol_round(&self) -> Round {
        self.valid_round
    }
    fn validator_address(&self) -> &Address {
        &self.member
    }
}

impl m::Validator<Chain> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }
    fn public_key(&self) -> &PublicKey {
        &self.key
    }
    fn voting_power(&self) -> m::VotingPower {
        1
    }
}

impl m::ValidatorSet<Chain> for Validators {
    fn count(&self) -> usize {
        self.0.len()
    }
    fn total_voting_power(&self) -> m::VotingPower {
        self.0.len() as m::VotingPower
    }
    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.0.iter().find(|validator| validator.address == *address)
    }
    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

impl m::Context for Chain {
    type Address = Address;
    type Height = Height;
    type ProposalPart = NoPart;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = Validators;
    type Timeouts = m::LinearTimeouts;
    type Value = BlockId;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    /// As [`Members::proposer`].
    fn select_proposer<'a>(&self, validators: &'a Validators, height: Height, round: Round) -> &'a Validator {
        let turn = height.0.saturating_sub(1).wrapping_add(u64::from(round.as_u32().unwrap_or(0))) % validators.0.len() as u64;
        &validators.0[turn as usize]
    }

    fn new_proposal(&self, height: Height, round: Round, block: BlockId, valid_round: Round, member: Address) -> Proposal {
        Proposal { height, round, block, valid_round, member }
    }

    fn new_prevote(&self, height: Height, round: Round, block: NilOrVal<Hash>, member: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, block, member }
    }

    fn new_precommit(&self, height: Height, round: Round, block: NilOrVal<Hash>, member: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, block, member }
    }
}
