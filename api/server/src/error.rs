//! Refusals as RFC 9457 problems. The one place that decides an HTTP status.

use crate::limits::DETAIL_CHARS_MAX;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use entrepot_exchange_domain::{Refusal, RefusalKind};
use serde::Serialize;
use std::error::Error;
use utoipa::ToSchema;

/// Media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What a caller is told when something is refused.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    hint: Option<String>,
    retry_after_seconds: Option<u32>,
    oauth: Option<&'static str>,
    /// For the log alone.
    cause: Option<String>,
}

/// A problem on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `urn:entrepot:problem:<code>`
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// At the token endpoint: the error as RFC 6749 names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Names this request in the exchange's log.
    pub request_id: String,
}

/// The status of a kind of refusal.
fn status_of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::Invalid => StatusCode::BAD_REQUEST,
        RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalKind::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: RefusalKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self::with_status(status_of(kind), code, detail)
    }

    /// For what HTTP itself refuses: method, media type, size, time.
    pub(crate) fn with_status(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after_seconds = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, code, detail: cut(detail.into()), hint: None, retry_after_seconds, oauth: None, cause: None }
    }

    /// There is no such thing, or it is another's: the two look alike.
    pub fn not_found(what: &str) -> Self {
        Self::new(RefusalKind::NotFound, "not_found", format!("there is no such {what}, or it is not yours to see"))
    }

    /// Something that must not happen happened; the cause is logged and not told.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        let mut problem = Self::new(RefusalKind::Internal, "internal", "the exchange failed; nothing of this request took effect");
        problem.hint = Some("try again with the same Idempotency-Key; if it lasts, tell the operator the request_id".to_owned());
        problem.cause = Some(chain_of(cause));
        problem
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says when to come again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// At the token endpoint: the error as RFC 6749 names it.
    #[must_use]
    pub(crate) fn oauth(mut self, error: &'static str) -> Self {
        // Not every failure is the client's.
        self.oauth = Some(if self.status.is_server_error() { "server_error" } else { error });
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What the log should know beyond the answer.
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The answer, naming the request.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let body = ProblemBody {
            kind: format!("urn:entrepot:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Refused").to_owned(),
            status: self.status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            error: self.oauth.map(str::to_owned),
            request_id: request_id.to_owned(),
        };
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render("");
        // The outermost layer knows the request's id and renders again.
        response.extensions_mut().insert(self);
        response
    }
}

impl<E: Refusal> From<E> for Problem {
    fn from(refusal: E) -> Self {
        if refusal.kind() == RefusalKind::Internal {
            return Self::internal(&refusal);
        }
        let mut problem = Self::new(refusal.kind(), refusal.code(), refusal.to_string());
        problem.hint = refusal.hint();
        problem.cause = refusal.source().map(chain_of);
        problem
    }
}

fn chain_of(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// A hostile body must not come back whole in the answer.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(DETAIL_CHARS_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use entrepot_exchange_store::StoreError;

    #[test]
    fn a_database_error_is_told_as_internal_without_its_text() {
        let problem = Problem::from(StoreError::Corrupt { what: "secret thing" });
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.detail.contains("secret thing"));
        assert!(problem.cause().is_some_and(|cause| cause.contains("secret thing")));
    }

    #[test]
    fn a_long_detail_is_cut_at_a_character() {
        let problem = Problem::new(RefusalKind::Invalid, "x", "é".repeat(5000));
        assert_eq!(problem.detail.chars().count(), DETAIL_CHARS_MAX + 1);
    }
}
