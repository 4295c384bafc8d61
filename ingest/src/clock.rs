//! The one place where this crate asks what time it is.

use detector::Timestamp;

/// Now, by the system's clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_micros(jiff::Timestamp::now().as_microsecond())
}
