//! How the chain's records look in JSON: 64-bit integers as strings, hashes in hexadecimal, encodings in base64.

use super::{
    BlockRecord, Part, TransactionPosition, TransactionRecord, TransactionStatus, Verdict,
    records::{EvidenceRecord, MembersAt, MembersEpoch},
};
use crate::{
    Problem,
    page::{PageBody, wrong_cursor},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use entrepot_chain_log::{BlockHeader, CommitCertificate, Member, Members, consortium::MemberRole};
use entrepot_chain_statement::Timestamp;
use entrepot_exchange_store::{Page, PageRequest};
use serde::Serialize;
use std::str::FromStr;
use utoipa::ToSchema;

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn header_base64(header: &BlockHeader) -> String {
    base64(&header.encode())
}

/// A decided block, without its transactions.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainBlock)]
pub(super) struct BlockBody {
    /// Decimal, from 1.
    pub height: String,
    /// Hash of the header: what members voted on.
    pub hash: String,
    /// Hash of the block before; of the first, the digest of the genesis.
    pub previous: String,
    /// When it was proposed: milliseconds since the epoch, decimal.
    #[schema(value_type = String)]
    pub time: Timestamp,
    /// How many transactions it has.
    pub transactions: u32,
    /// Digest of the transactions, in order.
    pub transactions_digest: String,
    /// Entries of the log after it, decimal.
    pub log_size: String,
    /// RFC 6962 root of the log after it.
    pub log_root: String,
    /// Root of the state's tree after it.
    pub state_root: String,
    /// Digest of the members that decide on the next block.
    pub next_members: String,
    /// The header's binary encoding, base64: hash this, do not trust `hash`.
    pub header: String,
}

impl From<BlockRecord> for BlockBody {
    fn from(BlockRecord { header, transactions }: BlockRecord) -> Self {
        Self {
            height: header.height.to_string(),
            hash: header.hash().to_string(),
            previous: header.previous.to_string(),
            time: header.time,
            transactions,
            transactions_digest: header.transactions.to_string(),
            log_size: header.log_size.to_string(),
            log_root: header.log_root.to_string(),
            state_root: header.state_root.to_string(),
            next_members: header.next_members.to_string(),
            header: header_base64(&header),
        }
    }
}

/// The signatures that decided on a block. Two nodes may hold different ones of the same block: any of them will do.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainCertificate)]
pub(super) struct CertificateBody {
    /// Decimal.
    pub height: String,
    /// In which it was decided, from 0.
    pub round: u32,
    /// Hash of the block's header.
    pub block: String,
    /// did:key of each consensus key that signed.
    pub signers: Vec<String>,
    /// The binary encoding, base64.
    pub certificate: String,
}

impl From<CommitCertificate> for CertificateBody {
    fn from(certificate: CommitCertificate) -> Self {
        Self {
            height: certificate.height.to_string(),
            round: certificate.round,
            block: certificate.block.to_string(),
            signers: certificate.signatures.keys().map(ToString::to_string).collect(),
            certificate: base64(&certificate.encode()),
        }
    }
}

/// What became of a transaction.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = ChainVerdict)]
pub(super) struct StatusBody {
    /// `pending`, `accepted` or `rejected`; the last two are final.
    pub status: &'static str,
    /// If accepted: its leaf's place in the log, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// If rejected: a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// If rejected: why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Height of the block that has it, decimal; absent while it is pending, and if none needed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<String>,
    /// Its place in that block, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<u32>,
    /// Time of that block: milliseconds since the epoch, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub time: Option<Timestamp>,
}

impl From<TransactionStatus> for StatusBody {
    fn from(status: TransactionStatus) -> Self {
        match status {
            TransactionStatus::Pending => Self { status: "pending", ..Self::default() },
            TransactionStatus::Answered(verdict) => Self::of(verdict),
            TransactionStatus::Decided { at, time, verdict } => {
                Self { height: Some(at.height.to_string()), place: Some(at.place), time: Some(time), ..Self::of(verdict) }
            }
        }
    }
}

impl StatusBody {
    fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accepted { index } => Self { status: "accepted", index: index.map(|index| index.to_string()), ..Self::default() },
            Verdict::Rejected { code, reason } => Self { status: "rejected", code: Some(code), reason: Some(reason), ..Self::default() },
        }
    }
}

/// A transaction and what became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainTransaction)]
pub(super) struct TransactionBody {
    /// Its identity.
    pub hash: String,
    /// `leaf`, `members` or `right`.
    pub kind: &'static str,
    /// More exactly: the kind of statement behind a leaf, what members do, what becomes of a right.
    pub action: String,
    /// did:key of whoever submitted it.
    pub submitter: String,
    /// The submitter's number for it, decimal.
    pub sequence: String,
    /// The leaf; of a right, the leaf of the statement that describes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// did:key of everybody whom it binds.
    pub binds: Vec<String>,
    /// What became of it.
    pub verdict: StatusBody,
    /// The binary encoding, base64. Absent in searches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
}

