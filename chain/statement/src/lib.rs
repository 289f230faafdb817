//! Keys, `did:key`, RFC 8785 canonical JSON, DSSE envelopes, HPKE sealing, and the types of every statement that anyone signs.
//!
//! A *statement* is a JSON document of one of the types in [`statements`]. It is signed inside a DSSE [`Envelope`]; its identity is
//! [`Envelope::statement_hash`], which does not change as signatures are added. What goes to the log is the salted
//! [`Envelope::leaf`], which commits to the few [`Facts`] that the ledger may know; whoever signs an envelope signs that leaf too, so that
//! a ledger which never sees the statement can demand the signature of everyone it binds, and judge it by its facts.

pub mod canonical;
pub mod did;
pub mod envelope;
pub mod facts;
pub mod hash;
pub mod ids;
pub mod key;
pub mod leaf_kind;
pub mod money;
pub mod sealing;
pub mod split;
pub mod statements;
pub mod time;
pub mod wide;

pub use did::Did;
pub use envelope::{Envelope, EnvelopeError, EnvelopeSignature};
pub use facts::Facts;
pub use hash::Hash;
pub use key::SigningKey;
pub use leaf_kind::LeafKind;
pub use money::{BasisPoints, Currency, Money};
pub use sealing::{SealingKey, SealingSecret};
pub use statements::Statement;
pub use time::Timestamp;
