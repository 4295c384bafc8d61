//! Sources that say when they are alive, so that a silent agent and a late log are told apart.
//!
//! A source that sends heartbeats (`kind: heartbeat`) is held to them: where nothing came from it for several of their
//! usual intervals, nothing is known of its agents. In that time no calls are expected of them, and no silence is news.
//! Of a source without heartbeats nothing can be said, and its agents' silence is their own.

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::hash::hash64;
use crate::stored::in_order;

/// Heartbeats after which a source is held to them.
const BEATS_MIN: u32 = 3;
/// A source is late after so many usual intervals without a sign of life, and this much more.
const INTERVALS: f64 = 3.0;
const GRACE_S: f64 = 30.0;
/// How fast the usual interval follows.
const STEP: f64 = 0.125;
/// Outages of one source that are remembered; an agent that calls more rarely than that may be thought silent in an older one.
const OUTAGES: usize = 8;
/// Sources that are told apart; a flood of names beyond is not followed.
const SOURCES_MAX: usize = 1_024;

/// A time of which a source has told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outage {
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
}

/// A source that was alive and is not, or that is again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLate {
    /// Its name in the records.
    pub source: String,
    /// Its last sign of life.
    pub since: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pulse {
    name: Box<str>,
    /// The newest sign of life, a call or a heartbeat, and the newest heartbeat.
    alive: Timestamp,
    beat: Timestamp,
    beats: u32,
    /// The usual time between two heartbeats, seconds.
    usual_s: f64,
    outages: ArrayVec<Outage, OUTAGES>,
    /// Whether it was told that the source is late.
    told: bool,
}

impl Pulse {
    /// Whether the source, silent since its last sign of life, is late at `now`.
    fn is_late(&self, now: Timestamp) -> bool {
        let patience_s = INTERVALS * self.usual_s + GRACE_S;
        self.beats >= BEATS_MIN && now.since(self.alive).as_secs_f64() > patience_s
    }

    /// A sign of life.
    fn live(&mut self, ts: Timestamp) {
        if self.is_late(ts) {
            if self.outages.is_full() {
                self.outages.remove(0);
            }
            self.outages.push(Outage { since: self.alive, until: ts });
        }
        if ts > self.alive {
            (self.alive, self.told) = (ts, false);
        }
    }

    fn beat(&mut self, ts: Timestamp) {
        let was_late = self.is_late(ts);
        self.live(ts);
        if ts <= self.beat {
            return;
        }
        let gap_s = ts.since(self.beat).as_secs_f64();
        self.beat = ts;
        self.beats = self.beats.saturating_add(1);
        // The first gap is the usual one; an outage is none.
        if self.beats == 2 {
            self.usual_s = gap_s;
        } else if self.beats > 2 && !was_late {
            self.usual_s += STEP * (gap_s - self.usual_s);
        }
    }
}

/// The sources that have sent a heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sources {
    #[serde(serialize_with = "in_order")]
    pulses: HashMap<u64, Pulse, FxBuildHasher>,
}

/// By what a source is known; 0 where a record names none.
pub(crate) fn key(source: Option<&str>) -> u64 {
    source.map_or(0, |name| hash64(&[name]))
}

impl Sources {
    /// The source says that it is alive up to `ts`.
    pub(crate) fn beat(&mut self, name: &str, ts: Timestamp) {
        let key = key(Some(name));
        if self.pulses.len() >= SOURCES_MAX && !self.pulses.contains_key(&key) {
            return;
        }
        let fresh = || Pulse {
            name: name.into(),
            alive: ts,
            beat: ts - std::time::Duration::from_micros(1),
            beats: 0,
            usual_s: 0.0,
            outages: ArrayVec::new(),
            told: false,
        };
        self.pulses.entry(key).or_insert_with(fresh).beat(ts);
    }

    /// Whether a sign of life from `ts` ends an outage of the source.
    pub(crate) fn ends_outage(&self, key: u64, ts: Timestamp) -> bool {
        self.pulses.get(&key).is_some_and(|pulse| pulse.is_late(ts))
    }

    /// A record of the source is from `ts`.
    pub(crate) fn live(&mut self, key: u64, ts: Timestamp) {
        if let Some(pulse) = self.pulses.get_mut(&key) {
            pulse.live(ts);
        }
    }

    /// Times of which the source has told nothing, oldest first.
    pub(crate) fn outages(&self, key: u64) -> &[Outage] {
        self.pulses.get(&key).map_or(&[], |pulse| &pulse.outages)
    }

    /// Up to when something is known of the source's agents, where event time stands at `now`.
    pub(crate) fn known_until(&self, key: u64, now: Timestamp) -> Timestamp {
        match self.pulses.get(&key) {
            Some(pulse) if pulse.is_late(now) => pulse.alive,
            _ => now,
        }
    }

    /// Sources that have become late by `now`, each told once; in order of name.
    pub(crate) fn tell_late(&mut self, now: Timestamp) -> Vec<SourceLate> {
        let late = self.pulses.values_mut().filter(|pulse| !pulse.told && pulse.is_late(now));
        let mut late: Vec<SourceLate> = late
            .map(|pulse| {
                pulse.told = true;
                SourceLate { source: pulse.name.to_string(), since: pulse.alive }
            })
            .collect();
        late.sort_unstable_by(|a, b| a.source.cmp(&b.source));
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_millis(1_740_000_000_000 + s * 1_000)
    }

    #[test]
    fn a_source_is_late_after_its_heartbeats_stop() {
        let (mut sources, key) = (Sources::default(), key(Some("proxy")));
        for i in 0..10 {
            sources.beat("proxy", at(i * 60));
        }
        assert_eq!(sources.known_until(key, at(540 + 200)), at(740), "three intervals are no news");
        assert_eq!(sources.known_until(key, at(540 + 211)), at(540));
        assert_eq!(sources.tell_late(at(751)), [SourceLate { source: "proxy".into(), since: at(540) }]);
        assert_eq!(sources.tell_late(at(900)), [], "told once");
        // Its next sign of life ends the outage and is told again the next time.
        sources.live(key, at(4_000));
        assert_eq!(sources.outages(key), [Outage { since: at(540), until: at(4_000) }]);
        assert_eq!(sources.known_until(key, at(4_100)), at(4_100));
        assert_eq!(sources.tell_late(at(9_000)).len(), 1);
    }

    #[test]
    fn without_heartbeats_nothing_is_said() {
        let (mut sources, key) = (Sources::default(), key(Some("proxy")));
        sources.live(key, at(0));
        sources.beat("proxy", at(10));
        sources.beat("proxy", at(20));
        assert_eq!(sources.known_until(key, at(100_000)), at(100_000), "two are no habit");
        assert_eq!(sources.known_until(0, at(100_000)), at(100_000));
    }

    #[test]
    fn outages_and_names_are_bounded() {
        let mut sources = Sources::default();
        for i in 0..200 {
            // Every fifth interval is an hour.
            sources.beat("proxy", at(i * 60 + i / 5 * 3_600));
        }
        assert_eq!(sources.outages(key(Some("proxy"))).len(), OUTAGES);
        for i in 0..2 * SOURCES_MAX {
            sources.beat(&i.to_string(), at(0));
        }
        assert_eq!(sources.pulses.len(), SOURCES_MAX);
    }
}
