//! Extractors whose refusals are problems.

use crate::{Problem, limits::JSON_DEPTH_MAX};
use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{HeaderMap, header, request::Parts},
};
use bytes::Bytes;
use entrepot_exchange_domain::RefusalKind;
use serde::{Deserialize, de::DeserializeOwned};
use std::str::FromStr;

const SHAPE_HINT: &str = "the shape of every request is in /openapi.json; unknown fields are refused";

/// An id in the path. One that cannot be an id names nothing: 404, as for one that is not there.
#[derive(Clone, Debug)]
pub struct IdPath<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for IdPath<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("thing"))?;
        text.parse().map(Self).map_err(|_| Problem::not_found("thing"))
    }
}

/// The query string. `T` refuses unknown fields.
#[derive(Clone, Debug)]
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(rejection) => Err(Problem::new(RefusalKind::Invalid, "invalid_query", rejection.body_text())),
        }
    }
}

/// The body of a request that takes no input: nothing, or an empty object.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoInput {}

/// Reads the whole body; the router's limit applies.
pub(crate) async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        let status = rejection.status();
        if status == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
            Problem::with_status(status, "body_too_large", format!("a body has at most {} bytes", crate::limits::BODY_BYTES_MAX))
        } else {
            Problem::new(RefusalKind::Invalid, "unreadable_body", "the body could not be read to its end")
        }
    })
}

/// Parses a JSON body; nothing at all counts as an empty object.
pub(crate) fn parse_json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    if body.is_empty() {
        return from_json(b"{}");
    }
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let status = axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::with_status(status, "unsupported_media_type", "the body must be JSON")
            .hint("send the header `Content-Type: application/json`"));
    }
    from_json(body)
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    // An array would do for a struct, field by field: an accident of the parser that no document describes.
    if body.trim_ascii_start().first() == Some(&b'[') && depth_of(body) <= JSON_DEPTH_MAX {
        return Err(Problem::new(RefusalKind::Invalid, "invalid_input", "the body must be a JSON object").hint(SHAPE_HINT));
    }
    if depth_of(body) > JSON_DEPTH_MAX {
        return Err(Problem::new(RefusalKind::Invalid, "json_too_deep", format!("JSON nests at most {JSON_DEPTH_MAX} levels")));
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Problem::new(RefusalKind::Invalid, "invalid_input", error.to_string()).hint(SHAPE_HINT),
        _ => Problem::new(RefusalKind::Invalid, "malformed_json", error.to_string()),
    })
}

/// Deepest nesting, by brackets outside of strings. Wrong JSON may give any number: the parser refuses it next.
fn depth_of(body: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert_eq!(depth_of(br#"{"a":[1,{"b":"[[[\"[[["}]}"#), 3);
        assert_eq!(depth_of(b"[]"), 1);
        assert_eq!(depth_of(b"1"), 0);
    }
}
