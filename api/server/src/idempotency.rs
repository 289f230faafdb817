//! Every POST may be sent again.
//!
//! The answer is kept in the very transaction of the effect: a key that is found has had its effect, a key that is not has had none,
//! whatever crashed. A refusal has no effect and is not kept: the same request may succeed later. Keys belong to whoever sent them.

use crate::{
    AppState, Problem,
    extract::{parse_json, read_body},
    limits::IDEMPOTENCY_KEY_BYTES_MAX,
};
use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use entrepot_chain_statement::{Did, Hash};
use entrepot_exchange_domain::RefusalKind;
use entrepot_exchange_store::{
    Tx, TxFuture,
    idempotency::{self, KeptAnswer},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// The header.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Set to `true` on an answer that was kept.
pub const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";

/// A POST: its input and its key.
#[derive(Debug)]
pub struct Submission<T> {
    /// The parsed body.
    pub input: T,
    /// Runs the effect at most once.
    pub once: Once,
}

/// The key of a request, and what the request was.
#[derive(Clone, Debug)]
pub struct Once {
    key: String,
    request: Hash,
}

/// A successful answer, in a form that can be kept.
#[derive(Clone, Debug)]
pub struct Answer {
    status: StatusCode,
    body: String,
    is_kept: bool,
}

impl Answer {
    /// An answer with a JSON body.
    pub fn new(status: StatusCode, body: &impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_string(body).map_err(|error| Problem::internal(&error))?;
        Ok(Self { status, body, is_kept: true })
    }

    /// Not to be kept, because nothing changed: a repetition would find the same again, and strangers could fill the disk with answers.
    #[must_use]
    pub fn unchanged(self) -> Self {
        Self { is_kept: false, ..self }
    }

    /// 200.
    pub fn ok(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::OK, body)
    }

    /// 201.
    pub fn created(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::CREATED, body)
    }

    /// 202.
    pub fn accepted(body: &impl Serialize) -> Result<Self, Problem> {
        Self::new(StatusCode::ACCEPTED, body)
    }
}

/// Keys of requests under way in this process. A courtesy: what makes an effect happen once is the database.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<(String, String)>>>);

struct InFlightGuard {
    keys: InFlight,
    entry: (String, String),
}

impl InFlight {
    fn enter(&self, owner: &str, key: &str) -> Result<InFlightGuard, Problem> {
        let entry = (owner.to_owned(), key.to_owned());
        if !self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.clone()) {
            return Err(Problem::new(
                RefusalKind::Conflict,
                "idempotency_in_flight",
                "a request with this Idempotency-Key is still under way",
            )
            .hint("send it again in a second: it will get the first one's answer")
            .retry_after(1));
        }
        Ok(InFlightGuard { keys: self.clone(), entry })
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.keys.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.entry);
    }
}

impl<T: DeserializeOwned> FromRequest<AppState> for Submission<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let key = key_of(request.headers())?;
        let target = format!("{} {}", request.method(), request.uri().path());
        let headers = request.headers().clone();
        let body = read_body(request, state).await?;
        let input = parse_json(&headers, &body)?;
        Ok(Self { input, once: Once { key, request: Hash::of(&[target.as_bytes(), b"\0", &body]) } })
    }
}

fn key_of(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Problem::new(RefusalKind::Invalid, "idempotency_key_missing", "every POST carries one Idempotency-Key header")
            .hint("send a fresh random text, say a UUID, and the same one whenever you repeat this request"));
    };
    let key = value.as_bytes();
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX || !key.iter().all(u8::is_ascii_graphic) {
        return Err(Problem::new(
            RefusalKind::Invalid,
            "invalid_idempotency_key",
            format!("an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"),
        ));
    }
    Ok(String::from_utf8_lossy(key).into_owned())
}

impl Once {
    /// A name for what this request makes outside of the database: the same whenever it is repeated.
    pub fn name(&self, owner: &Did) -> String {
        Hash::of(&[owner.as_str().as_bytes(), b"\0", self.key.as_bytes()]).to_string()[..32].to_owned()
    }

    /// Runs `effect` in a transaction named `name` and keeps its answer there, unless `owner` used this key before: then the kept
    /// answer is given again, or another request under the same key refused.
    ///
    /// ```ignore
    /// once.run(&app, caller.did(), "products.pause", |tx| Box::pin(async move {
    ///     let product = market::product::pause(tx, &app.market, caller, id).await?;
    ///     Answer::ok(&ProductView::from(product))
    /// })).await
    /// ```
    pub async fn run<'env, F>(&'env self, app: &'env AppState, owner: &'env Did, name: &'static str, effect: F) -> Result<Response, Problem>
    where
        F: for<'t> Fn(&'t mut Tx<'env>) -> TxFuture<'t, Answer, Problem> + Send + Sync + 'env,
    {
        let _guard = app.in_flight.enter(owner.as_str(), &self.key)?;
        let effect = Arc::new(effect);
        let (answer, replayed) = app
            .market
            .store
            .run_tx(name, move |tx| {
                let effect = effect.clone();
                Box::pin(async move {
                    if let Some(kept) = self.earlier(tx, owner).await? {
                        return Ok((kept, true));
                    }
                    let answer = effect(tx).await?;
                    if answer.is_kept {
                        self.keep(tx, app, owner, &answer).await?;
                    }
                    Ok::<_, Problem>((answer, false))
                })
            })
            .await?;
        Ok(respond(answer, replayed))
    }

    async fn earlier(&self, tx: &mut Tx<'_>, owner: &Did) -> Result<Option<Answer>, Problem> {
        let Some(kept) = idempotency::find(tx, owner.as_str(), &self.key).await? else { return Ok(None) };
        if kept.request != self.request {
            return Err(Problem::new(
                RefusalKind::Unprocessable,
                "idempotency_key_reused",
                "this Idempotency-Key was used for another request",
            )
            .hint("use a fresh key for each new request"));
        }
        let status = StatusCode::from_u16(kept.status).map_err(|error| Problem::internal(&error))?;
        Ok(Some(Answer { status, body: kept.body, is_kept: true }))
    }

    async fn keep(&self, tx: &mut Tx<'_>, app: &AppState, owner: &Did, answer: &Answer) -> Result<(), Problem> {
        let kept = KeptAnswer { request: self.request, status: answer.status.as_u16(), body: answer.body.clone() };
        Ok(idempotency::keep(tx, owner.as_str(), &self.key, &kept, app.market.now()).await?)
    }
}

fn respond(answer: Answer, replayed: bool) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if replayed {
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}
