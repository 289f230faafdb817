//! A participant's session with the exchange's REST interface.

use crate::{
    install_crypto,
    member::{Member, now, random},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use entrepot_chain_statement::SigningKey;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// An answer of the exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body; null if it has none.
    pub body: Value,
}

impl Answer {
    /// The body of an answer that must be a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body
    }

    /// The code of a problem.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// Asserts a refusal: its status, its code, and that it says what to do or what is wrong.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.code()), (status, code), "{}", self.body);
        assert_eq!(self.body["type"], format!("urn:entrepot:problem:{code}"), "{}", self.body);
        assert_eq!(self.body["status"], status, "{}", self.body);
        for field in ["title", "detail", "request_id"] {
            assert!(self.body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} is missing: {}", self.body);
        }
    }
}

/// A session; anonymous without a token.
#[derive(Clone)]
pub struct Session {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Session {
    /// Without a token.
    pub fn anonymous(base: &str) -> Self {
        install_crypto();
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().expect("an HTTP client");
        Self { http, base: base.trim_end_matches('/').to_owned(), token: None }
    }

    /// With the token of `member`.
    pub async fn sign_in(base: &str, exchange: &str, member: &Member) -> Self {
        let session = Self::anonymous(base);
        let answer = session.token_for(&client_assertion(&member.key.signing, &assertion_claims(member, exchange))).await.ok();
        session.with_token(answer["access_token"].as_str().expect("an access token"))
    }

    /// The same with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Exchanges a client assertion for a token.
    pub async fn token_for(&self, assertion: &str) -> Answer {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
        ];
        Self::answer(self.http.post(self.url("/v1/token")).form(&form)).await
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        Self::answer(self.request(Method::GET, path)).await
    }

    /// POST under a new idempotency key.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with_key(path, body, &hex::encode(random::<16>())).await
    }

    /// POST under an idempotency key.
    pub async fn post_with_key(&self, path: &str, body: &Value, key: &str) -> Answer {
        Self::answer(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// POST of any bytes.
    pub async fn post_bytes(&self, path: &str, content_type: &str, bytes: Vec<u8>) -> Answer {
        let request = self.request(Method::POST, path).header("idempotency-key", hex::encode(random::<16>()));
        Self::answer(request.header("content-type", content_type).body(bytes)).await
    }

    /// Any request, with the token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Sends a request and reads its answer.
    pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.expect("the exchange answers");
        let status = response.status();
        let bytes = response.bytes().await.expect("a whole answer");
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status, body: if bytes.is_empty() { Value::Null } else { body } }
    }
}

/// The claims of a good client assertion, to be spoilt by tests.
pub fn assertion_claims(member: &Member, exchange: &str) -> Value {
    let issued_at = now().0 / 1000;
    let did = member.did();
    json!({
        "iss": did, "sub": did, "aud": exchange, "iat": issued_at, "exp": issued_at + 60, "jti": hex::encode(random::<16>()),
    })
}

/// A JWT over `claims`, signed with EdDSA.
pub fn client_assertion(key: &SigningKey, claims: &Value) -> String {
    jwt(&json!({"alg": "EdDSA", "typ": "JWT"}), claims, |message| key.sign(message).to_vec())
}

/// A JWT with any header and signature.
pub fn jwt(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
