//! One append-only RFC 6962 log a channel: the tree, signed checkpoints, witnesses, proofs, and offline verification of receipts.
//!
//! An entry is the 32 bytes of [`Envelope::leaf`](entrepot_chain_statement::Envelope::leaf); the texts are those of C2SP (`signed-note`,
//! `tlog-checkpoint`, `tlog-cosignature`, `tlog-proof`, `tlog-tiles`), so that other people's tools read them. Everything here is pure: nodes come from a
//! [`NodeStore`], moments and keys as arguments.

pub mod bundle;
pub mod checkpoint;
pub mod codec;
pub mod consortium;
pub mod fork;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod state_tree;
pub mod tile;
pub mod trust;
pub mod verify;
pub mod witness;

pub use bundle::{BundleEntry, Certificate, Decisions, ReceiptBundle};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use codec::{DecodeError, KnownKeys};
pub use consortium::{BlockHeader, CommitCertificate, Genesis, Member, Members};
pub use fork::{ForkError, ForkEvidence};
pub use merkle::{Frontier, MerkleTree, NodeId, NodeStore, leaf_hash};
pub use note::{KeyKind, NoteError, NoteKey, NoteSignature, NoteSigner, SignedNote, cosignature_vkey};
pub use proof::TlogProof;
pub use tile::{Tile, TilePathError};
pub use trust::{TrustFile, TrustedLog, TrustedWitness, independent};
pub use verify::{Decided, Outcome, Status, VerificationReport, VerifyError, verify_certificate, verify_receipt};
pub use witness::{Cosigned, TreeHead, Witness, WitnessRefusal};
