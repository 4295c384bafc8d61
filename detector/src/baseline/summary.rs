//! A baseline for people, and how two of them differ.

use serde::{Deserialize, Serialize};

use crate::combine::Thresholds;
use crate::fleet::Published;
use crate::profile::Profile;

/// Endpoints that are told, most used first.
const ENDPOINTS_MAX: usize = 16;
/// A rate has changed when it is so many times another, and a share when it is so much.
const RATE_CHANGED: f64 = 1.25;
const SHARE_CHANGED: f64 = 0.05;
const HOURS: usize = 24;

/// What an agent is like, as far as people can read it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Days since its first call, and calls that its gaps were learned from.
    pub days: f64,
    /// See `days`.
    pub calls: u32,
    /// Calls an hour, over the whole week.
    pub per_hour: f64,
    /// Calls expected in each hour of a weekday, and of a day of the weekend, UTC.
    pub weekday: Vec<f64>,
    /// See `weekday`.
    pub weekend: Vec<f64>,
    /// The relative variance of an hour's count beyond chance.
    pub scatter: f64,
    /// The usual gap between two calls, seconds.
    pub gap_s: f64,
    /// What it calls most.
    pub endpoints: Vec<EndpointShare>,
    /// By what it is known.
    pub known: Vec<Known>,
}

/// A share of an agent's calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndpointShare {
    /// The endpoint, as 16 hexadecimal digits of its hash; see [`crate::endpoint_keys`].
    pub key: String,
    /// Of what is remembered of the agent's calls, 0 to 1.
    pub share: f64,
}

/// Values that an agent is known by, as hashes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Of what.
    pub what: String,
    /// Which.
    pub values: Vec<u32>,
}

impl Summary {
    pub(super) fn of(p: &Profile, published: &Published, thresholds: &Thresholds) -> Self {
        let ctx = p.declared.volume(published, thresholds);
        let [weekday, weekend] = p.volume.usual_days(ctx);
        let (calls, gap_s) = p.timing.usual();
        let shares = p.endpoints.shares().into_iter().take(ENDPOINTS_MAX);
        let known = p.circumstances.known().into_iter();
        Self {
            days: p.volume.age_days(),
            calls,
            per_hour: p.volume.per_hour(ctx),
            weekday: weekday.into(),
            weekend: weekend.into(),
            scatter: p.volume.scatter(),
            gap_s,
            endpoints: shares
                .map(|(key, share)| EndpointShare { key: format!("{key:016x}"), share })
                .collect(),
            known: known.map(|(what, values)| Known { what: what.to_owned(), values }).collect(),
        }
    }

    /// What has changed from this one to a later one, a sentence each; `name` knows endpoints by their keys.
    pub fn changes(&self, later: &Self, name: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let mut told = Vec::new();
        let mut number = |what: &str, before: f64, after: f64, unit: &str| {
            let (low, high) = (before.min(after), before.max(after));
            if high > RATE_CHANGED * low && high > 0.0 {
                told.push(format!("{what}: {before:.2} to {after:.2}{unit}, {}", times(before, after)));
            }
        };
        number("calls an hour", self.per_hour, later.per_hour, "");
        number("the usual gap", self.gap_s, later.gap_s, " s");
        number("scatter of an hour's calls", self.scatter, later.scatter, "");
        told.extend(hours("weekdays", &self.weekday, &later.weekday));
        told.extend(hours("weekends", &self.weekend, &later.weekend));
        told.extend(self.endpoint_changes(later, name));
        told.extend(later.known.iter().filter_map(|now| {
            let before = self.known.iter().find(|known| known.what == now.what);
            known_changes(now, before.map_or(&[], |before| &before.values))
        }));
        told
    }

    fn endpoint_changes(&self, later: &Self, name: impl Fn(&str) -> Option<String>) -> Vec<String> {
        let share = |of: &Self, key: &str| of.endpoints.iter().find(|e| e.key == key).map(|e| e.share);
        let gone = self.endpoints.iter().filter(|e| share(later, &e.key).is_none());
        let mut told = Vec::new();
        for EndpointShare { key, .. } in later.endpoints.iter().chain(gone) {
            let (before, after) = (share(self, key), share(later, key));
            let [was, is] = [before, after].map(|share| 100.0 * share.unwrap_or(0.0));
            let shown = name(key).unwrap_or_else(|| format!("an endpoint with the key {key}"));
            match (before, after) {
                (None, Some(_)) => told.push(format!("{shown}: new, {is:.1} % of calls")),
                (Some(_), None) => told.push(format!("{shown}: gone, was {was:.1} % of calls")),
                _ if (was - is).abs() >= 100.0 * SHARE_CHANGED => {
                    told.push(format!("{shown}: {was:.1} to {is:.1} % of calls"));
                }
                _ => {}
            }
        }
        told
    }
}

fn times(before: f64, after: f64) -> String {
    if before > 0.0 { format!("×{:.2}", after / before) } else { "from nothing".to_owned() }
}

/// The hours of one type of day that hold other numbers of calls.
fn hours(what: &str, before: &[f64], after: &[f64]) -> Option<String> {
    let changed = (0..HOURS.min(before.len()).min(after.len())).filter(|&h| {
        let (low, high) = (before[h].min(after[h]), before[h].max(after[h]));
        // A part of a call more in an hour is no change.
        high > RATE_CHANGED * low && high - low >= 1.0
    });
    let told: Vec<_> = changed.map(|h| format!("{h:02}:00 {:.1} to {:.1}", before[h], after[h])).collect();
    (!told.is_empty()).then(|| format!("calls an hour on {what}, UTC: {}", told.join(", ")))
}

fn known_changes(now: &Known, before: &[u32]) -> Option<String> {
    let new = now.values.iter().filter(|value| !before.contains(value)).count();
    let gone = before.iter().filter(|value| !now.values.contains(value)).count();
    (new + gone > 0)
        .then(|| format!("{}: {new} new, {gone} gone, {} as before", now.what, now.values.len() - new))
}
