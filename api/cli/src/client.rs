//! A small client of the exchange's REST interface: the same one a stranger would use.

use crate::{
    exit::{ExitCode, Failure},
    files,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::Args;
use entrepot_chain_statement::{SigningKey, key::KeyFile};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(30);
/// A stream that nobody ends is asked for anew after a day.
const STREAM_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
const ASSERTION_SECONDS: i64 = 60;

/// How a command reaches an exchange, and as whom.
#[derive(Args)]
pub struct SignIn {
    /// Address of the exchange, as in `http://127.0.0.1:8080`.
    #[arg(long, env = "ENTREPOT_URL")]
    url: String,
    /// `did:key` of the exchange, known beforehand: the audience of the proof.
    #[arg(long)]
    exchange: String,
    /// The participant's key file.
    #[arg(long, env = "ENTREPOT_KEY", value_name = "FILE")]
    key: PathBuf,
    /// PEM file of a certificate to believe besides the public authorities'.
    #[arg(long, env = "ENTREPOT_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl SignIn {
    /// Gets a token.
    pub async fn client(&self) -> Result<Client, Failure> {
        let key = files::read_key(&self.key)?;
        Client::new(&self.url, self.ca.as_deref())?.sign_in(&self.exchange, &key).await
    }
}

/// One participant's session with the exchange.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
    /// The channel whose chain and log are asked; the server's first if absent.
    channel: Option<String>,
}

impl Client {
    /// Without a token: for enrolment and public reads. `ca` is a certificate to believe besides the public authorities'.
    pub fn new(base: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT);
        if let Some(path) = ca {
            let wrong = |error| Failure::bad_input(format!("{} is not a certificate in PEM: {error}", path.display()));
            builder = builder.add_root_certificate(reqwest::Certificate::from_pem(&files::read(path)?).map_err(wrong)?);
        }
        let http = builder.build().map_err(|error| Failure::new(ExitCode::Failed, format!("{:#}", anyhow::Error::from(error))))?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: None, channel: None })
    }

    /// About the chain and the log of this channel.
    pub fn in_channel(self, channel: Option<String>) -> Self {
        Self { channel, ..self }
    }

    fn url(&self, path: &str) -> String {
        let own = path.strip_prefix("/v1").filter(|rest| rest.starts_with("/chain/") || rest.starts_with("/log/"));
        match (&self.channel, own) {
            (Some(channel), Some(rest)) => format!("{}/v1/channels/{channel}{rest}", self.base),
            _ => format!("{}{path}", self.base),
        }
    }

    /// With a token for `key`'s participant.
    pub async fn sign_in(self, exchange: &str, key: &KeyFile) -> Result<Self, Failure> {
        let mut client = self;
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
        let url = self.url(path);
        answered(self.authorised(self.http.get(&url)).send().await, &url).await
    }

    /// POST of a JSON body, under an idempotency key of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let url = self.url(path);
        answered(self.posted(&url, body, &fresh_key()).await, &url).await
    }

    /// POST that may take longer than one request does: none if it is still under way, and is to be sent again under the same key.
    pub async fn post_step(&self, path: &str, body: &Value, key: &str) -> Result<Option<Value>, Failure> {
        let url = self.url(path);
        let sent = self.posted(&url, body, key).await;
        let under_way = match &sent {
            Ok(response) => matches!(response.status(), StatusCode::GATEWAY_TIMEOUT | StatusCode::CONFLICT),
            Err(error) => error.is_timeout() && !error.is_connect(),
        };
        if under_way { Ok(None) } else { answered(sent, &url).await.map(Some) }
    }

    /// GET of a path under the base: status and body, whose length is limited because nobody trusts the other side.
    pub async fn read(&self, path: &str, bytes_max: usize) -> Result<(StatusCode, Vec<u8>), Failure> {
        let url = self.url(path);
        limited(self.authorised(self.http.get(&url)).send().await, &url, bytes_max).await
    }

    /// GET of a path under the base whose answer has no end that can be waited for.
    pub async fn stream(&self, path: &str) -> Result<Stream, Failure> {
        let url = self.url(path);
        let request = self.authorised(self.http.get(&url)).header("accept", "text/event-stream").timeout(STREAM_TIMEOUT);
        let response = request.send().await.map_err(|error| unreachable(&url, error))?;
        if response.status().is_success() { Ok(Stream { url, response }) } else { Err(refused(response, &url).await) }
    }

    /// PUT of a JSON body: status and body, whose length is limited.
    pub async fn put(&self, path: &str, body: &Value, bytes_max: usize) -> Result<(StatusCode, Vec<u8>), Failure> {
        let url = self.url(path);
        limited(self.authorised(self.http.put(&url)).json(body).send().await, &url, bytes_max).await
    }

    async fn posted(&self, url: &str, body: &Value, key: &str) -> Result<reqwest::Response, reqwest::Error> {
        self.authorised(self.http.post(url)).header("idempotency-key", key).json(body).send().await
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// An answer that comes in pieces.
pub struct Stream {
    url: String,
    response: reqwest::Response,
}

impl Stream {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let piece = self.response.chunk().await.map_err(|error| broke_off(&self.url, &error))?;
        Ok(piece.map(|piece| piece.to_vec()))
    }
}

/// A new idempotency key.
pub fn fresh_key() -> String {
    hex::encode(files::random::<16>())
}

fn unreachable(url: &str, error: reqwest::Error) -> Failure {
    Failure::new(ExitCode::Unreachable, format!("no answer from {url}: {:#}", anyhow::Error::from(error)))
}

async fn limited(sent: Result<reqwest::Response, reqwest::Error>, url: &str, bytes_max: usize) -> Result<(StatusCode, Vec<u8>), Failure> {
    let mut response = sent.map_err(|error| unreachable(url, error))?;
    let (status, mut body) = (response.status(), Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(url, error))? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Failure::new(ExitCode::Refused, format!("{url} answered with more than {bytes_max} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
}

async fn answered(sent: Result<reqwest::Response, reqwest::Error>, url: &str) -> Result<Value, Failure> {
    let response = sent.map_err(|error| unreachable(url, error))?;
    if !response.status().is_success() {
        return Err(refused(response, url).await);
    }
    let bytes = response.bytes().await.map_err(|error| broke_off(url, &error))?;
    Ok(if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or_default() })
}

fn broke_off(url: &str, error: &reqwest::Error) -> Failure {
    Failure::new(ExitCode::Unreachable, format!("{url} broke off: {error}"))
}

/// Why the exchange refused.
async fn refused(response: reqwest::Response, url: &str) -> Failure {
    let status = response.status();
    let body: Value = match response.bytes().await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(error) => return broke_off(url, &error),
    };
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    Failure::new(ExitCode::Refused, format!("{url}: {status} {}: {} {}", text("code"), text("detail"), text("hint")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_stands_in_the_paths_of_chain_and_log_alone() {
        // As `main` does; the second time it is there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let first = Client::new("http://host/", None).expect("a client");
        assert_eq!(first.url("/v1/chain/head"), "http://host/v1/chain/head");
        let loans = first.in_channel(Some("loans".to_owned()));
        assert_eq!(loans.url("/v1/chain/head"), "http://host/v1/channels/loans/chain/head");
        assert_eq!(loans.url("/v1/log/consistency?from=1&to=2"), "http://host/v1/channels/loans/log/consistency?from=1&to=2");
        for path in ["/v1/channels", "/v1/chains/x", "/v1/token"] {
            assert_eq!(loans.url(path), format!("http://host{path}"));
        }
    }
}
