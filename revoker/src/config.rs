//! What an operator sets for the response.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A whole number of seconds, 1 to one year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Seconds(u32);

/// The longest time an operator may set.
const SECONDS_MAX: u32 = 366 * 86_400;

/// The number is not a time an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a number of seconds from 1 to {SECONDS_MAX}")]
pub struct SecondsError(pub u64);

impl Seconds {
    /// This many seconds as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }
}

impl TryFrom<u64> for Seconds {
    type Error = SecondsError;
    fn try_from(seconds: u64) -> Result<Self, SecondsError> {
        match u32::try_from(seconds) {
            Ok(s) if (1..=SECONDS_MAX).contains(&s) => Ok(Self(s)),
            _ => Err(SecondsError(seconds)),
        }
    }
}

impl From<Seconds> for u64 {
    fn from(seconds: Seconds) -> u64 {
        seconds.0.into()
    }
}

/// What becomes of an agent whose challenge nobody answered in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// It stays challenged until a human answers a later question.
    #[default]
    Stay,
    /// It is revoked, if its identity was attested well enough for that.
    Revoke,
}

/// What a broken rule asks for, whatever the level of evidence says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnRule {
    /// The people who watch are told, and the agent is watched.
    Alert,
    /// A human is asked before the agent goes on.
    #[default]
    StepUp,
    /// Access ends, if the identity is attested well enough for that; else a human is asked.
    Revoke,
}

/// The section `[policy]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// How long a human has to answer a challenge.
    pub challenge_s: Seconds,
    /// How long an approval may be used after it was given.
    pub grant_s: Seconds,
    /// Normal calls that probation asks for, besides the time.
    pub probation_calls: NonZeroU32,
    /// Time that probation asks for, besides the calls.
    pub probation_s: Seconds,
    /// Normal calls after which a watched agent is trusted again, besides the time.
    pub watch_calls: NonZeroU32,
    /// Time after which a watched agent is trusted again, besides the calls.
    pub watch_s: Seconds,
    /// What becomes of an agent whose challenge nobody answered.
    pub on_expiry: OnExpiry,
    /// What a broken rule asks for: a manifest's ceiling, or the same call again and again.
    pub rules: OnRule,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        const FIFTY: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);
        Self {
            challenge_s: Seconds(900),
            grant_s: Seconds(300),
            probation_calls: FIFTY,
            probation_s: Seconds(3_600),
            watch_calls: FIFTY,
            watch_s: Seconds(3_600),
            on_expiry: OnExpiry::Stay,
            rules: OnRule::StepUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_no_time() {
        assert!(serde_json::from_str::<PolicyConfig>(r#"{"challenge_s": 60, "rules": "alert"}"#).is_ok());
        for bad in [
            r#"{"challenge_s": 0}"#,
            r#"{"grant_s": 99999999999}"#,
            r#"{"probation_calls": 0}"#,
            r#"{"on_expiry": "forgive"}"#,
            r#"{"rules": "forgive"}"#,
            r#"{"chalenge_s": 60}"#,
        ] {
            assert!(serde_json::from_str::<PolicyConfig>(bad).is_err(), "{bad}");
        }
    }
}
