//! The encodings of what members tell each other, and of what a member writes down before it does. Fixed-width big-endian integers, counted
//! lists with limits, a version byte in front; one value has one encoding.

use crate::{
    context::{Address, BlockId, Chain, Height, Proposal, Vote},
    signing::Signature,
};
use entrepot_chain_log::{
    CommitCertificate,
    codec::{DecodeError, KnownKeys, Reader},
    consortium::MEMBERS_MAX,
};
use entrepot_chain_statement::{Did, Hash};
use malachite_types::{
    NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedProposal, SignedVote,
    Timeout, TimeoutKind, VoteType,
};

const VERSION: u8 = 1;
/// Longest encoding of a block that is proposed or handed on.
pub const BLOCK_BYTES_MAX: usize = 16 << 20;
/// Longest message: decided blocks, or one proposal with its block.
pub const MESSAGE_BYTES_MAX: usize = BLOCK_BYTES_MAX + (64 << 10);
/// Decided blocks in one answer.
pub const BLOCKS_PER_ANSWER: usize = 256;
/// Transactions in one message, and the bytes of one.
pub const TRANSACTIONS_PER_MESSAGE: usize = 4096;
/// Longest encoding of a transaction that is passed on.
pub const TRANSACTION_BYTES_MAX: usize = 64 << 10;
/// Longest line of a cosignature.
const LINE_BYTES_MAX: usize = 1024;

/// What a member tells the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The height of the last block that the sender made durable.
    Status(u64),
    /// A vote.
    Vote(SignedVote<Chain>),
    /// A proposal, and the block itself.
    Proposal(SignedProposal<Chain>, Vec<u8>),
    /// Prevotes of more than two thirds for one block.
    Polka(PolkaCertificate<Chain>),
    /// Votes that justify entering a round.
    Round(RoundCertificate<Chain>),
    /// Asks for decided blocks, from this height on.
    Want(u64),
    /// Decided blocks, one after the other.
    Blocks(Vec<(Vec<u8>, CommitCertificate)>),
    /// Transactions that wait to be ordered.
    Transactions(Vec<Vec<u8>>),
    /// The sender's cosignature of the checkpoint of this size.
    Cosignature {
        /// Entries of the log.
        size: u64,
        /// The sender's cosigning key.
        key: Did,
        /// A signature line.
        line: String,
    },
}

/// What a member writes down: enough to be, after a crash, where it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A vote, ours or another's.
    Vote(SignedVote<Chain>),
    /// A proposal, ours or another's.
    Proposal(SignedProposal<Chain>),
    /// Prevotes of more than two thirds.
    Polka(PolkaCertificate<Chain>),
    /// A time-out of a round elapsed.
    Timeout(Timeout),
    /// A block was judged.
    Value {
        /// The round it was proposed in.
        round: Round,
        /// The round its proposal pointed to.
        valid_round: Round,
        /// Who proposed it.
        proposer: Address,
        /// The block.
        block: Hash,
        /// Whether it may follow.
        valid: bool,
    },
    /// The bytes of a block.
    Block(Vec<u8>),
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn get_bytes(reader: &mut Reader<'_>, limit: usize, what: &'static str) -> Result<Vec<u8>, DecodeError> {
    let length = reader.u32()? as usize;
    if length > limit {
        return Err(DecodeError::TooMany(what));
    }
    Ok(reader.take(length)?.to_vec())
}

fn put_round(out: &mut Vec<u8>, round: Round) {
    out.extend_from_slice(&round.as_i64().to_be_bytes());
}

fn get_round(reader: &mut Reader<'_>) -> Result<Round, DecodeError> {
    match reader.i64()? {
        -1 => Ok(Round::Nil),
        round => u32::try_from(round).map(Round::new).map_err(|_| DecodeError::Value("round")),
    }
}

/// A round that has begun.
fn get_some_round(reader: &mut Reader<'_>) -> Result<Round, DecodeError> {
    let round = get_round(reader)?;
    if round.is_defined() { Ok(round) } else { Err(DecodeError::Value("round")) }
}

fn put_block_or_nil(out: &mut Vec<u8>, block: &NilOrVal<Hash>) {
    match block {
        NilOrVal::Nil => out.push(0),
        NilOrVal::Val(block) => {
            out.push(1);
            out.extend_from_slice(&block.0);
        }
    }
}

