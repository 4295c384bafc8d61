//! What becomes of questions that lapse while nobody is about.

use detector::{Span, Timestamp, Zone};
use serde::{Deserialize, Serialize};

use super::when::is_within;
use crate::config::OnExpiry;

/// The section `[policy.night]`: at these times of the week another default holds than by day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Night {
    hours: Vec<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<Zone>,
    on_expiry: OnExpiry,
}

/// As it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    hours: Vec<Span>,
    time_zone: Option<Zone>,
    on_expiry: OnExpiry,
}

/// A night that never comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("hours: a time of the week must stand here")]
pub struct NightError;

impl TryFrom<Written> for Night {
    type Error = NightError;
    fn try_from(written: Written) -> Result<Self, NightError> {
        let Written { hours, time_zone, on_expiry } = written;
        if hours.is_empty() {
            return Err(NightError);
        }
        Ok(Self { hours, time_zone, on_expiry })
    }
}

impl Night {
    /// What becomes of a question that lapses then; none by day.
    pub(super) fn on_expiry(&self, lapses: Timestamp) -> Option<OnExpiry> {
        is_within(&self.hours, self.time_zone.as_ref(), lapses).then_some(self.on_expiry)
    }
}
