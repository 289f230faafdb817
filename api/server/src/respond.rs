//! The outermost layers: request ids, safe headers, problems for whatever failed outside of a handler, and the log line.

use crate::{
    Problem,
    error::PROBLEM_JSON,
    limits::{BODY_BYTES_DRAINED_MAX, BODY_BYTES_MAX, BODY_DRAIN_TIMEOUT, REQUEST_ID_BYTES_MAX, REQUEST_TIMEOUT},
};
use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use entrepot_exchange_domain::RefusalKind;
use futures::StreamExt;
use std::time::Instant;
use uuid::Uuid;

/// Names a request in answers and logs.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps every request.
pub(crate) async fn wrap(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    // The pattern, not the path: ids and queries stay out of logs and metrics.
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let begun = Instant::now();
    let answer = async {
        if announces_too_much(request.headers()) {
            drain(request).await;
            return StatusCode::PAYLOAD_TOO_LARGE.into_response();
        }
        next.run(request).await
    };
    let response = tokio::time::timeout(REQUEST_TIMEOUT, answer).await.unwrap_or_else(|_| {
        Problem::with_status(StatusCode::GATEWAY_TIMEOUT, "timeout", "the exchange did not answer in time")
            .hint("send it again with the same Idempotency-Key")
            .into_response()
    });
    let mut response = as_problem(response, &id);
    set_headers(response.headers_mut(), &id);
    record(&method, &route, &response, &id, begun);
    response
}

fn announces_too_much(headers: &HeaderMap) -> bool {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    announced.is_some_and(|length| length > BODY_BYTES_MAX)
}

async fn drain(request: Request) {
    let mut body = request.into_body().into_data_stream();
    let mut drained = 0;
    let reading = async {
        while let Some(Ok(bytes)) = body.next().await {
            drained += bytes.len();
            if drained > BODY_BYTES_DRAINED_MAX {
                break;
            }
        }
    };
    // Who is slower than this does not hear why.
    let _slow = tokio::time::timeout(BODY_DRAIN_TIMEOUT, reading).await;
}

/// The caller's id if it is harmless, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()))
        .filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

/// Whatever failed, the body is a problem that names the request.
fn as_problem(mut response: Response, id: &str) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let mut rendered = problem.render(id);
        rendered.extensions_mut().insert(problem);
        return rendered;
    }
    let status = response.status();
    let is_problem = response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    if !(status.is_client_error() || status.is_server_error()) || is_problem {
        return response;
    }
    let problem = match status {
        StatusCode::NOT_FOUND => {
            Problem::new(RefusalKind::NotFound, "no_such_path", "there is nothing at this path").hint("the paths are in /openapi.json")
        }
        StatusCode::METHOD_NOT_ALLOWED => Problem::with_status(status, "method_not_allowed", "this path does not know this method"),
        StatusCode::PAYLOAD_TOO_LARGE => {
            Problem::with_status(status, "body_too_large", format!("a body has at most {BODY_BYTES_MAX} bytes"))
        }
        status if status.is_server_error() => {
            let mut problem = Problem::with_status(status, "internal", "the exchange failed");
            problem = problem.hint("try again with the same Idempotency-Key; if it lasts, tell the operator the request_id");
            problem
        }
        status => Problem::with_status(status, "refused", status.canonical_reason().unwrap_or("the request was refused")),
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut rendered = problem.render(id);
    if let Some(allow) = allow {
        rendered.headers_mut().insert(header::ALLOW, allow);
    }
    rendered
}

fn set_headers(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A stranger may invent methods: each would be a series of figures that stays for ever.
fn method_label(method: &Method) -> &str {
    match *method {
        Method::GET | Method::POST | Method::HEAD | Method::OPTIONS | Method::PUT | Method::PATCH | Method::DELETE => method.as_str(),
        _ => "other",
    }
}

fn record(method: &Method, route: &str, response: &Response, id: &str, begun: Instant) {
    let (status, seconds) = (response.status().as_u16(), begun.elapsed().as_secs_f64());
    let labels = [("method", method_label(method).to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
    metrics::counter!("entrepot_http_requests_total", &labels).increment(1);
    metrics::histogram!("entrepot_http_request_seconds", "route" => route.to_owned()).record(seconds);
    let problem = response.extensions().get::<Problem>();
    let (code, cause) = (problem.map(Problem::code), problem.and_then(Problem::cause));
    if response.status().is_server_error() {
        tracing::error!(request_id = id, %method, route, status, seconds, code, cause, "request failed");
    } else {
        tracing::info!(request_id = id, %method, route, status, seconds, code, cause, "request");
    }
}

/// What a panic becomes: the log has its text, the answer does not.
pub(crate) fn after_panic(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    use axum::response::IntoResponse;
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    let cause = std::io::Error::other(format!("a handler panicked: {}", text.unwrap_or_default()));
    Problem::internal(&cause).into_response()
}
