//! The one place that reads the clock.

use entrepot_chain_statement::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now. A clock before 1970 reads as 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// How long until then.
pub(crate) fn until(moment: Timestamp) -> Duration {
    Duration::from_millis(moment.0.saturating_sub(now().0).try_into().unwrap_or(0))
}