impl TransactionBody {
    /// As it is found by a search.
    pub fn short(record: TransactionRecord) -> Self {
        Self { transaction: None, ..Self::from(record) }
    }
}

impl From<TransactionRecord> for TransactionBody {
    fn from(record: TransactionRecord) -> Self {
        Self {
            hash: record.hash.to_string(),
            kind: record.kind.as_str(),
            action: record.action,
            submitter: record.submitter.to_string(),
            sequence: record.sequence.to_string(),
            leaf: record.leaf.map(|leaf| leaf.to_string()),
            binds: record.binds.iter().map(ToString::to_string).collect(),
            verdict: record.status.into(),
            transaction: Some(base64(&record.encoded)),
        }
    }
}

/// An organisation that decides on blocks, with one vote.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainMember)]
pub(super) struct MemberBody {
    /// did:key of the organisation.
    pub did: String,
    /// For people.
    pub name: String,
    /// `member` or `regulator`.
    pub role: &'static str,
    /// The keys of its node.
    pub keys: MemberKeysBody,
}

/// The keys of a member's node.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainMemberKeys)]
pub(super) struct MemberKeysBody {
    /// did:key: signs proposals and votes.
    pub consensus: String,
    /// did:key: cosigns checkpoints.
    pub cosigning: String,
    /// did:key: authenticates connections.
    pub transport: String,
}

impl From<&Member> for MemberBody {
    fn from(member: &Member) -> Self {
        let keys = &member.keys;
        Self {
            did: member.did.to_string(),
            name: member.name.clone(),
            role: match member.role {
                MemberRole::Member => "member",
                MemberRole::Regulator => "regulator",
            },
            keys: MemberKeysBody {
                consensus: keys.consensus.to_string(),
                cosigning: keys.cosigning.to_string(),
                transport: keys.transport.to_string(),
            },
        }
    }
}

/// Who decides on the block of a height.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainMembers)]
pub(super) struct MembersBody {
    /// Decimal.
    pub height: String,
    /// What the header of the block before commits to.
    pub digest: String,
    /// How many of them decide.
    pub quorum: usize,
    /// All of them, by DID.
    pub members: Vec<MemberBody>,
    /// The set's binary encoding, base64.
    pub encoded: String,
}

fn members_body(height: u64, members: &Members) -> MembersBody {
    MembersBody {
        height: height.to_string(),
        digest: members.digest().to_string(),
        quorum: members.quorum(),
        members: members.as_slice().iter().map(MemberBody::from).collect(),
        encoded: base64(&members.encode()),
    }
}

impl From<MembersAt> for MembersBody {
    fn from(found: MembersAt) -> Self {
        members_body(found.height, &found.members)
    }
}

/// A set of members, and the proof that the set before it knew.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainMembersEpoch)]
pub(super) struct MembersEpochBody {
    /// The set; `height` is the first that it decides on.
    #[serde(flatten)]
    pub set: MembersBody,
    /// Header of the block before, base64; its `next_members` is this set's digest. Absent for the genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// That block's certificate, base64, by the set before. Absent for the genesis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

impl From<MembersEpoch> for MembersEpochBody {
    fn from(epoch: MembersEpoch) -> Self {
        let (header, certificate) = epoch.proof.map(|(header, signed)| (header_base64(&header), base64(&signed.encode()))).unzip();
        Self { set: members_body(epoch.from_height, &epoch.members), header, certificate }
    }
}

/// Proof that a member misbehaved.
#[derive(Serialize, ToSchema)]
#[schema(as = ChainEvidence)]
pub(super) struct EvidenceBody {
    /// Rises with each that this node found; decimal.
    pub number: String,
    /// Height it is about, decimal.
    pub height: String,
    /// The bytes, base64: signatures that contradict each other.
    pub evidence: String,
}

impl From<EvidenceRecord> for EvidenceBody {
    fn from(record: EvidenceRecord) -> Self {
        Self { number: record.number.to_string(), height: record.height.to_string(), evidence: base64(&record.evidence) }
    }
}

/// The place that a cursor leads to.
pub(super) fn place<P: FromStr>(page: &PageRequest) -> Result<Option<P>, Problem> {
    page.after.as_deref().map(|text| text.parse().map_err(|_| wrong_cursor())).transpose()
}

/// A page of a list, and where it goes on.
pub(super) fn page<T, P: ToString, B>(part: Part<T, P>, body: impl FnMut(T) -> B) -> PageBody<B> {
    Page { items: part.items.into_iter().map(body).collect(), next: part.next.map(|place| place.to_string()) }.into()
}

impl std::fmt::Display for TransactionPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.height, self.place)
    }
}

impl FromStr for TransactionPosition {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (height, place) = text.split_once('.').ok_or(())?;
        Ok(Self { height: height.parse().map_err(drop)?, place: place.parse().map_err(drop)? })
    }
}