fn get_block_or_nil(reader: &mut Reader<'_>) -> Result<NilOrVal<Hash>, DecodeError> {
    match reader.u8()? {
        0 => Ok(NilOrVal::Nil),
        1 => Ok(NilOrVal::Val(reader.hash()?)),
        _ => Err(DecodeError::Value("vote")),
    }
}

fn put_kind(out: &mut Vec<u8>, kind: VoteType) {
    out.push(match kind {
        VoteType::Prevote => 1,
        VoteType::Precommit => 2,
    });
}

fn get_kind(reader: &mut Reader<'_>) -> Result<VoteType, DecodeError> {
    match reader.u8()? {
        1 => Ok(VoteType::Prevote),
        2 => Ok(VoteType::Precommit),
        _ => Err(DecodeError::Value("kind of vote")),
    }
}

fn get_signature(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    reader.array().map(Signature)
}

fn get_count(reader: &mut Reader<'_>, limit: usize, what: &'static str) -> Result<usize, DecodeError> {
    let count = usize::from(u16::from_be_bytes(reader.array()?));
    if count > limit { Err(DecodeError::TooMany(what)) } else { Ok(count) }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn put_vote(out: &mut Vec<u8>, vote: &SignedVote<Chain>) {
    put_kind(out, vote.message.kind);
    out.extend_from_slice(&vote.message.height.0.to_be_bytes());
    put_round(out, vote.message.round);
    put_block_or_nil(out, &vote.message.block);
    out.extend_from_slice(&vote.message.member.0);
    out.extend_from_slice(&vote.signature.0);
}

fn get_vote(reader: &mut Reader<'_>) -> Result<SignedVote<Chain>, DecodeError> {
    let kind = get_kind(reader)?;
    let (height, round) = (Height(reader.u64()?), get_some_round(reader)?);
    let vote = Vote { kind, height, round, block: get_block_or_nil(reader)?, member: Address(reader.array()?) };
    Ok(SignedVote::new(vote, get_signature(reader)?))
}

fn put_proposal(out: &mut Vec<u8>, proposal: &SignedProposal<Chain>) {
    out.extend_from_slice(&proposal.message.height.0.to_be_bytes());
    put_round(out, proposal.message.round);
    put_round(out, proposal.message.valid_round);
    out.extend_from_slice(&proposal.message.block.0.0);
    out.extend_from_slice(&proposal.message.member.0);
    out.extend_from_slice(&proposal.signature.0);
}

fn get_proposal(reader: &mut Reader<'_>) -> Result<SignedProposal<Chain>, DecodeError> {
    let proposal = Proposal {
        height: Height(reader.u64()?),
        round: get_some_round(reader)?,
        valid_round: get_round(reader)?,
        block: BlockId(reader.hash()?),
        member: Address(reader.array()?),
    };
    Ok(SignedProposal::new(proposal, get_signature(reader)?))
}

fn put_polka(out: &mut Vec<u8>, polka: &PolkaCertificate<Chain>) {
    out.extend_from_slice(&polka.height.0.to_be_bytes());
    put_round(out, polka.round);
    out.extend_from_slice(&polka.value_id.0);
    put_count(out, polka.polka_signatures.len());
    for signature in &polka.polka_signatures {
        out.extend_from_slice(&signature.address.0);
        out.extend_from_slice(&signature.signature.0);
    }
}

fn get_polka(reader: &mut Reader<'_>) -> Result<PolkaCertificate<Chain>, DecodeError> {
    let (height, round, value_id) = (Height(reader.u64()?), get_some_round(reader)?, reader.hash()?);
    let count = get_count(reader, MEMBERS_MAX, "signatures")?;
    let signature = |_| Ok(PolkaSignature::new(Address(reader.array()?), get_signature(reader)?));
    let polka_signatures = (0..count).map(signature).collect::<Result<_, DecodeError>>()?;
    Ok(PolkaCertificate { height, round, value_id, polka_signatures })
}

fn put_round_certificate(out: &mut Vec<u8>, certificate: &RoundCertificate<Chain>) {
    out.extend_from_slice(&certificate.height.0.to_be_bytes());
    put_round(out, certificate.round);
    out.push(match certificate.cert_type {
        RoundCertificateType::Skip => 1,
        RoundCertificateType::Precommit => 2,
    });
    put_count(out, certificate.round_signatures.len());
    for signature in &certificate.round_signatures {
        put_kind(out, signature.vote_type);
        put_block_or_nil(out, &signature.value_id);
        out.extend_from_slice(&signature.address.0);
        out.extend_from_slice(&signature.signature.0);
    }
}

fn get_round_certificate(reader: &mut Reader<'_>) -> Result<RoundCertificate<Chain>, DecodeError> {
    let (height, round) = (Height(reader.u64()?), get_some_round(reader)?);
    let cert_type = match reader.u8()? {
        1 => RoundCertificateType::Skip,
        2 => RoundCertificateType::Precommit,
        _ => return Err(DecodeError::Value("kind of round certificate")),
    };
    let count = get_count(reader, MEMBERS_MAX, "signatures")?;
    let signature = |_| {
        let (kind, block) = (get_kind(reader)?, get_block_or_nil(reader)?);
        Ok(RoundSignature::new(kind, block, Address(reader.array()?), get_signature(reader)?))
    };
    let round_signatures = (0..count).map(signature).collect::<Result<_, DecodeError>>()?;
    Ok(RoundCertificate { height, round, cert_type, round_signatures })
}

impl Message {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Status(height) => {
                out.push(1);
                out.extend_from_slice(&height.to_be_bytes());
            }
            Self::Vote(vote) => {
                out.push(2);
                put_vote(&mut out, vote);
            }
            Self::Proposal(proposal, block) => {
                out.push(3);
                put_proposal(&mut out, proposal);
                put_bytes(&mut out, block);
            }
            Self::Polka(polka) => {
                out.push(4);
                put_polka(&mut out, polka);
            }
            Self::Round(certificate) => {
                out.push(5);
                put_round_certificate(&mut out, certificate);
            }
            Self::Want(from) => {
                out.push(6);
                out.extend_from_slice(&from.to_be_bytes());
            }
            Self::Blocks(blocks) => {
                out.push(7);
                put_count(&mut out, blocks.len());
                for (block, certificate) in blocks {
                    put_bytes(&mut out, block);
                    out.extend_from_slice(&certificate.encode());
                }
            }
            Self::Transactions(transactions) => {
                out.push(8);
                put_count(&mut out, transactions.len());
                transactions.iter().for_each(|transaction| put_bytes(&mut out, transaction));
            }
            Self::Cosignature { size, key, line } => {
                out.push(9);
                out.extend_from_slice(&size.to_be_bytes());
                out.extend_from_slice(&key.public_bytes());
                put_bytes(&mut out, line.as_bytes());
            }
        }
        out
    }

    /// Decodes exactly one message. Checks its form, no signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let known = &mut KnownKeys::default();
        let message = match reader.u8()? {
            1 => Self::Status(reader.u64()?),
            2 => Self::Vote(get_vote(&mut reader)?),
            3 => Self::Proposal(get_proposal(&mut reader)?, get_bytes(&mut reader, BLOCK_BYTES_MAX, "bytes of a block")?),
            4 => Self::Polka(get_polka(&mut reader)?),
            5 => Self::Round(get_round_certificate(&mut reader)?),
            6 => Self::Want(reader.u64()?),
            7 => {
                let count = get_count(&mut reader, BLOCKS_PER_ANSWER, "blocks")?;
                let mut block =
                    |_| Ok((get_bytes(&mut reader, BLOCK_BYTES_MAX, "bytes of a block")?, CommitCertificate::read(&mut reader, known)?));
                Self::Blocks((0..count).map(&mut block).collect::<Result<_, DecodeError>>()?)
            }
            8 => {
                let count = get_count(&mut reader, TRANSACTIONS_PER_MESSAGE, "transactions")?;
                let mut transaction = |_| get_bytes(&mut reader, TRANSACTION_BYTES_MAX, "bytes of a transaction");
                Self::Transactions((0..count).map(&mut transaction).collect::<Result<_, DecodeError>>()?)
            }
            9 => {
                let (size, key) = (reader.u64()?, reader.did(known)?);
                let line = get_bytes(&mut reader, LINE_BYTES_MAX, "bytes of a signature line")?;
                Self::Cosignature { size, key, line: String::from_utf8(line).map_err(|_| DecodeError::Value("signature line"))? }
            }
            _ => return Err(DecodeError::Value("message")),
        };
        reader.end()?;
        Ok(message)
    }

    /// The height that it speaks about, if it is about one that is being decided.
    pub fn height(&self) -> Option<u64> {
        match self {
            Self::Vote(vote) => Some(vote.message.height.0),
            Self::Proposal(proposal, _) => Some(proposal.message.height.0),
            Self::Polka(polka) => Some(polka.height.0),
            Self::Round(certificate) => Some(certificate.height.0),
            Self::Status(_) | Self::Want(_) | Self::Blocks(_) | Self::Transactions(_) | Self::Cosignature { .. } => None,
        }
    }
}

