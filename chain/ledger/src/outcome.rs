//! What the ledger answers.

use entrepot_chain_log::consortium::MembersError;
use entrepot_chain_statement::{Did, Hash};
use std::fmt;

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its leaf is in the log, now or since earlier.
    Accepted {
        /// Its place, from 0.
        index: u64,
    },
    /// What the members do about themselves counts.
    Members(MembersOutcome),
    /// The record of a right counts.
    Right {
        /// How many records the right has now.
        records: u64,
    },
    /// It changes nothing. Whether it never will says [`Outcome::is_final`].
    Rejected(Rejection),
}

impl Outcome {
    /// All but a gap: a transaction that is not in turn yet may still be, once those before it are there.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Rejected(Rejection::SequenceGap { .. }))
    }
}

/// What became of a member's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembersOutcome {
    /// The proposal waits for more votes.
    Open {
        /// The proposal.
        proposal: Hash,
    },
    /// The change is decided.
    Decided {
        /// The first height on which the changed members decide.
        active: u64,
    },
    /// So many disapprove that the proposal can no longer pass; it is closed.
    Refused {
        /// The proposal.
        proposal: Hash,
    },
}

/// Why a transaction was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The submitter did not sign it for this channel.
    BadSubmitterSignature,
    /// The submitter's number was used before.
    StaleSequence {
        /// The number to use.
        expected: u64,
    },
    /// A number of the submitter was left out so far. Not final, and in no block.
    SequenceGap {
        /// The number to use.
        expected: u64,
    },
    /// The leaf binds nobody, so nobody could be asked whether it is theirs.
    BindsNobody,
    /// A key that is bound has not signed.
    Unbound {
        /// Whose signature is missing.
        key: Did,
    },
    /// A key signed that is not bound.
    NotBound {
        /// Whose signature is too much.
        key: Did,
    },
    /// A signature is wrong.
    BadSignature {
        /// Whose.
        key: Did,
    },
    /// More keys, more signatures or a longer name than an encoding holds.
    TooLong,
    /// The log knows as many submitters as it may.
    TooManySubmitters,
    /// Only members decide about members.
    NotMember {
        /// Who is none.
        key: Did,
    },
    /// Nobody is one who leaves or is replaced.
    NoSuchMember {
        /// Who.
        key: Did,
    },
    /// A key that is to be a node's has not signed whose it is.
    NoPossession {
        /// Which.
        key: Did,
    },
    /// The change leaves everything as it is.
    NoChange,
    /// The last member cannot leave.
    LastMember,
    /// After the change they could not be the members of a channel.
    ImpossibleMembers(MembersError),
    /// As many proposals are open as may be.
    TooManyProposals,
    /// As many proposals of this member are open as may be.
    TooManyOwnProposals,
    /// No such proposal is open.
    NoSuchProposal {
        /// Which.
        proposal: Hash,
    },
    /// Nobody registered this right.
    NoSuchRight,
    /// The log has no such leaf: what describes a right is a statement that was logged.
    LeafNotLogged,
    /// The record is not the next one of the right.
    RecordNumber {
        /// The number to use.
        expected: u64,
    },
    /// The right is one of another kind.
    RightKind,
    /// The right was cancelled.
    RightCancelled,
    /// The right expired.
    RightExpired,
    /// The right is in dispute.
    RightDisputed,
    /// The right is not in dispute.
    RightNotDisputed,
    /// The moment of expiry does not lie ahead.
    ExpiryPast,
    /// No regulator among the members signed.
    NoRegulator,
    /// A regulator signed, and no other member.
    NoSecondMember,
    /// The leaf binds several keys, and its facts speak of one.
    BindsSeveral,
    /// The consumer has an agreement of this name.
    AgreementExists,
    /// The key that signed has no such agreement.
    NoSuchAgreement,
    /// The consumer has an order of this name.
    OrderExists,
    /// The order is not the next one of its agreement.
    OrderSequence {
        /// The number to use.
        expected: u64,
    },
    /// The consumer has no such order.
    NoSuchOrder,
    /// The order has a hold, or the exchange has one of this name.
    HoldExists,
    /// Nothing is held for the order.
    NotHeld,
    /// The exchange that signed has no such hold.
    NoSuchHold,
    /// The hold was paid out.
    HoldReleased,
    /// The hold was given back.
    HoldRefunded,
    /// Parties are numbered 0, 1, 2.
    NoSuchParty,
    /// The party signed a receipt for this attempt or a later one.
    AttemptOver {
        /// Its last attempt.
        last: u32,
    },
    /// A party has not signed a receipt.
    ReceiptMissing {
        /// Which.
        party: u8,
    },
    /// The parties' last receipts are of different attempts.
    AttemptsDiffer,
    /// The release names another split rule than the agreement's.
    SplitDiffers,
    /// As many uses were paid out as the agreement allows.
    UsesSpent {
        /// How many.
        uses_max: u32,
    },
}

