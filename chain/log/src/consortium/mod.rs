//! Who decides on the blocks of a channel, and how somebody outside checks it: the genesis, the members, the signatures under a decision.
//!
//! All of it is public and pure. A block is decided once more than two thirds of the members of its height have signed a precommit for it
//! (Tendermint BFT: Buchman, Kwon, Milosevic, "The latest gossip on BFT consensus", 2018); those signatures are its [`CommitCertificate`].

mod certificate;
mod certified;
mod decided;
mod genesis;
mod header;
mod history;
mod member;
mod possession;

pub use certificate::{CommitCertificate, CommitCertificateError, VoteKind, proposal_message, vote_message};
pub use certified::{
    CERTIFIED_CHECKPOINT_MAX_BYTES, CertifiedCheckpoint, CertifiedCheckpointError, CertifiedCheckpointFormat, CertifiedHead,
};
pub use decided::{DecidedError, DecidedHeader};
pub use genesis::{GENESIS_MAX_BYTES, Genesis, GenesisError, GenesisFormat, VotingRule};
pub use header::{BlockHeader, HEADER_BYTES};
pub use history::{
    HISTORY_MAX_BYTES, HISTORY_STEPS_MAX, HistoryError, HistoryStart, MemberHistory, MemberStep, MemberWalk, TrustedChannel, TrustedMembers,
};
pub use member::{MEMBER_NAME_MAX_BYTES, MEMBERS_MAX, Member, MemberKeys, MemberRole, Members, MembersError};
pub use possession::{MemberDescription, MemberKeyring, NoPossession, Possession};
