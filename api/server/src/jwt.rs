//! JSON web tokens: the access tokens that the exchange signs, and the client assertions by which a participant proves its key.
//!
//! Ed25519 alone, by construction: the provider below knows no other algorithm, and a key in the token's own header is ignored. Time is
//! checked here against the clock that was handed in, not by the library against the system's.

use crate::{
    Caller,
    limits::{ACCESS_TOKEN_MS, ASSERTION_MS_MAX, CLOCK_SKEW_MS, TOKEN_BYTES_MAX},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entrepot_chain_statement::{Did, SigningKey, Timestamp, statements::Role};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::ErrorKind,
    signature,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};

/// Audience of access tokens.
pub const AUDIENCE: &str = "entrepot";
/// `typ` of access tokens (RFC 9068).
const ACCESS_TYPE: &str = "at+jwt";
/// `typ` of client assertions; RFC 7523 asks for none, its revision for the second.
const ASSERTION_TYPES: [&str; 2] = ["JWT", "client-authentication+jwt"];
/// Longest `jti`.
const JTI_BYTES_MAX: usize = 128;

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No JWT, or one whose claims are missing or of the wrong type.
    #[error("the token is no JWT with the claims that it must have")]
    Malformed,
    /// Another algorithm, or none.
    #[error("the token is not signed with EdDSA")]
    Algorithm,
    /// A JWT made for something else.
    #[error("the token is of another type")]
    Type,
    /// The signature does not fit.
    #[error("the token's signature is invalid")]
    Signature,
    /// Signed by somebody else.
    #[error("the token was issued by somebody else")]
    Issuer,
    /// Made for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Too old.
    #[error("the token has expired")]
    Expired,
    /// Valid later, or for longer than allowed.
    #[error("the token is not valid yet, or valid for too long")]
    Lifetime,
}

impl Refusal for TokenError {
    fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Type => "token_type",
            Self::Signature => "token_signature",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::Lifetime => "token_lifetime",
        }
    }
    fn kind(&self) -> RefusalKind {
        RefusalKind::Unauthenticated
    }
    fn hint(&self) -> Option<String> {
        Some("get a fresh access token at /v1/token".to_owned())
    }
}

/// Claims of an access token.
#[derive(Debug, Serialize, Deserialize)]
struct AccessClaims {
    iss: Did,
    sub: Did,
    aud: String,
    iat: i64,
    exp: i64,
    jti: String,
    roles: BTreeSet<Role>,
}

/// Claims of a client assertion (RFC 7523): who signs is whom it is about.
#[derive(Clone, Debug, Deserialize)]
struct AssertionClaims {
    iss: Did,
    sub: Did,
    aud: Did,
    iat: i64,
    exp: i64,
    jti: String,
}

/// A client assertion whose signature and claims were checked; whether it is fresh is for the store to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// Who signed it.
    pub participant: Did,
    /// Its id.
    pub jti: String,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Makes and checks the exchange's access tokens.
#[derive(Clone)]
pub struct Tokens {
    exchange: Arc<SigningKey>,
}

impl Tokens {
    /// For tokens signed with the exchange's key.
    pub fn new(exchange: Arc<SigningKey>) -> Self {
        // A second server in one process finds the same provider installed.
        let _installed_before = PROVIDER.install_default();
        Self { exchange }
    }

    /// An access token for [`ACCESS_TOKEN_MS`].
    pub fn issue(&self, participant: &Did, roles: &BTreeSet<Role>, jti: String, now: Timestamp) -> String {
        let iat = now.0 / 1000;
        let claims = AccessClaims {
            iss: self.exchange.did(),
            sub: participant.clone(),
            aud: AUDIENCE.to_owned(),
            iat,
            exp: iat + ACCESS_TOKEN_MS / 1000,
            jti,
            roles: roles.clone(),
        };
        self.sign(&json!({ "alg": "EdDSA", "typ": ACCESS_TYPE, "kid": self.exchange.did() }), &json!(claims))
    }

