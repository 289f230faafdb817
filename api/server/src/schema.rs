//! Shapes that several endpoints share, as the OpenAPI document names them.

use entrepot_chain_statement::Envelope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Shape of a DSSE envelope. Documentation only: what is read and written is [`Envelope`].
#[derive(ToSchema)]
#[schema(as = Envelope)]
#[expect(dead_code, reason = "a schema, never a value")]
pub struct EnvelopeSchema {
    /// RFC 8785 canonical JSON of the statement, base64.
    payload: String,
    /// `application/vnd.entrepot.<statement>.v1+json`
    #[schema(rename = "payloadType")]
    payload_type: String,
    /// 32 random bytes, base64; hides the statement in its log leaf.
    salt: String,
    /// At least one.
    signatures: Vec<EnvelopeSignatureSchema>,
}

/// Shape of one signature of an envelope.
#[derive(ToSchema)]
#[schema(as = EnvelopeSignature)]
#[expect(dead_code, reason = "a schema, never a value")]
pub struct EnvelopeSignatureSchema {
    /// did:key of the signer.
    keyid: String,
    /// Ed25519 over DSSE's pre-authentication encoding, base64.
    sig: String,
    /// Ed25519 over the log leaf, base64.
    leaf_sig: String,
}

/// A request that submits one signed statement.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeInput {
    /// The signed statement.
    #[schema(value_type = EnvelopeSchema)]
    pub envelope: Envelope,
}
