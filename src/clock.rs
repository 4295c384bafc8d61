//! The one place where the executable asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use detector::Timestamp;

/// Now, by the system's clock.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
