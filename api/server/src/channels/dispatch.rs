//! Which channel a request is about.

use super::{Channels, ROOT};
use crate::Problem;
use axum::{
    extract::{Request, State},
    http::{Uri, uri::PathAndQuery},
    middleware::Next,
    response::{IntoResponse, Response},
};
use entrepot_exchange_domain::RefusalKind;
use tower::ServiceExt;

/// Takes the channel out of a path, and hands the request to that channel's routes.
pub(super) async fn dispatch(State(channels): State<Channels>, mut request: Request, next: Next) -> Response {
    let Some((name, rest)) = named(request.uri()) else { return next.run(request).await };
    let served = &channels.0;
    if name == served.first.name {
        *request.uri_mut() = rest;
        return next.run(request).await;
    }
    let router = match served.others.get(&name) {
        Some((_, router)) => {
            *request.uri_mut() = rest;
            router
        }
        None => &served.unknown,
    };
    router.clone().oneshot(request).await.into_response()
}

/// The channel that a path names, and what the path is without it; none if it is not one of a chain or a log.
fn named(uri: &Uri) -> Option<(String, Uri)> {
    let (name, rest) = uri.path().strip_prefix(ROOT)?.strip_prefix('/')?.split_once('/')?;
    if !rest.starts_with("chain/") && !rest.starts_with("log/") {
        return None;
    }
    let path = match uri.query() {
        None => format!("/v1/{rest}"),
        Some(query) => format!("/v1/{rest}?{query}"),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Some((name.to_owned(), Uri::from_parts(parts).ok()?))
}

pub(super) fn no_such_channel() -> Problem {
    Problem::new(RefusalKind::NotFound, "no_such_channel", "no channel of this name is served here").hint("/v1/channels lists them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_channel_only_before_its_chain_or_its_log() {
        let named = |path: &str| named(&path.parse().expect("a path")).map(|(name, rest)| format!("{name} {rest}"));
        assert_eq!(named("/v1/channels/a/chain/blocks?limit=2").as_deref(), Some("a /v1/chain/blocks?limit=2"));
        assert_eq!(named("/v1/channels/a-1/log/tile/0/x001/000").as_deref(), Some("a-1 /v1/log/tile/0/x001/000"));
        assert_eq!(named("http://host:1/v1/channels/a/log/checkpoint").as_deref(), Some("a http://host:1/v1/log/checkpoint"));
        for other in
            ["/v1/channels", "/v1/channels/a", "/v1/channels/a/products", "/v1/channels/a/b/chain/head", "/v1/channelsa/chain/head"]
        {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
