//! `/.well-known`: what clients and third parties need to know beforehand.

use crate::AppState;
use axum::{Json, extract::State};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The resource's endpoints.
pub fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(jwks)).routes(routes!(metadata))
}

/// A JWK set (RFC 7517).
#[derive(Serialize, ToSchema)]
struct JwkSet {
    /// One: the exchange's.
    keys: Vec<Jwk>,
}

/// An Ed25519 public key (RFC 8037).
#[derive(Serialize, ToSchema)]
struct Jwk {
    /// `OKP`
    kty: &'static str,
    /// `Ed25519`
    crv: &'static str,
    /// The public key, base64url.
    x: String,
    /// did:key of the exchange.
    kid: String,
    /// `EdDSA`
    alg: &'static str,
    /// `sig`
    #[serde(rename = "use")]
    usage: &'static str,
}

/// The key that access tokens are signed with.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "tokens", operation_id = "jwks", responses((status = 200, description = "The keys.", body = JwkSet)))]
async fn jwks(State(app): State<AppState>) -> Json<JwkSet> {
    let exchange = app.market.exchange_did();
    let key = Jwk {
        kty: "OKP",
        crv: "Ed25519",
        x: URL_SAFE_NO_PAD.encode(exchange.public_bytes()),
        kid: exchange.to_string(),
        alg: "EdDSA",
        usage: "sig",
    };
    Json(JwkSet { keys: vec![key] })
}

/// Authorization server metadata (RFC 8414). Paths are relative to wherever the client reached the exchange.
#[derive(Serialize, ToSchema)]
struct Metadata {
    /// did:key of the exchange: `iss` of access tokens and `aud` of client assertions.
    issuer: String,
    /// `/v1/token`
    token_endpoint: &'static str,
    /// `/.well-known/jwks.json`
    jwks_uri: &'static str,
    /// `client_credentials`
    grant_types_supported: [&'static str; 1],
    /// None: there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    /// `private_key_jwt`
    token_endpoint_auth_methods_supported: [&'static str; 1],
    /// `EdDSA`
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 1],
}

/// How to get tokens.
#[utoipa::path(
    get,
    path = "/.well-known/oauth-authorization-server",
    tag = "tokens",
    operation_id = "oauth_metadata",
    responses((status = 200, description = "The metadata.", body = Metadata)),
)]
async fn metadata(State(app): State<AppState>) -> Json<Metadata> {
    Json(Metadata {
        issuer: app.market.exchange_did().to_string(),
        token_endpoint: "/v1/token",
        jwks_uri: "/.well-known/jwks.json",
        grant_types_supported: ["client_credentials"],
        response_types_supported: [],
        token_endpoint_auth_methods_supported: ["private_key_jwt"],
        token_endpoint_auth_signing_alg_values_supported: ["EdDSA"],
    })
}
