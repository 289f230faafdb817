//! Every limit of the REST side, by name.

use std::time::Duration;

/// Largest request body.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Of a body that is announced as too large, so much is read and thrown away: a client that still sends would not hear why it is refused.
pub const BODY_BYTES_DRAINED_MAX: usize = 8 * 1024 * 1024;
/// Time for that.
pub const BODY_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Deepest nesting of arrays and objects in a request body.
pub const JSON_DEPTH_MAX: usize = 16;
/// Longest Idempotency-Key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 64;
/// Longest X-Request-Id that is taken over from the caller.
pub const REQUEST_ID_BYTES_MAX: usize = 64;
/// Longest bearer token and client assertion.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// Longest cursor.
pub const CURSOR_BYTES_MAX: usize = 256;
/// Longest text of somebody else's parser that is passed on in a problem's detail.
pub const DETAIL_CHARS_MAX: usize = 300;
/// Time until the head of the answer must be there; streams may go on.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time until a request's head must be there.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection whose other side takes nothing of an answer for this long is cut.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// Time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that open connections get to end when the server stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Open connections.
pub const CONNECTIONS_MAX: usize = 1024;
/// Lifetime of an access token.
pub const ACCESS_TOKEN_MS: i64 = 15 * 60 * 1000;
/// Longest lifetime of a client assertion.
pub const ASSERTION_MS_MAX: i64 = 5 * 60 * 1000;
/// How far two clocks may be apart.
pub const CLOCK_SKEW_MS: i64 = 30 * 1000;
/// Streams of blocks that are open at once.
pub const CHAIN_STREAMS_MAX: usize = 256;
/// Events of one stream of blocks that wait for their reader, beside what the connection itself holds.
pub const CHAIN_STREAM_EVENTS_MAX: usize = 1;
/// A reader that takes no event for this long loses its stream.
pub const CHAIN_STREAM_STALL_MAX: Duration = Duration::from_secs(10);
/// A stream of blocks ends after this long, so that others get a turn; whoever still wants to know comes again with `Last-Event-ID`.
pub const CHAIN_STREAM_MAX: Duration = Duration::from_secs(600);
/// Transactions handed in over REST that wait for their verdicts at once.
pub const CHAIN_SUBMISSIONS_MAX: usize = 64;
/// Time that a submission waits for its verdict before it is told as pending; shorter than [`REQUEST_TIMEOUT`].
pub const CHAIN_SUBMISSION_WAIT: Duration = Duration::from_secs(20);
/// Longest encoded transaction that is taken over REST.
pub const TRANSACTION_BYTES_MAX: usize = 64 * 1024;
