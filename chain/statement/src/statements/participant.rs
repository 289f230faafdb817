//! Who takes part, and which worker acts for whom.

use crate::{Did, SealingKey, Timestamp, ids::GrantId};
use serde::{Deserialize, Serialize};

/// What a participant may do in the market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Registers datasets and offers products.
    Provider,
    /// Buys computations.
    Consumer,
    /// Audits.
    Regulator,
    /// Runs the exchange.
    Operator,
    /// Lends a neutral worker.
    ComputeParty,
    /// Runs a node of the chain.
    Validator,
}

/// A participant introduces itself. Signed by its own key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParticipantEnrolment {
    /// The participant; the key that signs.
    pub participant: Did,
    /// Name shown to people; 1 to 100 characters.
    pub name: String,
    /// Roles asked for; sorted, unique.
    pub roles: Vec<Role>,
    /// Where results for this participant are sealed to.
    pub sealing_key: SealingKey,
    /// When it was signed.
    pub issued_at: Timestamp,
}
statement!(ParticipantEnrolment, "participant-enrolment");

/// What a worker may do for its participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerRole {
    /// Holds the participant's datasets.
    Data,
    /// Computes on shares, holds no data.
    Compute,
}

/// A participant delegates to a worker's key until it expires. Signed by the participant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerGrant {
    /// Id chosen by the signer.
    pub grant_id: GrantId,
    /// Who delegates; the key that signs.
    pub participant: Did,
    /// The worker's key: signs receipts and is pinned on party connections.
    pub worker: Did,
    /// The worker's separate Ed25519 key for cosigning checkpoints.
    pub witness: Did,
    /// What the worker may do.
    pub role: WorkerRole,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid from then on.
    pub expires_at: Timestamp,
}
statement!(WorkerGrant, "worker-grant");