    fn sign(&self, header: &serde_json::Value, claims: &serde_json::Value) -> String {
        let encode = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.exchange.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// Checks an access token.
    pub fn check_access(&self, token: &str, now: Timestamp) -> Result<Caller, TokenError> {
        let exchange = self.exchange.did();
        let claims: AccessClaims = open(token, &exchange, |typ| typ == Some(ACCESS_TYPE), AUDIENCE)?;
        if claims.iss != exchange {
            return Err(TokenError::Issuer);
        }
        check_lifetime(claims.iat, claims.exp, ACCESS_TOKEN_MS, now)?;
        Ok(Caller::new(claims.sub, claims.roles))
    }

    /// Checks a client assertion against the key that its issuer *is*.
    pub fn check_assertion(&self, token: &str, now: Timestamp) -> Result<Assertion, TokenError> {
        let exchange = self.exchange.did();
        let signer: Signer = peek_claims(token)?;
        let typed = |typ: Option<&str>| typ.is_none_or(|typ| ASSERTION_TYPES.contains(&typ));
        let claims: AssertionClaims = open(token, &signer.iss, typed, exchange.as_str())?;
        if claims.iss != claims.sub {
            return Err(TokenError::Issuer);
        }
        if claims.aud != exchange {
            return Err(TokenError::Audience);
        }
        if claims.jti.is_empty() || claims.jti.len() > JTI_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        check_lifetime(claims.iat, claims.exp, ASSERTION_MS_MAX, now)?;
        let expires_at = Timestamp(claims.exp.saturating_mul(1000).saturating_add(CLOCK_SKEW_MS));
        Ok(Assertion { participant: claims.iss, jti: claims.jti, expires_at })
    }

    /// Whether what must pass passes and what must not does not: a wrong provider or a changed library shows at start-up.
    pub fn self_test(&self, now: Timestamp) -> Result<(), &'static str> {
        let did = self.exchange.did();
        let good = self.issue(&did, &BTreeSet::new(), "self-test".to_owned(), now);
        self.check_access(&good, now).map_err(|_| "a token that the exchange signed was refused")?;
        let Some((message, _)) = good.rsplit_once('.') else { return Err("a token has no signature") };
        let unsigned = format!("{message}.{}", URL_SAFE_NO_PAD.encode([0u8; 64]));
        if self.check_access(&unsigned, now).is_ok() {
            return Err("a token without a valid signature was accepted");
        }
        if self.check_access(&good, now.plus_ms(ACCESS_TOKEN_MS + CLOCK_SKEW_MS + 1000)).is_ok() {
            return Err("an expired token was accepted");
        }
        let none = self.sign(&json!({ "alg": "none", "typ": ACCESS_TYPE }), &json!({}));
        if self.check_access(&none, now) != Err(TokenError::Algorithm) {
            return Err("a token with alg=none was not refused for it");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Signer {
    iss: Did,
}

#[derive(Deserialize)]
struct PeekedHeader {
    alg: String,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

/// Reads a part of a token before its signature was checked.
fn peek<T: DeserializeOwned>(token: &str, part: usize) -> Result<T, TokenError> {
    let encoded = token.split('.').nth(part).ok_or(TokenError::Malformed)?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)
}

fn peek_claims<T: DeserializeOwned>(token: &str) -> Result<T, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    peek(token, 1)
}

fn open<T: DeserializeOwned>(token: &str, signer: &Did, typed: impl Fn(Option<&str>) -> bool, audience: &str) -> Result<T, TokenError> {
    if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 {
        return Err(TokenError::Malformed);
    }
    let header: PeekedHeader = peek(token, 0)?;
    if header.alg != "EdDSA" {
        return Err(TokenError::Algorithm);
    }
    // RFC 7515 §4.1.11: an extension that must be understood and is not.
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    // Against our own clock, below.
    validation.validate_exp = false;
    validation.set_audience(&[audience]);
    let key = DecodingKey::from_ed_der(&signer.public_bytes());
    let opened = jsonwebtoken::decode::<T>(token, &key, &validation).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        _ => TokenError::Malformed,
    })?;
    if !typed(opened.header.typ.as_deref()) {
        return Err(TokenError::Type);
    }
    Ok(opened.claims)
}

/// Seconds since the epoch, as JWTs count.
fn check_lifetime(iat: i64, exp: i64, longest_ms: i64, now: Timestamp) -> Result<(), TokenError> {
    let (iat_ms, exp_ms) = (iat.saturating_mul(1000), exp.saturating_mul(1000));
    if exp_ms.saturating_add(CLOCK_SKEW_MS) <= now.0 {
        return Err(TokenError::Expired);
    }
    if iat_ms > now.0.saturating_add(CLOCK_SKEW_MS) || exp_ms.saturating_sub(iat_ms) > longest_ms || exp <= iat {
        return Err(TokenError::Lifetime);
    }
    Ok(())
}

/// The library's way to cryptography: Ed25519 of `ed25519-dalek`, to check and nothing else.
static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: no_signer, verifier_factory: ed25519_verifier, key_utils: KeyUtils::new_unimplemented() };

fn no_signer(_: &Algorithm, _: &EncodingKey) -> jsonwebtoken::errors::Result<Box<dyn JwtSigner>> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn ed25519_verifier(algorithm: &Algorithm, key: &DecodingKey) -> jsonwebtoken::errors::Result<Box<dyn JwtVerifier>> {
    if *algorithm != Algorithm::EdDSA || key.family() != AlgorithmFamily::Ed {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    let bytes: [u8; 32] = key.try_get_as_bytes()?.try_into().map_err(|_| ErrorKind::InvalidKeyFormat)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| ErrorKind::InvalidKeyFormat)?;
    Ok(Box::new(Ed25519Verifier(key)))
}

struct Ed25519Verifier(ed25519_dalek::VerifyingKey);

impl signature::Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| signature::Error::new())?;
        self.0.verify_strict(message, &signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
