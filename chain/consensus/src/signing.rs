//! What members sign, and how a set of their signatures is checked.

#![expect(clippy::result_large_err, reason = "the error is what the core wants to hear")]

use crate::context::{Chain, Proposal, Validators, Vote};
use ed25519_dalek::{Signature as DalekSignature, VerifyingKey};
use entrepot_chain_log::consortium::{VoteKind, proposal_message, vote_message};
use entrepot_chain_statement::{Did, Hash};
use malachite_types::{
    CertificateError, CommitCertificate, CommitSignature, Context as _, NilOrVal, PolkaCertificate, PolkaSignature, RoundCertificate,
    RoundCertificateType, SignedVote, SigningScheme, ThresholdParam, Validator as _, ValidatorSet as _, VoteType,
};
use std::collections::BTreeSet;

/// Ed25519 over the messages of [`entrepot_chain_log::consortium`], checked strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ed25519;

/// A signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(pub [u8; 64]);

/// A consensus key, decompressed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// The core never holds a private key.
#[derive(Clone, Copy, Debug)]
pub struct NoKey;

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl PublicKey {
    /// Of this identity.
    pub fn of(key: &Did) -> Self {
        Self(key.verifying_key())
    }

    /// Whether this key signed the message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        self.0.verify_strict(message, &DalekSignature::from_bytes(&signature.0)).is_ok()
    }
}

impl SigningScheme for Ed25519 {
    type DecodingError = &'static str;
    type Signature = Signature;
    type PublicKey = PublicKey;
    type PrivateKey = NoKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, Self::DecodingError> {
        bytes.try_into().map(Signature).map_err(|_| "a signature has 64 bytes")
    }
    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }
    fn decode_public_key(bytes: &[u8]) -> Result<PublicKey, Self::DecodingError> {
        let bytes = bytes.try_into().map_err(|_| "a key has 32 bytes")?;
        Did::from_public_bytes(bytes).map(|did| PublicKey::of(&did)).map_err(|_| "not an Ed25519 key")
    }
    fn encode_public_key(key: &PublicKey) -> Vec<u8> {
        key.0.as_bytes().to_vec()
    }
}

/// What a member signs of a vote.
pub fn vote_bytes(genesis: &Hash, vote: &Vote) -> Vec<u8> {
    let kind = match vote.kind {
        VoteType::Prevote => VoteKind::Prevote,
        VoteType::Precommit => VoteKind::Precommit,
    };
    let block = match &vote.block {
        NilOrVal::Nil => None,
        NilOrVal::Val(block) => Some(block),
    };
    vote_message(genesis, kind, vote.height.0, vote.round.as_u32().unwrap_or(u32::MAX), block)
}

/// What a proposer signs of a proposal.
pub fn proposal_bytes(genesis: &Hash, proposal: &Proposal) -> Vec<u8> {
    let round = proposal.round.as_u32().unwrap_or(u32::MAX);
    proposal_message(genesis, proposal.height.0, round, proposal.valid_round.as_u32(), &proposal.block.0)
}

/// What a set of votes has to be.
struct Quorum<'a> {
    genesis: &'a Hash,
    validators: &'a Validators,
    threshold: ThresholdParam,
}

impl Quorum<'_> {
    /// Each by another member, rightly signed, enough of them.
    fn check(&self, votes: impl Iterator<Item = SignedVote<Chain>>) -> Result<(), CertificateError<Chain>> {
        let mut seen = BTreeSet::new();
        for vote in votes {
            let member = vote.message.member;
            if !seen.insert(member) {
                return Err(CertificateError::DuplicateVote(member));
            }
            let validator = self.validators.get_by_address(&member).ok_or(CertificateError::UnknownValidator(member))?;
            if !validator.public_key().verify(&vote_bytes(self.genesis, &vote.message), &vote.signature) {
                return Err(match vote.message.kind {
                    VoteType::Prevote => CertificateError::InvalidPolkaSignature(PolkaSignature::new(member, vote.signature)),
                    VoteType::Precommit => CertificateError::InvalidCommitSignature(CommitSignature::new(member, vote.signature)),
                });
            }
        }
        let (signed, total) = (seen.len() as u64, self.validators.total_voting_power());
        if self.threshold.is_met(signed, total) {
            return Ok(());
        }
        Err(CertificateError::NotEnoughVotingPower { signed, total, expected: self.threshold.min_expected(total) })
    }
}

/// Checks the precommits under a decision.
pub fn check_commit(
    genesis: &Hash,
    validators: &Validators,
    certificate: &CommitCertificate<Chain>,
) -> Result<(), CertificateError<Chain>> {
    let vote = |signature: &CommitSignature<Chain>| {
        let block = NilOrVal::Val(certificate.value_id);
        let vote = Chain.new_precommit(certificate.height, certificate.round, block, signature.address);
        SignedVote::new(vote, signature.signature)
    };
    let quorum = Quorum { genesis, validators, threshold: ThresholdParam::TWO_F_PLUS_ONE };
    quorum.check(certificate.commit_signatures.iter().map(vote))
}

/// Checks the prevotes of more than two thirds for one block.
pub fn check_polka(genesis: &Hash, validators: &Validators, certificate: &PolkaCertificate<Chain>) -> Result<(), CertificateError<Chain>> {
    Quorum { genesis, validators, threshold: ThresholdParam::TWO_F_PLUS_ONE }.check(certificate.votes(&Chain))
}

/// Checks the votes that justify entering a round.
pub fn check_round(genesis: &Hash, validators: &Validators, certificate: &RoundCertificate<Chain>) -> Result<(), CertificateError<Chain>> {
    let threshold = match certificate.cert_type {
        RoundCertificateType::Skip => ThresholdParam::F_PLUS_ONE,
        RoundCertificateType::Precommit => {
            if let Some(wrong) = certificate.round_signatures.iter().find(|signature| signature.vote_type == VoteType::Prevote) {
                return Err(CertificateError::InvalidVoteType(wrong.address));
            }
            ThresholdParam::TWO_F_PLUS_ONE
        }
    };
    Quorum { genesis, validators, threshold }.check(certificate.votes(&Chain))
}
