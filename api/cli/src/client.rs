//! A small client of the exchange's REST interface: the same one a stranger would use.

use crate::{
    exit::{ExitCode, Failure},
    files,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entrepot_chain_statement::{SigningKey, key::KeyFile};
use serde_json::{Value, json};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);
const ASSERTION_SECONDS: i64 = 60;

/// One participant's session with the exchange.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Without a token: for enrolment and public reads.
    pub fn anonymous(base: &str) -> Result<Self, Failure> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|error| Failure::new(ExitCode::Failed, error))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: None })
    }

    /// With a token for `key`'s participant.
    pub async fn signed_in(base: &str, exchange: &str, key: &KeyFile) -> Result<Self, Failure> {
        let mut client = Self::anonymous(base)?;
        let assertion = client_assertion(&key.signing, exchange);
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion.as_str()),
        ];
        let url = format!("{}/v1/token", client.base);
        let answer = answered(client.http.post(&url).form(&form).send().await, &url).await?;
        let token =
            answer["access_token"].as_str().ok_or_else(|| Failure::new(ExitCode::Failed, "the exchange's token answer has no token"))?;
        client.token = Some(token.to_owned());
        Ok(client)
    }

    /// The access token, if signed in.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// GET of a path under the base.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.base);
        answered(self.authorised(self.http.get(&url)).send().await, &url).await
    }

    /// POST of a JSON body, under an idempotency key of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = format!("{}{path}", self.base);
        let request = self.authorised(self.http.post(&url)).header("idempotency-key", hex::encode(files::random::<16>())).json(body);
        answered(request.send().await, &url).await
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

async fn answered(sent: Result<reqwest::Response, reqwest::Error>, url: &str) -> Result<Value, Failure> {
    let response = sent.map_err(|error| Failure::new(ExitCode::Unreachable, format!("no answer from {url}: {error}")))?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(|error| Failure::new(ExitCode::Unreachable, format!("{url} broke off: {error}")))?;
    let body: Value = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_default() };
    if status.is_success() {
        return Ok(body);
    }
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    Err(Failure::new(ExitCode::Refused, format!("{url}: {status} {}: {} {}", text("code"), text("detail"), text("hint"))))
}

/// RFC 7523: a JWT that proves possession of the participant's key.
fn client_assertion(key: &SigningKey, exchange: &str) -> String {
    let issued_at = files::now().0 / 1000;
    let did = key.did();
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(&json!({"alg": "EdDSA", "typ": "JWT"}));
    let claims = encode(&json!({
        "iss": did.as_str(), "sub": did.as_str(), "aud": exchange,
        "iat": issued_at, "exp": issued_at + ASSERTION_SECONDS, "jti": hex::encode(files::random::<16>()),
    }));
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}