impl Rejection {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadSubmitterSignature => "bad_submitter_signature",
            Self::StaleSequence { .. } => "stale_sequence",
            Self::SequenceGap { .. } => "sequence_gap",
            Self::BindsNobody => "binds_nobody",
            Self::Unbound { .. } => "unbound",
            Self::NotBound { .. } => "not_bound",
            Self::BadSignature { .. } => "bad_signature",
            Self::TooLong => "too_long",
            Self::TooManySubmitters => "too_many_submitters",
            Self::NotMember { .. } => "not_member",
            Self::NoSuchMember { .. } => "no_such_member",
            Self::NoPossession { .. } => "no_possession",
            Self::NoChange => "no_change",
            Self::LastMember => "last_member",
            Self::ImpossibleMembers(_) => "impossible_members",
            Self::TooManyProposals => "too_many_proposals",
            Self::TooManyOwnProposals => "too_many_own_proposals",
            Self::NoSuchProposal { .. } => "no_such_proposal",
            Self::NoSuchRight => "no_such_right",
            Self::LeafNotLogged => "leaf_not_logged",
            Self::RecordNumber { .. } => "record_number",
            Self::RightKind => "right_kind",
            Self::RightCancelled => "right_cancelled",
            Self::RightExpired => "right_expired",
            Self::RightDisputed => "right_disputed",
            Self::RightNotDisputed => "right_not_disputed",
            Self::ExpiryPast => "expiry_past",
            Self::NoRegulator => "no_regulator",
            Self::NoSecondMember => "no_second_member",
            Self::BindsSeveral => "binds_several",
            Self::AgreementExists => "agreement_exists",
            Self::NoSuchAgreement => "no_such_agreement",
            Self::OrderExists => "order_exists",
            Self::OrderSequence { .. } => "order_sequence",
            Self::NoSuchOrder => "no_such_order",
            Self::HoldExists => "hold_exists",
            Self::NotHeld => "not_held",
            Self::NoSuchHold => "no_such_hold",
            Self::HoldReleased => "hold_released",
            Self::HoldRefunded => "hold_refunded",
            Self::NoSuchParty => "no_such_party",
            Self::AttemptOver { .. } => "attempt_over",
            Self::ReceiptMissing { .. } => "receipt_missing",
            Self::AttemptsDiffer => "attempts_differ",
            Self::SplitDiffers => "split_differs",
            Self::UsesSpent { .. } => "uses_spent",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSubmitterSignature => write!(f, "the submitter did not sign this transaction for this channel"),
            Self::StaleSequence { expected } => write!(f, "the submitter's sequence number was used before; the next is {expected}"),
            Self::SequenceGap { expected } => write!(f, "a sequence number of the submitter was left out; the next is {expected}"),
            Self::BindsNobody => write!(f, "the leaf binds nobody"),
            Self::Unbound { key } => write!(f, "{key} is bound and has not signed"),
            Self::NotBound { key } => write!(f, "{key} signed without being bound"),
            Self::BadSignature { key } => write!(f, "the signature of {key} is wrong"),
            Self::TooLong => write!(f, "there are too many keys or signatures, or a name is too long"),
            Self::TooManySubmitters => write!(f, "the log takes no further submitter"),
            Self::NotMember { key } => write!(f, "{key} is no member; only members decide about members"),
            Self::NoSuchMember { key } => write!(f, "{key}, who is to go, is no member"),
            Self::NoPossession { key } => write!(f, "{key} has not signed that it is a key of this organisation's node"),
            Self::NoChange => write!(f, "the change leaves everything as it is"),
            Self::LastMember => write!(f, "the last member cannot leave; let another join first"),
            Self::ImpossibleMembers(why) => write!(f, "these cannot be the members of a channel: {why}"),
            Self::TooManyProposals => write!(f, "too many proposals are open; vote on them first"),
            Self::TooManyOwnProposals => write!(f, "too many proposals of this member are open; see to them first"),
            Self::NoSuchProposal { proposal } => {
                write!(f, "the proposal {proposal} is not open: it was decided, refused or outdated, or never made")
            }
            Self::NoSuchRight => write!(f, "nobody registered this right; log its registration first"),
            Self::LeafNotLogged => write!(f, "the log has no such leaf; log the statement first"),
            Self::RecordNumber { expected } => write!(f, "the record is not the next of this right; that has the number {expected}"),
            Self::RightKind => write!(f, "the right is of another kind than the record says"),
            Self::RightCancelled => write!(f, "the right was cancelled"),
            Self::RightExpired => write!(f, "the right expired; renew it first"),
            Self::RightDisputed => write!(f, "the right is in dispute until a regulator resolves it"),
            Self::RightNotDisputed => write!(f, "the right is not in dispute"),
            Self::ExpiryPast => write!(f, "the right would expire before it begins; name a later moment"),
            Self::NoRegulator => write!(f, "no regulator among the members signed"),
            Self::NoSecondMember => write!(f, "a regulator resolves no dispute alone; let another member sign, too"),
            Self::BindsSeveral => write!(f, "the leaf binds several keys; only the one that its facts speak of may sign"),
            Self::AgreementExists => write!(f, "the consumer has another agreement of this name; sign a new one under a fresh id"),
            Self::NoSuchAgreement => write!(f, "the key that signed has no such agreement; log the agreement first"),
            Self::OrderExists => write!(f, "the consumer has another order of this name; sign a new one under a fresh id"),
            Self::OrderSequence { expected } => write!(f, "the order is not the next of its agreement; that has the number {expected}"),
            Self::NoSuchOrder => write!(f, "the consumer has no such order; log the order first"),
            Self::HoldExists => write!(f, "the order has another hold, or the exchange another of this name"),
            Self::NotHeld => write!(f, "nothing is held for the order; log the hold first"),
            Self::NoSuchHold => write!(f, "the exchange that signed has no such hold; log the hold first"),
            Self::HoldReleased => write!(f, "the hold was paid out; nothing can follow"),
            Self::HoldRefunded => write!(f, "the hold was given back; nothing can follow"),
            Self::NoSuchParty => write!(f, "parties are numbered 0, 1 and 2"),
            Self::AttemptOver { last } => write!(f, "the party signed another receipt for attempt {last}; only a later attempt counts"),
            Self::ReceiptMissing { party } => write!(f, "party {party} has signed no receipt; log those of all parties first"),
            Self::AttemptsDiffer => write!(f, "the parties' receipts are of different attempts; log those of one attempt first"),
            Self::SplitDiffers => write!(f, "the release names another split rule than the agreement; pay by the agreed one"),
            Self::UsesSpent { uses_max } => write!(f, "all {uses_max} uses of the agreement were paid out; refund the hold"),
        }
    }
}
