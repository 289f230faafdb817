//! `/v1/chain/events`: blocks, as they are decided.

use crate::{chain::Explorer, harness::send};
use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode},
};
use entrepot_api_server::chain::{ChainLimits, Submissions};
use futures::StreamExt;
use serde_json::Value;
use std::time::Duration;
use tower::ServiceExt;

/// An open stream.
struct Following {
    body: BodyDataStream,
    text: String,
}

impl Following {
    async fn begin(explorer: &Explorer, path: &str, last_event_id: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = explorer.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event's id and data; none at the end.
    async fn next(&mut self) -> Option<(u64, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let found = line("id: ").zip(line("data: "));
                self.text = rest.to_owned();
                if let Some((id, data)) = found {
                    return Some((id.parse().expect("a height"), serde_json::from_str(&data).expect("JSON")));
                }
                continue;
            }
            let more = tokio::time::timeout(Duration::from_secs(10), self.body.next()).await.expect("an event or the end")?;
            self.text.push_str(std::str::from_utf8(&more.expect("a sound body")).expect("text"));
        }
    }

    async fn heights(&mut self, count: usize) -> Vec<u64> {
        let mut found = Vec::new();
        while found.len() < count {
            found.push(self.next().await.expect("an event").0);
        }
        found
    }
}

#[tokio::test]
async fn a_stream_begins_at_any_height_and_goes_on_with_what_is_decided() {
    let explorer = Explorer::open();
    (0..5).for_each(|_| explorer.chain.decide());
    let mut stream = Following::begin(&explorer, "/v1/chain/events?from=2", None).await;
    let (height, data) = stream.next().await.expect("an event");
    assert_eq!((height, data), (2, explorer.get("/v1/chain/blocks/2").await.json()));
    assert_eq!(stream.heights(3).await, [3, 4, 5]);
    (0..3).for_each(|_| explorer.chain.decide());
    assert_eq!(stream.heights(3).await, [6, 7, 8]);
    // Without a height: from the next block on.
    let mut newest = Following::begin(&explorer, "/v1/chain/events", None).await;
    explorer.chain.decide();
    assert_eq!((newest.heights(1).await, stream.heights(1).await), (vec![9], vec![9]));
}

#[tokio::test]
async fn a_reader_that_comes_again_goes_on_after_the_last_event_that_it_saw() {
    let explorer = Explorer::open();
    (0..5).for_each(|_| explorer.chain.decide());
    let mut again = Following::begin(&explorer, "/v1/chain/events?from=1", Some("3")).await;
    assert_eq!(again.heights(2).await, [4, 5]);
    let mut beginning = Following::begin(&explorer, "/v1/chain/events", Some("0")).await;
    assert_eq!(beginning.heights(5).await, [1, 2, 3, 4, 5]);
    for wrong in ["6", "-1", "x", "", "18446744073709551616"] {
        let request = Request::get("/v1/chain/events").header("last-event-id", wrong).body(Body::empty()).expect("a request");
        send(&explorer.router, request).await.expect_problem(StatusCode::BAD_REQUEST, "invalid_last_event_id");
    }
}

#[tokio::test]
async fn streams_end_when_the_server_stops_and_when_the_chain_cannot_be_read() {
    let explorer = Explorer::open();
    explorer.chain.decide();
    let mut stream = Following::begin(&explorer, "/v1/chain/events?from=1", None).await;
    stream.heights(1).await;
    explorer.stop.cancel();
    assert!(stream.next().await.is_none());

    let explorer = Explorer::open();
    let mut stream = Following::begin(&explorer, "/v1/chain/events", None).await;
    explorer.chain.decide();
    stream.heights(1).await;
    explorer.chain.decide_and_break();
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_stream_and_its_place() {
    let limits = ChainLimits { streams_max: 2, stall_max: Duration::from_millis(200), ..ChainLimits::default() };
    let explorer = Explorer::new(Submissions::Open, limits);
    (0..500).for_each(|_| explorer.chain.decide());
    let path = "/v1/chain/events?from=1";
    let mut slow = Following::begin(&explorer, path, None).await;
    let _another = Following::begin(&explorer, path, None).await;
    let refused = explorer.get(path).await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(StatusCode::TOO_MANY_REQUESTS, "too_many_streams");
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Both lost their places; what waited for them is no more than the limit says.
    let mut waited = 0;
    while slow.next().await.is_some() {
        waited += 1;
    }
    assert!(waited <= 2, "{waited} events waited for a reader that took nothing");
    let mut quick = Following::begin(&explorer, path, None).await;
    assert_eq!(quick.heights(500).await.last(), Some(&500));
    // A reader for whom there is nothing is not slow.
    tokio::time::sleep(Duration::from_millis(500)).await;
    explorer.chain.decide();
    assert_eq!(quick.heights(1).await, [501]);
}

#[tokio::test]
async fn a_place_is_free_again_when_its_reader_goes_or_has_had_its_time() {
    let limits = ChainLimits { streams_max: 1, stream_max: Duration::from_millis(500), ..ChainLimits::default() };
    let explorer = Explorer::new(Submissions::Open, limits);
    drop(Following::begin(&explorer, "/v1/chain/events", None).await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut stream = Following::begin(&explorer, "/v1/chain/events", None).await;
    assert!(stream.next().await.is_none(), "its time is over");
    Following::begin(&explorer, "/v1/chain/events", None).await;
}