impl Record {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Vote(vote) => {
                out.push(1);
                put_vote(&mut out, vote);
            }
            Self::Proposal(proposal) => {
                out.push(2);
                put_proposal(&mut out, proposal);
            }
            Self::Polka(polka) => {
                out.push(3);
                put_polka(&mut out, polka);
            }
            Self::Timeout(timeout) => {
                out.push(4);
                out.push(match timeout.kind {
                    TimeoutKind::Propose => 1,
                    TimeoutKind::Prevote => 2,
                    TimeoutKind::Precommit => 3,
                    TimeoutKind::Rebroadcast => 4,
                    TimeoutKind::FinalizeHeight(_) => 5,
                });
                put_round(&mut out, timeout.round);
            }
            Self::Value { round, valid_round, proposer, block, valid } => {
                out.push(5);
                put_round(&mut out, *round);
                put_round(&mut out, *valid_round);
                out.extend_from_slice(&proposer.0);
                out.extend_from_slice(&block.0);
                out.push(u8::from(*valid));
            }
            Self::Block(block) => {
                out.push(6);
                out.extend_from_slice(block);
            }
        }
        out
    }

    /// Decodes exactly one record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let record = match reader.u8()? {
            1 => Self::Vote(get_vote(&mut reader)?),
            2 => Self::Proposal(get_proposal(&mut reader)?),
            3 => Self::Polka(get_polka(&mut reader)?),
            4 => {
                let kind = match reader.u8()? {
                    1 => TimeoutKind::Propose,
                    2 => TimeoutKind::Prevote,
                    3 => TimeoutKind::Precommit,
                    _ => return Err(DecodeError::Value("time-out")),
                };
                Self::Timeout(Timeout::new(get_some_round(&mut reader)?, kind))
            }
            5 => Self::Value {
                round: get_some_round(&mut reader)?,
                valid_round: get_round(&mut reader)?,
                proposer: Address(reader.array()?),
                block: reader.hash()?,
                valid: match reader.u8()? {
                    0 => false,
                    1 => true,
                    _ => return Err(DecodeError::Value("verdict")),
                },
            },
            6 => return Ok(Self::Block(reader.rest().to_vec())),
            _ => return Err(DecodeError::Value("record")),
        };
        reader.end()?;
        Ok(record)
    }
}

/// Two messages of one member that contradict each other: proof, to anybody who knows its key, that it broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two votes in one step of one round.
    Votes(SignedVote<Chain>, SignedVote<Chain>),
    /// Two proposals in one round.
    Proposals(SignedProposal<Chain>, SignedProposal<Chain>),
}

impl Evidence {
    /// The encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        match self {
            Self::Votes(first, second) => {
                out.push(1);
                put_vote(&mut out, first);
                put_vote(&mut out, second);
            }
            Self::Proposals(first, second) => {
                out.push(2);
                put_proposal(&mut out, first);
                put_proposal(&mut out, second);
            }
        }
        out
    }

    /// Decodes exactly one piece of evidence.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(VERSION)?;
        let evidence = match reader.u8()? {
            1 => Self::Votes(get_vote(&mut reader)?, get_vote(&mut reader)?),
            2 => Self::Proposals(get_proposal(&mut reader)?, get_proposal(&mut reader)?),
            _ => return Err(DecodeError::Value("evidence")),
        };
        reader.end()?;
        Ok(evidence)
    }
}
